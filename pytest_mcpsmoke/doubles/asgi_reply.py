"""Scripted replies as HTTP answers of a raw ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from pytest_mcpsmoke.doubles.loopback import Receive, Scope, Send
from pytest_mcpsmoke.doubles.replies import Disconnect, Malformed, Status, body_bytes

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class Exchange:
    """One request to a double's server, and the answer to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._scope = scope
        self._receive = receive
        self._send = send

    async def body(self) -> bytes:
        """Read the request's body to its end, or to where the client left."""
        body = b""
        while True:
            message = await self._receive()
            body += bytes(message.get("body", b""))
            if not message.get("more_body"):
                return body

    async def answer(self, reply: Any) -> None:
        """Send a reply: a Status, a Malformed, a Disconnect, or a JSON value with status 200."""
        if isinstance(reply, Disconnect):
            await self._break_off(reply)
            return
        status, kind, body, headers = _parts(reply)
        await self._start(status, kind, len(body), headers)
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, events: Iterable[bytes], cut_after: int | None = None) -> None:
        """Send server-sent events one by one; with cut_after, close the connection after so many bytes."""
        await self._start(200, b"text/event-stream", None, [(b"cache-control", b"no-cache")])
        left = cut_after
        for event in events:
            chunk = event if left is None else event[:left]
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            if left is not None:
                left -= len(chunk)
                if left <= 0:
                    self._cut()
                    return
            await asyncio.sleep(0)  # an event is a write of its own, as from a model that thinks
        await self._send({"type": "http.response.body", "body": b""})

    async def _break_off(self, reply: Disconnect) -> None:
        if reply.after > 0:
            status, kind, body, headers = _parts(reply.then)
            await self._start(status, kind, len(body), headers)
            part = body[: min(reply.after, len(body) - 1)]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        self._cut()

    def _cut(self) -> None:
        self._scope["state"]["cut"]()

    async def _start(
        self, status: int, kind: bytes, length: int | None, headers: list[tuple[bytes, bytes]]
    ) -> None:
        own = [] if any(name.lower() == b"content-type" for name, _ in headers) else [(b"content-type", kind)]
        if length is not None:
            own.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})


def _parts(reply: Any) -> tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]:
    """Status, content type, body and further headers of a reply."""
    if isinstance(reply, Malformed):
        return 200, JSON, reply.body, []
    if isinstance(reply, Status):
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
        return (
            reply.code,
            TEXT if isinstance(reply.body, str | bytes) else JSON,
            body_bytes(reply.body),
            headers,
        )
    return 200, JSON, json.dumps(reply, ensure_ascii=False).encode(), []

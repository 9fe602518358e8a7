"""What stands before an upstream's HTTP apps: tokens and faults. Everything else the SDK answers itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import MutableMapping
from typing import Any, Final

from pytest_mcpsmoke.doubles.faults import Fault, Faults
from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.doubles.loopback import App, Receive, Scope, Send
from pytest_mcpsmoke.doubles.rpc import Call, calls_of
from pytest_mcpsmoke.doubles.tokens import TokenTable

_METADATA: Final = "/.well-known/oauth-protected-resource"
_EVENTS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
_SESSION: Final = re.compile(rb"session_id=([0-9a-f]+)")

Message = MutableMapping[str, Any]


class Gate:
    """An ASGI app before the SDK's app, for one transport."""

    def __init__(self, app: App, transport: str, faults: Faults) -> None:
        self.tokens = TokenTable()
        self._app = app
        self._transport = transport
        self._faults = faults
        self._streams: dict[str, _Stream] = {}  # of the transport SSE: answers do not come with the request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry: Entry = scope["state"]["entry"]
        entry.transport = self._transport
        asked = _Request(scope, receive, send)
        if scope["path"].startswith(_METADATA) and self.tokens:
            await asked.answer(200, [(b"content-type", b"application/json")], self._metadata(scope))
            return
        await asked.read()
        if (refusal := self.tokens.refusal(entry)) is not None:
            await asked.answer(refusal.status, refusal.headers(_base(scope) + _METADATA), refusal.body)
            return
        calls = calls_of(entry) or [Call(entry.method, {}, None, entry)]
        fault = next(filter(None, map(self._faults.take, calls)), None)
        if fault is not None:
            await self._fail(fault, asked, calls[0])
        elif self._transport == "sse" and entry.method == "GET":
            await self._open_stream(asked)
        else:
            await self._app(scope, asked.receive, send)

    async def _fail(self, fault: Fault, asked: _Request, call: Call) -> None:
        stream = self._streams.get(asked.session) if asked.session else None
        if fault.kind == "status":
            await asked.answer(fault.status, fault.headers, fault.body)
        elif fault.kind == "slow":
            if await asked.stays(fault.seconds):
                await self._app(asked.scope, asked.receive, asked.send)
        elif fault.kind == "wrong Mcp-Name":
            headers = [pair for pair in asked.scope["headers"] if pair[0] != b"mcp-name"]
            renamed = {**asked.scope, "headers": [*headers, (b"mcp-name", fault.name.encode("latin-1"))]}
            await self._app(renamed, asked.receive, asked.send)
        elif stream is not None:
            await self._fail_stream(fault, asked, stream, call)
        elif fault.kind == "disconnect":
            await self._app(asked.scope, asked.receive, _Cutting(asked).send)
        elif fault.kind == "malformed":
            await asked.answer(200, [(b"content-type", b"application/json")], fault.body)
        else:
            await asked.only_ping(fault.seconds)

    async def _fail_stream(self, fault: Fault, asked: _Request, stream: _Stream, call: Call) -> None:
        """Fail on the stream that answers go over; the request itself is accepted, as always."""
        if fault.kind == "disconnect":
            stream.doomed.add(call.id)
            await self._app(asked.scope, asked.receive, asked.send)
            return
        await asked.answer(202, [], b"Accepted")
        if fault.kind == "malformed":
            await stream.send_bytes(b"event: message\r\ndata: " + fault.body + b"\r\n\r\n")
            return
        while await stream.send_bytes(b": ping\r\n\r\n"):
            await asyncio.sleep(fault.seconds)

    async def _open_stream(self, asked: _Request) -> None:
        stream = _Stream(asked, self._streams)
        try:
            await self._app(asked.scope, asked.receive, stream.send)
        finally:
            stream.end()

    def _metadata(self, scope: Scope) -> bytes:
        resource = _base(scope) + scope["path"].removeprefix(_METADATA)
        return json.dumps({"resource": resource, "authorization_servers": [_base(scope)]}).encode()


class _Request:
    """A request whose body was read, and is given once more."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.send = send
        self._receive = receive
        self._body: Message | None = None
        found = _SESSION.search(scope["query_string"])
        self.session = found[1].decode() if found else ""

    async def read(self) -> None:
        """Read the whole body, or what the client sent of it before it left."""
        body = b""
        while True:
            message = await self._receive()
            body += message.get("body", b"")
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        self._body = {"type": "http.request", "body": body, "more_body": False}

    async def receive(self) -> Message:
        """Give the body, then whatever comes."""
        if self._body is not None:
            body, self._body = self._body, None
            return body
        return await self._receive()

    async def stays(self, seconds: float) -> bool:
        """Wait so long; return whether the client is still there."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        return False

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer without the app."""
        length = (b"content-length", str(len(body)).encode())
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self.send({"type": "http.response.body", "body": body})

    async def only_ping(self, every: float) -> None:
        """Answer with an event stream without events."""
        await self.send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        while True:
            await self.send({"type": "http.response.body", "body": b": ping\r\n\r\n", "more_body": True})
            if not await self.stays(every):
                return

    def cut(self) -> None:
        """Close the connection when all is sent that was sent so far."""
        self.scope["state"]["cut"]()


class _Cutting:
    """Sends what the app sends, up to the middle of the first piece of a body; of a GET, only the head."""

    def __init__(self, asked: _Request) -> None:
        self._asked = asked
        self._is_cut = False

    async def send(self, message: Message) -> None:
        if self._is_cut:
            return
        body = message.get("body", b"")
        if message["type"] == "http.response.start":
            await self._asked.send(message)
            if self._asked.scope["method"] != "GET":  # whose stream may have nothing to say for a long time
                return
        elif not body and message.get("more_body"):
            return
        self._is_cut = True
        half = {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        await self._asked.send(half)
        self._asked.cut()


class _Stream:
    """An open event stream of the transport SSE, that answers to POSTs of its session go over."""

    def __init__(self, asked: _Request, streams: dict[str, _Stream]) -> None:
        self.doomed: set[int | str | None] = set()  # requests whose answers are cut half-way
        self._asked = asked
        self._streams = streams
        self._session = ""

    async def send(self, message: Message) -> None:
        """Send what the app sends; learn the session from the first event."""
        body = message.get("body", b"")
        if not self._session and (found := _SESSION.search(body)):
            self._session = found[1].decode()
            self._streams[self._session] = self
        if self.doomed and _answered(body) in self.doomed:
            await self._asked.send({**message, "body": body[: len(body) // 2], "more_body": True})
            self._asked.cut()
            return
        await self._asked.send(message)

    async def send_bytes(self, data: bytes) -> bool:
        """Send beside the app; return whether the stream is still open."""
        if self._session in self._streams:
            await self._asked.send({"type": "http.response.body", "body": data, "more_body": True})
        return self._session in self._streams

    def end(self) -> None:
        """Forget the stream."""
        self._streams.pop(self._session, None)


def _answered(event: bytes) -> int | str | None:
    """Return the id of the request that an event answers; "" when it answers none."""
    for line in event.splitlines():
        if line.startswith(b"data: {"):
            try:
                message = json.loads(line.removeprefix(b"data: "))
            except ValueError:
                continue
            if "method" not in message and isinstance(message.get("id"), int | str):
                return message["id"]  # type: ignore[no-any-return]
    return ""


def _base(scope: Scope) -> str:
    return "http://{}:{}".format(*scope["server"])

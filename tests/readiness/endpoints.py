"""Endpoints to probe: small ASGI apps, sockets and programs, each in one state."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_mcpsmoke.doubles.loopback import App, LoopbackServer

STREAM = {"content-type": "text/event-stream"}
PINGS = b": ping\r\n\r\nevent: ping\r\ndata: 2025-09-18\r\n\r\n"
SOON = 1.0  # seconds: where running out of time is the point


def answering(status: int = 200, body: bytes = b"", **headers: str) -> App:
    """Answer every request alike; `content_type` becomes a header of that name."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, status, body, headers)

    return app


def by_method(get: App, post: App) -> App:
    """Answer GET in one way, everything else in another."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (get if scope["method"] == "GET" else post)(scope, receive, send)

    return app


def streaming(*chunks: bytes, repeat: bytes = b"", ends: bool = False) -> App:
    """Answer with an event stream: these pieces at once, then one over and over until the client leaves."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, STREAM)
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        while not ends:
            if repeat:
                await send({"type": "http.response.body", "body": repeat, "more_body": True})
            try:
                async with asyncio.timeout(0.05):
                    while (await receive())["type"] != "http.disconnect":
                        pass
                return
            except TimeoutError:
                pass
        await send({"type": "http.response.body", "body": b""})

    return app


async def start(send: Any, status: int, headers: dict[str, str]) -> None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def answer(send: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
    await start(send, status, {**headers, "content-length": str(len(body))})
    await send({"type": "http.response.body", "body": body})


REFUSED = answering(405, b"", allow="GET")


@contextmanager
def served(app: App, path: str = "/mcp") -> Iterator[str]:
    """Serve an app, and give its URL."""
    with LoopbackServer(app) as server:
        yield server.url + path


@contextmanager
def silent() -> Iterator[str]:
    """A socket that accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "http://{}:{}/mcp".format(*listener.getsockname())


def refused_port() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def event(name: str, data: Any) -> bytes:
    """An event as it stands in a stream."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\r\ndata: {text}\r\n\r\n".encode()


class PagedServer:
    """Speaks just enough MCP over POST to list tools in pages, with cursors of its own making."""

    def __init__(self, cursor_after: Any, session: str | None = None) -> None:
        self._cursor_after = cursor_after  # of the number of the page
        self._headers = {} if session is None else {"mcp_session_id": session}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = json.loads((await receive())["body"] or b"{}")
        if "id" not in message:
            await answer(send, 202 if scope["method"] == "POST" else 405, b"", {})
            return
        method, params = message["method"], message.get("params", {})
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if method == "initialize":
            reply["result"] = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "paged", "version": "7"},
            }
        elif method == "tools/list":
            page = int(params.get("cursor", "0"))
            tools = [{"name": f"tool_{page}", "inputSchema": {"type": "object"}}]
            after = self._cursor_after(page)
            reply["result"] = {"tools": tools} | ({} if after is None else {"nextCursor": str(after)})
        else:
            reply["error"] = {"code": -32601, "message": f"no {method} here"}
        headers = {"content_type": "application/json", **self._headers}
        await answer(send, 200, json.dumps(reply).encode(), headers)


def failing(status: int, code: int, message: str, shift: int = 0) -> App:
    """Answer every request with an error of JSON-RPC, under the id that was asked, or one beside it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked = json.loads((await receive())["body"])
        error = {"code": code, "message": message}
        body = {"jsonrpc": "2.0", "id": asked["id"] + shift, "error": error}
        await answer(send, status, json.dumps(body).encode(), {"content_type": "application/json"})

    return app


SDK_CHILD = """
import sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("child")
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
server.run()
"""

PYTHON = sys.executable

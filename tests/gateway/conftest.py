"""Fixtures of the gateway's suite: the gateway on loopback, in this process, and the SDK's client of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from by_hand import ACCEPT, BY_KEY, OPS
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.loopback import LoopbackServer

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from reference_app.config import Config  # noqa: E402
from reference_app.gateway.app import build  # noqa: E402
from reference_app.gateway.settings import Gateway, Key, McpServer  # noqa: E402

T = TypeVar("T")


class Running:
    """A gateway that is served, and how to talk to it."""

    def __init__(self, server: LoopbackServer) -> None:
        self.server = server
        self.url = server.url

    @asynccontextmanager
    async def client(
        self, headers: dict[str, str] | None = None, mode: str = "2026-07-28", **options: Any
    ) -> AsyncIterator[Client]:
        """Connects the SDK's client, with the headers given or the key that may use everything."""
        async with httpx2.AsyncClient(headers=BY_KEY if headers is None else headers, timeout=30) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, **options) as client:
                yield client

    def ask(
        self,
        work: Callable[[Client], Awaitable[T]],
        headers: dict[str, str] | None = None,
        mode: str = "2026-07-28",
        **options: Any,
    ) -> T:
        """Lets the SDK's client do some work."""

        async def run() -> T:
            async with self.client(headers, mode, **options) as client:
                return await work(client)

        return asyncio.run(run())

    def http(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Sends one HTTP request, as it is: without a key, unless it is among the headers."""
        return httpx2.request(method, self.url + path, timeout=30, trust_env=False, **options)

    def post(self, message: dict[str, Any], headers: dict[str, str] | None = None) -> httpx2.Response:
        """Sends one JSON-RPC message of the handshake protocols by hand, to see status and headers."""
        key = BY_KEY if headers is None else headers
        return self.http("POST", "/mcp", json=message, headers={**ACCEPT, **key})


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps loopback requests away from a configured proxy, and defects that somebody planted from here."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MINI_AGENT_DEFECTS", raising=False)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """Starts gateways: `start(servers, keys={"name": (secret, options of Key)}, hooks=[function], …)`.

    Whatever else is given is a setting of the section `gateway`. Every gateway ends with the test, and what
    broke inside one fails it.
    """
    with ExitStack() as stack:
        started: list[LoopbackServer] = []

        def start_one(
            servers: dict[str, McpServer],
            keys: dict[str, tuple[str, dict[str, Any]]] | None = None,
            hooks: Sequence[Callable[..., Any]] = (),
            **settings: Any,
        ) -> Running:
            made = {}
            for name, (secret, options) in (keys or {"ops": (OPS, {"servers": ("*",)})}).items():
                monkeypatch.setenv(f"KEY_{name.upper()}", secret)
                made[name] = Key(f"KEY_{name.upper()}", **options)
            app = build(Config(gateway=Gateway(keys=made, **settings), mcp_servers=servers), hooks)
            server = LoopbackServer(app, who="gateway", around=lambda: app.router.lifespan_context(app))
            started.append(stack.enter_context(server))
            return Running(server)

        yield start_one
    assert [error for server in started for error in server.errors] == []


@pytest.fixture
def start_upstream() -> Iterator[Callable[[str], McpUpstream]]:
    """Starts upstreams, as many as a test needs: `start_upstream("files")`."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(McpUpstream(name))

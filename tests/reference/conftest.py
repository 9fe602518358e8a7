"""Fixtures of the reference suite: a scripted model, a fake clock, a client of the app, a tool server."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from reference_app import agent_proxy, mini_agent  # noqa: E402

ENVIRONMENT = (
    "MINI_AGENT_MODEL_BASE_URL",
    "MINI_AGENT_MODEL_API_KEY",
    "MINI_AGENT_TOOL_HTTP_HEADERS",
    "MINI_AGENT_STORE_TRACES",
    "MINI_AGENT_STORE_PATH",
    "MINI_AGENT_DEFECTS",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the developer's own settings, and keeps loopback requests away from a configured proxy."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns the app's own warnings so far: a busy machine makes asyncio log some of its own."""
    caplog.set_level(logging.WARNING, logger="reference_app")
    return lambda: [
        record.getMessage() for record in caplog.records if record.name.startswith("reference_app.")
    ]


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def read(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(mini_agent, "time", SimpleNamespace(monotonic=fake.read, perf_counter=fake.read))
    return fake


@dataclass
class ScriptedModel:
    """A fake model: gives its answers one by one, each taking `seconds`, and repeats the last one."""

    answers: list[dict[str, Any] | Exception]
    clock: Clock | None = None
    seconds: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, **request: Any) -> dict[str, Any]:
        self.requests.append(copy.deepcopy(request))
        if self.clock:
            self.clock.advance(self.seconds)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return {"choices": [{"message": answer}]}


@pytest.fixture
def script_model(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedModel]:
    """Replaces the model by `script_model(*answers, clock=None, seconds=0)`; a str is a final text."""

    def script(*answers: Any, clock: Clock | None = None, seconds: float = 0.0) -> ScriptedModel:
        messages = [{"role": "assistant", "content": a} if isinstance(a, str) else a for a in answers]
        model = ScriptedModel(messages, clock, seconds)
        monkeypatch.setattr(mini_agent, "arouter_call", model)
        return model

    return script


@pytest.fixture
def call() -> Callable[..., dict[str, Any]]:
    """Builds an OpenAI tool call: `call("id", "tool", a=1)`."""

    def build(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"id": call_id, "type": "function", "function": function}

    return build


@pytest.fixture
def calling() -> Callable[..., dict[str, Any]]:
    """Builds an assistant message that asks for tool calls."""

    def build(*calls: Any, content: str = "") -> dict[str, Any]:
        return {"role": "assistant", "content": content, "tool_calls": list(calls)}

    return build


@pytest.fixture
def send() -> Callable[..., httpx.Response]:
    """Sends one request to the app in this process: `send("POST", "/agent/run", json={...})`."""

    async def exchange(method: str, path: str, **request: Any) -> httpx.Response:
        # In place of starlette's TestClient: no thread, and an escaping exception becomes a plain 500.
        transport = httpx.ASGITransport(agent_proxy.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, **request)

    return lambda method, path, **request: asyncio.run(exchange(method, path, **request))


@pytest.fixture
def run(send: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    """Posts to `/agent/run`: `run(tool_backend="echo")`; a model and one user message are given."""

    def post(**body: Any) -> httpx.Response:
        defaults = {"messages": [{"role": "user", "content": "hi"}], "model": "m"}
        return send("POST", "/agent/run", json={**defaults, **body})

    return post


@dataclass(frozen=True)
class WireRequest:
    """What arrived on the socket; header names are cased as they were sent."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


class ToolServer(ThreadingHTTPServer):
    """A real tool server on loopback that records what arrives.

    Set `tools`, and `reply` or, for one POST after the other, `replies` to script it.
    """

    daemon_threads = False
    request_queue_size = 256  # many runs at once knock at the same moment

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ToolHandler)
        self.requests: list[WireRequest] = []
        self.tools: tuple[int, bytes] = (200, b"[]")
        self.reply: tuple[int, bytes] = (200, b'{"text": "ok"}')
        self.replies: list[tuple[int, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def offer(self, *names: str) -> None:
        tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]
        self.tools = (200, json.dumps(tools).encode())

    def wire_headers(self, *names: str) -> list[list[tuple[str, str]]]:
        """Returns, per request, the headers of these names in any case, as they were sent."""
        wanted = {name.lower() for name in names}
        return [[pair for pair in request.headers if pair[0].lower() in wanted] for request in self.requests]


class _ToolHandler(BaseHTTPRequestHandler):
    server: ToolServer

    def do_GET(self) -> None:
        self._answer(*self.server.tools)

    def do_POST(self) -> None:
        self._answer(*(self.server.replies.pop(0) if self.server.replies else self.server.reply))

    def _answer(self, status: int, body: bytes) -> None:
        received = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(
            WireRequest(self.command, self.path, list(self.headers.items()), received)
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps stderr quiet."""


@pytest.fixture
def tool_server() -> Iterator[ToolServer]:
    with ToolServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

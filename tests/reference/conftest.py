"""Fixtures of the reference suite: a scripted model, a fake clock, a client of the app, a tool server."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pytest_mcpsmoke import FakeInvoker, Patches, ScriptedModel
from pytest_mcpsmoke.doubles.model import Turn

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from reference_app import agent_proxy, mini_agent, stochastic_model  # noqa: E402

ENVIRONMENT = (
    "MINI_AGENT_MODEL_BASE_URL",
    "MINI_AGENT_MODEL_API_KEY",
    "MINI_AGENT_TOOL_HTTP_HEADERS",
    "MINI_AGENT_STORE_TRACES",
    "MINI_AGENT_STORE_PATH",
    "MINI_AGENT_DEFECTS",
)


@pytest.hookimpl(optionalhook=True)
def pytest_mcpsmoke_nd_model() -> AbstractContextManager[str]:
    """ND_REAL=1 alone samples against a model of our own; ND_REAL_BASE_URL takes its place."""
    return stochastic_model.running()


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


@pytest.fixture
def script_model(scripted_model: ScriptedModel, patch_globals: Patches) -> Callable[..., ScriptedModel]:
    """Puts a scripted model in the place of the real one: `script_model(*answers, clock=None, seconds=0)`.

    Each answer takes so many seconds of the clock, and the last one is repeated.
    """

    def script(*answers: Any, clock: Clock | None = None, seconds: float = 0.0) -> ScriptedModel:
        def turn(answer: Any) -> Any:
            message = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer

            def take_time(_: Turn) -> dict[str, Any]:
                if clock:
                    clock.advance(seconds)
                return {"choices": [{"message": message}]}

            return answer if isinstance(answer, Exception) else take_time

        *first, last = map(turn, answers)
        patch_globals("reference_app.mini_agent.arouter_call", scripted_model)
        return scripted_model.script(*first).always(last)

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


@pytest.fixture
def tool_server(fake_invoker: FakeInvoker) -> FakeInvoker:
    """A real tool server that answers every call with "ok", unless it is told otherwise."""
    fake_invoker.serve()
    return fake_invoker.always("ok")

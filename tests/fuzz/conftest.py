"""What the app meets when it is fuzzed: a model that always answers, tool servers that answer anything."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from reference_app import http_tools_invoker, mini_agent  # noqa: E402

# The dependency group `fuzz`: without it there is nothing to collect here.
collect_ignore_glob = ["test_*.py"] if importlib.util.find_spec("schemathesis") is None else []

# What models have been seen to send, well formed and not.
ANSWERS: list[dict[str, Any]] = [
    {"role": "assistant", "content": "Done"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "echo", "arguments": '{"text": "hi"}'}},
            {"id": "c1", "function": {"name": "add", "arguments": {"a": float("nan"), "b": 1e308}}},
            {"function": {"name": "\ud800", "arguments": "[[["}},
            None,
        ],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "in \ud800 parts"}, 1]},
    {"role": "assistant", "content": "```python\nprint(1)\n```", "tool_calls": "none"},
]
# What tool servers have been seen to send.
TOOL_SERVER: list[Callable[[], httpx.Response]] = [
    lambda: httpx.Response(200, json=[{"type": "function", "function": {"name": "exec_python"}}]),
    lambda: httpx.Response(200, json={"text": "ok"}),
    lambda: httpx.Response(429, headers={"Retry-After": "0"}),
    lambda: httpx.Response(500, text="boom"),
    lambda: httpx.Response(
        200, content=b"\xff\xfe\x00", headers={"Content-Type": "text/plain; charset=klingon"}
    ),
    lambda: httpx.Response(200, content=b"[" * 50_000),
    lambda: httpx.Response(200, content=b"[NaN]"),
]


@pytest.fixture(scope="module", autouse=True)
def surroundings() -> Iterator[None]:
    """Nothing here leaves the process, and whatever a 5xx says, it is the app's own fault."""
    answers = itertools.cycle(ANSWERS)
    tool_answers = itertools.cycle(TOOL_SERVER)

    async def model(**request: Any) -> dict[str, Any]:
        json.dumps(request, allow_nan=False, ensure_ascii=False).encode("utf-8")  # as it would go out
        return {"choices": [{"message": next(answers)}], "usage": {"prompt_tokens": 1}}

    def tool_server(request: httpx.Request) -> httpx.Response:
        if request.url.host == "refusing.test":
            raise httpx.ConnectError("refused")
        return next(tool_answers)()

    def client(**options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(**options, transport=httpx.MockTransport(tool_server))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("TOOL_HTTP_HEADERS", "STORE_TRACES", "STORE_PATH", "DEFECTS"):
            patch.delenv(f"MINI_AGENT_{name}", raising=False)
        patch.setattr(mini_agent, "arouter_call", model)
        patch.setattr(http_tools_invoker, "httpx", SimpleNamespace(AsyncClient=client))
        yield

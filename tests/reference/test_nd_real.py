"""The tier nd_real of the reference app: what it makes of a model that varies, sampled and judged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_mcpsmoke.tiers.provider import NdModel

QUESTION = {"role": "user", "content": "what is it?"}


@pytest.fixture
def model(nd_model: NdModel, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the model that the proxy reaches through the relay."""
    monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", nd_model.base_url)
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", nd_model.api_key)
    return nd_model.model


def failed_calls(messages: list[dict[str, Any]]) -> list[str]:
    """What tools, or the proxy in their place, had to say of calls that went wrong."""
    replies = [message["content"] for message in messages if message["role"] == "tool"]
    return [reply for reply in replies if "error" in reply]


@pytest.mark.nd_real(samples=30, min_pass_rate=0.9, max_calls=150, max_wall_s=120)
@pytest.mark.parametrize("backend", ["local", "echo"])
def test_an_agent_run_answers_with_what_its_tools_said(run: Any, model: str, backend: str) -> None:
    response = run(messages=[QUESTION], model=model, tool_backend=backend, use_tools=True)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["ok"], answer["stopped_reason"]) == (True, "success")
    assert answer["final_answer"], "an empty answer"
    assert not failed_calls(answer["messages"])
    replies = [message["content"] for message in answer["messages"] if message["role"] == "tool"]
    assert all(reply in answer["final_answer"] for reply in replies), "a reply of a tool is ignored"


@pytest.mark.nd_real(samples=30, min_pass_rate=0.9, max_calls=150, max_tokens=50_000)
def test_every_tool_call_is_posted_once(run: Any, model: str, tool_server: Any) -> None:
    tool_server.tool("weather")
    tool_server.tool("time")
    answer = run(model=model, tool_backend="http", tool_http_base_url=tool_server.serve()).json()
    asked = [call for message in answer["messages"] for call in message.get("tool_calls", [])]
    posted = [json.loads(r.body)["name"] for r in tool_server.journal if r.method == "POST"]
    assert sorted(posted) == sorted(call["function"]["name"] for call in asked)
    assert answer["final_answer"], "an empty answer"


@pytest.mark.nd_real(samples=30, min_pass_rate=0.9, max_latency_p95_s=5.0)
def test_a_chat_completion_is_streamed_to_its_end(send: Any, model: str) -> None:
    body = {"model": model, "messages": [QUESTION], "stream": True}
    response = send("POST", "/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    assert response.text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks), "an empty answer"

"""A real, non-deterministic model over a real socket: only what holds for every answer is asserted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_app import stochastic_model
from reference_app.mini_agent import ModelError, arouter_call

pytestmark = pytest.mark.nd_real

ROOT = Path(stochastic_model.__file__).resolve().parents[1]
QUESTION = {"role": "user", "content": "what is it?"}


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """The base URL of a model process that all tests of this run share."""
    with stochastic_model.running() as url:
        yield url


@pytest.fixture
def real_model(model_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", model_url)
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "any-key")
    return model_url


def complete(**fields: Any) -> dict[str, Any]:
    return asyncio.run(arouter_call(model="stochastic-1", messages=[QUESTION], **fields))


def assert_every_call_is_answered(messages: list[dict[str, Any]]) -> None:
    for index, message in enumerate(messages):
        asked = [call["id"] for call in message.get("tool_calls", [])]
        following = messages[index + 1 : index + 1 + len(asked)]
        assert [reply.get("tool_call_id") for reply in following] == asked
    calls = sum(len(message.get("tool_calls", [])) for message in messages)
    assert calls == sum(message["role"] == "tool" for message in messages)


@pytest.mark.parametrize("backend", ["local", "echo"])
@pytest.mark.usefixtures("real_model")
def test_a_run_through_the_proxy_succeeds(run: Any, backend: str) -> None:
    response = run(messages=[QUESTION], model="stochastic-1", tool_backend=backend, use_tools=True)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["ok"], answer["stopped_reason"]) == (True, "success")
    assert answer["final_answer"]
    assert answer["messages"][-1] == {"role": "assistant", "content": answer["final_answer"]}
    assert_every_call_is_answered(answer["messages"])
    assert 1 <= answer["metrics"]["iterations"] <= 2
    assert (answer["metrics"]["used_model"], answer["metrics"]["escalated"]) == ("stochastic-1", False)
    called = [m for m in answer["messages"] if m["role"] == "tool"]
    assert ("last_tool_invocation" in answer) == bool(called)


@pytest.mark.usefixtures("real_model")
def test_a_run_over_a_real_tool_server_posts_each_call_once(run: Any, tool_server: Any) -> None:
    tool_server.tool("weather")
    tool_server.tool("time")
    answer = run(tool_backend="http", tool_http_base_url=tool_server.serve()).json()
    assert answer["stopped_reason"] == "success"
    assert_every_call_is_answered(answer["messages"])
    calls = [call["function"]["name"] for m in answer["messages"] for call in m.get("tool_calls", [])]
    posted = [json.loads(r.body)["name"] for r in tool_server.journal if r.method == "POST"]
    assert sorted(posted) == sorted(calls)
    assert [r.method for r in tool_server.journal].count("GET") == 1


@pytest.mark.usefixtures("real_model")
def test_answers_vary() -> None:
    answers = [complete()["choices"][0]["message"]["content"] for _ in range(6)]
    assert all(isinstance(answer, str) and answer for answer in answers)
    assert len(set(answers)) >= 2


def test_two_processes_do_not_repeat_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "any-key")
    first_answers = []
    for _ in range(2):
        with stochastic_model.running() as url:
            monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", url)
            first_answers.append(complete()["choices"][0]["message"]["content"])
    assert first_answers[0] != first_answers[1]


@pytest.mark.usefixtures("real_model")
def test_latency_varies() -> None:
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        complete()
        seconds.append(round(time.perf_counter() - start, 4))
    assert len(set(seconds)) >= 2
    assert min(seconds) >= stochastic_model.LATENCY_SECONDS[0]


@pytest.mark.usefixtures("real_model")
def test_a_completion_has_the_shape_of_openai_s() -> None:
    completion = complete()
    assert set(completion) == {"id", "object", "created", "model", "choices", "usage"}
    assert (completion["object"], completion["model"]) == ("chat.completion", "stochastic-1")
    usage = completion["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert min(usage.values()) >= 1
    assert [choice["finish_reason"] for choice in completion["choices"]] == ["stop"]


@pytest.mark.usefixtures("real_model")
def test_tool_calls_name_an_offered_tool_and_suit_its_schema() -> None:
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": n, "parameters": parameters}} for n in "abc"]
    called = 0
    for _ in range(4):
        choice = complete(tools=tools)["choices"][0]
        calls = choice["message"].get("tool_calls", [])
        assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
        assert len({call["id"] for call in calls}) == len(calls) <= 3
        for call in calls:
            arguments = json.loads(call["function"]["arguments"])
            assert call["function"]["name"] in "abc"
            assert {name: type(value) for name, value in arguments.items()} == {"n": int, "s": str}
        called += len(calls)
    assert called >= 1  # four text-only answers in a row: one in ten thousand


@pytest.mark.usefixtures("real_model")
def test_told_to_call_no_tool_it_calls_none() -> None:
    tools = [{"type": "function", "function": {"name": "a"}}]
    for _ in range(4):
        assert complete(tools=tools, tool_choice="none")["choices"][0]["message"]["content"]


def test_it_lists_its_models(real_model: str) -> None:
    models = httpx.get(f"{real_model}/models").json()
    assert [model["id"] for model in models["data"]] == ["stochastic-1"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"model": "m", "messages": []}'])
def test_a_malformed_request_is_a_400(real_model: str, content: bytes) -> None:
    response = httpx.post(f"{real_model}/chat/completions", content=content)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_errors_come_at_the_rate_asked_for_and_reach_the_client_as_502(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "any-key")
    with stochastic_model.running(error_rate=1.0) as url:
        monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", url)
        with pytest.raises(ModelError, match=r"^HTTP (429|500|503): "):
            complete()
        response = run()
    assert response.status_code == 502
    assert response.json()["detail"].startswith("model 'm' failed: HTTP ")


def test_the_process_ends_with_its_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # it must not need the checkout as its working directory
    with stochastic_model.running() as url:
        assert httpx.get(f"{url}/models").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


def test_the_process_ends_when_a_test_fails_inside_it() -> None:
    model = stochastic_model.running()
    url = model.__enter__()
    failure = AssertionError("the test failed")
    assert not model.__exit__(AssertionError, failure, None)  # and it does not swallow the failure
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


def test_the_process_ends_when_its_starter_is_killed() -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from reference_app.stochastic_model import running\n"
        "with running() as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(ROOT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        starter.kill()
    deadline = time.monotonic() + 20
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(url)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models").is_success
    except httpx.TransportError:
        return False


def test_a_process_that_does_not_start_is_reported() -> None:
    model = stochastic_model.running(error_rate=2.0)
    with pytest.raises(RuntimeError, match=r"did not start: (?s:.)*2.0 is not between 0 and 1"):
        model.__enter__()

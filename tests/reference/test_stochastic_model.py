"""A real, non-deterministic model over a real socket: only what holds for every answer is asserted."""

from __future__ import annotations

import asyncio
import json
import os
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


def test_faults_come_at_the_rate_asked_for_and_reach_the_client_as_502(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "any-key")
    with stochastic_model.running(fault_rate=1.0) as url:
        monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", url)
        with pytest.raises(ModelError, match=r"^HTTP (429|500|503): "):
            complete()
        response = run()
    assert response.status_code == 502
    assert response.json()["detail"].startswith("model 'm' failed: HTTP ")


@pytest.fixture(scope="module")
def wrong_url() -> Iterator[str]:
    """The base URL of a model whose every completion is wrong."""
    with stochastic_model.running(error_rate=1.0) as url:
        yield url


@pytest.fixture
def wrong_model(wrong_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", wrong_url)
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "any-key")


TOOLS = [{"type": "function", "function": {"name": "weather"}}]
REPLY = {"role": "tool", "tool_call_id": "c", "content": "23 degrees"}
OFTEN = 60  # a kind of three is missed by one run in 30 thousand million


def kind_of(message: dict[str, Any]) -> str:
    """What a message does, as far as it can be wrong."""
    if not message.get("tool_calls"):
        content = message["content"]
        return "tells the reply" if REPLY["content"] in content else "some text" if content else "empty"
    (call,) = message["tool_calls"]
    try:
        json.loads(call["function"]["arguments"])
    except ValueError:
        return f"{call['function']['name']} with broken arguments"
    return f"{call['function']['name']} called"


@pytest.mark.usefixtures("wrong_model")
@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ({"tools": TOOLS}, {"empty", "tool_that_nobody_offered called", "weather with broken arguments"}),
        ({"tools": TOOLS, "tool_choice": "none"}, {"empty"}),
        ({"messages": [QUESTION, REPLY]}, {"empty", "some text"}),
        ({}, {"empty"}),
    ],
    ids=["tools", "no tool choice", "replies", "plain"],
)
def test_every_completion_is_wrong_in_one_of_several_ways(asked: dict[str, Any], kinds: set[str]) -> None:
    body = {"model": "stochastic-1", "messages": [QUESTION], **asked}
    made = [stochastic_model.complete(body, is_wrong=True) for _ in range(OFTEN)]
    assert {kind_of(whole["choices"][0]["message"]) for whole in made} == kinds
    assert all(whole["usage"]["total_tokens"] >= 2 for whole in made)
    answered = asyncio.run(arouter_call(**body))  # over the wire, with status 200
    assert kind_of(answered["choices"][0]["message"]) in kinds


@pytest.mark.usefixtures("real_model")
def test_an_answer_that_is_right_tells_what_the_tools_replied() -> None:
    answer = asyncio.run(arouter_call(model="stochastic-1", messages=[QUESTION, REPLY]))
    assert kind_of(answer["choices"][0]["message"]) == "tells the reply"


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_holds_the_same_as_an_answer(real_model: str, include_usage: bool) -> None:
    body: dict[str, Any] = {"model": "stochastic-1", "messages": [QUESTION], "stream": True}
    if include_usage:
        body["stream_options"] = {"include_usage": True}
    response = httpx.post(f"{real_model}/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done = response.text.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content", "") for choice in choices)
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    usages = [chunk["usage"] for chunk in chunks if "usage" in chunk]
    assert len(usages) == int(include_usage)
    assert all(usage["total_tokens"] >= 2 for usage in usages)


def test_tool_calls_are_streamed_too(real_model: str) -> None:
    called = 0
    for _ in range(4):
        body = {"model": "m", "messages": [QUESTION], "tools": TOOLS, "stream": True}
        response = httpx.post(f"{real_model}/chat/completions", json=body)
        called += response.text.count('"name": "weather"')
    assert called >= 1  # four text-only answers in a row: one in ten thousand


def start(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reference_app.stochastic_model", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("options", "environment", "problem"),
    [
        (["--error-rate", "2"], {}, "argument --error-rate: 2 is not between 0 and 1; 0.2 is one in five"),
        (["--fault-rate", "x"], {}, "argument --fault-rate: x is not between 0 and 1; 0.2 is one in five"),
        (
            [],
            {"STOCHASTIC_ERROR_RATE": "20%"},
            "STOCHASTIC_ERROR_RATE: 20% is not between 0 and 1; 0.2 is one in five",
        ),
        (
            ["--error-rate", "0"],
            {"STOCHASTIC_FAULT_RATE": "nan"},
            "STOCHASTIC_FAULT_RATE: nan is not between 0 and 1; 0.2 is one in five",
        ),
    ],
)
def test_a_bad_rate_is_told_in_one_line(
    options: list[str], environment: dict[str, str], problem: str
) -> None:
    ended = start(*options, **environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"python -m reference_app.stochastic_model: error: {problem}\n"


def test_the_environment_sets_what_the_command_line_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCHASTIC_ERROR_RATE", "0.5")
    monkeypatch.setenv("STOCHASTIC_FAULT_RATE", "")
    rates: list[tuple[float, float]] = []

    def built(error_rate: float, fault_rate: float) -> Any:
        rates.append((error_rate, fault_rate))
        raise SystemExit

    monkeypatch.setattr(stochastic_model, "build_app", built)
    for options in ([], ["--error-rate", "0.25", "--fault-rate", "1"]):
        monkeypatch.setattr(sys, "argv", ["stochastic_model", *options])
        with pytest.raises(SystemExit):
            stochastic_model.main()
    assert rates == [(0.5, 0.0), (0.25, 1.0)]


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

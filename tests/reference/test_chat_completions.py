"""The agent behind OpenAI's interface: completions, streams, tools of the client, errors in its shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_mcpsmoke import Status
from reference_app import mini_agent

pytestmark = pytest.mark.smoke

USER = {"role": "user", "content": "hi"}
BODY = {"model": "m", "messages": [USER]}
PATHS = ["/v1/chat/completions", "/chat/completions"]
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {}}}


@pytest.fixture
def chat(send: Any) -> Any:
    """Posts a completion: `chat(stream=True)`; a model and one user message are given."""

    def post(path: str = PATHS[0], **body: Any) -> Any:
        return send("POST", path, json={**BODY, **body})

    return post


def chunks(response: Any) -> list[dict[str, Any]]:
    """Returns the chunks of a stream, which must be whole events with `[DONE]` at the end."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *events, last, rest = response.text.split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("path", PATHS)
def test_a_completion_has_openai_s_shape_and_the_agent_s_report(
    chat: Any, script_model: Any, path: str
) -> None:
    script_model("Done")
    response = chat(path)
    assert response.status_code == 200
    completion = response.json()
    assert completion.pop("id").startswith("chatcmpl-")
    assert isinstance(completion.pop("created"), int)
    assert completion["agent"]["metrics"].pop("ttotal_ms") >= 0
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Done"},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert completion == {
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        "agent": {
            "stopped_reason": "success",
            "metrics": {"iterations": 1, "escalated": False, "used_model": "m"},
        },
    }


def test_two_completions_have_two_ids(chat: Any, script_model: Any) -> None:
    script_model("Done")
    assert chat().json()["id"] != chat().json()["id"]


def test_the_agent_s_tools_run_behind_the_interface(
    chat: Any, script_model: Any, call: Any, calling: Any, tool_server: Any
) -> None:
    tool_server.tool("weather")
    script_model(calling(call("c1", "weather", city="Kyiv")), "Sunny")
    completion = chat(
        tool_backend="http", tool_http_base_url=tool_server.serve(), tool_http_headers={"X-Req": "C"}
    ).json()
    assert completion["choices"][0]["message"] == {"role": "assistant", "content": "Sunny"}
    assert [r.method for r in tool_server.journal] == ["GET", "POST"]
    assert [r.sent("x-req") for r in tool_server.journal] == [[("X-Req", "C")]] * 2
    assert completion["agent"]["last_tool_invocation"]["text"] == "ok"
    assert completion["agent"]["metrics"]["iterations"] == 2


def test_a_catalogue_that_is_missed_is_in_the_report(
    chat: Any, script_model: Any, tool_server: Any, logged: Any
) -> None:
    tool_server.catalogue(Status(503, "down"))
    script_model("Done")
    report = chat(tool_backend="http", tool_http_base_url=tool_server.serve()).json()["agent"]
    warning = "tool catalogue unavailable, running without tools: HTTP 503: down"
    assert (report["warnings"], logged()) == ([warning], [f"agent run: {warning}"])


def test_usage_is_the_sum_over_all_model_calls(
    chat: Any, monkeypatch: pytest.MonkeyPatch, call: Any, calling: Any
) -> None:
    answers = [
        (calling(call("c1", "echo")), {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}),
        (calling(call("c2", "echo")), {"prompt_tokens": True, "completion_tokens": "many"}),
        ({"role": "assistant", "content": "Done"}, {"prompt_tokens": 10, "completion_tokens": 1}),
    ]

    async def model(**_request: Any) -> dict[str, Any]:
        message, usage = answers.pop(0)
        return {"choices": [{"message": message}], "usage": usage}

    monkeypatch.setattr(mini_agent, "arouter_call", model)
    completion = chat(tool_backend="echo", use_tools=True).json()
    assert completion["usage"] == {"prompt_tokens": 15, "completion_tokens": 3, "total_tokens": 18}


@pytest.mark.parametrize(
    ("body", "reason", "finish", "content"),
    [
        ({"max_total_seconds": 0}, "budget", "length", None),
        ({"max_iterations": 1, "tool_backend": "echo", "use_tools": True}, "max_iterations", "length", None),
    ],
)
def test_a_run_that_ends_without_an_answer_says_so(
    chat: Any,
    script_model: Any,
    call: Any,
    calling: Any,
    body: dict[str, Any],
    reason: str,
    finish: str,
    content: str | None,
) -> None:
    script_model(calling(call("c1", "echo")))
    completion = chat(**body).json()
    choice = completion["choices"][0]
    assert (completion["agent"]["stopped_reason"], choice["finish_reason"]) == (reason, finish)
    assert choice["message"] == {"role": "assistant", "content": content}


def test_the_model_s_own_fields_reach_it_and_the_others_do_not(chat: Any, script_model: Any) -> None:
    model = script_model("Done")
    sampling = {
        "temperature": 0.2,
        "max_tokens": 9,
        "stop": ["x"],
        "response_format": {"type": "json_object"},
    }
    response = chat(**sampling, seed=None, n=1, store=True, made_up={"a": [1]}, stream_options=None)
    assert response.status_code == 200
    assert [(t.model, t.messages, t.tools, t.stream, t.options) for t in model.turns] == [
        ("m", [USER], None, False, sampling)
    ]


def test_the_escalated_model_s_name_is_told(chat: Any, script_model: Any) -> None:
    script_model("Big done")
    escalate = {"max_total_seconds": 0, "escalate_on_budget_exceeded": True, "escalate_model": "big"}
    assert chat(**escalate).json()["model"] == "big"


def test_a_run_is_stored_like_any_other(
    chat: Any, script_model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(tmp_path / "t.jsonl"))
    script_model("Done")
    chat()
    [trace] = (tmp_path / "t.jsonl").read_text().splitlines()
    assert json.loads(trace)["final_answer"] == "Done"


# --- tools of the client


def test_whoever_sends_tools_runs_them(
    chat: Any, script_model: Any, call: Any, calling: Any, tool_server: Any
) -> None:
    calls = [call("c1", "lookup", q="a"), call("c2", "lookup", q="b")]
    model = script_model(calling(*calls, content="let me see"))
    response = chat(tools=[TOOL], tool_backend="http", tool_http_base_url=tool_server.serve())
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {"role": "assistant", "content": "let me see", "tool_calls": calls}
    assert response.json()["agent"]["stopped_reason"] == "success"
    assert [(r.tools, r.options["tool_choice"]) for r in model.turns] == [([TOOL], "auto")]
    tool_server.journal.assert_no_requests()


def test_the_client_s_replies_lead_to_an_answer(chat: Any, script_model: Any, call: Any) -> None:
    model = script_model("It is 3")
    asked = {"role": "assistant", "content": None, "tool_calls": [call("c1", "lookup")]}
    history = [USER, asked, {"role": "tool", "tool_call_id": "c1", "content": "3"}]
    completion = chat(messages=history, tools=[TOOL], tool_choice="none").json()
    assert completion["choices"][0]["message"] == {"role": "assistant", "content": "It is 3"}
    assert (model.turns[0].messages, model.turns[0].options["tool_choice"]) == (history, "none")


def test_told_to_call_no_tool_the_agent_lists_none(chat: Any, script_model: Any, tool_server: Any) -> None:
    model = script_model("Done")
    chat(tool_backend="http", tool_http_base_url=tool_server.serve(), tool_choice="none")
    assert (len(tool_server.journal), model.turns[0].tools) == (0, None)


# --- streams


def test_a_stream_is_chunks_and_done(chat: Any, script_model: Any) -> None:
    text = "line\nbreak \u2028 \x85 é " * 9
    script_model(text)
    received = chunks(chat(stream=True))
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in received}) == 1
    assert received[0]["object"] == "chat.completion.chunk"
    deltas = [c["choices"][0]["delta"] for c in received]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert len(deltas) > 3
    assert [c["choices"][0]["finish_reason"] for c in received] == [None] * (len(received) - 1) + ["stop"]
    assert received[-1]["agent"]["stopped_reason"] == "success"
    assert not any("usage" in chunk for chunk in received)


def test_a_stream_tells_its_usage_when_asked(chat: Any, script_model: Any) -> None:
    script_model("Done")
    last = chunks(chat(stream=True, stream_options={"include_usage": True}))[-1]
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert (last["choices"], last["usage"]) == ([], usage)


def test_a_stream_hands_tool_calls_over(chat: Any, script_model: Any, call: Any, calling: Any) -> None:
    calls = [call("c1", "lookup", q="a"), call("c2", "lookup", q="b")]
    script_model(calling(*calls))
    received = chunks(chat(stream=True, tools=[TOOL]))
    handed = [one for c in received for one in c["choices"][0]["delta"].get("tool_calls", [])]
    assert handed == [{"index": 0, **calls[0]}, {"index": 1, **calls[1]}]
    assert received[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_what_goes_wrong_before_a_stream_has_its_status(chat: Any, script_model: Any) -> None:
    script_model(mini_agent.ModelError("HTTP 500: boom"))
    response = chat(stream=True)
    assert (response.status_code, response.headers["Content-Type"]) == (502, "application/json")


# --- errors


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"model": None}, "model", "malformed body: model: Input should be a valid string"),
        ({"messages": []}, "messages", "malformed body: messages: List should have at least 1 item"),
        ({"n": 2}, "n", "malformed body: n: Input should be less than or equal to 1"),
        ({"stream": "perhaps"}, "stream", "malformed body: stream: Input should be a valid boolean"),
        ({"tools": "x"}, "tools", "malformed body: tools: Input should be a valid list"),
        ({"tool_backend": "smtp"}, "tool_backend", "unknown tool_backend 'smtp'; known: echo, http, local"),
        ({"tool_backend": "http"}, "tool_http_base_url", "tool_http_base_url required for tool_backend=http"),
        (
            {"tool_backend": "http", "tool_http_base_url": "x"},
            "tool_http_base_url",
            "tool_http_base_url must be an absolute http or https URL",
        ),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_refused_is_a_400_in_openai_s_shape(
    chat: Any, script_model: Any, path: str, body: dict[str, Any], param: str, says: str
) -> None:
    model = script_model("Done")
    response = chat(path, **body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error.pop("message").startswith(says)
    assert response.json().keys() == {"error"}
    assert error == {"type": "invalid_request_error", "param": param, "code": None}
    assert model.turns == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"model": "m", "messages": [{"role": "user"}], "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user"}], "user": "\\ud800"}',
        b'{"model": "m", "messages": [{"role": "user"}], "tools": [{"\\ud800": 1}]}',
        b'{"model": "m", "messages": [{"role": "user"}], "stop": %s%s}' % (b"[" * 120, b"]" * 120),
    ],
)
def test_no_body_makes_it_fail(send: Any, script_model: Any, content: bytes) -> None:
    model = script_model("Done")
    response = send("POST", PATHS[0], content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]
    assert model.turns == []


def test_a_failing_model_is_a_502_that_clients_do_not_repeat(chat: Any, script_model: Any) -> None:
    script_model(mini_agent.ModelError("HTTP 500: boom"))
    response = chat()
    error = {"message": "model 'm' failed: HTTP 500: boom", "type": "api_error", "param": None, "code": None}
    assert (response.status_code, response.json()) == (502, {"error": error})
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_refused_in_openai_s_shape(send: Any, path: str) -> None:
    response = send("GET", path)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert response.json()["error"]["message"] == "Method Not Allowed"


def test_elsewhere_errors_keep_their_own_shape(send: Any) -> None:
    assert send("GET", "/agent/run").json() == {"detail": "Method Not Allowed"}
    assert send("GET", "/nowhere").json() == {"detail": "Not Found"}

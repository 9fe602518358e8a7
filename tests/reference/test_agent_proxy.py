"""The agent proxy over HTTP: backends, headers, answers, and what it says when something is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from pytest_mcpsmoke import Status
from reference_app import agent_proxy, mini_agent
from reference_app.headers import merge_headers, parse_headers

pytestmark = pytest.mark.smoke

USER = {"role": "user", "content": "hi"}
UNREACHABLE = "http://127.0.0.1:9"


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the answer with its times checked and set to 0."""
    assert answer["metrics"]["ttotal_ms"] >= 0
    answer["metrics"]["ttotal_ms"] = 0
    if "last_tool_invocation" in answer:
        assert answer["last_tool_invocation"]["ms"] >= 0
        answer["last_tool_invocation"]["ms"] = 0
    return answer


def test_ready(send: Any) -> None:
    response = send("GET", "/ready")
    assert (response.status_code, response.json()) == (200, {"ok": True})


def test_healthz_says_what_is_configured(send: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    expected = {"ok": True, "model_configured": False, "traces_enabled": False}
    assert send("GET", "/healthz").json() == expected
    monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", "http://model.test/v1")
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(tmp_path / "t.jsonl"))
    expected = {"ok": True, "model_configured": True, "traces_enabled": True}
    assert send("GET", "/healthz").json() == expected


# --- answers


def test_the_local_backend_is_the_default_and_answers(run: Any, script_model: Any) -> None:
    model = script_model("Done")
    response = run()
    assert response.status_code == 200
    assert timeless(response.json()) == {
        "ok": True,
        "final_answer": "Done",
        "stopped_reason": "success",
        "messages": [USER, {"role": "assistant", "content": "Done"}],
        "metrics": {"iterations": 1, "ttotal_ms": 0, "escalated": False, "used_model": "m"},
    }
    assert [(t.model, t.messages, t.tools, t.stream, t.options) for t in model.turns] == [
        ("m", [USER], None, False, {})
    ]


def test_the_local_backend_runs_local_tools(run: Any, script_model: Any, call: Any, calling: Any) -> None:
    script_model(calling(call("c1", "add", a=1, b=2), call("c2", "rm")), "It is 3")
    answer = timeless(run(use_tools=True).json())
    assert [m["content"] for m in answer["messages"] if m["role"] == "tool"] == [
        "3",
        "error: no local tool is called 'rm'; known: ['add', 'compress_runs']",
    ]
    assert answer["final_answer"] == "It is 3"
    assert answer["last_tool_invocation"] == {
        "id": "c2",
        "name": "rm",
        "arguments": "{}",
        "ran": True,
        "ok": False,
        "text": "error: no local tool is called 'rm'; known: ['add', 'compress_runs']",
        "ms": 0,
    }


@pytest.mark.parametrize("backend", ["echo", "  Echo\n", "ECHO"])
def test_the_backend_s_name_is_stripped_and_lower_cased(
    run: Any, script_model: Any, call: Any, calling: Any, backend: str
) -> None:
    script_model(calling(call("c1", "echo", text="hello")), "Done")
    answer = timeless(run(tool_backend=backend, use_tools=True).json())
    assert answer["last_tool_invocation"] == {
        "id": "c1",
        "name": "echo",
        "arguments": '{"text": "hello"}',
        "ran": True,
        "ok": True,
        "text": '{"text": "hello"}',
        "ms": 0,
    }


def test_the_http_backend_lists_once_and_posts_each_call_once(
    run: Any, script_model: Any, call: Any, calling: Any, tool_server: Any
) -> None:
    tool_server.tool("weather")
    model = script_model(
        calling(call("c1", "weather", city="Kyiv")), calling(call("c2", "weather", city="Oslo")), "Sunny"
    )
    answer = run(tool_backend="http", tool_http_base_url=tool_server.serve() + "/").json()
    assert (answer["final_answer"], answer["metrics"]["iterations"]) == ("Sunny", 3)
    assert "warnings" not in answer
    wire = [(r.method, r.path, json.loads(r.body or b"null")) for r in tool_server.journal]
    assert wire == [
        ("GET", "/tools", None),
        ("POST", "/invoke", {"name": "weather", "arguments": {"city": "Kyiv"}}),
        ("POST", "/invoke", {"name": "weather", "arguments": {"city": "Oslo"}}),
    ]
    assert [r.tools == tool_server.offered() for r in model.turns] == [True] * 3


def test_a_tool_that_answers_500_is_posted_to_once_and_reported(
    run: Any, script_model: Any, call: Any, calling: Any, tool_server: Any
) -> None:
    tool_server.always(Status(500, "boom"))
    script_model(calling(call("c1", "weather")), "Sorry")
    answer = run(tool_backend="http", tool_http_base_url=tool_server.serve()).json()
    assert answer["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "error: HTTP 500: boom"}
    assert [r.method for r in tool_server.journal] == ["GET", "POST"]


@pytest.mark.parametrize(("use_tools", "listed"), [(None, 1), (True, 1), (False, 0)])
def test_the_http_backend_uses_tools_unless_told_otherwise(
    run: Any, script_model: Any, tool_server: Any, use_tools: bool | None, listed: int
) -> None:
    script_model("Done")
    run(tool_backend="http", tool_http_base_url=tool_server.serve(), use_tools=use_tools)
    assert len(tool_server.journal) == listed


def test_without_its_catalogue_the_run_goes_on_and_says_so(
    run: Any, script_model: Any, tool_server: Any, logged: Any
) -> None:
    tool_server.catalogue(Status(503, "down for api_key=hunter22"))
    model = script_model("Done")
    answer = run(tool_backend="http", tool_http_base_url=tool_server.serve()).json()
    warning = "tool catalogue unavailable, running without tools: HTTP 503: down for api_key=[redacted]"
    assert (answer["ok"], answer["final_answer"], answer["warnings"]) == (True, "Done", [warning])
    assert logged() == [f"agent run: {warning}"]
    assert (len(tool_server.journal), model.turns[0].tools) == (1, None)


def test_an_unreachable_tool_server_is_a_warning_too(run: Any, script_model: Any) -> None:
    script_model("Done")
    response = run(tool_backend="http", tool_http_base_url=UNREACHABLE)
    assert response.status_code == 200
    assert len(response.json()["warnings"]) == 1


def test_bounds_and_escalation_are_passed_on(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[mini_agent.AgentConfig] = []

    async def spy(messages: Any, *, mcp: Any, cfg: mini_agent.AgentConfig) -> mini_agent.AgentResult:
        configs.append(cfg)
        metrics = mini_agent.Metrics(0, 0.0, False, None)
        return mini_agent.AgentResult([], None, "budget", [], metrics, [])

    monkeypatch.setattr(mini_agent, "arun_mcp_mini_agent", spy)
    options = {
        "max_iterations": 7,
        "max_total_seconds": 2.5,
        "use_tools": True,
        "auto_run_code_on_code_block": True,
        "enable_repair": True,
        "escalate_on_budget_exceeded": True,
        "escalate_model": "big",
    }
    run(**options)
    run()
    assert configs == [
        mini_agent.AgentConfig(model="m", **options),
        mini_agent.AgentConfig(model="m", max_iterations=3, use_tools=False),
    ]


def test_metrics_tell_what_really_ran(run: Any, script_model: Any) -> None:
    model = script_model("Big done")
    body = {"max_total_seconds": 0, "escalate_on_budget_exceeded": True, "escalate_model": "big"}
    answer = timeless(run(**body).json())
    assert answer["metrics"] == {"iterations": 1, "ttotal_ms": 0, "escalated": True, "used_model": "big"}
    stopped = timeless(run(**{**body, "escalate_model": None}).json())
    assert stopped["metrics"] == {"iterations": 0, "ttotal_ms": 0, "escalated": False, "used_model": None}
    assert (stopped["ok"], stopped["stopped_reason"], stopped["final_answer"]) == (True, "budget", None)
    assert len(model.turns) == 1


def test_the_invoker_s_name_is_looked_up_when_it_is_needed(
    run: Any, script_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, dict[str, str]]] = []

    class FakeInvoker:
        def __init__(self, base_url: str, headers: dict[str, str] | None = None) -> None:
            made.append((base_url, headers or {}))

        async def list_openai_tools(self) -> list[dict[str, Any]]:
            return []

        async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
            return "fake"

    monkeypatch.setattr(agent_proxy, "HttpToolsInvoker", FakeInvoker)
    script_model("Done")
    response = run(tool_backend="http", tool_http_base_url=UNREACHABLE, tool_http_headers={"A": "x"})
    assert response.status_code == 200
    assert made == [(UNREACHABLE, {"A": "x"})]


# --- headers


def test_one_x_env_on_the_wire(
    run: Any, script_model: Any, call: Any, calling: Any, tool_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", '{"x-env": "A", "X-Only": "E"}')
    script_model(calling(call("c1", "t")), "Done")
    request_headers = {"X-Env": "B", "X-Req": "C"}
    run(tool_backend="http", tool_http_base_url=tool_server.serve(), tool_http_headers=request_headers)
    expected = [("X-Env", "B"), ("X-Only", "E"), ("X-Req", "C")]
    wire = [r.sent("X-Env", "X-Only", "X-Req") for r in tool_server.journal]
    assert [sorted(headers) for headers in wire] == [expected, expected]


@pytest.mark.parametrize(
    ("weakest_first", "merged"),
    [
        ([{}, {}], {}),
        ([{"X-Env": "A"}, {}], {"X-Env": "A"}),
        ([{"X-Env": "A"}, {"x-env": "B"}], {"x-env": "B"}),
        ([{"x-env": "A"}, {"X-ENV": "B", "X-Req": "C"}], {"X-ENV": "B", "X-Req": "C"}),
        ([{}, {"X-Env": "A", "x-env": "B"}], {"x-env": "B"}),
        ([{"x-env": "A"}, {}, {"X-Env": "B"}, {"X-ENV": "C"}], {"X-ENV": "C"}),
        ([{"AUTHORIZATION": "e"}, {"Authorization": "r"}], {"Authorization": "r"}),
    ],
)
def test_the_request_s_header_wins_whatever_its_case(
    weakest_first: list[dict[str, str]], merged: dict[str, str]
) -> None:
    assert merge_headers(*weakest_first) == merged


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{secret-1234", "not valid JSON"),
        ('["secret-1234"]', "not a JSON object of strings"),
        ('{"X-N": 1}', "not a JSON object of strings"),
        ('{"X A": "secret-1234"}', "'X A' is not a header name"),
        ('{"Content-Length": "1234"}', "header 'Content-Length' says where the body ends; it cannot be set"),
        ('{"X-A": "secret-1234\\n"}', "the value of header 'X-A' has a control or non-ASCII character"),
    ],
)
def test_bad_environment_headers_are_an_empty_set_and_a_warning(
    run: Any,
    script_model: Any,
    tool_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    logged: Any,
    text: str,
    why: str,
) -> None:
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", text)
    script_model("Done")
    response = run(
        tool_backend="http", tool_http_base_url=tool_server.serve(), tool_http_headers={"X-Req": "C"}
    )
    assert response.status_code == 200
    assert [r.sent("X-N", "X-A", "X-Req") for r in tool_server.journal] == [[("X-Req", "C")]]
    assert logged() == [f"MINI_AGENT_TOOL_HTTP_HEADERS ignored: {why}"]


def test_blanks_around_a_value_are_no_part_of_it(run: Any, script_model: Any, tool_server: Any) -> None:
    script_model("Done")
    headers = {"X-Req": " \tC  c\t", "X-Empty": " "}
    answer = run(
        tool_backend="http", tool_http_base_url=tool_server.serve(), tool_http_headers=headers
    ).json()
    assert "warnings" not in answer
    assert [r.sent("X-Req", "X-Empty") for r in tool_server.journal] == [[("X-Req", "C  c"), ("X-Empty", "")]]


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_environment_headers_are_no_fault(text: str) -> None:
    assert parse_headers(text) == {}


# --- what is refused


@pytest.mark.parametrize("base_url", [None, "", "  "])
def test_the_http_backend_needs_a_base_url(run: Any, script_model: Any, base_url: str | None) -> None:
    model = script_model("Done")
    response = run(tool_backend="http", tool_http_base_url=base_url)
    expected = {"detail": "tool_http_base_url required for tool_backend=http"}
    assert (response.status_code, response.json(), model.turns) == (400, expected, [])


@pytest.mark.parametrize(
    "url",
    ["tools.test", "ftp://tools.test", "http://", "http://[", "http://a:99999", "http://a b", "http://a/\0"],
)
def test_a_base_url_that_is_none_is_refused(run: Any, url: str) -> None:
    response = run(tool_backend="http", tool_http_base_url=url)
    expected = {"detail": "tool_http_base_url must be an absolute http or https URL"}
    assert (response.status_code, response.json()) == (400, expected)


@pytest.mark.parametrize("backend", ["smtp", "", "http2"])
def test_an_unknown_backend_is_refused(run: Any, backend: str) -> None:
    response = run(tool_backend=backend)
    expected = {"detail": f"unknown tool_backend {backend!r}; known: echo, http, local"}
    assert (response.status_code, response.json()) == (400, expected)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": []}, "malformed body: messages: List should have at least 1 item"),
        ({"messages": "hi"}, "malformed body: messages: Input should be a valid list"),
        (
            {"messages": [{"content": "x"}]},
            "malformed body: messages: Value error, every message needs a role",
        ),
        ({"messages": ["x"]}, "malformed body: messages.0: Input should be a valid dictionary"),
        ({"model": ""}, "malformed body: model: String should have at least 1 character"),
        ({"model": None}, "malformed body: model: Input should be a valid string"),
        ({"tool_backend": None}, "malformed body: tool_backend: Input should be a valid string"),
        ({"max_iterations": 0}, "malformed body: max_iterations: Input should be greater than or equal to 1"),
        ({"max_total_seconds": -1}, "malformed body: max_total_seconds: Input should be greater than"),
        (
            {"tool_http_headers": {"A": 1}},
            "malformed body: tool_http_headers.A: Input should be a valid string",
        ),
        (
            {"tool_http_headers": {"X-A": "v\r\nX-Evil: 1"}},
            "malformed body: tool_http_headers: Value error, the value of header 'X-A' has a control",
        ),
        (
            {"tool_http_headers": {"transfer-encoding": "chunked"}},
            "malformed body: tool_http_headers: Value error, header 'transfer-encoding' says where the body",
        ),
        ({"model": 1, "messages": 2}, "malformed body: messages: Input should be a valid list; model: Input"),
    ],
)
def test_a_malformed_body_is_refused_with_the_field_and_the_reason(
    run: Any, body: dict[str, Any], says: str
) -> None:
    response = run(**body)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(says)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model": "m", "messages": [{"role": "user", "content": NaN}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": [{"role": "user"}], "max_total_seconds": NaN}',
        b'{"model": "m", "messages": [{"role": "user"}], "max_iterations": Infinity}',
        b'{"model": "m", "messages": [{"role": "user"}], "tool_backend": "\\ud800"}',
        b'{"model": "m", "messages": [{"role": "user"}], "tool_http_headers": {"\\ud800": "x"}}',
        b'{"model": "m", "messages": [{"role": "user"}], "tool_http_headers": {"\\ud800": 1}}',
    ],
)
def test_no_body_makes_it_fail(send: Any, script_model: Any, content: bytes) -> None:
    model = script_model("Done")
    response = send("POST", "/agent/run", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.json()["detail"]
    assert model.turns == []


def test_a_refusal_does_not_repeat_the_body(run: Any) -> None:
    response = run(max_iterations=0, tool_http_headers={"Authorization": "Bearer hunter22", "A": 1})
    assert response.status_code == 422
    assert "hunter22" not in response.text


# --- the model fails


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (mini_agent.ModelError("HTTP 500: boom"), "model 'm' failed: HTTP 500: boom"),
        (httpx.ReadTimeout("too slow"), "model 'm' failed: too slow"),
        (KeyError("choices"), "model 'm' failed: 'choices'"),
    ],
)
def test_a_failing_model_is_a_502(run: Any, script_model: Any, failure: Exception, detail: str) -> None:
    script_model(failure)
    response = run()
    assert (response.status_code, response.json()) == (502, {"detail": detail})


def test_a_model_that_is_not_configured_is_a_502_that_names_the_variable(run: Any) -> None:
    response = run()
    assert response.status_code == 502
    assert response.json()["detail"] == (
        "model 'm' failed: the environment variable MINI_AGENT_MODEL_BASE_URL is not set; "
        "the agent needs it to ask a model"
    )


def test_a_502_does_not_tell_the_model_s_key(
    run: Any, script_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "hunter22")
    script_model(mini_agent.ModelError("HTTP 401: no such key hunter22"))
    assert run().json() == {"detail": "model 'm' failed: HTTP 401: no such key [redacted]"}


def test_whatever_a_model_answers_the_client_gets_json(run: Any, script_model: Any) -> None:
    script_model(
        {
            "role": "assistant",
            "content": "\ud800",
            "tool_calls": [{"id": 1, "function": {"name": "\ud800", "arguments": {"x": math.nan}}}],
        },
        "Done",
    )
    response = run(tool_backend="echo", use_tools=True)
    assert response.status_code == 200
    assert response.json()["final_answer"] == "Done"

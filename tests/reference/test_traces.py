"""Traces: one redacted JSON line per run, only when asked for, and never the client's business."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reference_app import mini_agent
from reference_app.redaction import Redactor, header_secrets

pytestmark = pytest.mark.smoke

USER = {"role": "user", "content": "hi"}


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "traces.jsonl"
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(path))
    return path


def stored(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_trace_is_the_answer_and_what_led_to_it(
    run: Any, script_model: Any, call: Any, calling: Any, clock: Any, traces: Path
) -> None:
    script_model(calling(call("c1", "echo", text="x")), "Done", clock=clock, seconds=0.5)
    answer = run(tool_backend="echo", use_tools=True).json()
    invocation = {**answer["last_tool_invocation"]}
    steps = [
        {"model": "m", "model_ms": 500.0, "tool_invocations": [invocation]},
        {"model": "m", "model_ms": 500.0, "tool_invocations": []},
    ]
    about = {"model": "m", "tool_backend": "echo", "tool_header_names": []}
    assert stored(traces) == [{**answer, "trace": {"request": about, "iterations": steps}}]
    assert set(answer) == {
        "ok",
        "final_answer",
        "stopped_reason",
        "messages",
        "metrics",
        "last_tool_invocation",
    }


def test_each_run_is_one_line(run: Any, script_model: Any, traces: Path) -> None:
    script_model("line\nbreak \u2028 é")
    run()
    run()
    assert [t["final_answer"] for t in stored(traces)] == ["line\nbreak \u2028 é"] * 2
    assert traces.read_bytes().count(b"\n") == 2


def test_a_failed_run_leaves_a_trace_too(run: Any, script_model: Any, traces: Path) -> None:
    script_model(mini_agent.ModelError("HTTP 500: boom"))
    assert run().status_code == 502
    about = {"model": "m", "tool_backend": "local", "tool_header_names": []}
    assert stored(traces) == [
        {
            "ok": False,
            "error": "model 'm' failed: HTTP 500: boom",
            "messages": [USER],
            "trace": {"request": about, "iterations": []},
        }
    ]


@pytest.mark.parametrize("switch", [None, "0", "true", ""])
def test_without_the_switch_nothing_is_stored(
    run: Any, script_model: Any, traces: Path, monkeypatch: pytest.MonkeyPatch, switch: str | None
) -> None:
    if switch is None:
        monkeypatch.delenv("MINI_AGENT_STORE_TRACES")
    else:
        monkeypatch.setenv("MINI_AGENT_STORE_TRACES", switch)
    script_model("Done")
    assert run().status_code == 200
    assert not traces.exists()


@pytest.mark.parametrize("path", [None, ""])
def test_without_a_path_nothing_is_stored(
    run: Any, script_model: Any, traces: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    if path is None:
        monkeypatch.delenv("MINI_AGENT_STORE_PATH")
    else:
        monkeypatch.setenv("MINI_AGENT_STORE_PATH", path)
    monkeypatch.chdir(traces.parent)
    script_model("Done")
    assert run().status_code == 200
    assert list(traces.parent.iterdir()) == []


def test_an_error_of_storage_is_logged_and_the_run_succeeds(
    run: Any,
    script_model: Any,
    traces: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: Any,
) -> None:
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(traces.parent / "missing" / "t.jsonl"))
    script_model("Done")
    response = run()
    assert (response.status_code, response.json()["final_answer"]) == (200, "Done")
    assert "warnings" not in response.json()
    (warning,) = logged()
    assert warning.startswith("trace not stored: FileNotFoundError: ")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_only_the_owner_may_read_traces(
    run: Any, script_model: Any, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_model("Done")
    run()
    assert stat.S_IMODE(os.stat(traces).st_mode) & 0o077 == 0


def test_no_secret_reaches_the_file(
    run: Any,
    script_model: Any,
    call: Any,
    calling: Any,
    tool_server: Any,
    traces: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "secret-model")
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", '{"X-Env-Key": "secret-env"}')
    tool_server.always("you sent Bearer secret-request and secret-env")
    script_model(calling(call("c1", "login", password="secret-argument")), "I used secret-model")
    response = run(
        messages=[{"role": "user", "content": "my api_key=secret-message"}],
        tool_backend="http",
        tool_http_base_url=tool_server.serve().replace("http://", "http://me:secret-userinfo@"),
        tool_http_headers={"Authorization": "Bearer secret-request"},
    )
    assert response.status_code == 200
    assert "secret-" not in traces.read_text()
    (trace,) = stored(traces)
    assert trace["trace"]["request"] == {
        "model": "m",
        "tool_backend": "http",
        "tool_header_names": ["Authorization", "X-Env-Key"],
    }
    assert [m["content"] for m in trace["messages"]] == [
        "my api_key=[redacted]",
        "",
        "you sent [redacted] and [redacted]",
        "I used [redacted]",
    ]
    # The client gets its own conversation back untouched.
    assert response.json()["messages"][0]["content"] == "my api_key=secret-message"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("nothing to hide", "nothing to hide"),
        ("the token is fine", "the token is fine"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("basic dXNlcjpwYXNz!", "basic [redacted]!"),
        ("sk-abcdefgh1234", "[redacted]"),
        ("https://u:p@h/x?token=abc&y=1", "https://[redacted]@h/x?token=[redacted]&y=1"),
        ("accessToken='two words' rest", "accessToken='[redacted]' rest"),
        ('password: "it\'s \\" quoted" rest', 'password: "[redacted]" rest'),
        ('secret: "unclosed', 'secret: "[redacted]'),
        ('{"password": "two words", "n": 2}', '{"password": "[redacted]", "n": 2}'),
        ('{"a": "{\\"api_key\\": \\"q\\\\\\"uote\\"}"}', '{"a": "{\\"api_key\\": \\"[redacted]\\"}"}'),
        ("say hunter22-long and hunter22", "say [redacted] and [redacted]"),
        ("a tiny abc", "a tiny abc"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, masked: str) -> None:
    assert Redactor({"hunter22", "hunter22-long", "abc"}).value(text) == masked


def test_values_are_masked_by_their_key_and_others_keep_their_type() -> None:
    value = {"Cookie": "a=b", "n": 1, "tokens": 12, "list": [None, True, {"client_secret": "x"}]}
    assert Redactor().value(value) == {
        "Cookie": "[redacted]",
        "n": 1,
        "tokens": 12,
        "list": [None, True, {"client_secret": "[redacted]"}],
    }


def test_a_credential_is_a_secret_without_its_scheme_too() -> None:
    assert header_secrets({"Authorization": "Bearer abcd", "X": "y"}) == {"Bearer abcd", "abcd", "y"}


@pytest.mark.parametrize("hostile", ["secret", 'token="', "bearer ", "token ", "://a", 'secret="\\"'])
def test_masking_takes_linear_time(hostile: str) -> None:
    start = time.perf_counter()
    Redactor().text(hostile * (200_000 // len(hostile)))
    assert time.perf_counter() - start < 10  # a quadratic pattern takes minutes

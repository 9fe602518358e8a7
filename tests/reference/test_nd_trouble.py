"""The verdicts of nd_real on a real model process that errs, fails, or is killed half-way."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore  # noqa: F401  (a run inside a test that is the first to load it takes it away again)
import httpcore2  # noqa: F401
import pytest

from reference_app import stochastic_model

ASKING = """
import os
import signal
import httpx
import pytest

TOOLS = [{"type": "function", "function": {"name": "weather"}}]

@pytest.mark.nd_real(samples=30, min_pass_rate=0.9)
def test_the_model_calls_what_it_is_offered(nd_model):
    body = {"model": nd_model.model, "messages": [{"role": "user", "content": "hi"}], "tools": TOOLS}
    headers = {"Authorization": f"Bearer {nd_model.api_key}"}
    url = f"{nd_model.base_url}/chat/completions"
    answer = httpx.post(url, json=body, headers=headers, timeout=60)
    answer.raise_for_status()
    message = answer.json()["choices"][0]["message"]
    called = [call["function"]["name"] for call in message.get("tool_calls", [])]
    assert not called or set(called) == {"weather"}, "a tool that was not offered"
    assert called or message["content"], "an empty answer"
    KILLING
"""
KILLING = """SEEN.append(1)
    if len(SEEN) == 10:
        pid = int(os.environ["MODEL_PID"])
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # until then its port takes connections

SEEN = []
"""


@contextmanager
def model(monkeypatch: pytest.MonkeyPatch, **rates: float) -> Iterator[None]:
    """A model process whose URL and process id stand in the environment; it may be killed."""
    started: list[Any] = []
    real = subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(real(*args, **options))
        return started[-1]

    with monkeypatch.context() as patch:
        patch.setattr(stochastic_model.subprocess, "Popen", start)
        running = stochastic_model.running(**rates)
        url = running.__enter__()
    monkeypatch.setenv("ND_REAL_BASE_URL", url)
    monkeypatch.setenv("MODEL_PID", str(started[0].pid))
    try:
        yield
    finally:
        running.__exit__(None, None, None)
        assert started[0].returncode in (0, -signal.SIGTERM, -signal.SIGKILL)


def sampled(suite: Any, killing: str = "") -> tuple[Any, dict[str, Any]]:
    suite.write({"test_a.py": ASKING.replace("KILLING", killing)})
    run = suite.run("--leaks=off")
    (result,) = run.of_type("nd")
    return run, result


@pytest.fixture(autouse=True)
def tier_is_open(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ND_REAL", "1")
    for name in ("STRICT_READY", "ND_REAL_MODEL", "ND_REAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_a_model_that_errs_is_told_with_the_kinds_of_its_errors(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model(monkeypatch, error_rate=1.0):
        run, result = sampled(suite)
    run.result.assert_outcomes(failed=1)
    assert (result["verdict"], result["replaced"]) == ("FAIL", 0)
    told = {cluster["message"]: cluster["tools"] for cluster in result["clusters"]}
    wrong = {
        "AssertionError: a tool that was not offered": ["tool_that_nobody_offered"],
        "AssertionError: an empty answer": [],
    }
    assert told.items() <= wrong.items()
    assert told  # which of both come is the model's choice


@pytest.mark.parametrize("strict", ["0", "1"])
def test_a_model_that_is_killed_half_way_is_inconclusive_and_never_green(
    suite: Any, monkeypatch: pytest.MonkeyPatch, strict: str
) -> None:
    monkeypatch.setenv("STRICT_READY", strict)
    with model(monkeypatch):
        run, result = sampled(suite, KILLING)
    run.result.assert_outcomes(failed=int(strict), passed=0)
    assert (result["verdict"], result["samples"], result["replaced"]) == ("INCONCLUSIVE", 10, 7)
    assert result["reason"] == "7 samples met a fault of the provider, 6 may be replaced: refused (7)"
    assert run.result.ret == int(strict)


def test_a_model_that_mostly_fails_is_inconclusive(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with model(monkeypatch, fault_rate=1.0):
        _, result = sampled(suite)
    assert (result["verdict"], result["samples"], result["replaced"]) == ("INCONCLUSIVE", 0, 7)

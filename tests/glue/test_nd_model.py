"""nd_model: the way of an nd_real test to a real model, what is counted there, and what is no proof of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpcore2  # noqa: F401  (a run inside a test that is the first to load it takes it away again)
import pytest

from pytest_mcpsmoke.doubles.asgi_reply import Exchange
from pytest_mcpsmoke.doubles.loopback import LoopbackServer, Receive, Scope, Send
from pytest_mcpsmoke.doubles.replies import Disconnect, Status

KEY = "sk-real-and-secret-0123456789"
ASKING = """
import json
import urllib.error
import urllib.request
import pytest

def ask(model, text="hi", **fields):
    body = {"model": model.model, "messages": [{"role": "user", "content": text}], **fields}
    request = urllib.request.Request(
        model.base_url + "/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {model.api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        error.close()
        raise
"""


class FakeProvider:
    """An OpenAI-compatible server; `reply` maps the number of a request, from 1 on, to its answer."""

    def __init__(self) -> None:
        self.reply: Callable[[int], Any] = lambda number: "ok"
        self.asked = 0
        self.usage: dict[str, Any] | None = {"prompt_tokens": 10, "completion_tokens": 5}
        self.server = LoopbackServer(self._serve)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        await exchange.body()
        if exchange.method == "GET":
            await exchange.answer({"data": [{"id": "model-1"}]})
            return
        self.asked += 1
        reply = self.reply(self.asked)
        if isinstance(reply, str):
            message = {"role": "assistant", "content": reply}
            reply = {"model": "model-1", "choices": [{"index": 0, "message": message}]}
            reply |= {} if self.usage is None else {"usage": self.usage}
        await exchange.answer(reply)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    fake = FakeProvider()
    with fake.server as server:
        monkeypatch.setenv("ND_REAL_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("ND_REAL_API_KEY", KEY)
        yield fake


@pytest.fixture(autouse=True)
def tier_is_open(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ND_REAL", "1")
    for name in ("STRICT_READY", "ND_REAL_BASE_URL", "ND_REAL_MODEL", "ND_REAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def sampled(suite: Any, body: str, *arguments: str, marker: str = "samples=30") -> tuple[Any, dict[str, Any]]:
    """Run one test that asks the model; returns the run, and the result without what time decides."""
    test = f"\n@pytest.mark.nd_real({marker})\ndef test_a(nd_model):\n    {body}\n"
    suite.write({"test_a.py": ASKING + test})
    run = suite.run(*(arguments or ("--leaks=off",)))
    return run, run.of_type("nd")[0]


def test_requests_tokens_and_the_model_are_counted(suite: Any, provider: FakeProvider) -> None:
    run, result = sampled(suite, 'assert ask(nd_model) == ask(nd_model) == "ok"')
    run.result.assert_outcomes(passed=1)
    assert provider.asked == 60
    counted = {name: result[name] for name in ("verdict", "samples", "calls", "tokens", "cost", "model")}
    assert counted == {
        "verdict": "PASS",
        "samples": 30,
        "calls": 60,
        "tokens": 900,
        "cost": None,
        "model": "model-1",
    }
    assert 0 < result["latency_p50_s"] <= result["latency_p95_s"]
    run.result.stdout.fnmatch_lines(
        ["PASS     30/30   1.000  0.905..1.000  0.900  0         0.* s  *60     900     -*"]
    )


def test_the_real_key_is_put_in_on_the_way_and_stands_nowhere(suite: Any, provider: FakeProvider) -> None:
    run, _ = sampled(suite, "print(nd_model); ask(nd_model); assert False", "-s", "--junitxml=junit.xml")
    posts = [entry for entry in provider.server.journal if entry.method == "POST"]
    keys = {value for entry in posts for name, value in entry.headers if name.lower() == b"authorization"}
    assert keys == {f"Bearer {KEY}".encode()}
    texts = [*run.result.outlines, *run.result.errlines, json.dumps(run.records)]
    texts.append((suite.path / "junit.xml").read_text("utf-8"))
    assert not any(KEY in text for text in texts)


def test_a_sample_without_a_request_is_neutered_and_fails(suite: Any, provider: FakeProvider) -> None:
    run, result = sampled(suite, "assert nd_model.base_url")
    run.result.assert_outcomes(failed=1)
    assert result["clusters"] == [
        {
            "message": "neutered: no request reached the model",
            "tools": [],
            "samples": [1, 2, 3, 4, 5, 6, 7],
        }
    ]


def test_asking_for_the_list_of_models_is_no_proof(suite: Any, provider: FakeProvider) -> None:
    body = "urllib.request.urlopen(nd_model.base_url + '/models').close()"
    _, result = sampled(suite, body)
    assert result["clusters"][0]["message"] == "neutered: no request reached the model"


def test_failures_are_told_apart_by_the_tools_that_were_called(suite: Any, provider: FakeProvider) -> None:
    def reply(number: int) -> Any:
        call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
        message = {"role": "assistant", "content": "", "tool_calls": [call] if number % 3 == 0 else []}
        return {"choices": [{"index": 0, "message": message}], "usage": provider.usage}

    provider.reply = reply
    run, result = sampled(suite, 'assert ask(nd_model), "nothing was said"')
    assert [(each["tools"], each["samples"]) for each in result["clusters"]] == [
        ([], [1, 2, 4, 5, 7]),
        (["search"], [3, 6]),
    ]
    run.result.stdout.fnmatch_lines(
        ["    2 x AssertionError: nothing was said  [[]search[]]  (samples 3, 6)"]
    )


# faults


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Status(429, headers={"Retry-After": "1"}), "HTTP 429"),
        (Status(503, "overloaded"), "HTTP 503"),
        (Disconnect(), "disconnected"),
    ],
)
def test_a_sample_that_met_a_fault_is_replaced(
    suite: Any, provider: FakeProvider, fault: Any, name: str
) -> None:
    provider.reply = lambda number: fault if number % 10 == 0 else "ok"
    run, result = sampled(suite, "ask(nd_model)")
    run.result.assert_outcomes(passed=1)
    assert (result["verdict"], result["samples"], result["replaced"]) == ("PASS", 30, 3)
    assert result["notes"] == [f"3 replaced for faults of the provider: {name} (3)"]


def test_it_is_replaced_though_the_program_coped(suite: Any, provider: FakeProvider) -> None:
    """To keep what passed in spite of a fault, and drop what failed for it, would raise the rate."""
    provider.reply = lambda number: Status(503) if number == 5 else "ok"
    body = "\n    try: ask(nd_model)\n    except OSError: ask(nd_model)"
    _, result = sampled(suite, body)
    assert (result["verdict"], result["samples"], result["replaced"]) == ("PASS", 30, 1)


@pytest.mark.parametrize("strict", ["0", "1"])
def test_more_faults_than_may_be_replaced_are_inconclusive(
    suite: Any, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, strict: str
) -> None:
    monkeypatch.setenv("STRICT_READY", strict)
    provider.reply = lambda number: Status(500)
    run, result = sampled(suite, "ask(nd_model)")
    assert (result["verdict"], result["samples"], result["replaced"]) == ("INCONCLUSIVE", 0, 7)
    assert result["reason"] == "7 samples met a fault of the provider, 6 may be replaced: HTTP 500 (7)"
    assert run.result.ret == int(strict)
    run.result.assert_outcomes(failed=int(strict))


def test_a_bad_request_is_the_programs_failure(suite: Any, provider: FakeProvider) -> None:
    provider.reply = lambda number: Status(400, "no messages")
    _, result = sampled(suite, "ask(nd_model)")
    assert (result["verdict"], result["replaced"]) == ("FAIL", 0)
    assert result["clusters"][0]["message"] == "urllib.error.HTTPError: HTTP Error 400: Bad Request"


def test_a_fault_in_a_set_up_is_no_error_of_the_test(suite: Any, provider: FakeProvider) -> None:
    provider.reply = lambda number: Status(503) if number == 2 else "ok"
    test = """
@pytest.fixture
def answer(nd_model):
    return ask(nd_model)

@pytest.mark.nd_real(samples=29)
def test_a(answer):
    assert answer == "ok"
"""
    suite.write({"test_a.py": ASKING + test})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(passed=1)
    (result,) = run.of_type("nd")
    assert (result["verdict"], result["samples"], result["replaced"]) == ("PASS", 29, 1)


# budgets


def test_calls_beyond_the_budget_do_not_reach_the_model(suite: Any, provider: FakeProvider) -> None:
    run, result = sampled(suite, "ask(nd_model); ask(nd_model)", marker="samples=30, max_calls=11")
    run.result.assert_outcomes(failed=0, passed=0)
    assert provider.asked == 11
    assert (result["verdict"], result["samples"], result["calls"]) == ("INCONCLUSIVE", 5, 11)
    assert result["notes"] == ["cut after 5 of 30 samples: max_calls=11: 11 calls were made"]


def test_what_ran_before_the_cut_can_be_enough(suite: Any, provider: FakeProvider) -> None:
    run, result = sampled(suite, "ask(nd_model)", marker="samples=60, max_tokens=450")
    run.result.assert_outcomes(passed=1)
    assert (result["verdict"], result["passes"], result["samples"]) == ("PASS", 30, 30)
    assert result["notes"] == ["cut after 30 of 60 samples: max_tokens=450: 450 tokens were used"]


def test_cost_is_counted_by_the_price_list(suite: Any, provider: FakeProvider) -> None:
    suite.write({"pytest.ini": "[pytest]\nmcpsmoke_nd_prices =\n    other-*  1 1\n    model-*  1000  2000\n"})
    _, result = sampled(suite, "ask(nd_model)", marker="samples=30, max_cost=0.1")
    assert result["notes"] == ["cut after 5 of 30 samples: max_cost=0.1: 0.1 was spent"]
    assert result["cost"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("limit", "usage", "why"),
    [
        (
            "max_cost=1",
            {"prompt_tokens": 1, "completion_tokens": 1},
            "no cost was told for 'model-1' and no price",
        ),
        ("max_tokens=99", None, "the answer told no tokens"),
    ],
)
def test_a_budget_that_cannot_be_kept_ends_the_sampling(
    suite: Any, provider: FakeProvider, limit: str, usage: dict[str, Any] | None, why: str
) -> None:
    provider.usage = usage
    _, result = sampled(suite, "ask(nd_model)", marker=f"samples=30, {limit}")
    (note,) = result["notes"]
    name = limit.partition("=")[0]
    assert result["verdict"] == "INCONCLUSIVE"
    assert note.startswith(f"cut after 1 of 30 samples: {name} cannot be kept: {why}")


def test_slow_answers_fail_a_test_that_limits_them(suite: Any, provider: FakeProvider) -> None:
    run, result = sampled(suite, "ask(nd_model)", marker="samples=29, max_latency_p95_s=0.000001")
    run.result.assert_outcomes(failed=1)
    assert (result["verdict"], result["samples"]) == ("FAIL", 29)
    assert result["reason"].startswith("the latency's p95 is 0.0")
    assert result["reason"].endswith(" s, max_latency_p95_s=1e-06")


# where the model is


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_without_a_model_the_run_ends_at_once(suite: Any, workers: tuple[str, ...]) -> None:
    suite.write(
        {"test_a.py": ASKING + "@pytest.mark.nd_real\ndef test_a(nd_model): pass\ndef test_b(): pass\n"}
    )
    run = suite.run("--leaks=off", *workers, subprocess=bool(workers))
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [*run.result.outlines, *run.result.errlines]
    (told,) = [line for line in lines if "ND_REAL=1 needs a model" in line]
    assert told.removeprefix("ERROR: ") == (
        "ND_REAL=1 needs a model: set ND_REAL_BASE_URL to an OpenAI-compatible base URL, as"
        " http://127.0.0.1:11434/v1 (and ND_REAL_MODEL, ND_REAL_API_KEY)"
    )


def test_a_model_that_does_not_answer_ends_the_run_at_once(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer(FakeProvider()._serve) as server:
        url = server.url
    monkeypatch.setenv("ND_REAL_BASE_URL", f"{url}/v1")
    suite.write({"test_a.py": ASKING + "@pytest.mark.nd_real\ndef test_a(nd_model): pass\n"})
    run = suite.run("--leaks=off")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in run.result.errlines if line] == [
        f"ERROR: the model of ND_REAL_BASE_URL does not answer: GET {url}/v1/models was refused the"
        " connection; start the model's server, or set ND_REAL_BASE_URL"
    ]


def test_to_list_the_tests_needs_no_model(suite: Any) -> None:
    suite.write({"test_a.py": ASKING + "@pytest.mark.nd_real\ndef test_a(nd_model): pass\n"})
    run = suite.run("--leaks=off", "--collect-only", "-q")
    assert run.result.ret == pytest.ExitCode.OK
    run.result.stdout.fnmatch_lines(["test_a.py::test_a"])


def test_set_up_alone_asks_nothing(suite: Any, provider: FakeProvider) -> None:
    suite.write({"test_a.py": ASKING + "@pytest.mark.nd_real\ndef test_a(nd_model): ask(nd_model)\n"})
    run = suite.run("--leaks=off", "--setup-only")
    assert run.result.ret == pytest.ExitCode.OK
    assert provider.asked == 0


def test_tests_that_ask_no_model_need_none(suite: Any) -> None:
    suite.write({"test_a.py": "import pytest\n@pytest.mark.nd_real\ndef test_a(): pass\n"})
    suite.run("--leaks=off").result.assert_outcomes(passed=1)


OWN = """
from contextlib import contextmanager
from pathlib import Path

@contextmanager
def running():
    log = Path("log.txt")
    log.write_text("up")
    yield Path("url.txt").read_text()
    log.write_text("up and down")

def pytest_mcpsmoke_nd_model():
    return running()
"""


def test_the_projects_own_model_runs_for_the_run(
    suite: Any, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ND_REAL_BASE_URL")
    suite.write({"conftest.py": OWN, "url.txt": f"{provider.server.url}/v1"})
    run, result = sampled(suite, "ask(nd_model)")
    run.result.assert_outcomes(passed=1)
    assert result["calls"] == 30
    assert (suite.path / "log.txt").read_text() == "up and down"


@pytest.mark.parametrize(
    ("conftest", "problem"),
    [
        (OWN, "the model does not start: [[]Errno 2[]] No such file or directory: 'url.txt'"),
        (
            "def pytest_mcpsmoke_nd_model(): return 'http://127.0.0.1:1/v1'",
            "str is no context manager; return a context manager that yields the base URL of a model",
        ),
        ("def pytest_mcpsmoke_nd_model(): return None", None),
    ],
    ids=["does not start", "no context manager", "none"],
)
def test_an_own_model_that_is_none_is_told_in_one_line(
    suite: Any, conftest: str, problem: str | None
) -> None:
    suite.write({"conftest.py": conftest})
    suite.write({"test_a.py": ASKING + "@pytest.mark.nd_real\ndef test_a(nd_model): pass\n"})
    run = suite.run("--leaks=off")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    told = f"pytest_mcpsmoke_nd_model: {problem}" if problem else "ND_REAL=1 needs a model: *"
    run.result.stderr.fnmatch_lines([f"ERROR: {told}"])
    assert len([line for line in run.result.errlines if line]) == 1


def test_the_fixture_is_for_tests_of_the_tier(suite: Any, provider: FakeProvider) -> None:
    suite.write({"test_a.py": "def test_a(nd_model): pass\n"})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(errors=1)
    run.result.stdout.fnmatch_lines(
        ["nd_model: this test asks a real model: mark it @pytest.mark.nd_real(…)"]
    )


def test_the_fixture_may_be_asked_for_inside_a_test(suite: Any, provider: FakeProvider) -> None:
    test = """
@pytest.mark.nd_real(samples=29)
def test_a(request):
    ask(request.getfixturevalue("nd_model"))
"""
    suite.write({"test_a.py": ASKING + test})
    run = suite.run("--leaks=off")
    assert run.of_type("nd")[0]["calls"] == 29


def test_relay_and_model_are_nobodys_leak(suite: Any, provider: FakeProvider) -> None:
    run, _ = sampled(suite, "ask(nd_model)", "--leaks=fail")
    run.result.assert_outcomes(passed=1)
    assert run.leaks == []

"""Each defect of the agent proxy with its pair: one check, green without it and red, naming it, with it.

The gateway's are in tests/gateway/test_gateway_defects.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke import Status
from reference_app import defects
from reference_app.defects import Defect, UnknownDefect, is_planted, named, planted

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).resolve().parents[2]
OK = (200, b'{"text": "ok"}')
BUSY = (429, b"busy")
BROKEN = (500, b"boom")

Pairs = list[tuple[str, str]]
Wire = list[tuple[str, Pairs]]  # of each request: what it asks, and its headers as they were sent


# --- what must hold, whoever serves the tools


def check_posts(wire: Wire, statuses: list[int]) -> None:
    """One tool call is one POST, and one more only after a 429."""
    posts = [asked for asked, _ in wire if asked == "POST /invoke"]
    expected = 2 if statuses[0] == 429 else 1
    answered = ", ".join(map(str, statuses[: len(posts)]))
    assert len(posts) == expected, (
        f"{len(posts)} POSTs /invoke for one tool call, expected {expected}: "
        f"the tool server answered {answered}, and only a 429 may be retried"
    )


def check_same_headers_on_retry(wire: Wire, *names: str) -> None:
    """The retry carries what the first attempt carried."""
    first, retry = (
        {name.lower() for name, _ in headers} & {name.lower() for name in names}
        for asked, headers in wire
        if asked == "POST /invoke"
    )
    lost = sorted(first - retry)
    assert not lost, f"the retry after a 429 lost {len(lost)} headers of the first attempt: {', '.join(lost)}"


def check_one_header_per_name(wire: Wire) -> None:
    """No header is sent twice, in whatever case."""
    for asked, headers in wire:
        times = Counter(name.lower() for name, _ in headers)
        twice = [name for name, _ in headers if times[name.lower()] > 1]
        assert not twice, f"{asked} carries one header in {len(twice)} casings: {', '.join(twice)}"


def check_error_is_told(answer: dict[str, Any], wire: Wire) -> None:
    """A tool call that met a 500 is told as one: to the model, and in the answer."""
    told = answer["last_tool_invocation"]
    posts = sum(asked == "POST /invoke" for asked, _ in wire)
    assert told["text"] == "error: HTTP 500: boom", (
        f"a 500 of the tool server was masked: {posts} POSTs /invoke, and the run reports {told['text']!r} "
        "with no word of the error"
    )


def check_no_secret(trace: str, secrets: list[str]) -> None:
    """No secret stands in what is stored; the failure names it by its first three characters."""
    leaked = [f"{secret[:3]}…" for secret in secrets if secret in trace]
    assert not leaked, f"the stored trace leaks {len(leaked)} secrets: {', '.join(leaked)}"


# --- runs that are checked


class Proxy:
    """The app before a tool server that answers as told; each run makes one tool call."""

    def __init__(self, run: Any, script: Callable[[], object], tool_server: Any, trace: Path) -> None:
        self._run = run
        self._script = script
        self._server = tool_server
        self._trace = trace

    def __call__(self, *replies: tuple[int, bytes], **headers: str) -> tuple[dict[str, Any], Wire]:
        """Runs the agent; returns its answer, and what the tool server was sent."""
        self._script()
        self._trace.unlink(missing_ok=True)
        self._server.journal.clear()
        left = [Status(code, body) for code, body in replies]
        self._server.always(lambda **_: left.pop(0) if left else "ok")
        response = self._run(
            tool_backend="http", tool_http_base_url=self._server.serve(), tool_http_headers=headers
        )
        assert response.status_code == 200, response.text
        wire = [(f"{r.method} {r.path}", r.sent(*r.header_names)) for r in self._server.journal]
        return response.json(), wire

    def trace(self) -> str:
        return self._trace.read_text()


@pytest.fixture
def proxy(
    run: Any,
    script_model: Any,
    call: Any,
    calling: Any,
    tool_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Proxy:
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", '{"authorization": "Bearer of-the-environment"}')
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(tmp_path / "traces.jsonl"))
    asks = calling(call("c1", "weather", city="Kyiv", api_key="k-argument"))
    return Proxy(run, lambda: script_model(asks, "Done"), tool_server, tmp_path / "traces.jsonl")


def a_200_is_one_post(proxy: Proxy) -> None:
    _, wire = proxy(OK)
    check_posts(wire, [200, 200])


def a_500_is_one_post(proxy: Proxy) -> None:
    _, wire = proxy(BROKEN, OK)
    check_posts(wire, [500, 200])


def a_429_is_two_posts(proxy: Proxy) -> None:
    _, wire = proxy(BUSY, OK)
    check_posts(wire, [429, 200])


def a_500_is_told(proxy: Proxy) -> None:
    answer, wire = proxy(BROKEN, OK)
    check_error_is_told(answer, wire)


def the_retry_keeps_its_headers(proxy: Proxy) -> None:
    _, wire = proxy(BUSY, OK, Authorization="Bearer r", **{"X-Run": "7"})
    check_same_headers_on_retry(wire, "Authorization", "X-Run")


def authorization_is_sent_once(proxy: Proxy) -> None:
    _, wire = proxy(OK, Authorization="Bearer r")
    check_one_header_per_name(wire)


def the_trace_is_clean(proxy: Proxy) -> None:
    proxy(OK, Authorization="Bearer r-header")
    check_no_secret(proxy.trace(), ["k-argument", "r-header"])


PAIRS: list[tuple[Defect, Callable[[Proxy], None], str]] = [
    (
        Defect.DOUBLE_POST,
        a_200_is_one_post,
        "2 POSTs /invoke for one tool call, expected 1: "
        "the tool server answered 200, 200, and only a 429 may be retried",
    ),
    (
        Defect.DOUBLE_POST,
        a_500_is_one_post,
        "2 POSTs /invoke for one tool call, expected 1: "
        "the tool server answered 500, 200, and only a 429 may be retried",
    ),
    (
        Defect.MASKED_500,
        a_500_is_one_post,
        "2 POSTs /invoke for one tool call, expected 1: "
        "the tool server answered 500, 200, and only a 429 may be retried",
    ),
    *(
        (
            defect,  # the second answer of a double post stands for the first one, whatever that was
            a_500_is_told,
            "a 500 of the tool server was masked: 2 POSTs /invoke, and the run reports 'ok' "
            "with no word of the error",
        )
        for defect in (Defect.MASKED_500, Defect.DOUBLE_POST)
    ),
    (
        Defect.BARE_RETRY,
        the_retry_keeps_its_headers,
        "the retry after a 429 lost 2 headers of the first attempt: authorization, x-run",
    ),
    (
        Defect.TWO_CASINGS,
        authorization_is_sent_once,
        "GET /tools carries one header in 2 casings: authorization, Authorization",
    ),
    (Defect.TRACE_LEAK, the_trace_is_clean, "the stored trace leaks 1 secrets: k-a…"),
]
CHECKS = [a_429_is_two_posts, *dict.fromkeys(check for _, check, _ in PAIRS)]


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_defect_each_check_is_green(proxy: Proxy, check: Callable[[Proxy], None]) -> None:
    check(proxy)


@pytest.mark.parametrize(
    ("defect", "check", "says"), PAIRS, ids=[f"{defect.value}-{check.__name__}" for defect, check, _ in PAIRS]
)
def test_with_the_defect_its_check_is_red_and_names_it(
    proxy: Proxy, defect: Defect, check: Callable[[Proxy], None], says: str
) -> None:
    with planted(defect), pytest.raises(AssertionError) as failure:
        check(proxy)
    assert str(failure.value).splitlines()[0] == says
    check(proxy)  # and it is gone with its block


def test_each_defect_of_the_agent_proxy_has_its_pair() -> None:
    of_the_gateway = {
        Defect.HOOK_UNDER_STATIC,
        Defect.HOOK_ARGUMENTS_LOST,
        Defect.PROBE_UNAUTHORISED,
        Defect.PROBE_IGNORES_401,
        Defect.PROBE_403_AS_401,
        Defect.SERIAL_PROBES,
        Defect.PINGS_ONLY,
        Defect.UNKNOWN_WIDENS,
    }
    assert {defect for defect, _, _ in PAIRS} == set(Defect) - of_the_gateway


@pytest.mark.parametrize("defect", list(Defect))
def test_a_defect_leaves_the_other_checks_green(proxy: Proxy, defect: Defect) -> None:
    """The checks tell the defects apart: only those of the pair, and none by accident, are red."""
    red = {check for planted_one, check, _ in PAIRS if planted_one is defect}
    failed = set()
    with planted(defect):
        for check in CHECKS:
            try:
                check(proxy)
            except AssertionError:
                failed.add(check)
    assert failed == red


# --- the switches themselves


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.delenv(defects.ENV_DEFECTS, raising=False)
    return lambda names: monkeypatch.setenv(defects.ENV_DEFECTS, names)


@pytest.mark.usefixtures("environment")
def test_none_is_planted_unless_asked_for() -> None:
    assert [defect for defect in Defect if is_planted(defect)] == []


@pytest.mark.usefixtures("environment")
def test_blocks_nest_and_end_whatever_happens() -> None:
    def seen() -> list[str]:
        return [defect.value for defect in Defect if is_planted(defect)]

    with planted(Defect.DOUBLE_POST):
        with pytest.raises(KeyError), planted(Defect.TRACE_LEAK, Defect.MASKED_500):
            raise KeyError(*seen())
        assert seen() == ["double-post"]
        with planted(Defect.TRACE_LEAK, Defect.MASKED_500):
            assert seen() == ["double-post", "masked-500", "trace-leak"]
    assert seen() == []


@pytest.mark.parametrize("names", ["double-post,trace-leak", " trace-leak , double-post,, "])
def test_the_environment_plants_by_name(environment: Callable[[str], None], names: str) -> None:
    environment(names)
    assert [d for d in Defect if is_planted(d)] == [Defect.DOUBLE_POST, Defect.TRACE_LEAK]


def test_an_unknown_name_is_an_error_with_the_nearest(environment: Callable[[str], None]) -> None:
    known = f"known: {', '.join(defect.value for defect in Defect)}"
    environment("double-post,dubble-post")
    with pytest.raises(UnknownDefect) as error:
        is_planted(Defect.BARE_RETRY)
    assert str(error.value) == (
        f"MINI_AGENT_DEFECTS: no defect is called 'dubble-post'; did you mean 'double-post'? {known}"
    )
    with pytest.raises(UnknownDefect) as error:
        named("x")
    assert str(error.value) == f"no defect is called 'x'; {known}"


# --- the defect that is no switch: a smoke suite whose tests leak, the seeds' own two files


def run_example(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    example = ROOT / "examples" / "leaky_smoke"
    command = [sys.executable, "-m", "pytest", "-p", "mcpsmoke", "-p", "no:cacheprovider", "--tb=no"]
    command += [*options, "-c", os.devnull, f"--rootdir={ROOT}", str(example)]
    done = subprocess.run(
        command, cwd=example, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done


def test_the_leaky_suite_is_red_and_its_leaks_are_named() -> None:
    done = run_example("--leaks=fail")
    assert done.returncode == 1
    assert "reference_app.agent_proxy.HttpToolsInvoker" in done.stdout
    assert "ap_mod.HttpToolsInvoker = _FakeInvoker" in done.stdout


def test_with_what_it_leaks_put_back_it_is_green() -> None:
    done = run_example("--leaks-restore")
    assert (done.returncode, json.dumps(done.stdout).count("2 passed")) == (0, 1)

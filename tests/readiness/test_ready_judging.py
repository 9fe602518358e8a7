"""From what a check left to its status, and from all statuses to the verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.readiness.gate.judging import Left, is_red, judge, verdict
from pytest_mcpsmoke.readiness.gate.running import Ended
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.nd import NdResult
from pytest_mcpsmoke.report.readiness_model import Case, Result, Status, Verdict

LEAK = Finding(
    *("t.py::a", "test", "function", None, "app.MODE", "namespaces", "rebound", "'live'", "'x'", None, "leak")
)
PASSED, FAILED, SKIPPED = Case("t::a", "passed", 0.1), Case("t::b", "failed", 0.1), Case("t::c", "skipped", 0)
XFAILED = Case("t::d", "xfailed", 0.1)


def nd(outcome: Any, nodeid: str = "t::nd") -> NdResult:
    bounds = (27, 30, 30, 0, 0.9, 0.761, 0.972, 0.95, 0.9, "exact", None, None)
    return NdResult(nodeid, outcome, *bounds, None, None, None, None, None, None, (), None, 1.0, (), True)


def left(status: int | None, *tests: Case, said: str = "", **more: Any) -> Left:
    return Left(Ended(status, 1.0), tests, said=said, **more)


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        (left(0, PASSED), "PASSED", "1 passed"),
        (left(0, PASSED, SKIPPED), "PASSED", "1 passed, 1 skipped"),
        (left(0, XFAILED), "PASSED", "1 xfailed"),
        (left(1, PASSED, FAILED), "FAILED", "1 failed, 1 passed"),
        (left(0, FAILED), "FAILED", "1 failed"),  # whatever the exit status says
        (left(1, PASSED, said="FAIL Required test coverage of 90%"), "FAILED",
         "pytest ended with status 1: FAIL Required test coverage of 90%"),
        (left(6, PASSED), "FAILED", "pytest ended with status 6"),
        (left(5), "EMPTY", "no test was selected"),
        (left(0), "EMPTY", "no test was selected"),
        (left(0, SKIPPED, SKIPPED), "EMPTY", "no test ran: all 2 skipped"),
        (left(4, said="unrecognized arguments: --x"), "ERROR",
         "pytest ended with status 4: unrecognized arguments: --x"),
        (left(3, PASSED), "ERROR", "pytest ended with status 3"),
        (left(2, said="No module named 'x'"), "ERROR", "pytest ended with status 2: No module named 'x'"),
        (left(0, PASSED, is_whole=False), "ERROR",
         "pytest ended with status 0, but its reports are cut off; until then 1 passed"),
        (left(5, is_whole=False), "ERROR", "pytest ended with status 5, but its reports are cut off"),
        (left(4, is_whole=False, said="no"), "ERROR", "pytest ended with status 4: no"),
        (left(-11, PASSED), "ERROR", "killed by SIGSEGV; until then 1 passed"),
        (left(-250), "ERROR", "killed by signal 250"),
        (Left(Ended(None, 0, problem="nope: cannot be run: No such file or directory")), "ERROR",
         "nope: cannot be run: No such file or directory"),
        (Left(Ended(-9, 9.0, "timeout"), (PASSED,), said="t::b"), "TIMEOUT",
         "ended by the clock: t::b; until then 1 passed"),
        (Left(Ended(0, 9.0, "timeout"), (PASSED,)), "TIMEOUT", "ended by the clock; until then 1 passed"),
        (Left(Ended(2, 9.0, "interrupt")), "INTERRUPTED", "interrupted"),
        (left(0, PASSED, leaks=(LEAK,)), "FAILED", "1 leak, 1 passed"),
        (left(0, PASSED, nd=(nd("PASS"),)), "PASSED", "1 passed"),
        (left(0, PASSED, nd=(nd("PASS"), nd("FAIL"))), "FAILED", "1 below the required rate, 1 passed"),
        (left(0, PASSED, nd=(nd("PASS"), nd("INCONCLUSIVE", "t::z"))), "INCONCLUSIVE",
         "1 of 2 undecided, 1 passed"),
        (left(0, SKIPPED, nd=(nd("INCONCLUSIVE", "t::c"),)), "INCONCLUSIVE",
         "1 of 1 undecided"),
        (left(1, FAILED, nd=(nd("INCONCLUSIVE", "t::b"),)), "INCONCLUSIVE", "1 of 1 undecided"),
        (left(1, FAILED, nd=(nd("INCONCLUSIVE"),)), "FAILED", "1 failed"),
        (left(5, nd=(nd("INCONCLUSIVE"),)), "INCONCLUSIVE", "1 of 1 undecided"),
    ],
)  # fmt: skip
def test_a_run_of_pytest(given: Left, status: str, reason: str) -> None:
    assert judge("pytest", given, "fail", False) == (status, reason)


@pytest.mark.parametrize("mode", ["report", "off"])
def test_leaks_that_are_only_reported_are_told(mode: str) -> None:
    assert judge("pytest", left(0, PASSED, leaks=(LEAK,)), mode, False) == ("PASSED", "1 leak, 1 passed")


def test_a_skipped_test_is_red_where_that_is_wanted() -> None:
    told = judge("pytest", left(0, PASSED, SKIPPED), "fail", True)
    assert told == ("FAILED", "1 test skipped, and a skip is red here")
    assert judge("pytest", left(0, PASSED), "fail", True)[0] == "PASSED"
    assert judge("pytest", left(0, SKIPPED), "fail", True)[0] == "EMPTY"


@pytest.mark.parametrize(
    ("kind", "exit_status", "status", "reason"),
    [
        ("command", 0, "PASSED", "done"),
        ("command", 3, "FAILED", "exit status 3: done"),
        ("command", 77, "SKIPPED", "it skipped itself, exit status 77: done"),
        ("probe", 0, "PASSED", "done"),
        ("probe", 1, "FAILED", "done"),
        ("probe", 2, "ERROR", "exit status 2: done"),
        ("clients", 77, "ERROR", "exit status 77: done"),
    ],
)
def test_other_kinds(kind: str, exit_status: int, status: str, reason: str) -> None:
    assert judge(kind, left(exit_status, said="done"), "fail", False) == (status, reason)


def test_a_command_that_skips_itself_is_red_where_that_is_wanted() -> None:
    assert judge("command", left(77), "fail", True)[0] == "FAILED"


def test_a_command_that_says_nothing() -> None:
    assert judge("command", left(0), "fail", False) == ("PASSED", "exit status 0")
    assert judge("clients", left(1), "fail", False) == ("FAILED", "exit status 1")


ALWAYS_RED = ("FAILED", "EMPTY", "TIMEOUT", "ERROR", "INTERRUPTED")


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("status", Status)
def test_who_turns_the_run_red(status: Status, is_strict: bool) -> None:
    told = {
        name: is_red(status, is_expected, is_optional, is_strict)
        for name, is_expected, is_optional in [
            ("expected", True, False),
            ("expected though optional", True, True),
            ("any other", False, False),
            ("optional", False, True),
        ]
    }
    ran_badly = status in ALWAYS_RED or (status == "INCONCLUSIVE" and is_strict)
    did_not_run = status in ("SKIPPED", "NOT RUN")
    assert told == {
        "expected": ran_badly or did_not_run,
        "expected though optional": ran_badly or did_not_run,
        "any other": ran_badly,
        "optional": False,
    }


def result(
    name: str, status: str, red: bool = False, optional: bool = False, expected: bool = False
) -> Result:
    return Result(name, "command", None, optional, expected, 1.0, (), "", Status(status), f"why {name}", red)


@given(st.lists(st.tuples(st.sampled_from(Status), st.booleans(), st.booleans())), st.booleans())
def test_green_means_that_all_that_was_expected_passed(
    checks: list[tuple[Status, bool, bool]], is_strict: bool
) -> None:
    results = [
        result(
            "a", status, is_red(status, expected, optional, is_strict), optional=optional, expected=expected
        )
        for status, expected, optional in checks
    ]
    told, reasons = verdict(results)
    assert (told is Verdict.GREEN) == (reasons == [])
    if told is Verdict.GREEN:
        assert any(one.status is Status.PASSED for one in results)
        assert all(one.status is Status.PASSED for one in results if one.is_expected)
        bad = {Status.FAILED, Status.EMPTY, Status.TIMEOUT, Status.ERROR, Status.INCONCLUSIVE}
        assert all(one.is_optional for one in results if one.status in bad)


@pytest.mark.parametrize(
    ("results", "problems", "expected"),
    [
        ([result("a", "PASSED")], [], (Verdict.GREEN, [])),
        ([result("a", "PASSED"), result("b", "SKIPPED")], [], (Verdict.GREEN, [])),
        ([result("a", "PASSED"), result("b", "FAILED", optional=True)], [], (Verdict.GREEN, [])),
        ([result("a", "PASSED"), result("b", "FAILED", red=True)], [],
         (Verdict.RED, ["b: FAILED: why b"])),
        ([result("a", "PASSED"), result("b", "SKIPPED", red=True)], [],
         (Verdict.RED, ["b: SKIPPED: why b (it was expected to run)"])),
        ([result("a", "INCONCLUSIVE"), result("b", "PASSED")], [],
         (Verdict.INCONCLUSIVE, ["a: INCONCLUSIVE: why a"])),
        ([result("a", "INCONCLUSIVE"), result("b", "FAILED", red=True)], [],
         (Verdict.RED, ["b: FAILED: why b"])),
        ([result("a", "INCONCLUSIVE", optional=True), result("b", "PASSED")], [], (Verdict.GREEN, [])),
        ([result("a", "INCONCLUSIVE", optional=True, expected=True)], [],
         (Verdict.INCONCLUSIVE, ["a: INCONCLUSIVE: why a"])),
        ([result("a", "SKIPPED"), result("b", "NOT RUN")], [],
         (Verdict.RED, ["nothing was measured: no check passed"])),
        ([result("a", "FAILED", optional=True)], [],
         (Verdict.RED, ["nothing was measured: no check passed"])),
        ([], [], (Verdict.RED, ["nothing was measured: no check passed"])),
        ([result("a", "PASSED")], ["interrupted by SIGINT"], (Verdict.RED, ["interrupted by SIGINT"])),
    ],
)  # fmt: skip
def test_the_verdict(results: list[Result], problems: list[str], expected: tuple[Verdict, list[str]]) -> None:
    assert verdict(results, problems) == expected

"""From what a check left to its status, and from all statuses to the verdict. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.readiness.gate.running import Ended
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.nd import NdResult
from pytest_mcpsmoke.report.readiness_model import Case, Result, Status, Verdict, counted
from pytest_mcpsmoke.report.text import plural

SKIP_STATUS: Final = 77  # of a command that skips itself, as automake, meson and others have it
_BAD: Final = frozenset({"failed", "error"})
_RAN: Final = frozenset({"passed", "failed", "error", "xfailed", "xpassed"})


class Left(NamedTuple):
    """What a check left: how its child ended, its tests, leaks and results of nd_real.

    said: the line of its log that tells best why it ended, may be empty. notes: what could not be read.
    output: what probe and clients say with --json. is_whole: whether pytest wrote its reports to their end.
    """

    ended: Ended
    tests: tuple[Case, ...] = ()
    leaks: tuple[Finding, ...] = ()
    nd: tuple[NdResult, ...] = ()
    said: str = ""
    notes: tuple[str, ...] = ()
    output: Any = None
    is_whole: bool = True


Judged = tuple[Status, str]  # and the reason, in less than a line


def judge(kind: str, left: Left, leaks: str, is_skip_red: bool) -> Judged:
    """Return the status of a check that was started; leaks: the mode of --leaks."""
    ended = left.ended
    counts = counted(left.tests)
    also = f"; until then {counts}" if counts else ""
    if ended.by == "timeout":
        return Status.TIMEOUT, f"ended by the clock{_told(left.said)}{also}"
    if ended.by == "interrupt":
        return Status.INTERRUPTED, f"interrupted{_told(left.said)}{also}"
    if ended.status is None:
        return Status.ERROR, ended.problem or "it could not be started"
    if ended.status < 0:
        return Status.ERROR, f"killed by {_signal_name(-ended.status)}{also}"
    if kind == "pytest":
        return _pytest(left, ended.status, leaks, is_skip_red)
    return _command(kind, left, ended.status, is_skip_red)


def _command(kind: str, left: Left, status: int, is_skip_red: bool) -> Judged:
    if status == 0:
        return Status.PASSED, left.said or "exit status 0"
    if kind == "command":
        if status == SKIP_STATUS:
            told = f"it skipped itself, exit status {SKIP_STATUS}{_told(left.said)}"
            return (Status.FAILED if is_skip_red else Status.SKIPPED), told
        return Status.FAILED, f"exit status {status}{_told(left.said)}"
    if status == 1:
        return Status.FAILED, left.said or "exit status 1"
    return Status.ERROR, f"exit status {status}{_told(left.said)}"


def _pytest(left: Left, status: int, leaks: str, is_skip_red: bool) -> Judged:
    undecided = {sampled.nodeid for sampled in left.nd if sampled.verdict == "INCONCLUSIVE"}
    failed = [sampled for sampled in left.nd if sampled.verdict == "FAIL"]
    # who proves nothing is skipped for that, or fails under STRICT_READY=1: it is undecided all the same
    decided = tuple(case for case in left.tests if case.nodeid not in undecided)
    bad = [case for case in decided if case.outcome in _BAD]
    leaked = left.leaks if leaks == "fail" else ()
    counts = _and(plural(len(left.leaks), "leak") if left.leaks else "", counted(left.tests))
    if status not in (0, 1, 5, 6):
        return Status.ERROR, f"pytest ended with status {status}{_told(left.said)}"
    if not left.is_whole:
        told = f"; until then {counts}" if counts else ""
        return Status.ERROR, f"pytest ended with status {status}, but its reports are cut off{told}"
    if bad or leaked or failed:
        return Status.FAILED, _and(f"{len(failed)} below the required rate" if failed else "", counts)
    if undecided:
        return Status.INCONCLUSIVE, _and(f"{len(undecided)} of {len(left.nd)} undecided", counted(decided))
    if status in (1, 6):
        return Status.FAILED, f"pytest ended with status {status}{_told(left.said)}"
    if not any(case.outcome in _RAN for case in left.tests):
        skipped = len(left.tests)
        return Status.EMPTY, f"no test ran: all {skipped} skipped" if skipped else "no test was selected"
    skips = sum(case.outcome == "skipped" for case in left.tests)
    if skips and is_skip_red:
        return Status.FAILED, f"{plural(skips, 'test')} skipped, and a skip is red here"
    return Status.PASSED, counts


def is_red(status: Status, is_expected: bool, is_optional: bool, is_strict: bool) -> bool:
    """Whether a check with this status turns the run red."""
    if status is Status.PASSED:
        return False
    if status in (Status.SKIPPED, Status.NOT_RUN):
        return is_expected
    counts = is_expected or not is_optional
    return counts and (status is not Status.INCONCLUSIVE or is_strict)


def verdict(results: Sequence[Result], problems: Sequence[str] = ()) -> tuple[Verdict, list[str]]:
    """Return what a run says, and why it is not green. problems: what went wrong with the run itself."""
    reasons = [f"{one.name}: {one.status}: {one.reason}{_wish(one)}" for one in results if one.is_red]
    reasons += problems
    if reasons:
        return Verdict.RED, reasons
    undecided = [one for one in results if one.status is Status.INCONCLUSIVE]
    if any(one.is_expected or not one.is_optional for one in undecided):
        return Verdict.INCONCLUSIVE, [f"{one.name}: {one.status}: {one.reason}" for one in undecided]
    if not any(one.status is Status.PASSED for one in results):
        return Verdict.RED, ["nothing was measured: no check passed"]
    return Verdict.GREEN, []


def _wish(result: Result) -> str:
    """Who was expected and did not run is red for that alone."""
    return " (it was expected to run)" if result.status in (Status.SKIPPED, Status.NOT_RUN) else ""


def _told(said: str) -> str:
    return f": {said}" if said else ""


def _and(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

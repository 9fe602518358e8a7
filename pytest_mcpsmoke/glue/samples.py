"""Running an nd_real test sample by sample: each with set-up, call and teardown of its own, one outcome."""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import pytest
from _pytest.runner import check_interactive_exception

from pytest_mcpsmoke.glue.meter import Meter
from pytest_mcpsmoke.glue.nd_report import attach, change_since, keep
from pytest_mcpsmoke.glue.randomly import seed_of
from pytest_mcpsmoke.glue.timeout import Timer
from pytest_mcpsmoke.report.nd import NdResult, result_lines
from pytest_mcpsmoke.tiers.plan import Plan
from pytest_mcpsmoke.tiers.tally import NEUTERED, Sample, Tally

_NO_RESULT: Final = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
_XPASSED: Final = "[XPASS(strict)]"
_SEED_STEP: Final = 1_000_003  # the stages of one test move pytest-randomly's seed by one

Stage = Literal["setup", "call", "teardown"]


class Ending(NamedTuple):
    """What is left to be logged when no further sample is wanted."""

    reports: list[pytest.TestReport]
    teardown: pytest.TestReport | None = None  # of the last sample, if it is over, and has failed


class Sampling:
    """Runs the samples of one test.

    is_strict: an INCONCLUSIVE verdict fails the test; otherwise it is an outcome of its own.
    """

    def __init__(self, item: pytest.Item, plan: Plan, meter: Meter, is_strict: bool) -> None:
        self._item = item
        self._tally = Tally(plan)
        self._meter = meter
        self._is_strict = is_strict
        self._began = time.perf_counter()
        self._seconds = {"setup": 0.0, "call": 0.0, "teardown": 0.0}  # of all samples
        self._own_properties = len(item.user_properties)
        self._setup: pytest.TestReport | None = None  # the last that has passed
        self._failures: dict[int, pytest.TestReport] = {}
        self._timer = Timer(item)
        self._seed = seed_of(item.config)

    def run(self, nextitem: pytest.Item | None) -> None:
        """Run all samples and log one report a stage; the last teardown is the one for good."""
        try:
            self._log(self._sampled(), nextitem)
        finally:
            if self._seed is not None:
                self._item.config.option.randomly_seed = self._seed
            _forget(self._item)

    def _sampled(self) -> Ending:
        """Run all samples; when that is interrupted, keep what they have come to."""
        try:
            return self._sample_until_over()
        except BaseException as interruption:
            self._tally.cut(f"interrupted by {type(interruption).__name__}")
            keep(self._item.config, self._result())
            raise

    def _log(self, ending: Ending, nextitem: pytest.Item | None) -> None:
        item, log = self._item, self._item.ihook.pytest_runtest_logreport
        for report in ending.reports:
            log(report=report)
        if item.session.shouldfail or item.session.shouldstop:
            nextitem = None  # as the runner does: all is torn down under this item
        if ending.teardown is None:
            _, report = self._stage("teardown", nextitem=nextitem)
            log(report=report)
            return
        log(report=ending.teardown)
        # Not by the hook: those of other plugins do not stand a second teardown.
        call = self._call("teardown", lambda: item.session._setupstate.teardown_exact(nextitem))
        if call.excinfo is not None:
            log(report=item.ihook.pytest_runtest_makereport(item=item, call=call))

    def _sample_until_over(self) -> Ending:
        item, tally = self._item, self._tally
        while True:
            own = self._sample()
            if own is not None:
                return Ending(own)
            stop = item.session.shouldstop or item.session.shouldfail or self._meter.stop()
            if stop and not tally.is_over:
                tally.cut(str(stop), is_run=False)
            if tally.is_over:
                return Ending(self._verdict())
            call, report = self._stage("teardown", nextitem=_Sibling(item))
            if call.excinfo is not None:
                tally.cut(f"the teardown of sample {tally.runs} has failed", is_run=False)
                return Ending(self._verdict(), report)
            self._note_leaks()
            _forget(item)
            self._begin()

    def _begin(self) -> None:
        """Make a second test of it, and a third: nothing of the sample before is left on the item."""
        item = self._item
        if hasattr(item, "_request"):
            item._initrequest()  # type: ignore[attr-defined]
        del item.user_properties[self._own_properties :]
        item._report_sections.clear()
        self._timer.restart()
        if self._seed is not None:
            item.config.option.randomly_seed = self._seed + self._tally.runs * _SEED_STEP

    def _sample(self) -> list[pytest.TestReport] | None:
        """Run set-up and call and count the sample; returns reports when the test is over by itself."""
        self._meter.begin()
        call, report = self._stage("setup")
        if call.excinfo is None:
            self._setup = report
            call, report = self._stage("call")
        return self._count(call, report)

    def _count(
        self, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> list[pytest.TestReport] | None:
        tally, seen, number = self._tally, self._meter.seen(), self._tally.runs + 1
        error = None if call.excinfo is None else call.excinfo.value
        if seen.cut is not None:
            tally.cut(seen.cut)
        elif seen.fault is not None:
            tally.add(Sample(passed=False, fault=seen.fault))
        elif isinstance(error, _NO_RESULT):
            if tally.runs == 0:
                return [report] if self._setup is None else [self._setup, report]
            tally.cut(f"sample {number} has no result: {_message(report)}")
        elif error is not None and report.when == "setup":
            tally.cut(f"the set-up of sample {number} has failed")
            report.sections.append(("nd_real", f"in the set-up of sample {number}"))
            attach(report, self._result())
            return [report]
        else:
            passed = error is None and (report.passed or report.longreprtext.startswith(_XPASSED))
            message = "" if passed else _message(report)
            if passed and seen.is_neutered:
                passed, message = False, NEUTERED
            if not passed:
                self._failures[number] = report
            tally.add(Sample(passed, message, tools=seen.tools, latencies=seen.latencies))
        return None

    def _verdict(self) -> list[pytest.TestReport]:
        """The set-up's report, and one for all calls."""
        item, result = self._item, self._result()
        item.user_properties += result.properties()
        item._report_sections.clear()
        call = pytest.CallInfo.from_call(lambda: self._tell(result), when="call")
        call.duration = self._seconds["call"]
        call.start = call.stop - (time.perf_counter() - self._began)
        report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
        shown = self._shown(result)
        if shown is not None:
            report.sections = list(shown[1].sections)
        attach(report, result)
        return [report] if self._setup is None else [self._setup, report]

    def _tell(self, result: NdResult) -> None:
        """Pass, fail or skip, as a test does."""
        lines = result_lines(result)
        if result.verdict == "INCONCLUSIVE" and not self._is_strict:
            raise pytest.skip.Exception("; ".join(lines), _use_item_location=True)
        if result.verdict != "PASS":
            shown = self._shown(result)
            if shown is not None and shown[1].longrepr is not None:
                lines += ["", f"sample {shown[0]} failed so:", shown[1].longreprtext]
            raise pytest.fail.Exception("\n".join(lines), pytrace=False)

    def _shown(self, result: NdResult) -> tuple[int, pytest.TestReport] | None:
        """The first failure of the largest cluster, as an example."""
        if not result.clusters:
            return None
        number = result.clusters[0].samples[0]
        return number, self._failures[number]

    def _result(self) -> NdResult:
        spent = self._meter.spent(time.perf_counter() - self._began)
        result = self._tally.result(self._item.nodeid, spent, self._is_strict)
        return result._replace(change=change_since(self._item.config, result))

    def _note_leaks(self) -> None:
        leaks: Any = self._item.config.pluginmanager.get_plugin("mcpsmoke-leaks")
        if leaks is not None:
            self._tally.left(finding.place for finding in leaks.left_by_last if not finding.restored)

    def _call(self, when: Stage, function: Callable[[], None]) -> pytest.CallInfo[None]:
        """Let through what ends the run, as the runner does."""
        ends = (pytest.exit.Exception, KeyboardInterrupt)
        is_debugged = self._item.config.getoption("usepdb", False)
        return pytest.CallInfo.from_call(function, when=when, reraise=ends[:1] if is_debugged else ends)

    def _stage(self, when: Stage, **arguments: Any) -> tuple[pytest.CallInfo[None], pytest.TestReport]:
        """Run a stage as the runner does, and return its report unlogged."""
        item = self._item
        hook = getattr(item.ihook, f"pytest_runtest_{when}")
        call = self._call(when, lambda: hook(item=item, **arguments))
        self._seconds[when] = call.duration = self._seconds[when] + call.duration
        report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
        if check_interactive_exception(call, report):
            item.ihook.pytest_exception_interact(node=item, call=call, report=report)
        return call, report


class _Sibling:
    """Stands for the next sample as the next item: what it shares with this one is not torn down."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)

    def listchain(self) -> list[Any]:
        """The item's collectors, and another item."""
        return [*self._item.listchain()[:-1], self]


def _forget(item: Any) -> None:
    """Let go of fixtures and instance, as the runner does when a test is over."""
    if hasattr(item, "_request"):
        item._request = False
        item.funcargs = None
    if getattr(item, "cls", None) is not None:
        vars(item).pop("_instance", None)
        item._obj = None


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a skip: path, line, reason
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return report.longreprtext if crash is None else str(crash.message)

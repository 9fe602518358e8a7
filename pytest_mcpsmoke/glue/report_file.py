"""The file of --leaks-report: run, findings, tests and end, each written as it happens."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_mcpsmoke.glue.failure import failure_of, worker_of
from pytest_mcpsmoke.glue.owners import relative_to
from pytest_mcpsmoke.glue.randomly import seed_of
from pytest_mcpsmoke.report.failure import Failure
from pytest_mcpsmoke.report.json import SCHEMA, JsonLines
from pytest_mcpsmoke.report.model import Finding

NAME: Final = "mcpsmoke-report-file"  # as a plugin


def open_file(config: pytest.Config, path: Path, engine: str, seed: int | None) -> ReportFile:
    """Open the file, write its first line and let it hear of the tests. Raises pytest.UsageError."""
    file = ReportFile(path, relative_to(config.rootpath))
    file.begin(engine, seed, os.path.relpath(config.rootpath, config.invocation_params.dir))
    config.pluginmanager.register(file, NAME)
    return file


def register(config: pytest.Config, path: Path) -> None:
    """Write the file in a run whose detector is off: tests, and results of nd_real."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Alone(config, path), "mcpsmoke-report-alone")


class _Alone:
    """Opens and ends the file where no recorder does."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._file: ReportFile | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Open the file when tests are to be run: not for --help."""
        self._file = open_file(self._config, self._path, "off", seed_of(self._config))

    def pytest_unconfigure(self) -> None:
        """End the file, and say so if it is incomplete."""
        problem = None if self._file is None else self._file.end()
        if problem is not None:
            sys.stderr.write(f"{problem}\n")


class ReportFile:
    """Writes the report contract of one run. Registered as a plugin only when a file is asked for."""

    def __init__(self, path: Path, relative: Callable[[str], str]) -> None:
        """Open the file; relative makes paths as pytest prints them.

        Raises pytest.UsageError when it cannot be written.
        """
        self._relative = relative
        self._failures: dict[tuple[str, object], Failure] = {}
        self._tests: dict[tuple[str, object], tuple[str, float]] = {}
        self._began: dict[str, float] = {}
        # Not under a name of the module: there, what freezes time would find and replace it.
        self._clock = {"now": time.perf_counter}
        self._count = 0
        self._findings = self._leaks = 0
        try:
            self._file = JsonLines(str(path))
        except OSError as error:
            raise pytest.UsageError(f"--leaks-report={path}: cannot be written: {error.strerror}") from error

    def begin(self, engine: str, seed: int | None, root: str) -> None:
        """Write the first line, once the engine is known; seed is pytest-randomly's, if it is there.

        root is the rootdir, relative to where pytest was started: node ids begin there.
        """
        record: dict[str, Any] = {
            "type": "run",
            "schema": SCHEMA,
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "engine": engine,
            "seed": seed,
            "worker": None,
        }
        if root != ".":
            record["rootdir"] = root.replace(os.sep, "/")
        self._file.write(record)

    def add(self, finding: Finding) -> None:
        """Write one finding."""
        self._findings += 1
        self._leaks += finding.verdict == "leak"
        self._file.write(finding.record())

    def write(self, record: dict[str, Any]) -> None:
        """Write a record of another type."""
        self._file.write(record)

    def end(self) -> str | None:
        """Write the last line and close; returns what went wrong on the way, if anything did."""
        self._file.write(
            {"type": "end", "findings": self._findings, "leaks": self._leaks, "tests": self._count}
        )
        self._file.close()
        failure = self._file.failure
        return None if failure is None else f"{self._file.path}: incomplete, {failure.strerror}"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note when a test begins."""
        self._began[nodeid] = self._clock["now"]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write one line per test when its last stage is over."""
        test = report.nodeid, getattr(report, "node", None)  # xdist's worker: two can run the same test
        if report.when == "teardown" and test not in self._tests:
            return  # of an attempt whose line is written: it is run again
        outcome, duration = self._tests.get(test, ("passed", 0.0))
        outcome = _outcome(report) or outcome
        failure = failure_of(report, self._relative)
        if failure is not None:
            self._failures.setdefault(test, failure)
        self._tests[test] = outcome, duration + report.duration
        if report.when not in ("setup", "call") or outcome == "rerun":
            outcome, duration = self._tests.pop(test)
            failure = self._failures.pop(test, None)
            duration = self._real(report.nodeid, duration)
            self._write_test(report.nodeid, outcome, duration, failure, worker_of(report))

    def _real(self, nodeid: str, duration: float) -> float:
        """The time that a test took; by the report's own clock where a test has frozen the one of pytest."""
        began = self._began.pop(nodeid, None)
        if began is None:
            return duration
        passed: float = self._clock["now"]() - began
        return duration if 0.0 < duration <= passed else passed

    def _write_test(
        self, nodeid: str, outcome: str, duration: float, failure: Failure | None, worker: str | None
    ) -> None:
        self._count += 1
        record: dict[str, Any] = {
            "type": "test",
            "nodeid": nodeid,
            "outcome": outcome,
            "order": self._count,
            "duration": round(duration, 6),
        }
        if failure is not None:
            record["failure"] = failure._asdict()
        if worker is not None:
            record["worker"] = worker
        self._file.write(record)


def _outcome(report: pytest.TestReport) -> str | None:
    """What one stage says about the test; None when it adds nothing."""
    outcome: str = report.outcome
    if outcome == "rerun":  # of pytest-rerunfailures
        return outcome
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed:
        return "error" if report.when in ("setup", "teardown") else "failed"  # else: its worker crashed
    return "skipped" if report.skipped else None

"""Where findings come together: the JSON Lines file, the terminal summary, and what travels home."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_mcpsmoke.glue.options import Settings
from pytest_mcpsmoke.report.json import SCHEMA, JsonLines
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.text import report_lines


class Recorder:
    """Keeps the findings of a run, writes them as they are made, and prints them at its end."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.found: list[Finding] = []
        self.notes: list[str] = []
        self._seen: set[tuple[str, ...]] = set()
        self._tests: dict[str, tuple[str, float]] = {}
        self._count = 0
        self._file = _open(settings.report)

    def begin(self, engine: str) -> None:
        """Write the first line of the file, once the engine is known."""
        if self._file is not None:
            seed = self.config.getoption("randomly_seed", None)
            self._file.write(
                {
                    "type": "run",
                    "schema": SCHEMA,
                    "python": platform.python_version(),
                    "pytest": pytest.__version__,
                    "engine": engine,
                    "seed": seed if isinstance(seed, int) else None,
                    "worker": None,
                }
            )

    def add(self, finding: Finding) -> None:
        """Record one finding; what an import or a wide fixture left is recorded once, not once per worker."""
        key = (finding.owner, finding.place, finding.change, finding.verdict)
        if finding.owner_kind != "test":
            if key in self._seen:
                return
            self._seen.add(key)
        self.found.append(finding)
        if self._file is not None:
            self._file.write(finding.record())

    def end(self) -> None:
        """Write the last line and close the file. Ending twice is fine."""
        if self._file is None:
            return
        leaks = sum(finding.verdict == "leak" for finding in self.found)
        self._file.write({"type": "end", "findings": len(self.found), "leaks": leaks, "tests": self._count})
        self._file.close()
        if self._file.failure is not None:
            self.notes.append(f"{self._file.path}: incomplete, {self._file.failure.strerror}")
        self._file = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write one line per test when its last stage is over."""
        if self._file is None:
            return
        nodeid = report.nodeid
        outcome, duration = self._tests.get(nodeid, ("passed", 0.0))
        outcome = _outcome(report) or outcome
        self._tests[nodeid] = outcome, duration + report.duration
        if report.when == "teardown" or outcome == "rerun":
            outcome, duration = self._tests.pop(nodeid)
            self._count += 1
            self._file.write(
                {
                    "type": "test",
                    "nodeid": nodeid,
                    "outcome": outcome,
                    "order": self._count,
                    "duration": round(duration, 6),
                }
            )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the section, and nothing at all when nothing leaked."""
        self.end()
        lines = [*self.lines(), *self.notes]
        if lines:
            terminalreporter.section("state leaks")
            for line in lines:
                terminalreporter.line(line)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        return report_lines(self.found, str(self.config.rootpath))

    def pytest_unconfigure(self) -> None:
        """Close what an interrupted run left open."""
        self.end()


def _outcome(report: pytest.TestReport) -> str | None:
    """What one stage says about the test; None when it adds nothing."""
    outcome: str = report.outcome
    if outcome == "rerun":  # of pytest-rerunfailures
        return outcome
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    return "skipped" if report.skipped else None


def _open(path: os.PathLike[str] | None) -> JsonLines | None:
    if path is None:
        return None
    try:
        return JsonLines(os.fspath(path))
    except OSError as error:
        raise pytest.UsageError(f"--leaks-report={path}: cannot be written: {error.strerror}") from error

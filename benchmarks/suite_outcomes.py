"""A pytest plugin that writes down how each stage of each test ended; it imports nothing of this project.

It is copied into a folder of its own and loaded by `-p`, so that a plain run has nothing else of ours.
"""

from __future__ import annotations

import json
import os

import pytest

VARIABLE = "SUITE_OUTCOMES"


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.pop(VARIABLE, None)  # runs inside this one have outcomes of their own
    if path is not None:
        config.pluginmanager.register(Recorder(path), "suite outcomes")


class Recorder:
    """Writes a line for each report: what it is about, the stage, the outcome."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115  # closed when the session ends

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self._write(report.nodeid, "collect", report.outcome)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.passed else "xfailed"
        self._write(report.nodeid, report.when, outcome)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write("", "session", str(int(exitstatus)))
        self._file.close()

    def _write(self, *parts: str) -> None:
        self._file.write(json.dumps(parts) + "\n")

"""Findings made in xdist's workers travel home on the reports of their tests."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcpsmoke.glue.recorder import Recorder
from pytest_mcpsmoke.report.model import Finding

_FINDINGS = "mcpsmoke_findings"
_USAGE = "mcpsmoke_usage"


class WorkerSink:
    """In a worker: hands each finding to the next report; what is left goes along when the worker ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waiting: list[dict[str, Any]] = []
        self._usage: str | None = None

    def add(self, finding: Finding) -> None:
        """Keep a finding until a report can carry it."""
        self._waiting.append(finding.record())

    def note(self, text: str, is_urgent: bool) -> None:
        """Keep a note until a report can carry it."""
        self._waiting.append({"type": "note", "text": text, "is_urgent": is_urgent})

    def refuse(self, message: str) -> None:
        """Keep a usage error for the controller, where it ends the run."""
        self._usage = message

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Any:
        """Attach what is waiting; simple attributes of a report are serialised with it."""
        report = yield
        if self._waiting:
            setattr(report, _FINDINGS, self._waiting)
            self._waiting = []
        return report

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside the wrapper of xdist that sends workeroutput
    def pytest_sessionfinish(self) -> Any:
        """Send what no report carried."""
        result = yield
        output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
        output[_FINDINGS] = self._waiting
        output[_USAGE] = self._usage
        return result


class ControllerSink:
    """In the controller: unpacks what the workers sent."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the findings that a report carries, before the test's own line."""
        self._receive(getattr(report, _FINDINGS, []))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Record what a worker sent at its end; a worker that was killed sent nothing then."""
        output = getattr(node, "workeroutput", None) or {}
        self._receive(output.get(_FINDINGS, []))
        if output.get(_USAGE):
            raise pytest.UsageError(output[_USAGE])

    def _receive(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            if record["type"] == "note":
                self._recorder.note(record["text"], record["is_urgent"])
            else:
                self._recorder.add(Finding.of_record(record))

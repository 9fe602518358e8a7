"""Findings made in xdist's workers travel home on the reports of their tests."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcpsmoke.glue.recorder import Key, Recorder, key_of
from pytest_mcpsmoke.report.model import Finding

_FINDINGS = "mcpsmoke_findings"
_FAILED = "mcpsmoke_failed"  # whether what no report carried fails the run


class WorkerSink:
    """In a worker: hands each finding to the next report; what is left goes along when the worker ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waiting: list[dict[str, Any]] = []

    def add(self, finding: Finding) -> None:
        """Keep a finding until a report can carry it."""
        self._waiting.append(finding.record())

    def note(self, text: str, is_urgent: bool) -> None:
        """Keep a note until a report can carry it."""
        self._waiting.append({"type": "note", "text": text, "is_urgent": is_urgent})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Attach what is waiting, now that the report is sent: not every report that is made is.

        Simple attributes of a report are serialised with it.
        """
        if self._waiting:
            setattr(report, _FINDINGS, self._waiting)
            self._waiting = []

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside the wrapper of xdist that sends workeroutput
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        """Send what no report carried."""
        status = session.exitstatus
        result = yield
        output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
        output[_FINDINGS] = self._waiting
        output[_FAILED] = session.exitstatus != status
        return result


class ControllerSink:
    """In the controller: unpacks what the workers sent."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._first: dict[Key, str] = {}  # which worker told it first
        self._has_failed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the findings that a report carries, before the test's own line."""
        self._receive(getattr(report, _FINDINGS, []), getattr(report, "worker_id", ""))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Record what a worker sent at its end; a worker that was killed sent nothing then."""
        output = getattr(node, "workeroutput", None) or {}
        self._receive(output.get(_FINDINGS, []), node.gateway.id)
        self._has_failed = self._has_failed or output.get(_FAILED, False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if a worker's session has failed at its very end: xdist does not tell."""
        if self._has_failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _receive(self, records: list[dict[str, Any]], worker: str) -> None:
        for record in records:
            if record["type"] == "note":
                self._recorder.note(record["text"], record["is_urgent"])
                continue
            finding = Finding.of_record(record)
            if self._first.setdefault(key_of(finding), worker) == worker:  # else: a test that both have run
                self._recorder.add(finding)

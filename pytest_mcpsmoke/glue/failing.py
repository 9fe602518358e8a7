"""--leaks=fail: what a test left changed is an error of its teardown."""

from __future__ import annotations

from typing import Any

import pytest


class FailReports:
    """Turns texts about leaks into the teardown's report: text only, no traceback, --pdb not entered."""

    def __init__(self) -> None:
        self.texts: list[str] = []  # about the running test

    def add_to(self, error: BaseException) -> None:
        """Put the texts into an error that the teardown raised itself, where JUnit XML shows them too."""
        for text in self.texts:
            error.add_note(text)
        self.texts.clear()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Any:
        """Fail the report of a teardown that itself passed."""
        report: pytest.TestReport = yield
        if call.when == "teardown" and self.texts:
            report.outcome = "failed"
            report.longrepr = "\n".join(self.texts)
            self.texts.clear()
        return report

"""--leaks=fail: what a test left changed is an error of its teardown."""

from __future__ import annotations

from typing import Any

import pytest


class FailReports:
    """Turns texts about leaks into the teardown's report: text only, no traceback, --pdb not entered.

    What one attempt at a test left fails the later ones, too: they start from what it left, and could pass.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []  # about the running test
        self._said: list[str] = []  # of the test that ran last
        self._item: pytest.Item | None = None  # which that is

    def add_to(self, error: BaseException, item: pytest.Item) -> None:
        """Put the texts into an error that the teardown raised itself, where JUnit XML shows them too."""
        for text in self._of(item):
            error.add_note(text)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Fail the report of a teardown that has not failed itself."""
        report: pytest.TestReport = yield
        if call.when == "teardown" and (texts := self._of(item)) and not report.failed:
            report.outcome = "failed"
            report.longrepr = "\n".join(texts)
        return report

    def _of(self, item: pytest.Item) -> list[str]:
        """What is said of a test whose teardown is over, and of the attempts at it before."""
        if item is not self._item:
            self._item, self._said = item, []
        self._said += self.texts
        self.texts = []
        return self._said

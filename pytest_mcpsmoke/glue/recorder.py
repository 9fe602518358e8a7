"""Where the findings of a run come together, and what the terminal says of them at its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.text import report_lines

if TYPE_CHECKING:
    from pytest_mcpsmoke.glue.report_file import ReportFile
    from pytest_mcpsmoke.report.allowances import Declared

Key = tuple[str, ...]


def key_of(finding: Finding) -> Key:
    """What makes two findings one and the same, told twice."""
    return finding.owner, finding.place, finding.change, finding.verdict


class Recorder:
    """Keeps the findings of a run, hands them to the report file, and prints them when it is over."""

    def __init__(self, config: pytest.Config, file: ReportFile | None, replay: list[str]) -> None:
        """replay: the options that bring the same order again, if it is random."""
        self._replay = [f"in the same order again: {' '.join(replay)}"] if replay else []
        self._root = str(config.rootpath)
        self._file = file
        self._found: list[Finding] = []
        self._seen: set[Key] = set()
        self._stale: list[str] = []
        self._notes: dict[str, bool] = {}  # and whether they are worth a section of their own
        self._hook = config.hook.pytest_mcpsmoke_finding
        self._problem: str | None = None
        self._is_printed = False

    def add(self, finding: Finding) -> None:
        """Record one finding; what an import or a wide fixture left is recorded once, not once per worker."""
        key = key_of(finding)
        if finding.owner_kind != "test":
            if key in self._seen:
                return
            self._seen.add(key)
        self._found.append(finding)
        if self._hook.get_hookimpls():
            self._hook(finding=finding)
        if self._file is not None:
            self._file.add(finding)

    @property
    def changed(self) -> set[str]:
        """The places that anybody left changed, allowed or not."""
        return {finding.place for finding in self._found if finding.verdict != "warm-up"}

    def add_stale(self, allowances: Iterable[Declared]) -> None:
        """Record allowances that matched nothing."""
        for declared in allowances:
            self._stale.append(declared.line)
            if self._file is not None:
                self._file.write(declared.record())

    def note(self, text: str, is_urgent: bool) -> None:
        """Record, once, what limits the findings; shown beside them, or on its own when it is urgent."""
        if text not in self._notes and self._file is not None:
            self._file.write({"type": "note", "text": text})
        self._notes.setdefault(text, is_urgent)

    def refuse(self, message: str) -> NoReturn:
        """End the run with a usage error."""
        raise pytest.UsageError(message)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        """Print the section where pytest prints no summary: of a run that ended by a status of its own."""
        result = yield
        reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not self._is_printed and not reporter.no_summary:
            self.pytest_terminal_summary(reporter)
        return result

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the section, and nothing at all when nothing leaked and no allowance is stale."""
        self._is_printed = True
        self._end()
        lines = [*report_lines(self._found, self._root), *self._stale]
        lines += self._replay if lines else []
        lines += filter(None, [self._problem])
        lines += [text for text, is_urgent in self._notes.items() if is_urgent or lines]
        if lines:
            terminalreporter.section("state leaks")
            for line in lines:
                terminalreporter.line(line)

    def pytest_unconfigure(self) -> None:
        """End the file of a run that came to no summary."""
        self._end()

    def _end(self) -> None:
        if self._file is not None:
            self._problem = self._file.end()
            self._file = None

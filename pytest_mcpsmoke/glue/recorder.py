"""Where the findings of a run come together, and what the terminal says of them at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mcpsmoke.glue.command import Command
from pytest_mcpsmoke.glue.hints import Hints
from pytest_mcpsmoke.glue.randomly import seed_of
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.text import few, report_lines, summary_line

if TYPE_CHECKING:
    from pytest_mcpsmoke.glue.report_file import ReportFile
    from pytest_mcpsmoke.report.allowances import Declared

Key = tuple[str, ...]

_STALE = 10  # lines that say so, of a section that is cut to a screenful
_NOTES = 5


def key_of(finding: Finding) -> Key:
    """What makes two findings one and the same, told twice."""
    return finding.owner, finding.place, finding.change, finding.verdict


class Recorder:
    """Keeps the leaks of a run, hands all findings to the report file, and prints them when it is over.

    show: how many lines that may take; None: as many as it needs. replay: the options that bring the same
    order again, if it is random.
    """

    def __init__(
        self, config: pytest.Config, file: ReportFile | None, show: int | None, replay: list[str]
    ) -> None:
        self._replay = [f"in the same order again: {' '.join(replay)}"] if replay else []
        self._root = str(config.rootpath)
        self._file = file
        self._show = show
        self._command = Command(config)
        self._path = config.getoption("mcpsmoke_leaks_report")
        self._hints = Hints(config, self._command, self._path, seed_of(config))
        config.pluginmanager.register(self._hints, "mcpsmoke-hints")
        self._leaks: list[Finding] = []
        self._verdicts: Counter[str] = Counter()
        self.changed: set[str] = set()  # the places that anybody left changed, allowed or not
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
        finding = finding._replace(command=self._command.again(finding))
        self._verdicts[finding.verdict] += 1
        if finding.verdict == "leak":
            self._leaks.append(finding)
        if finding.verdict != "warm-up":
            self.changed.add(finding.place)
        if self._hook.get_hookimpls():
            self._hook(finding=finding)
        if self._file is not None:
            self._file.add(finding)

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
        last = self._few(self._stale, _STALE, "stale allowances")
        last += self._replay if self._leaks or last else []
        last += filter(None, [self._problem])
        is_silent = not (self._leaks or last)
        notes = [text for text, is_urgent in self._notes.items() if is_urgent or not is_silent]
        last += self._few(notes, _NOTES, "notes")
        if self._leaks or last:
            terminalreporter.section("state leaks")
            for line in (*self._report(len(last)), *last):
                terminalreporter.line(line)

    def _report(self, reserved: int) -> list[str]:
        """The lines about leaks; so many others stand below them."""
        if not self._leaks:
            return []
        hints = self._hints.lines(self._leaks)
        limit = None if self._show is None else max(1, self._show - reserved - len(hints) - 1)
        where = "" if self._path is None else f", {self._path} has them"
        rest = f": --leaks-show=all shows them{where}"
        lines = report_lines(self._leaks, self._root, limit, rest)
        return [*lines, *hints, summary_line(self._leaks, self._verdicts)]

    def _few(self, lines: list[str], most: int, noun: str) -> list[str]:
        return lines if self._show is None else few(lines, most, noun)

    def pytest_unconfigure(self) -> None:
        """End the file of a run that came to no summary."""
        self._end()

    def _end(self) -> None:
        if self._file is not None:
            self._problem = self._file.end()
            self._file = None

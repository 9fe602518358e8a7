"""Which failures may be pollution, and the command that proves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import pytest

from pytest_mcpsmoke.glue.command import Command
from pytest_mcpsmoke.glue.failure import failure_of, worker_of
from pytest_mcpsmoke.glue.owners import relative_to
from pytest_mcpsmoke.order.reaching import Reader
from pytest_mcpsmoke.order.suspects import Reach, Suspect, doubts
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.suspecting import suspect_of
from pytest_mcpsmoke.report.text import plural

_SHARE: Final = 8  # one failure is named for so many lines that the section may have
_LOOKED_AT: Final = 50  # red tests whose files are read
_FELT: Final = frozenset({"cwd", "umask", "locale", "time zone", "clock"})  # probes
_CONFIGURED: Final = ("logging.", "warnings.")  # what is there for whoever imports these


class Red(NamedTuple):
    """A test that failed, and a file of the failure."""

    nodeid: str
    path: str
    worker: str | None


class Hints:
    """Notes who ran when, in which worker, and who failed. Registered as a plugin.

    report: the file of --leaks-report as it was given; seed: pytest-randomly's.
    """

    def __init__(self, config: pytest.Config, command: Command, report: str | None, seed: int | None) -> None:
        self._command = command
        self._report = report
        self._seed = seed
        self._reader = Reader(config.rootpath)
        self._relative = relative_to(config.rootpath)
        self._ran: dict[str | None, dict[str, int]] = {}  # by worker: test -> when
        self._red: dict[str, Red] = {}  # each test once, however many subtests or workers fail it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note set-up and call: a leak of its own fails the teardown, a worker that dies no stage."""
        if report.when not in ("setup", "call"):
            return
        worker = worker_of(report)
        ran = self._ran.setdefault(worker, {})
        ran.setdefault(report.nodeid, len(ran) + 1)
        failure = failure_of(report, self._relative)
        if failure is not None:
            self._red.setdefault(report.nodeid, Red(report.nodeid, failure.path, worker))

    def lines(self, leaks: Iterable[Finding], show: int | None) -> list[str]:
        """Return two lines for each failure that a leak before it may have brought about.

        show: how many lines the section may have; the first few failures are named, the others counted.
        """
        left = [leak for leak in leaks if not leak.restored]
        looked_at = [*self._red.values()][:_LOOKED_AT] if left else []
        found = [(red, self._suspect(red, left)) for red in looked_at]
        named = [(red, suspect) for red, suspect in found if suspect is not None]
        most = len(named) if show is None else show // _SHARE
        lines = [line for red, suspect in named[:most] for line in self._lines(red, suspect)]
        rest = len(named[most:])
        if not rest:
            return lines
        others = plural(rest, "more failure" if lines else "failure")
        least = "at least " if len(looked_at) < len(self._red) else ""
        return [*lines, f"{'and ' if lines else ''}{least}{others} may be pollution"]

    def _suspect(self, red: Red, left: list[Finding]) -> Suspect | None:
        """The likeliest of the leaks that came before a failure, if the test can meet it."""
        when = self._ran[red.worker]
        before = {test: at for test, at in when.items() if at < when[red.nodeid]}
        own = red.nodeid.partition("::")[0]
        came = [(leak, one) for leak in left if (one := suspect_of(leak, before)) and one.owner != own]
        if not came:
            return None
        reach = self._reader.reach_of_test(red.nodeid, red.path)
        met = [one for leak, one in came if reach.meets(one.place) or _is_felt(leak, reach)]
        return min(met, key=lambda one: (not reach.meets(one.place), doubts(one, reach)), default=None)

    def _lines(self, red: Red, suspect: Suspect) -> Iterator[str]:
        who = f"importing {suspect.owner}" if suspect.is_import else suspect.owner
        yield f"may be pollution: {red.nodeid} failed after {who} had left {suspect.place} changed"
        command = self._command.culprit(red.nodeid, self._report, self._seed)
        if command is not None:
            yield f"  prove it: {command}"


def _is_felt(leak: Finding, reach: Reach) -> bool:
    """Whether a change of ambient state is met by code that need not name it."""
    return leak.probe in _FELT or (leak.place.startswith(_CONFIGURED) and reach.holds(leak.place))

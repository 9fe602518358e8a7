"""Which failures may be pollution, and the command that proves it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Final, NamedTuple

import pytest

from pytest_mcpsmoke.glue.command import Command
from pytest_mcpsmoke.glue.failure import failure_of, worker_of
from pytest_mcpsmoke.glue.owners import relative_to
from pytest_mcpsmoke.order.reaching import reach_of_test
from pytest_mcpsmoke.order.suspects import Suspect, rank
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.suspecting import suspect_of

_MOST: Final = 5  # victims that are named
_LOOKED_AT: Final = 50  # red tests whose files are read


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
        self._config = config
        self._command = command
        self._report = report
        self._seed = seed
        self._relative = relative_to(config.rootpath)
        self._ran: dict[str | None, dict[str, int]] = {}  # by worker: test -> when
        self._red: list[Red] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note set-up and call: a leak of its own fails the teardown, a worker that dies no stage."""
        if report.when not in ("setup", "call"):
            return
        worker = worker_of(report)
        ran = self._ran.setdefault(worker, {})
        ran.setdefault(report.nodeid, len(ran) + 1)
        failure = failure_of(report, self._relative)
        if failure is not None:
            self._red.append(Red(report.nodeid, failure.path, worker))

    def lines(self, leaks: Iterable[Finding]) -> list[str]:
        """Return two lines for each failure that a leak before it may have brought about."""
        left = [leak for leak in leaks if not leak.restored]
        found = [(red, self._suspect(red, left)) for red in self._red[:_LOOKED_AT]] if left else []
        named = [(red, suspect) for red, suspect in found if suspect is not None]
        lines = [line for red, suspect in named[:_MOST] for line in self._lines(red, suspect)]
        rest = len(named) - _MOST
        return [*lines, f"and {rest} more failures may be pollution"] if rest > 0 else lines

    def _suspect(self, red: Red, left: list[Finding]) -> Suspect | None:
        """The likeliest of the leaks that came before a failure, if the test can meet it."""
        when = self._ran[red.worker]
        before = {test: at for test, at in when.items() if at < when[red.nodeid]}
        own = red.nodeid.partition("::")[0]
        suspects = [one for leak in left if (one := suspect_of(leak, before)) and one.owner != own]
        if not suspects:
            return None
        reach = reach_of_test(red.nodeid, self._config.rootpath, red.path)
        met = [suspect for suspect in suspects if reach.meets(suspect.place)]
        return rank(met, reach)[0] if met else None

    def _lines(self, red: Red, suspect: Suspect) -> list[str]:
        words = ["mcpsmoke", "culprit", self._command.from_here(red.nodeid)]
        if self._report is not None:
            words += ["--from", self._report]
        elif self._seed is not None:
            words += ["--seed", str(self._seed)]
        options = self._command.plain_options
        words += ["--", *options] if options else []
        return [
            f"may be pollution: {red.nodeid} failed after {suspect.owner} had left {suspect.place} changed",
            f"  prove it: {shlex.join(words)}",
        ]

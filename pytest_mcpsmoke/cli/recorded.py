"""What a report tells of one test's run: who ran before it and after it, and what they left changed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.order.suspects import Suspect
from pytest_mcpsmoke.report.failure import Failure
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.reading import Record, read_report
from pytest_mcpsmoke.report.suspecting import suspect_of

_RED = ("failed", "error")
_NEAREST = 3


class Ran(NamedTuple):
    """One test of a report."""

    nodeid: str
    outcome: str
    failure: Failure | None
    worker: Any

    @property
    def is_red(self) -> bool:
        return self.outcome in _RED


class Told(NamedTuple):
    """A report: its tests in the order in which they ran, what was left, and where its node ids begin."""

    tests: tuple[Ran, ...]
    findings: tuple[Finding, ...]
    seed: int | None
    root: Path  # absolute

    @classmethod
    def of(cls, path: str, here: Path, is_incomplete_fine: bool = False) -> Told:
        """Read a report of a run that was started here. Raises UsageProblem."""
        records = list(read_report(path, is_incomplete_fine))
        run = records[0].fields
        seed, root = run.get("seed"), run.get("rootdir", ".")
        tests = [_ran(record) for record in records if record.type == "test"]
        return cls(
            tuple(test for test in tests if test.outcome != "rerun"),
            tuple(_finding(record) for record in records if record.type == "finding"),
            seed if isinstance(seed, int) else None,
            Path(os.path.normpath(here / str(root))),
        )

    def find(self, nodeid: str, here: Path) -> Ran:
        """Return a test by its node id, as the report or as pytest's terminal has it. Raises UsageProblem."""
        path, colons, rest = nodeid.partition("::")
        from_root = os.path.relpath(here / path, self.root).replace(os.sep, "/") + colons + rest
        for test in self.tests:
            if test.nodeid in (nodeid, from_root):
                return test
        raise UsageProblem(f"{nodeid}: no such test in the recorded run{nearest(nodeid, self._ids())}")

    def _ids(self) -> list[str]:
        return [test.nodeid for test in self.tests]

    def around(self, victim: Ran) -> tuple[list[str], list[str]]:
        """Return who ran before a test, and who after it, in its process."""
        beside = [test for test in self.tests if test.worker == victim.worker]
        at = beside.index(victim)
        return [test.nodeid for test in beside[:at]], [test.nodeid for test in beside[at + 1 :]]

    def left(self, before: Sequence[str]) -> list[Suspect]:
        """Return what tests, and what was imported for them, had left changed; in the order of the report."""
        at = {nodeid: number for number, nodeid in enumerate(before, 1)}
        found = (suspect_of(finding, at) for finding in self.findings)
        return [suspect for suspect in found if suspect is not None]


def _ran(record: Record) -> Ran:
    failure = Failure.of_record(record.fields.get("failure"))
    return Ran(record.text("nodeid"), record.text("outcome"), failure, record.fields.get("worker"))


def _finding(record: Record) -> Finding:
    try:
        return Finding.of_record(record.fields)
    except (KeyError, TypeError) as error:
        raise UsageProblem(f"{record.where}: a finding without {error}; is this a report?") from error


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the end of a message: the names that look most like one that is not there."""
    found = difflib.get_close_matches(name, list(names), _NEAREST, 0.4)
    return f"; nearest: {', '.join(found)}" if found else ""


def last_failed(here: Path) -> list[str]:
    """Return the node ids that pytest's cache calls the last failed. Raises UsageProblem."""
    import json

    of_tox = os.environ.get("TOX_ENV_DIR")  # there pytest keeps its cache when tox runs it
    for folder in (Path(of_tox),) if of_tox else (here, *here.parents):
        path = folder / ".pytest_cache" / "v" / "cache" / "lastfailed"
        if path.is_file():
            try:
                found = json.loads(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise UsageProblem(f"{path}: cannot be read: {error}") from error
            names = [name for name in found if "::" in name]
            if names:
                return names
    raise UsageProblem("--last-failed: pytest's cache tells of no failed test; give its node id")

"""Experiments as throw-away pytest processes, each at most once."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.cli.notebook import Notebook
from pytest_mcpsmoke.cli.recorded import Told
from pytest_mcpsmoke.errors import BudgetOver, UsageProblem
from pytest_mcpsmoke.order.experiment import Experiment, Seen
from pytest_mcpsmoke.order.suspects import Reach, Suspect, rank
from pytest_mcpsmoke.readiness.gate.running import Outputs, run_child
from pytest_mcpsmoke.report.failure import Failure
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.reading import read_report

# As with the command `pytest`, the project's folder is not on sys.path.
_PYTHON: Final = (sys.executable, "-P", "-m")
_OBSERVED: Final = ("pytest", "-p", "mcpsmoke", "--leaks=report")
_FIXED: Final = (*_OBSERVED, "--in-given-order")
_MANY: Final = 40  # names that stand on a command line; more stand in a file
_OF_ERRORS: Final = ("ERROR", "E  ", "INTERNALERROR")
_PATIENCE: Final = 30.0  # seconds
_FOREVER: Final = 86_400.0  # seconds


class Budget(NamedTuple):
    """How many pytest processes may be started, and until when (time.monotonic)."""

    processes: int | None = None
    until: float | None = None

    @property
    def seconds(self) -> float:
        return _FOREVER if self.until is None else self.until - time.monotonic()


class Project(NamedTuple):
    """Where pytest is started, where node ids begin, and the user's own options for it."""

    here: Path
    root: Path
    options: tuple[str, ...]

    def name(self, nodeid: str) -> str:
        """A node id as an argument of pytest."""
        path, colons, rest = nodeid.partition("::")
        return os.path.relpath(self.root / path, self.here).replace(os.sep, "/") + colons + rest

    def words(self, experiment: Experiment, victim: str) -> tuple[list[str], list[str]]:
        """The options of one experiment, and the names of what is run, the victim last."""
        option = "--leaks-undo" if experiment.undo else "--leaks-restore-only"
        run = {test.partition("::")[0] for test in (*experiment.before, victim)}
        imports = [path for path in experiment.imports if path not in run]
        options = [
            *self.options,
            *(f"{option}={place}" for place in experiment.put_back),
            *(f"--leaks-spare={test}" for test in experiment.spared),
            *(f"--deselect={path}" for path in imports),
        ]
        return options, [self.name(name) for name in (*imports, *experiment.before, victim)]

    def command(self, experiment: Experiment, victim: str) -> str:
        """The line to paste."""
        options, names = self.words(experiment, victim)
        return shlex.join([*_FIXED, *options, *names])


class PytestLab:
    """Runs experiments on one victim. told is called with each and what came of it."""

    def __init__(
        self,
        project: Project,
        victim: str,
        reach: Reach,
        notebook: Notebook,
        budget: Budget,
        tell: Callable[[int, Experiment, Seen, float], None],
    ) -> None:
        self._project = project
        self._victim = victim
        self._reach = reach
        self._notebook = notebook
        self._budget = budget
        self._tell = tell
        self.runs = 0
        self._took = 0.0  # seconds
        self.findings: dict[tuple[str, str], Finding] = {}  # by owner and place
        self._seen: dict[Experiment, Seen] = {}

    def like(self, suspects: Sequence[Suspect]) -> list[Suspect]:
        return rank(suspects, self._reach)

    def run(self, experiment: Experiment) -> Seen:
        """Run one, or remember it. Raises BudgetOver, KeyboardInterrupt, UsageProblem."""
        if experiment not in self._seen:
            key = json.dumps(experiment)
            record = self._notebook.known.get(key)
            if record is None:
                began = time.monotonic()
                record = self._make(experiment)
                self._notebook.keep(key, record)
                self._seen[experiment] = self._read(record)
                self._tell(self.runs, experiment, self._seen[experiment], time.monotonic() - began)
            else:
                self._seen[experiment] = self._read(record)
        return self._seen[experiment]

    def _read(self, record: dict[str, Any]) -> Seen:
        for fields in record["findings"]:
            finding = Finding.of_record(fields)
            self.findings[finding.owner, finding.place] = finding
        left = tuple(Suspect(*fields) for fields in record["left"])
        return Seen(record["is_passed"], left, Failure.of_record(record["failure"]))

    def watch(self, place: str, experiment: Experiment) -> list[dict[str, Any]]:
        """Run one, and look at a place after every line: return the records of the writes, in their order.

        It may take as long as all before it, or _PATIENCE. Raises as run() does.
        """
        until = time.monotonic() + min(max(_PATIENCE, self._took), self._budget.seconds)
        report, _ = self._start(experiment, self._budget._replace(until=until), f"--leaks-where={place}")
        records = read_report(str(report), True) if report.exists() else []
        return [record.fields for record in records if record.type == "write"]

    def _start(self, experiment: Experiment, budget: Budget, *more: str) -> tuple[Path, Path]:
        """Start pytest, and return where its report and its output are."""
        if budget.processes is not None and self.runs >= budget.processes:
            raise BudgetOver(f"{self.runs} pytest processes")
        if budget.seconds <= 0:
            raise BudgetOver("the time")
        self.runs += 1
        folder = self._notebook.folder
        report, log = folder / "report.jsonl", folder / "log.txt"
        for path in (report, log):
            path.unlink(missing_ok=True)
        options, names = self._project.words(experiment, self._victim)
        if len(names) > _MANY:
            (folder / "names.txt").write_text("\n".join(names) + "\n", "utf-8")
            names = [f"@{folder / 'names.txt'}"]
        began = time.monotonic()
        run_pytest([*options, *more, *names], report, log, self._project.here, budget)
        self._took += time.monotonic() - began
        return report, log

    def _make(self, experiment: Experiment) -> dict[str, Any]:
        report, log = self._start(experiment, self._budget)
        told = read_child(report, log, self._project.here)
        victim = next((test for test in told.tests if test.nodeid == self._victim), None)
        is_alone = not (experiment.before or experiment.imports)
        if victim is None and is_alone:
            raise UsageProblem(f"{self._victim}: pytest did not run it{last_line(log)}")
        if victim is not None and victim.outcome == "skipped" and is_alone:
            raise UsageProblem(f"{self._victim}: skipped when it runs alone; there is nothing to explain")
        failure = Failure(self._victim, 0, "it could not be collected") if victim is None else victim.failure
        left = told.left([ran.nodeid for ran in told.tests if ran.nodeid != self._victim])
        wanted = {(suspect.owner, suspect.place) for suspect in left}
        return {
            "is_passed": victim is not None and not victim.is_red,
            "left": left,
            "failure": None if failure is None else failure._asdict(),
            "findings": [
                finding.record() for finding in told.findings if (finding.owner, finding.place) in wanted
            ],
        }


def run_pytest(
    words: Sequence[str], report: Path, log: Path, here: Path, budget: Budget, is_ordered: bool = True
) -> None:
    """Run pytest in a process of its own. Raises KeyboardInterrupt, BudgetOver, UsageProblem.

    The user's cache, and what coverage has measured, stay as they are.
    """
    own = ["-o", f"cache_dir={report.parent / 'cache'}", "--continue-on-collection-errors"]
    argv = [*_PYTHON, *(_FIXED if is_ordered else _OBSERVED), f"--leaks-report={report}", *own, *words]
    environ = {**os.environ, "COVERAGE_FILE": str(report.parent / "coverage")}
    ended = run_child(argv, here, environ, budget.seconds, Outputs(log, log), lambda seconds: None)
    if ended.by == "interrupt":
        raise KeyboardInterrupt
    if ended.by == "timeout":
        raise BudgetOver("the time")
    if ended.problem is not None:
        raise UsageProblem(ended.problem)


def read_child(report: Path, log: Path, here: Path) -> Told:
    """Read the report of a child; one that could not begin says why. Raises UsageProblem."""
    if not report.exists() or not report.stat().st_size:
        raise UsageProblem(f"pytest did not start{last_line(log)}")
    return Told.of(str(report), here, is_incomplete_fine=True)


def last_line(log: Path) -> str:
    """Return the end of a message: what pytest said of an error."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("ERROR: usage:")]
    marked = [line for line in lines if line.startswith(_OF_ERRORS) or ": error: " in line]
    told = (marked or lines)[-1:] if lines else []
    return "".join(f": {' '.join(line.split())}" for line in told)

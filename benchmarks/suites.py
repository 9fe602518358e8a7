"""What the plugin does on suites that its authors did not write: same outcomes, true findings, its price.

Downloads the sdists that benchmarks/suites.toml pins, gives each an environment of its own, and runs its
tests plain and with the plugin, in the same order. Compares how each stage of each test ended, sorts the
findings by what benchmarks/judgements.toml says of them, and writes the table of docs/reference/suites.md.
The exit status is 1 if an outcome differs or a finding has not been read.

An outcome that differs is looked at twice: what differs again in a second pair of runs is a difference.
Ratios are of CPU time (user and system) and of wall clock, the fastest run of each kind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.process import RunFailed, timed
from benchmarks.suite_outcomes import VARIABLE
from benchmarks.suite_sources import (
    ROOT,
    Ground,
    Suite,
    joined,
    plugin_folder,
    prepare,
    recorder_folder,
    suites,
)
from benchmarks.suite_table import Row, rewritten
from benchmarks.suite_verdicts import Found, Read, judgements, leaks, read

PAGE: Final = ROOT / "docs" / "reference" / "suites.md"
AT_MOST: Final = 1800.0  # seconds of a run
_DROPPED: Final = (
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONWARNINGS",
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
)
_ENDED: Final = ("0", "1")  # exit statuses of a run that went through: passed, some failed

Outcomes = Mapping[str, Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a suite: how every stage of every test ended, and what it cost."""

    outcomes: Outcomes
    wall: float
    cpu: float


@dataclass(slots=True)
class Shown:
    """What a suite showed: its runs in pairs, what differed each time, its findings."""

    suite: Suite
    plain: list[Run] = field(default_factory=list)
    watched: list[Run] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def row(self, judged: Read) -> Row:
        """The row of the table."""
        tests = sum(
            1 for name, stages in self.plain[0].outcomes.items() if name and stages[0][0] != "collect"
        )
        cpu = min(run.cpu for run in self.watched) / min(run.cpu for run in self.plain)
        wall = min(run.wall for run in self.watched) / min(run.wall for run in self.plain)
        suite, counts = self.suite, (len(self.found), len(judged.true), len(judged.false))
        return Row(suite.name, suite.version, suite.kind, tests, not self.different, *counts, cpu, wall)


class Bench:
    """The folder that everything lies in, with the plugin and the recorder made ready."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.python = python
        self._recorder = recorder_folder(folder)
        self._plugin = plugin_folder(folder, python)

    def show(self, suite: Suite, rounds: int) -> Shown:
        """Run a suite plain and watched, once or more; a second time where outcomes differ."""
        folder = self.folder / suite.name
        ground = prepare(suite, folder, self.python)
        self._run(suite, ground, "plain", "--collect-only")  # what it compiles, later runs need not
        shown = Shown(suite)
        while len(shown.plain) < rounds or (shown.different and len(shown.plain) == 1):
            shown.plain.append(self._run(suite, ground, "plain"))
            shown.watched.append(self._run(suite, ground, "watched"))
            now = differing(shown.plain[-1].outcomes, shown.watched[-1].outcomes)
            shown.different = [one for one in now if len(shown.plain) == 1 or one in shown.different]
        shown.found = leaks(folder / "leaks.jsonl")
        return shown

    def _run(self, suite: Suite, ground: Ground, how: str, *more: str) -> Run:
        folder = ground.sources.parents[1]
        outcomes, output = folder / f"{how}.jsonl", folder / f"{how}.txt"
        outcomes.unlink(missing_ok=True)
        own = ["--leaks=report", f"--leaks-report={folder / 'leaks.jsonl'}"] if how == "watched" else []
        command: list[str | Path] = [ground.python, *_PYTEST, *own, *_left_out(suite), *suite.options, *more]
        folders = [self._recorder, *([self._plugin] if how == "watched" else [])]
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        variables = {"PYTHONPATH": joined(*folders), "PYTHONHASHSEED": "0", VARIABLE: str(outcomes)}
        with output.open("wb") as file:
            status, wall, cpu = timed(command, ground.sources, {**kept, **variables}, file, AT_MOST)
        if not outcomes.exists() or (ended := _outcomes(outcomes))[""][0][1] not in _ENDED:
            text = output.read_text("utf-8", "replace")[-3000:]
            raise RunFailed(f"{suite.name}, {how}: exit status {status}\n{text}")
        return Run(ended, wall, cpu)


_PYTEST: Final = ("-m", "pytest", "-p", "suite_outcomes", "-p", "no:randomly", "-p", "no:cacheprovider", "-q")


def _left_out(suite: Suite) -> list[str]:
    return [f"--deselect={test}" for test in suite.without]


def _outcomes(path: Path) -> Outcomes:
    """How every stage of every test ended; "" is the whole run, as its exit status."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list, {"": []})
    for line in path.read_text("utf-8").splitlines():
        name, stage, outcome = json.loads(line)
        found[name].append((stage, outcome))
    return found if found[""] else {**found, "": [("session", "not ended")]}


def differing(plain: Outcomes, watched: Outcomes) -> list[str]:
    """The tests of which a stage ended otherwise, or that one of two runs did not have."""
    return [name for name in {**plain, **watched} if plain.get(name) != watched.get(name)]


# telling


def lines_of(shown: Shown, judged: Read) -> Iterator[str]:
    """Yield what there is to say of one suite."""
    row = shown.row(judged)
    counts = f"{row.findings} findings: {row.true} true, {row.false} false, {len(judged.unread)} unread"
    cost = f"x CPU {row.cpu:.2f}, x wall {row.wall:.2f}"
    yield f"{row.suite} {row.version}: {row.tests:,} tests; {counts}; {cost}"
    for name in shown.different:
        ended = [runs[-1].outcomes.get(name) for runs in (shown.plain, shown.watched)]
        yield f"  DIFFERS {name or 'exit status'}: {ended[0]} -> {ended[1]}"
    for label, findings in (("false", judged.false), ("unread", judged.unread)):
        times = Counter(one.place for one in findings)
        for place, first in {one.place: one for one in reversed(findings)}.items():
            yield f"  {label} {place}: {first.before} -> {first.after} ({times[place]})"
            yield f"      {first.owner}  {first.line}"


# the command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.suites",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = list(suites())
    result.add_argument(
        "--only", nargs="+", metavar="NAME", choices=names, default=names, help=f"of {', '.join(names)}"
    )
    result.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="where downloads and environments stay for the next time"
    )
    result.add_argument(
        "--python", default=sys.executable, help="the interpreter to run the suites with (default: this one)"
    )
    result.add_argument("--rounds", type=int, default=1, help="runs of each kind (default: 1)")
    return result


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="suites-") as folder:
        yield Path(folder).resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that were asked for, print what they showed, and write the table."""
    options = parser().parse_args(arguments)
    every, known, status = suites(), judgements(), 0
    with _folder(options.keep) as folder:
        bench = Bench(folder, options.python)
        for name in options.only:
            try:
                shown = bench.show(every[name], options.rounds)
            except RunFailed as failure:
                print(failure, flush=True)
                status = 1
                continue
            judged = read(name, shown.found, known)
            print(*lines_of(shown, judged), sep="\n", flush=True)
            if judged.unread or shown.different:
                status = 1
            page = PAGE.read_text("utf-8")
            PAGE.write_text(rewritten(page, [shown.row(judged)], list(every)), "utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())

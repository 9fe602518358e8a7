"""What loading the plugin costs, before any test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.process import Sample, ask, pytest_command, run

GOAL_MS: Final = 5
_OWN: Final = "pytest_mcpsmoke"
_PYTEST: Final = frozenset(
    {"pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "colorama", "exceptiongroup"}
)

# Names of all modules that are loaded at the end of a run over nothing.
_MODULES: Final = """
import json, sys, pytest
pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *sys.argv[1:]])
print()
print(json.dumps(sorted(sys.modules)))
"""

# Milliseconds of wall clock and of CPU time for the entry point, and for every module that a run loads.
_IMPORTS: Final = """
import contextlib, importlib, io, json, sys, time, pytest
with contextlib.redirect_stdout(io.StringIO()):
    pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider"])
marks = [(time.perf_counter(), time.process_time())]
for names in (["pytest_mcpsmoke.plugin"], sys.argv[1:]):
    for name in names:
        importlib.import_module(name)
    marks.append((time.perf_counter(), time.process_time()))
print(json.dumps([1000 * (mark[at] - marks[0][at]) for mark in marks[1:] for at in (0, 1)]))
"""

_RUNS: Final = {
    "plain": (),
    "-p mcpsmoke --leaks=off": ("-p", "mcpsmoke", "--leaks=off"),
    "-p mcpsmoke": ("-p", "mcpsmoke"),
}


def loading_lines(folder: Path, rounds: int, tell: Callable[[str], None]) -> Iterator[str]:
    """Measure what loading costs and yield the lines that say so."""
    before = set(ask(_MODULES, folder=folder))
    after = set(ask(_MODULES, "-p", "mcpsmoke", folder=folder))
    own = sorted(name for name in after if name.partition(".")[0] == _OWN)
    yield f"loading the plugin: medians of {rounds}, ms{'wall':>27}{'CPU':>9}"
    yield from _import_lines(folder, rounds, own, tell)
    yield from _collect_lines(folder, rounds, tell)
    brought = sorted(after - before - set(own))
    foreign = [name for name in brought if not _is_expected(name)]
    yield f"  imports beyond the standard library and pytest's own: {_list(foreign)}   goal: none"
    yield f"  imports that plain pytest does not need: {_list(brought)}"


def _import_lines(folder: Path, rounds: int, own: list[str], tell: Callable[[str], None]) -> Iterator[str]:
    """Yield a line for the entry point, and one for all that a run loads of the plugin."""
    times = []
    for number in range(rounds + 1):
        tell(f"loading: imports {number} of {rounds}")
        times.append(ask(_IMPORTS, *own, folder=folder))
    values = [median(column) for column in zip(*times[1:], strict=True)]
    yield _line("import pytest_mcpsmoke.plugin", values[0], values[1], goal=True)
    yield _line(f"all {len(own)} modules of it that a run loads", values[2], values[3], goal=True)


def _collect_lines(folder: Path, rounds: int, tell: Callable[[str], None]) -> Iterator[str]:
    """Yield a line for each way to run `pytest --collect-only` over an empty folder."""
    samples: dict[str, list[Sample]] = {name: [] for name in _RUNS}
    for number in range(rounds + 1):
        for name, options in _RUNS.items():
            tell(f"loading: round {number} of {rounds}, {name}")
            sample = run(pytest_command("--collect-only", *options), folder, expected=(5,))
            if number:
                samples[name].append(sample)
    plain = _milliseconds(samples.pop("plain"))
    yield _line("pytest --collect-only, empty folder, plain", *plain)
    for name, measured in samples.items():
        wall, cpu = _milliseconds(measured)
        yield _line(f"the same with {name}", wall - plain[0], cpu - plain[1], sign="+")


def _milliseconds(samples: list[Sample]) -> tuple[float, float]:
    """Medians of wall clock and CPU time."""
    return 1000 * median(sample.wall for sample in samples), 1000 * median(sample.cpu for sample in samples)


def _line(title: str, wall: float, cpu: float, sign: str = "", goal: bool = False) -> str:
    return f"  {title:<52}{wall:>{sign}9.1f}{cpu:>{sign}9.1f}" + (f"   goal <= {GOAL_MS}" if goal else "")


def _is_expected(name: str) -> bool:
    """Whether a module is the standard library's or pytest's own."""
    package = name.partition(".")[0]
    return package in sys.stdlib_module_names or package in _PYTEST


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"

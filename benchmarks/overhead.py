"""What watching for leaks costs a pytest run, against plain pytest on the same suite.

Builds a suite of trivial tests over many loaded modules in a temporary folder and runs it in fresh
processes, plain and with each engine in turn, after a round that is thrown away:

    600       600 modules and more: the standard library and generated ones
    shallow   the same, but no program: nothing is looked into
    heavy     a program of 10,000 classes, 5,000 instances and 20,000 elements of containers
    fixtures  the same with two function-scoped fixtures a test
    report    the same with --leaks-report=PATH
    5000      5,000 generated modules and more
    loading   importing the plugin, and `pytest --collect-only` over an empty folder

Plain pytest runs twice a round, first and last: how far its two rows differ is the noise. Ratios are
against both together. It loads an empty plugin by -p, for that alone makes pytest read the metadata of all
installed packages, as every ordinary run does and these, without autoloaded plugins, would not. "x CPU"
(user and system time) and "x min" (the fastest runs) bear a busy machine better than "x wall", the ratio
of medians. "+start" is CPU time before the first test, baseline included; "+loop" is CPU time of the loop
over the tests, divided by them; "us/test" is the whole of the additional CPU time, divided by the tests. A
missed goal is no failure: the exit status tells only whether the runs themselves worked.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.loading import loading_lines
from benchmarks.process import RunFailed, Sample, ask, pytest_command, run
from benchmarks.suite import EMPTY_PLUGIN, Shape, build

ENGINES: Final = ("watch", "version", "scan")
PLAIN: Final = ("plain", "plain again")
SCAN_ROUNDS: Final = 1  # it takes minutes, and its cost is no close call

_WORKING_ENGINES: Final = """
import json, sys
from pytest_mcpsmoke.state.engines import open_engine
names = {}
for name in sys.argv[1:]:
    try:
        open_engine(name, set())[0].stop()
        names[name] = None
    except Exception as error:
        names[name] = str(error)
print(json.dumps(names))
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One suite and how it is run."""

    name: str
    title: str
    generated: int = 120  # modules, beside some 500 of the standard library and pytest
    at_least: int = 600  # modules that have to be loaded
    fixtures: bool = False
    program: float = 0.25  # of the generated modules
    heavy: int = 0
    report: bool = False
    rounds: int = 7
    engines: tuple[str, ...] = ("watch", "version")
    goal: float | None = None  # ratio of the whole run, for watch and version


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("600", "600 modules", engines=ENGINES, goal=1.10),
        Variant("shallow", "600 modules, none of a program", program=0, goal=1.03),
        Variant("heavy", "10,000 classes, 5,000 instances, 20,000 elements", heavy=100, goal=1.10),
        Variant("fixtures", "600 modules, two fixtures a test", fixtures=True, goal=1.10),
        Variant("report", "600 modules, with a report file", report=True),
        Variant("5000", "5,000 modules", generated=5000, at_least=5000, rounds=3),
    )
}
LOADING: Final = "loading"


@dataclass(slots=True)
class Measured:
    """The samples of one variant, by row of the table."""

    variant: Variant
    tests: int
    census: Mapping[str, float] = field(default_factory=dict)
    rows: dict[str, list[Sample]] = field(default_factory=dict)

    def of(self, *names: str) -> list[Sample]:
        """All samples of these rows."""
        return [sample for name in names for sample in self.rows.get(name, [])]


Read = Callable[[Sample], float]


def _wall(sample: Sample) -> float:
    return sample.wall


def _cpu(sample: Sample) -> float:
    return sample.cpu


def _start(sample: Sample) -> float:
    return sample.facts["start_cpu"]


def _loop(sample: Sample) -> float:
    return sample.facts["loop_cpu"]


def _loop_without_gc(sample: Sample) -> float:
    return sample.facts["loop_cpu"] - sample.facts["full_gc_cpu"]


def tell(text: str) -> None:
    """Show where the benchmark is, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


# measuring


def measure(measured: Measured, folder: Path, engines: Sequence[str], rounds: int) -> None:
    """Build the suite of a variant in this folder and run it; the samples grow with every run."""
    variant = measured.variant
    shape = Shape(measured.tests, variant.generated, variant.fixtures, variant.program, variant.heavy)
    suite, library = build(folder, shape)
    tell(f"{variant.name}: counting")
    variables = {"PYTHONPATH": str(library), "BENCH_CENSUS": "1"}
    measured.census = run(pytest_command(*_options(variant, PLAIN[0], folder)), suite, variables).facts
    _check(measured)
    del variables["BENCH_CENSUS"]
    for number in range(rounds + 1):
        for row in _order(engines, number):
            if row == "scan" and not 1 <= number <= SCAN_ROUNDS:
                continue  # the others warm up for it
            tell(f"{variant.name}: round {number} of {rounds}, {row}")
            sample = run(pytest_command(*_options(variant, row, folder)), suite, variables)
            if number:
                measured.rows.setdefault(row, []).append(sample)


def _order(engines: Sequence[str], number: int) -> list[str]:
    """Plain first and last; the engines between them take turns, so that none always has the same place."""
    turn = number % len(engines) if engines else 0
    return [PLAIN[0], *engines[turn:], *engines[:turn], PLAIN[1]]


def _options(variant: Variant, row: str, folder: Path) -> list[str]:
    if row in PLAIN:
        return ["-p", EMPTY_PLUGIN]
    report = [f"--leaks-report={folder / 'leaks.jsonl'}"] if variant.report else []
    return ["-p", "mcpsmoke", f"--leaks-engine={row}", *report]


def _check(measured: Measured) -> None:
    """The suite has to be what its title says."""
    census, variant = measured.census, measured.variant
    if census.get("tests") != measured.tests or census.get("modules", 0) < variant.at_least:
        raise RunFailed(f"{variant.name}: not the suite that was meant to be measured: {dict(census)}")


# telling


def lines_of(measured: Measured) -> Iterator[str]:
    """Yield the table of one variant, from whatever has been measured of it."""
    plain = measured.of(*PLAIN)
    census, variant = measured.census, measured.variant
    if not plain:
        return
    yield (
        f"{variant.title}: {measured.tests:,} tests, {census['modules']:,.0f} modules and"
        f" {census['classes']:,.0f} classes loaded"
    )
    yield (
        f"  {'':12}{'runs':>5}{'wall s':>9}{'x wall':>8}{'x min':>8}{'CPU s':>9}{'x CPU':>8}"
        f"{'us/test':>9}{'+start ms':>11}{'+loop us':>10}   goal"
    )
    for row, samples in sorted(measured.rows.items(), key=lambda entry: (*PLAIN, *ENGINES).index(entry[0])):
        cells, goal = _cells(samples, plain, measured.tests), _goal(variant, row, samples, plain)
        yield f"  {row:<12}{cells}   {goal}".rstrip()


def _cells(samples: list[Sample], plain: list[Sample], tests: int) -> str:
    wall, cpu = _median(samples, _wall), _median(samples, _cpu)
    return (
        f"{len(samples):>5}{wall:>9.3f}{_ratio(samples, plain, _wall):>8.3f}"
        f"{min(map(_wall, samples)) / min(map(_wall, plain)):>8.3f}"
        f"{cpu:>9.3f}{_ratio(samples, plain, _cpu):>8.3f}{_more(samples, plain, _cpu) / tests * 1e6:>+9.1f}"
        f"{_more(samples, plain, _start) * 1e3:>+11.1f}{_more(samples, plain, _loop) / tests * 1e6:>+10.1f}"
    )


def _median(samples: list[Sample], read: Read) -> float:
    return median(map(read, samples))


def _ratio(samples: list[Sample], plain: list[Sample], read: Read) -> float:
    return _median(samples, read) / _median(plain, read)


def _more(samples: list[Sample], plain: list[Sample], read: Read) -> float:
    return _median(samples, read) - _median(plain, read)


def _goal(variant: Variant, row: str, samples: list[Sample], plain: list[Sample]) -> str:
    """The goal, and whether both the wall clock and the CPU time meet it."""
    if row in PLAIN or row == "scan" or variant.goal is None:
        return ""
    met = {ratio <= variant.goal for ratio in (_ratio(samples, plain, read) for read in (_wall, _cpu))}
    verdict = "met" if met == {True} else "missed" if met == {False} else "unclear"
    return f"<= {variant.goal:.2f} {verdict}"


def flat_line(every: Mapping[str, Measured]) -> str | None:
    """Say what watching 5,000 modules costs a test more than watching 600, and how far that may be noise.

    Full garbage collections are left out: over this many modules one takes as long as 500 tests, and
    whether one falls into the loop is a matter of luck.
    """
    few, many = every.get("600"), every.get("5000")
    if few is None or many is None or not (few.rows.get("watch") and many.rows.get("watch")):
        return None
    costs = [
        _more(one.of("watch"), one.of(*PLAIN), _loop_without_gc) / one.tests * 1e6 for one in (few, many)
    ]
    noise = [
        abs(_more(one.of(PLAIN[1]), one.of(PLAIN[0]), _loop_without_gc)) / one.tests * 1e6
        for one in (few, many)
        if one.of(PLAIN[1])
    ]
    return (
        f"watch from 600 to 5,000 modules: {costs[0]:+.1f} -> {costs[1]:+.1f} us a test in the loop, without"
        f" full garbage collections (plain against plain: {max(noise, default=0.0):.1f})   goal: flat"
    )


# the command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--tests", type=_positive, default=2000, help="tests in a suite (default: 2000)")
    result.add_argument(
        "--rounds",
        type=_positive,
        default=None,
        help="rounds of each variant (default: 7, and 3 over 5,000 modules; scan takes part in"
        f" {SCAN_ROUNDS} only)",
    )
    result.add_argument(
        "--variant",
        nargs="+",
        metavar="NAME",
        choices=(*VARIANTS, LOADING),
        default=(*VARIANTS, LOADING),
        help=f"what to measure, of {', '.join((*VARIANTS, LOADING))} (default: all)",
    )
    result.add_argument(
        "--engines",
        nargs="+",
        metavar="ENGINE",
        choices=ENGINES,
        default=None,
        help="of watch, version, scan; what does not work on this Python is left out (default: all, but scan"
        " with the first variant only)",
    )
    return result


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def working_engines(folder: Path) -> list[str]:
    """Names of the engines that work on this Python; tells why the others do not."""
    found: dict[str, str | None] = ask(_WORKING_ENGINES, *ENGINES, folder=folder)
    for reason in filter(None, found.values()):
        print(f"left out: {reason}")
    return [name for name, reason in found.items() if reason is None]


def benchmark(options: argparse.Namespace, root: Path, every: dict[str, Measured]) -> None:
    """Measure and print what was asked for, in turn; `every` grows by what is measured."""
    working = working_engines(root)
    for name in dict.fromkeys(options.variant):
        folder = root / name
        folder.mkdir()
        if name == LOADING:
            empty = folder / "empty"
            empty.mkdir()
            for line in loading_lines(empty, 3 * (options.rounds or 7), tell):
                show(line)
            continue
        variant = VARIANTS[name]
        wanted = [engine for engine in working if engine in (options.engines or variant.engines)]
        every[name] = Measured(variant, options.tests)
        try:
            measure(every[name], folder, wanted, options.rounds or variant.rounds)
        finally:  # interrupted, too: what was measured is worth something
            for line in lines_of(every[name]):
                show(line)
    flat = flat_line(every)
    if flat is not None:
        show(flat)


def show(line: str) -> None:
    """Print a line of the result over the progress that stands there."""
    tell("")
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 unless a run itself failed (1) or was interrupted (130)."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves no folder behind either
    show(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    try:
        with tempfile.TemporaryDirectory(prefix="overhead-") as root:
            benchmark(options, Path(root).resolve(), {})
    except KeyboardInterrupt:
        show("interrupted")
        return 130
    except RunFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

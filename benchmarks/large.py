"""A large suite that leaks: what a run, its report file and its summary take, and how that grows.

    python -m benchmarks.large [--tests 50000] [--leaks 2000] [--mode report]

Runs a generated suite three times: with a quarter of the tests and of the leaks, with half, and whole; with
the plugin, and without. Prints seconds of CPU time, peak memory, the size of the report, and the lines of the
summary.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import process

FILE: Final = 500  # tests
NAMES: Final = 400  # names of the program that leaks go to; more leaks meet some of them again
REPORT: Final = "leaks.jsonl"

_CONFTEST: Final = """\
import json
import os
import resource
import time

import pytest


ended = []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    ended.append(time.perf_counter())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary():
    started = time.perf_counter()
    yield
    facts = {
        "finish": started - ended[0],
        "summary": time.perf_counter() - started,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    with open(os.environ["BENCH_FACTS"], "w", encoding="utf-8") as file:
        json.dump(facts, file)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One run: seconds, megabytes, and what it printed."""

    tests: int
    leaks: int
    plain: float  # seconds of CPU time
    watched: float
    finish: float  # seconds on the clock from the last test to the summary
    summary: float  # and for the summary
    plain_peak: float  # megabytes
    peak: float
    size: float  # of the report file
    lines: int  # of the section


def write(folder: Path, tests: int, leaks: int) -> None:
    """Write a suite into an empty folder: a leak every so many tests, of four kinds in turn."""
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    names = "".join(f"NAME_{number} = {number}\n" for number in range(NAMES))
    (folder / "program.py").write_text(f"{names}REGISTRY = {{}}\nHANDLERS = []\n", encoding="utf-8")
    every = tests // leaks
    for first in range(0, tests, FILE):
        source = ["import os", "import program"]
        for number in range(first, min(first + FILE, tests)):
            is_leak = number % every == 0 and number // every < leaks
            source += [
                "",
                "",
                f"def test_{number}():",
                f"    {_leak(number // every) if is_leak else 'pass'}",
            ]
        (folder / f"test_{first // FILE:04}.py").write_text("\n".join(source) + "\n", encoding="utf-8")


def _leak(number: int) -> str:
    return (
        f"program.NAME_{number % NAMES} = 'left by {number}'",
        f"program.REGISTRY['key {number}'] = 'left by {number}'",
        f"program.HANDLERS.append({number})",
        f"os.environ['LEFT_{number % NAMES}'] = 'by {number}'",
    )[number % 4]


def measure(tests: int, leaks: int, mode: str, arguments: Sequence[str]) -> Row:
    """Run a suite without and with the plugin."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "suite"
        folder.mkdir()
        write(folder, tests, leaks)
        quiet = ("--tb=no", "-r", "N")
        plain = process.run(process.pytest_command(*quiet), folder)
        command = process.pytest_command(
            *quiet, "-p", "mcpsmoke", f"--leaks={mode}", f"--leaks-report={REPORT}", *arguments
        )
        output = folder.parent / "output"
        with_plugin = process.run(command, folder, expected=(1,) if mode == "fail" else (0,), output=output)
        text = output.read_text(encoding="utf-8")
        return Row(
            *(tests, leaks, plain.cpu, with_plugin.cpu),
            *(with_plugin.facts["finish"], with_plugin.facts["summary"]),
            *(plain.facts["peak"], with_plugin.facts["peak"]),
            *((folder / REPORT).stat().st_size / 1e6, section(text)),
        )


def section(output: str) -> int:
    """How many lines the section "state leaks" has."""
    lines = output.splitlines()
    start = next(at for at, line in enumerate(lines) if line.strip("= ") == "state leaks") + 1
    last = next(at for at, line in enumerate(lines) if at > start and " left by " in line and ";" in line)
    return last + 1 - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--tests", type=int, default=50_000)
    parser.add_argument("--leaks", type=int, default=2_000)
    parser.add_argument("--mode", choices=("report", "fail"), default="report")
    options, rest = parser.parse_known_args(arguments)
    print(f"CPython {sys.version.split()[0]}, --leaks={options.mode}")
    print("  tests  leaks   plain    with  finish  summary  plain MB  with MB  report MB  section lines")
    for part in (4, 2, 1):
        row = measure(options.tests // part, options.leaks // part, options.mode, rest)
        print(
            f"{row.tests:>7,} {row.leaks:>6,} {row.plain:>6.1f}s {row.watched:>6.1f}s {row.finish:>6.2f}s"
            f" {row.summary:>7.2f}s {row.plain_peak:>9.0f} {row.peak:>8.0f} {row.size:>10.1f}"
            f" {row.lines:>14}",
            flush=True,
        )


if __name__ == "__main__":
    main()

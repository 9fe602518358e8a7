"""Memory over a long run: what the plugin holds after 10,000 tests, 20,000 and so on, beside plain pytest.

    python -m benchmarks.memory [--tests 100000]

Runs as many generated trivial tests twice, without and with the plugin and its report file, and prints what
is resident after every tenth of them, the difference, and by how much that grew after the first tenth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks import process

FILE: Final = 1_000  # tests
PARTS: Final = 10
_PLUGIN: Final = ("-p", "mcpsmoke", "--leaks-report=leaks.jsonl")

_CONFTEST: Final = """\
import json
import os
import resource

count = 0
facts = {{}}


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def pytest_runtest_logfinish():
    global count
    count += 1
    if count % {every} == 0:
        facts[str(count)] = resident()


def pytest_sessionfinish():
    facts["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    with open(os.environ["BENCH_FACTS"], "w", encoding="utf-8") as file:
        json.dump(facts, file)
"""


def write(folder: Path, tests: int) -> None:
    """Write a suite of trivial tests into an empty folder."""
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "conftest.py").write_text(_CONFTEST.format(every=tests // PARTS), encoding="utf-8")
    (folder / "program.py").write_text("MODE = 'live'\nREGISTRY = {}\n", encoding="utf-8")
    for first in range(0, tests, FILE):
        numbers = range(first, min(first + FILE, tests))
        source = "".join(f"\n\ndef test_{at}():\n    program.MODE\n" for at in numbers)
        (folder / f"test_{first // FILE:04}.py").write_text(f"import program\n{source}", encoding="utf-8")


def measure(tests: int, arguments: Sequence[str]) -> dict[str, float]:
    """Run the suite once; return megabytes by number of tests, and the peak."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "suite"
        folder.mkdir()
        write(folder, tests)
        return dict(process.run(process.pytest_command(*arguments), folder).facts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--tests", type=int, default=100_000)
    options = parser.parse_args(arguments)
    with ThreadPoolExecutor(2) as pool:  # side by side: it is memory that is measured, not time
        plain, watched = pool.map(lambda arguments: measure(options.tests, arguments), ((), _PLUGIN))
    print(f"CPython {sys.version.split()[0]}, {options.tests:,} trivial tests, megabytes resident")
    print("after tests   plain  plugin  difference")
    for name, used in plain.items():
        shown = name if name == "peak" else f"{int(name):,}"
        print(f"{shown:>11} {used:>7.1f} {watched[name]:>7.1f} {watched[name] - used:>11.1f}")
    first = next(iter(plain))
    last = str(options.tests)
    grown = (watched[last] - plain[last]) - (watched[first] - plain[first])
    print(f"the difference grew by {grown:.1f} MB from {int(first):,} to {options.tests:,} tests")


if __name__ == "__main__":
    main()

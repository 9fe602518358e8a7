"""A suite in which one test breaks another one, of any size, that counts the pytest processes it meets."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

PER_FILE: Final = 25  # tests
SMALLEST: Final = 2 * PER_FILE  # tests; a polluter's file and a victim's
VARIABLE: Final = "BENCH_RUNS"  # names the file that grows by a line with each pytest process
REPORT: Final = "leaks.jsonl"
_LEAKY: Final = 10  # every so many tests leaks, and does no harm

_CONFTEST: Final = f"""\
import os


def pytest_configure():
    with open(os.environ["{VARIABLE}"], "a", encoding="utf-8") as file:
        file.write(f"{{os.getpid()}}\\n")
"""
_PROGRAM: Final = """\
RATE = 2
CURRENCY = "EUR"
ORDERS = {}
LISTENERS = []


def total(pieces):
    return pieces * RATE
"""


class Answer(NamedTuple):
    """What there is to find out: node id of the polluter, the place, the line that writes as file:line."""

    test: str
    place: str
    line: str


class Puzzle(NamedTuple):
    """A suite on disk: node id of the victim, and why it fails."""

    victim: str
    answer: Answer


def write(folder: Path, tests: int) -> Puzzle:
    """Write a suite into an empty folder: the polluter in its first tenth, the victim the last but one.

    One test in ten leaks something harmless, three in four of them into the module that the victim uses.
    Raises ValueError for fewer tests than two files have.
    """
    if tests < SMALLEST:
        raise ValueError(f"{tests} tests: at least {SMALLEST}")
    polluter, victim = tests // _LEAKY - 1, tests - 2
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / "shop.py").write_text(_PROGRAM, encoding="utf-8")
    for first in range(0, tests, PER_FILE):
        source = ["import os", "", "import shop"]
        for number in range(first, min(first + PER_FILE, tests)):
            source += ["", "", f"def test_{number}():", f"    {_body(number, polluter, victim)}"]
        _path(folder, first).write_text("\n".join(source) + "\n", encoding="utf-8")
    return Puzzle(_nodeid(victim), Answer(_nodeid(polluter), "shop.RATE", _line(folder, polluter)))


def _path(folder: Path, number: int) -> Path:
    return folder / f"test_{number // PER_FILE:04}.py"


def _nodeid(number: int) -> str:
    return f"{_path(Path(), number)}::test_{number}"


def _line(folder: Path, number: int) -> str:
    """Where the only statement of a test stands."""
    path = _path(folder, number)
    lines = path.read_text("utf-8").splitlines()
    return f"{path.name}:{lines.index(f'def test_{number}():') + 2}"


def _body(number: int, polluter: int, victim: int) -> str:
    if number == polluter:
        return "shop.RATE = 3"
    if number == victim:
        return "assert shop.total(2) == 4"
    if number % _LEAKY:
        return "assert shop.total(0) == 0"
    return (
        f"shop.CURRENCY = 'currency {number}'",
        f"shop.ORDERS[{number}] = 'order {number}'",
        f"shop.LISTENERS.append({number})",
        f"os.environ['SHOP_{number}'] = 'open'",
    )[number // _LEAKY % 4]

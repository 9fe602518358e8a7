"""benchmarks.culprit: the suite that it generates, what it makes of the answers, its table."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RIGHT = ("test_0000.py::test_4", "shop.RATE", "test_0000.py:23")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module. The checkout comes last on sys.path: the installed plugin has to stay first."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    return importlib.import_module("benchmarks.culprit")


@pytest.mark.parametrize("tests", [50, 51, 75, 500])
def test_a_suite_has_one_polluter_and_one_victim(benchmark: Any, tmp_path: Path, tests: int) -> None:
    puzzle = benchmark.write(tmp_path, tests)
    sources = {path.name: path.read_text("utf-8") for path in sorted(tmp_path.glob("test_*.py"))}
    every = "".join(sources.values())
    assert re.findall(r"def test_(\d+)\(", every) == [str(number) for number in range(tests)]
    name, _, line = puzzle.answer.line.partition(":")
    assert sources[name].splitlines()[int(line) - 1] == "    shop.RATE = 3"
    assert every.count("shop.RATE") == every.count("== 4") == 1
    assert f"def {puzzle.answer.test.partition('::')[2]}():\n    shop.RATE = 3" in sources[name]
    assert f"def test_{tests - 2}():\n    assert shop.total(2) == 4" in every
    assert puzzle.victim.endswith(f"::test_{tests - 2}")
    harmless = re.findall(r"shop\.(?:CURRENCY =|ORDERS\[|LISTENERS\.)|os\.environ\[", every)
    assert len(harmless) == len(set(range(0, tests, 10)) - {tests // 10 - 1, tests - 2})


def test_too_small_a_suite_is_refused(benchmark: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="49 tests: at least 50"):
        benchmark.write(tmp_path, 49)
    assert list(tmp_path.iterdir()) == []


def conclusion(**fields: Any) -> str:
    """What `mcpsmoke culprit --json` prints, progress before it."""
    return "  1  alone: passed (0.4 s)\n" + json.dumps({"type": "culprit", "places": [], **fields}) + "\n"


def test_the_answer_of_the_command_is_read(benchmark: Any) -> None:
    place = {"place": "shop.RATE", "site": {"path": "test_0000.py", "line": 23}}
    assert benchmark.ours(conclusion(polluters=[RIGHT[0]], places=[place])) == RIGHT
    unknown = conclusion(polluters=["a.py::a", "b.py::b"], places=[{"place": "shop.RATE", "site": None}])
    assert benchmark.ours(unknown) == ("a.py::a, b.py::b", "shop.RATE", "-")
    assert benchmark.ours(conclusion(polluters=[])) == ("-", "-", "-")
    with pytest.raises(benchmark.process.RunFailed, match="no conclusion\nmcpsmoke: pytest did not start"):
        benchmark.ours("mcpsmoke: pytest did not start")


def test_the_answer_of_the_peer_is_read(benchmark: Any) -> None:
    said = f"double checking we found it...\n-> the polluting test is: {RIGHT[0]}\n"
    assert benchmark.peers(said) == (RIGHT[0], "-", "-")
    assert benchmark.peers("-> expected failure -- but it passed?\n") == ("-", "-", "-")


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        (RIGHT, True),
        ((RIGHT[0], "-", "-"), True),
        (("-", "-", "-"), False),
        (("test_0001.py::test_30", "-", "-"), False),
        ((RIGHT[0], "shop.ORDERS", RIGHT[2]), False),
        ((RIGHT[0], RIGHT[1], "test_0000.py:24"), False),
    ],
)
def test_an_answer_is_right_if_all_that_it_names_is(benchmark: Any, answer: Any, is_right: bool) -> None:
    assert benchmark.is_right(benchmark.Answer(*answer), benchmark.Answer(*RIGHT)) is is_right


def test_lines_of_the_table(benchmark: Any) -> None:
    row = benchmark.Row(5_000, benchmark.OURS, 3, 2.46, 1.24, benchmark.Answer(*RIGHT), True)
    assert row.line() == (
        " 5,000  mcpsmoke culprit           3     2.5s    1.2s  yes    "
        "test_0000.py::test_4  shop.RATE  test_0000.py:23"
    )
    assert benchmark.Row(50, "pytest", 1, 0.34, 0.2).line() == (
        "    50  pytest                     1     0.3s    0.2s"
    )
    wrong = benchmark.Row(50, benchmark.PEER, 9, 1.0, 1.0, benchmark.Answer("-", "-", "-"), False)
    assert wrong.line().endswith("  NO     -  -  -")


@pytest.mark.parametrize(
    ("runs", "answer", "is_right", "verdict"),
    [
        (3, RIGHT, True, "met"),
        (4, RIGHT, True, "missed"),
        (3, RIGHT, False, "missed"),
        (3, (RIGHT[0], "-", "-"), True, "missed"),
    ],
)
def test_the_goal_is_three_runs_and_the_whole_truth(
    benchmark: Any, runs: int, answer: Any, is_right: bool, verdict: str
) -> None:
    row = benchmark.Row(500, benchmark.OURS, runs, 1.0, 1.0, benchmark.Answer(*answer), is_right)
    fine = row._replace(runs=3, answer=benchmark.Answer(*RIGHT), is_right=True)
    peer = row._replace(what=benchmark.PEER, runs=13, is_right=False)
    assert benchmark.goal_line([fine, peer, row]).endswith(f": {verdict}")


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.culprit", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=600)


def test_on_the_smallest_suite_the_goal_is_met() -> None:
    done = ran("--tests", "50")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    rows = [re.split(r" {2,}", line.strip(), maxsplit=2) for line in lines if line.startswith("    50")]
    assert [what for _, what, _ in rows[:3]] == ["pytest", "pytest, observed", "mcpsmoke culprit"]
    runs, right, *named = re.split(r" +(?:[\d.]+s +){2}| {2,}", rows[2][2])
    watched = sys.version_info < (3, 12)  # no line is observed there: a process more tells it
    assert (runs, right) == (f"{3 + watched}", "yes")
    assert tuple(named[:2]) == RIGHT[:2]
    assert named[2] == "test_0000.py:23"
    assert f"at most {3 + watched} runs" in lines[-1]


def test_a_size_without_a_place_for_both_is_refused() -> None:
    done = ran("--tests", "7")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("argument --tests: has to be 50 or more")

"""From a red test to its cause: `mcpsmoke culprit` and detect-test-pollution on the same suites, in one go.

    python -m benchmarks.culprit [--tests 50 500 5000]

Generates suites in which an early test rebinds a name that the last test but one relies on, and one test in
ten leaks something harmless. Runs each plain and observed (the red run that all begins with), then asks
`mcpsmoke culprit` with the report, and detect-test-pollution, for the cause.

"runs" are pytest processes: each adds a line to a file, by a hook in the suite. "seconds" are on the clock,
"CPU" those of the command and of all that it starts. "right" is the answer compared with what was written:
the test, and for who names them the place and the line. A missed goal is no failure: the exit status
tells only whether the runs themselves worked.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import process
from benchmarks.culprit_suite import REPORT, SMALLEST, VARIABLE, Answer, Puzzle, write

SIZES: Final = (50, 500, 5_000)
GOAL: Final = 3  # pytest processes
OURS: Final = "mcpsmoke culprit"
PEER: Final = "detect-test-pollution"
_PEER_NEEDED: Final = "detect-test-pollution>=1.2"
_PEER_SAYS: Final = "-> the polluting test is: "
_PEER_MAIN: Final = "import sys, detect_test_pollution as one; sys.exit(one.main())"  # python -m does not do
_UNKNOWN: Final = "-"
_HEADS: Final = f"{'tests':>6}  {'what':<23} {'runs':>4} {'seconds':>8} {'CPU':>7}  {'right':<5}  named"


class Row(NamedTuple):
    """One command: what it took, and what it answered; None where nothing was asked."""

    tests: int
    what: str
    runs: int
    seconds: float
    cpu: float
    answer: Answer | None = None
    is_right: bool | None = None

    def line(self) -> str:
        """The line of the table."""
        right = {None: "", True: "yes", False: "NO"}[self.is_right]
        named = "" if self.answer is None else "  ".join(self.answer)
        cost = f"{self.runs:>4} {self.seconds:>7.1f}s {self.cpu:>6.1f}s"
        return f"{self.tests:>6,}  {self.what:<23} {cost}  {right:<5}  {named}".rstrip()


def ours(output: str) -> Answer:
    """What `mcpsmoke culprit --json` answers. Raises RunFailed where it printed no conclusion."""
    found = next((json.loads(line) for line in output.splitlines() if line.startswith("{")), None)
    if found is None:
        raise process.RunFailed(f"{OURS}: no conclusion\n{output[-3000:]}")
    place = found["places"][0] if found["places"] else {}
    site = place.get("site")
    return Answer(
        ", ".join(found["polluters"]) or _UNKNOWN,
        place.get("place", _UNKNOWN),
        f"{site['path']}:{site['line']}" if site else _UNKNOWN,
    )


def peers(output: str) -> Answer:
    """What detect-test-pollution answers: a test, or nothing."""
    said = (line.removeprefix(_PEER_SAYS) for line in output.splitlines() if line.startswith(_PEER_SAYS))
    return Answer(next(said, _UNKNOWN), _UNKNOWN, _UNKNOWN)


def is_right(answer: Answer, expected: Answer) -> bool:
    """Whether all that was named is true, the test among it."""
    pairs = zip(answer[1:], expected[1:], strict=True)
    return answer.test == expected.test and all(told in (_UNKNOWN, true) for told, true in pairs)


class Ground:
    """A generated suite in its own folder, and the commands that run in it."""

    def __init__(self, root: Path, tests: int) -> None:
        self.tests = tests
        self._folder = root / f"suite-{tests}"
        self._folder.mkdir()
        self._counted = root / f"runs-{tests}.txt"
        self._output = root / f"output-{tests}.txt"
        self.puzzle: Puzzle = write(self._folder, tests)

    def red_run(self, *more: str) -> Row:
        """Run the whole suite, in which the victim fails."""
        command = process.pytest_command("--tb=no", *more)
        return self._measured("pytest, observed" if more else "pytest", command, expected=(1,))

    def asked(self, what: str, command: Sequence[str], read: Callable[[str], Answer]) -> Row:
        """Run a tool, and compare its answer with the truth."""
        row = self._measured(what, command, expected=(0, 1))  # 1: nothing found, which the table tells
        answer = read(self._output.read_text("utf-8", "replace"))
        return row._replace(answer=answer, is_right=is_right(answer, self.puzzle.answer))

    def _measured(self, what: str, command: Sequence[str], expected: Sequence[int]) -> Row:
        self._counted.write_text("", encoding="utf-8")
        variables = {VARIABLE: str(self._counted)}
        sample = process.run(command, self._folder, variables, expected, self._output)
        runs = len(self._counted.read_text("utf-8").splitlines())
        return Row(self.tests, what, runs, sample.wall, sample.cpu)


def commands(victim: str) -> dict[str, list[str]]:
    """How each tool is asked."""
    python = sys.executable
    own = [python, "-m", "pytest_mcpsmoke.cli", "culprit", f"--from={REPORT}", "--json", victim]
    peer = [python, "-c", _PEER_MAIN, "--failing-test", victim, "--tests", "."]
    return {OURS: own, PEER: peer}


def is_peer_here() -> bool:
    """Whether detect-test-pollution is installed; tells how to get it if it is not."""
    if importlib.util.find_spec("detect_test_pollution") is not None:
        return True
    print(f"left out: {PEER} is not installed: pip install '{_PEER_NEEDED}'")
    return False


def measure(ground: Ground, is_with_peer: bool, show: Callable[[Row], None]) -> list[Row]:
    """Measure and show all rows of one suite."""
    rows: list[Row] = []
    wanted = commands(ground.puzzle.victim)
    steps: list[Callable[[], Row]] = [
        ground.red_run,
        lambda: ground.red_run("-p", "mcpsmoke", "--leaks=report", f"--leaks-report={REPORT}"),
        lambda: ground.asked(OURS, wanted[OURS], ours),
    ]
    if is_with_peer:
        steps.append(lambda: ground.asked(PEER, wanted[PEER], peers))
    for step in steps:
        rows.append(step())
        show(rows[-1])
    return rows


def goal_line(rows: Sequence[Row]) -> str:
    """Whether the goal is met: three processes at most, and the whole truth, at every size."""
    own = [row for row in rows if row.what == OURS]
    most = max(row.runs for row in own)
    is_whole = all(row.is_right and row.answer is not None and _UNKNOWN not in row.answer for row in own)
    verdict = "met" if most <= GOAL and is_whole else "missed"
    return (
        f"{OURS}: at most {most} runs,"
        f" test, place and line right at every size: {'yes' if is_whole else 'no'};"
        f" goal ({GOAL} runs, the same answer at every size): {verdict}"
    )


def _size(text: str) -> int:
    number = int(text)
    if number < SMALLEST:
        raise argparse.ArgumentTypeError(f"has to be {SMALLEST} or more")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 unless a run itself failed (1) or was interrupted (130)."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.culprit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tests", type=_size, nargs="+", metavar="N", default=SIZES, help="sizes (default: 50 500 5000)"
    )
    options = parser.parse_args(arguments)
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    is_with_peer = is_peer_here()
    print(_HEADS, flush=True)
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix="culprit-") as root:
            for tests in options.tests:
                ground = Ground(Path(root).resolve(), tests)
                rows += measure(ground, is_with_peer, lambda row: print(row.line(), flush=True))
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    except process.RunFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(goal_line(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""mcpsmoke ready: runs the checks of pyproject.toml, says whether you may ship, and keeps the evidence."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from pytest_mcpsmoke.cli.exits import Exit
from pytest_mcpsmoke.errors import UsageProblem

if TYPE_CHECKING:  # loaded only where they are used: `mcpsmoke --help` stays cheap
    from pytest_mcpsmoke.readiness.gate.checks import Declared
    from pytest_mcpsmoke.readiness.gate.wanted import Wanted
    from pytest_mcpsmoke.report.readiness_model import Result, Run

_BASE: Final = ".mcpsmoke/evaluation"
_EXAMPLES: Final = """\
examples:
  mcpsmoke ready                        run all checks that need no live endpoint and no model
  mcpsmoke ready --strict --live --nd-real
                                        before a release: everything must have run and passed
  mcpsmoke ready smoke --seed 123       one check, in the order of an earlier run
  READINESS_EXPECT=smoke,gateway READINESS_LIVE=1 mcpsmoke ready
                                        as in CI: these two must have run
  mcpsmoke ready --compare previous latest
                                        what changed between two runs

exit status: 0 nothing is red, 1 red, 2 bad usage: nothing was run; 130 ended by Ctrl-C
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ready",
        help="run the readiness checks of pyproject.toml: may we ship?",
        description="Run the checks that [tool.mcpsmoke.readiness.checks.NAME] of pyproject.toml declare, and"
        " say whether you may ship: green only for what has run and was measured. Evidence is kept per run.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checks", nargs="*", metavar="CHECK", help="run only these checks; they are expected to run")
    add("--list", action="store_true", help="list the checks and what would become of them; run nothing")
    add("--live", action="store_true", help="run checks of kind probe and clients (READINESS_LIVE=1)")
    add("--strict", action="store_true", help="what is expected must have passed (STRICT_READY=1)")
    add("--expect", metavar="A,B", help="checks that must have run (READINESS_EXPECT=A,B)")
    add("--nd-real", action="store_true", help="run checks of tier nd_real (ND_REAL=1)")
    add("--fail-on-skip", action="store_true", help="a skipped test is red (READINESS_FAIL_ON_SKIP=1)")
    add("--leaks", default="fail", metavar="MODE", help="off, report or fail: a leak is red (default: fail)")
    add("--seed", metavar="N", help="of the random order of tests; default: a new one, kept in the evidence")
    add("--no-random", action="store_true", help="leave the order of tests alone")
    add("--evidence", metavar="DIR", help=f"where runs are kept (default: {_BASE} in the project)")
    add("--config", metavar="PATH", help="default: the nearest pyproject.toml, here or above")
    add("--compare", nargs=2, metavar=("A", "B"), help="say what changed from one run to another")
    add("--json", action="store_true", help="print report.json, or what changed as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the gate; returns the exit status. Raises UsageProblem; then nothing was run."""
    from pytest_mcpsmoke.readiness.gate.checks import find_config, read_checks

    if options.compare is not None:
        return _compare(options)
    config = find_config(Path.cwd()) if options.config is None else Path(options.config)
    declared = read_checks(config, os.path.relpath(config))
    wanted = _wanted(options)
    if options.list:
        return _list(declared, wanted)
    return _run(options, declared, wanted)


def _wanted(options: argparse.Namespace) -> Wanted:
    from pytest_mcpsmoke.readiness.gate.wanted import LEAKS, VARIABLES, Wanted

    flags = (options.live, options.strict, options.nd_real, options.fail_on_skip)
    wanted = Wanted.of(os.environ, dict(zip(VARIABLES, flags, strict=True)), options.expect)
    if options.leaks not in LEAKS:
        raise UsageProblem(f"--leaks={options.leaks}: choose from {', '.join(LEAKS)}")
    return wanted._replace(leaks=options.leaks, asked=tuple(options.checks), seed=_seed(options))


def _seed(options: argparse.Namespace) -> int | None:
    import secrets

    given = options.seed
    if given is None:
        return None if options.no_random else secrets.randbelow(2**32)
    if options.no_random:
        raise UsageProblem("--seed and --no-random: there is no order to have again; give one of them")
    if not (given.isascii() and given.isdecimal() and int(given) < 2**32):
        raise UsageProblem(f"--seed={given}: a number from 0 to {2**32 - 1} is wanted")
    return int(given)


def _list(declared: Declared, wanted: Wanted) -> int:
    from pytest_mcpsmoke.readiness.gate.wanted import expected, why_left_out
    from pytest_mcpsmoke.report.readiness import table

    names = expected(declared, wanted)
    rows = [("check", "kind", "tier", "expected", "")]
    for check in declared.checks:
        is_expected = "yes" if check.name in names else "optional" if check.is_optional else ""
        fate = why_left_out(check, wanted)
        rows.append((check.name, check.kind, check.tier or "", is_expected, fate or "to be run"))
    print("\n".join(table(rows)))
    return Exit.GREEN


def _run(options: argparse.Namespace, declared: Declared, wanted: Wanted) -> int:
    from pytest_mcpsmoke.readiness.gate.gate import Gate
    from pytest_mcpsmoke.report.readiness import ending_lines
    from pytest_mcpsmoke.report.readiness_model import Verdict

    base = declared.root / _BASE if options.evidence is None else Path(options.evidence).absolute()
    gate = Gate(declared, wanted, os.environ, base, ["mcpsmoke", *sys.argv[1:]])
    width = max(len(check.name) for check in declared.checks)
    told = sys.stderr if options.json else sys.stdout
    watching = Progress(told, width, str(declared.root))
    came: Run = gate.run(watching)
    if options.json:
        print(json.dumps(came.record(), ensure_ascii=False, indent=1))
    for line in ending_lines(came, os.path.relpath(gate.folder)):
        print(line, file=told)
    if gate.interrupted_by is not None:
        return 128 + gate.interrupted_by
    return Exit.RED if came.verdict is Verdict.RED else Exit.GREEN


class Progress:
    """One line per check while it runs, then what came of it; plain lines where there is no terminal."""

    def __init__(self, stream: TextIO, width: int, root: str) -> None:
        self._stream = stream
        self._width = width
        self._root = root
        self._is_live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = -1  # seconds

    def began(self, name: str) -> None:
        """Say that a check begins."""
        self._shown = -1
        self._tell(name, 0.0, "" if self._is_live else "\n")

    def goes_on(self, name: str, seconds: float) -> None:
        """Say how long it has run, once a second."""
        if self._is_live and int(seconds) > self._shown:
            self._shown = int(seconds)
            self._tell(name, seconds, "")

    def ended(self, result: Result) -> None:
        """Say what came of it."""
        from pytest_mcpsmoke.report.readiness import check_line, detail_lines

        self._stream.write("\r\x1b[K" if self._is_live else "")
        for line in (check_line(result, self._width), *detail_lines(result, self._root)):
            print(line, file=self._stream)
        self._stream.flush()

    def _tell(self, name: str, seconds: float, end: str) -> None:
        from pytest_mcpsmoke.report.readiness import progress_line

        start = "\r\x1b[K" if self._is_live else ""
        print(start + progress_line(name, seconds, self._width), end=end, file=self._stream, flush=True)


def _compare(options: argparse.Namespace) -> int:
    from pytest_mcpsmoke.readiness.gate.comparing import compare, read_run
    from pytest_mcpsmoke.readiness.gate.evidence import find_report
    from pytest_mcpsmoke.report.readiness import comparison_lines

    before, after = (read_run(find_report(name, _base(options))) for name in options.compare)
    comparison = compare(before, after)
    if options.json:
        print(json.dumps(comparison.record(), ensure_ascii=False, indent=1))
    else:
        print("\n".join(comparison_lines(comparison)))
    return Exit.GREEN


def _base(options: argparse.Namespace) -> Path:
    """Where runs are kept, for names of runs; reports themselves need no project around them."""
    from pytest_mcpsmoke.readiness.gate.checks import find_config

    if options.evidence is not None:
        return Path(options.evidence)
    try:
        config = find_config(Path.cwd()) if options.config is None else Path(options.config)
    except UsageProblem:
        return Path(_BASE)
    return config.parent / _BASE

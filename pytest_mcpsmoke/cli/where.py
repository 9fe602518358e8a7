"""mcpsmoke where: the statement that changes a place in a test, found by watching every line."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from pytest_mcpsmoke.cli.exits import Exit
from pytest_mcpsmoke.errors import UsageProblem

_EXAMPLES: Final = """\
examples:
  mcpsmoke where tests/test_a.py::test_x app.settings.MODE
  mcpsmoke where tests/test_a.py::test_x "app.registry.TOOLS['echo']"
                                        places as the report of the plugin names them
  mcpsmoke where tests/test_a.py::test_x app.clients.CACHE --json -- -p no:randomly

what stands behind -- goes to pytest; give an option with a value as --name=value

exit status: 0 found, 1 the test does not change the place, 2 bad usage; 130 Ctrl-C
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "where",
        help="show the statement that changes a place in a test",
        description="Run a test again and look at the place after every line: which statement changes it, and"
        " the way from the test to there. In-place changes, threads and CPython 3.11 included.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("test", metavar="TEST", help="node id of the test")
    parser.add_argument("place", metavar="PLACE", help="the place, as a report names it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run, takes_pytest=True)


def run(options: argparse.Namespace) -> int:
    """Run the test once and print who wrote. Raises UsageProblem."""
    from pytest_mcpsmoke.cli.lab import Budget, last_line, read_child, run_pytest
    from pytest_mcpsmoke.cli.recorded import nearest
    from pytest_mcpsmoke.report.reading import read_report
    from pytest_mcpsmoke.report.writes import all_lines

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        report, log = Path(folder, "report.jsonl"), Path(folder, "log.txt")
        words = [*options.pytest, f"--leaks-where={options.place}", options.test]
        try:
            run_pytest(words, report, log, here, Budget())
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        told = read_child(report, log, here)
        records = [*read_report(str(report), True)] if told.tests else []
        why = "" if told.tests else last_line(log)
        names = [] if told.tests else _names(options, Path(folder), here)
    if not told.tests:
        raise UsageProblem(f"{options.test}: pytest did not run it{why}{nearest(options.test, names)}")
    found = [record.fields for record in records if record.type == "write"]
    is_there = all(record.fields["is_there"] for record in records if record.type == "where")
    changed = {finding.place for finding in told.findings} - {options.place}
    near = difflib.get_close_matches(options.place, sorted(changed), 3, 0.5)
    known = [name for record in records if record.type == "where" for name in record.fields["nearest"]]
    if options.json:
        record = {"type": "where", "schema": 1, "test": options.test, "place": options.place}
        print(json.dumps(record | {"writes": found, "nearest": near or known}, ensure_ascii=False))
    elif found:
        print("\n".join(all_lines(found, str(told.root))))
    if found:
        return Exit.GREEN
    also = f"; it changes {', '.join(near)}" if near else ""
    if not (near or is_there):
        also = f"; there is no such place{', but ' if known else ''}{', '.join(known)}"
    print(f"{options.test} does not change {options.place}{also}", file=sys.stderr)
    return Exit.RED


def _names(options: argparse.Namespace, folder: Path, here: Path) -> list[str]:
    """What TEST may have been meant to be: the tests of its file, or the files of its folder."""
    from pytest_mcpsmoke.cli.lab import Budget, run_pytest

    file = Path(options.test.partition("::")[0])
    if not file.exists():
        return [path.as_posix() for path in sorted(file.parent.glob("*.py"))]
    log = folder / "collected.txt"
    words = [*options.pytest, str(file), "--collect-only", "--verbosity=-1"]
    run_pytest(words, folder / "collected.jsonl", log, here, Budget())
    prefix = f"{file.as_posix()}::"  # pytest begins them at its rootdir, which may lie above
    lines = log.read_text("utf-8", "replace").splitlines()
    found = [line.partition("::") for line in lines if line.partition("::")[0].endswith(file.name)]
    return [prefix + rest for _, colons, rest in found if colons]

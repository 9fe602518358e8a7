"""mcpsmoke baseline: writes the baseline file from reports; once there, it only shrinks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.report.baseline import Key, read_baseline, render_baseline, since_of
from pytest_mcpsmoke.report.reading import Record, read_report
from pytest_mcpsmoke.report.text import plural

_DEFAULT = "mcpsmoke-baseline.json"
_TOLD = ("passed", "xfailed", "xpassed")  # outcomes of tests that came to whatever they leak


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "baseline",
        help="write the leaks of reports to a baseline file",
        description="Write the leaks that reports of pytest --leaks-report tell of to a baseline file, for"
        " pytest --leaks-baseline. A file that exists only shrinks: what leaks no more is dropped, what the"
        " reports do not tell about is kept, and new leaks are added only with --grow.",
    )
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="a file of pytest --leaks-report")
    parser.add_argument("-o", "--output", default=_DEFAULT, metavar="PATH", help=f"default: {_DEFAULT}")
    parser.add_argument("--grow", action="store_true", help="add new leaks to a file that exists")
    parser.add_argument("--incomplete", action="store_true", help="accept reports of runs that were cut off")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the file and say what became of its entries. Raises UsageProblem; then nothing is written."""
    told = Told.of(options.reports, options.incomplete)
    path = Path(os.path.realpath(options.output))
    old = read_baseline(path, options.output) if path.exists() else {}
    kept = {key: since for key, since in old.items() if not told.is_gone(key)}
    today = date.today().isoformat()
    new = {key: since or today for key, since in told.leaks.items() if key not in old}
    added = new if options.grow or not path.exists() else {}
    _replace(path, render_baseline(kept | added), options.output)
    print(
        f"{options.output}: {plural(len(kept | added), 'allowed leak')}"
        f" ({len(added)} new, {len(kept)} kept, {len(old) - len(kept)} dropped)"
    )
    if unsure := len(kept.keys() - told.leaks.keys()):
        print(f"kept {unsure} of which the reports do not tell whether they still leak")
    if len(added) < len(new):
        print(f"not added: {plural(len(new), 'new leak')}; mend, or add with --grow")
        for owner, place in new:
            print(f"  {owner}  {place}")


class Told(NamedTuple):
    """What reports tell: the leaks with the day of an older baseline, tests that ran, what is stale."""

    leaks: dict[Key, str | None]
    changed: set[str]  # places that anybody left changed, allowed or not
    ran: set[str]
    stale: set[Key]

    @classmethod
    def of(cls, paths: Sequence[str], is_incomplete_fine: bool) -> Told:
        """Read reports. Raises UsageProblem."""
        told = cls({}, set(), set(), set())
        for path in paths:
            for record in read_report(path, is_incomplete_fine):
                told._add(record)
        return told

    def _add(self, record: Record) -> None:
        if record.type == "test" and record.text("outcome") in _TOLD:
            self.ran.add(record.text("nodeid"))
        elif record.type == "stale":
            self.stale.add((record.text("owner"), record.text("allowance")))
        elif record.type == "finding" and record.text("verdict") != "warm-up":
            since = since_of(record.fields.get("reason"))
            self.changed.add(record.text("place"))
            if record.text("verdict") == "leak" or since is not None:
                key = record.text("owner"), record.text("place")
                self.leaks[key] = since or self.leaks.get(key)

    def is_gone(self, key: Key) -> bool:
        """Whether the reports say that an owner leaves a place changed no more."""
        if key in self.leaks:
            return False
        owner, place = key  # where somebody else changed the place, the owner may only come too late
        return key in self.stale or (owner in self.ran and place not in self.changed)


def _replace(path: Path, text: str, name: str) -> None:
    """Write a file in one step: whoever reads it finds the old text or the new."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, "utf-8", errors="backslashreplace", newline="\n")
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UsageProblem(f"{name}: cannot be written: {error.strerror}") from error

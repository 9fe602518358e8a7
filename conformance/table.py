"""The tables: as text for who runs the command, as Markdown for the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from conformance.expected import Verdict
from conformance.results import FAILED, GROUPS, PASSED, SKIPPED, WARNED, Run
from pytest_mcpsmoke.errors import UsageProblem

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "conformance.md"
HEADS: Final = ("protocol", "group", "scenarios", "passed", "failed", "warnings", "skipped")
_COUNTED: Final = (PASSED, FAILED, WARNED, SKIPPED)
_BEGIN: Final = "<!-- conformance tables: begin -->"
_END: Final = "<!-- conformance tables: end -->"
_TITLES: Final = {"direct": "Directly", "gateway": "Through the gateway"}


def rows(runs: Iterable[Run]) -> list[tuple[str, ...]]:
    """A row for each version and group: what HEADS says, as text."""
    found = []
    for run in runs:
        for group in GROUPS:
            passed, there = run.scenarios(group)
            counts = [str(len(run.of(status, group))) for status in _COUNTED]
            if there:
                found.append((run.version, group, f"{passed}/{there}", *counts))
    return found


def text(run: Run, verdict: Verdict) -> list[str]:
    """The lines on one run: its table, then every check that did not pass, and what was not expected."""
    table = [HEADS, *rows([run])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"{run.version}, {_TITLES[run.way].lower()}"]
    lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    expected = {id(check): reason for check, reason in verdict.expected}
    for check in [*run.of(FAILED), *run.of(WARNED)]:
        if check.counts:
            known = f" (expected: {expected[id(check)]})" if id(check) in expected else ""
            kind = "failed" if check.status == FAILED else "warning"
            lines.append(
                f"  {kind}: {check.scenario}:{check.id}: {check.message or 'no reason given'}{known}"
            )
    for entry in verdict.stale:
        lines.append(f"  stale: {entry}: listed for {run.version}, {run.way}, and does not fail")
    return lines


def markdown(runs: Sequence[Run], command: str, suite: str) -> str:
    """The marked block of the documentation: what made it, and a table for each way."""
    lines = [_BEGIN, "", f"Made by `{command}`, with the suite's version {suite}."]
    for way, title in _TITLES.items():
        table = [HEADS, ("---",) * len(HEADS), *rows(run for run in runs if run.way == way)]
        if len(table) > 2:
            lines += ["", f"### {title}", "", *(f"| {' | '.join(row)} |" for row in table)]
    return "\n".join([*lines, "", _END])


def written(page: str) -> str:
    """The marked block as it stands in a page; raises UsageProblem when there is none."""
    found = re.search(f"{_BEGIN}.*?{_END}", page, re.DOTALL)
    if found is None:
        raise UsageProblem(f"no place for the tables: put {_BEGIN} and {_END} into the page, a line each")
    return found[0]


def write(block: str, path: Path) -> None:
    """Put a block in the place of the one that stands in the page."""
    page = path.read_text("utf-8")
    path.write_text(page.replace(written(page), block), "utf-8")

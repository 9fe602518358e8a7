"""The table of docs/reference/suites.md: a row for each suite, and one for all together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

_BEGIN: Final = "<!-- table: written by python -m benchmarks.suites -->\n"
_END: Final = "<!-- end of table -->"
_HEAD: Final = (
    "| suite | version | kind | tests | same outcomes | findings | true | false | x CPU | x wall |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


class Row(NamedTuple):
    """What one suite showed."""

    suite: str
    version: str
    kind: str
    tests: int
    same: bool
    findings: int
    true: int
    false: int
    cpu: float
    wall: float


def _line(row: Row) -> str:
    cells = [row.suite, row.version, row.kind, f"{row.tests:,}", "yes" if row.same else "no"]
    cells += [str(number) for number in (row.findings, row.true, row.false)]
    return f"| {' | '.join(cells)} | {row.cpu:.2f} | {row.wall:.2f} |\n"


def _row(line: str) -> Row:
    cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    tests, same = int(cells[3].replace(",", "")), cells[4] == "yes"
    findings, true, false = map(int, cells[5:8])
    cpu, wall = map(float, cells[8:10])
    return Row(cells[0], cells[1], cells[2], tests, same, findings, true, false, cpu, wall)


def rows_of(page: str) -> list[Row]:
    """The rows that a page has, the last one (all together) left out."""
    table = page.partition(_BEGIN)[2].partition(_END)[0]
    return [_row(line) for line in table.splitlines()[2:] if not line.startswith("| all")]


def rewritten(page: str, measured: Iterable[Row], order: list[str]) -> str:
    """The page with these rows in place of those of the same suites. Raises ValueError without markers."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("the page has no place for the table")
    rows = {row.suite: row for row in (*rows_of(page), *measured)}
    kept = [rows[name] for name in order if name in rows]
    return f"{before}{begin}{_HEAD}{''.join(map(_line, kept))}{_total(kept)}{end}{after}"


def _total(rows: list[Row]) -> str:
    tests, findings, true, false = (
        sum(column) for column in zip(*((row.tests, *row[5:8]) for row in rows), strict=True)
    )
    same = "yes" if all(row.same for row in rows) else "no"
    return f"| all {len(rows)} | — | — | {tests:,} | {same} | {findings} | {true} | {false} | — | — |\n"

"""The client matrix in words: lines for people, an object for programs, files for the evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.configurations.model import HIDDEN, Configuration
from pytest_mcpsmoke.readiness.matrix import DISABLED, NOT_ASKED, Row, shown_url
from pytest_mcpsmoke.readiness.telling import event_object
from pytest_mcpsmoke.readiness.verdict import Verdict
from pytest_mcpsmoke.report.text import plural


def is_green(configurations: Sequence[Configuration], rows: Sequence[Row], *, is_asked: bool) -> bool:
    """Whether no file holds a problem and no row is red; a matrix in which nothing was asked is not green."""
    if not rows or any(one.problems for one in configurations) or any(row.is_green is False for row in rows):
        return False
    return not is_asked or any(row.is_green for row in rows)


def matrix_lines(
    configurations: Sequence[Configuration], rows: Sequence[Row], *, is_asked: bool
) -> Iterator[str]:
    """Yield the problems, the table, and a line that sums it up."""
    problems = [problem for one in configurations for problem in one.problems]
    yield from map(str, problems)
    if problems and rows:
        yield ""
    table = [
        (row.server.client, name_text(row.server.name), row.server.transport or "-", verdict_text(row))
        for row in rows
    ]
    widths = [max((len(line[at]) for line in table), default=0) for at in range(4)]
    for row, cells in zip(rows, table, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        is_timed = row.verdict in Verdict.__members__
        yield f"{line}  {row.seconds:.1f} s" if is_timed else line.rstrip()
        yield from _below(row)
    if rows:
        yield ""
    yield _sum(configurations, rows, len(problems), is_asked)


def name_text(name: str) -> str:
    """A server's name on one line."""
    return name if name.isprintable() and name.strip() else json.dumps(name)


def verdict_text(row: Row) -> str:
    """The verdict, and how many tools or models there are."""
    return row.verdict if row.offered is None else f"{row.verdict} ({plural(row.offered, row.noun)})"


def _below(row: Row) -> Iterator[str]:
    """What stands below a red row, and the answer to a call."""
    if row.is_green is False and row.verdict != Verdict.CATALOG:
        yield f"    {row.detail}"
        if row.remedy:
            yield f"    {row.remedy}"
    if row.call is not None:
        how = "failed" if row.call.is_error else "answered"
        yield f"    {row.call.tool} {how}: {row.call.text}"


def _sum(configurations: Sequence[Configuration], rows: Sequence[Row], problems: int, is_asked: bool) -> str:
    found = f"{plural(problems, 'problem')} in {plural(len(configurations), 'file')}"
    if not rows:
        return f"no server is configured; {found}"
    if not is_asked:
        return f"{plural(len(rows), 'server')}, none asked; {found}"
    tried = [row for row in rows if row.verdict != DISABLED]
    good = sum(row.is_green is True for row in rows)
    return f"{good} of {plural(len(tried), 'server')} green; {found}"


def as_object(
    configurations: Sequence[Configuration], rows: Sequence[Row], *, is_asked: bool
) -> dict[str, Any]:
    """The matrix as one JSON object; docs/reference/clients.md explains the fields."""
    return {
        "type": "clients",
        "schema": 1,
        "is_green": is_green(configurations, rows, is_asked=is_asked),
        "files": [{"file": one.file, "client": one.client} for one in configurations],
        "problems": [problem._asdict() for one in configurations for problem in one.problems],
        "rows": [_row(row) for row in rows],
    }


def _row(row: Row) -> dict[str, Any]:
    server = row.server
    return {
        "client": server.client,
        "server": server.name,
        "file": server.file,
        "line": server.line,
        "transport": server.transport or None,
        "url": shown_url(server) or None,
        "headers": {name: HIDDEN for name in server.headers},
        "verdict": None if row.verdict == NOT_ASKED else row.verdict,
        "offered": row.offered,
        "seconds": round(row.seconds, 3),
        "detail": row.detail or None,
        "remedy": row.remedy or None,
        "call": row.call._asdict() if row.call is not None else None,
        "is_green": row.is_green,
    }


def write_evidence(
    folder: Path, configurations: Sequence[Configuration], rows: Sequence[Row], *, is_asked: bool
) -> None:
    """Write clients.json, and for each row events/NUMBER-CLIENT-SERVER.jsonl. Raises UsageProblem."""
    logs = folder / "events"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(rows, 1):
            name = re.sub(r"[^\w.-]+", "_", f"{number:02}-{row.server.client}-{row.server.name}")[:100]
            lines = [json.dumps(event_object(event), ensure_ascii=False) + "\n" for event in row.events]
            _write(logs / f"{name}.jsonl", "".join(lines))
        text = json.dumps(as_object(configurations, rows, is_asked=is_asked), ensure_ascii=False, indent=2)
        _write(folder / "clients.json", text + "\n")
    except OSError as error:
        raise UsageProblem(f"--evidence {folder}: cannot be written: {error.strerror}") from None


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8", errors="backslashreplace", newline="\n")

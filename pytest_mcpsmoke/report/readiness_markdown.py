"""The readiness gate's report as Markdown, to paste in a review."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pytest_mcpsmoke.report.nd import nd_lines
from pytest_mcpsmoke.report.readiness import (
    LEAKS,
    case_lines,
    joined,
    output_lines,
    output_rows,
)
from pytest_mcpsmoke.report.readiness_model import Result, Run
from pytest_mcpsmoke.report.text import report_lines

_HEAD: Final = ("check", "kind", "tier", "expected", "status", "what it says", "seconds")


def markdown(run: Run, root: str) -> str:
    """Return the text of report.md; root: the folder that the sites of leaks are relative to."""
    return joined(
        [
            f"# Readiness: {run.verdict}",
            "",
            *_list(run.reasons),
            *_table([_HEAD, *map(_row, run.results)]),
            "",
            *(line for result in run.results for line in _section(result, root)),
            *_how(run),
        ]
    )


def _row(result: Result) -> tuple[str, ...]:
    expected = "yes" if result.is_expected else "optional" if result.is_optional else ""
    status = f"**{result.status}**" if result.is_red else str(result.status)
    seconds = f"{result.seconds:.2f}" if result.seconds else ""
    return (result.name, result.kind, result.tier or "", expected, status, result.reason, seconds)


def _section(result: Result, root: str) -> Iterator[str]:
    """What there is to say of one check beyond its row."""
    shown = [
        *_list(case_lines(result)),
        *_block(nd_lines(result.nd) if result.nd else []),
        *_block(report_lines(list(result.leaks), root, LEAKS, ": leaks/ in the evidence has them")),
        *_said(result.output),
        *_list(f"note: {note}" for note in result.notes),
        *_list(f"`{name}`" for name in result.files if name.startswith("artifacts/")),
    ]
    if shown or result.is_red:
        yield from (f"## {result.name}: {result.status}", "", *shown)
        yield from ("Again:", "", *_block([result.again]))


def _said(output: Any) -> list[str]:
    rows = output_rows(output)
    return [*_table(rows), "", *_list(output_lines(output))] if rows else []


def _how(run: Run) -> list[str]:
    """How the run was made."""
    about = run.about
    commit: Any = about.get("commit")
    versions: Any = about.get("versions", {})
    told = {
        "called": f"`{shlex.join(about.get('argv', ()))}`",
        "began": f"{run.began}, took {run.seconds:.2f} s",
        "seed": str(run.seed) if run.seed is not None else "none: no random order",
        "commit": f"{commit['id']}{' and changes' if commit['dirty'] else ''}" if commit else "unknown",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return ["## How", "", *_table([("", ""), *told.items()])]


def _list(items: Iterable[str]) -> list[str]:
    lines = [f"- {item}" for item in items]
    return [*lines, ""] if lines else []


def _block(lines: Sequence[str]) -> list[str]:
    return ["```text", *lines, "```", ""] if lines else []


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = (_cells(row) for row in rows)
    return [head, "|" + "---|" * len(rows[0]), *rest]


def _cells(row: Sequence[str]) -> str:
    cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in row)
    return f"| {' | '.join(cells)} |"

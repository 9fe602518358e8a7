"""The readiness gate's report as lines of text, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pytest_mcpsmoke.report.nd import nd_lines
from pytest_mcpsmoke.report.readiness_model import Case, Comparison, Result, Run, Status
from pytest_mcpsmoke.report.text import report_lines

LEAKS: Final = 40  # lines about leaks; all are in the evidence
_CASES: Final = 10  # tests that are told one by one
PROBE_HEADS: Final[tuple[str, ...]] = ("url", "verdict", "detail", "remedy")
CLIENT_HEADS: Final[tuple[str, ...]] = ("client", "server", "url", "verdict", "detail", "remedy")
_WIDTH: Final = max(len(status) for status in Status)


def check_line(result: Result, width: int) -> str:
    """Return the one line about a check that is over; width: of the longest name."""
    took = f" in {result.seconds:.2f}s" if result.seconds else ""
    optional = " (optional)" if result.is_optional and not result.is_expected else ""
    line = f"{result.name:<{width}}  {result.status:<{_WIDTH}}  {result.reason}{took}{optional}"
    return line.rstrip()


def progress_line(name: str, seconds: float, width: int) -> str:
    """Return the line about a check that runs; without a time when it has just begun."""
    return f"{name:<{width}}  {'running':<{_WIDTH}}  {f'{seconds:.0f} s' if seconds else ''}".rstrip()


def detail_lines(result: Result, root: str) -> list[str]:
    """Return what stands below a check: samples, tests that failed, leaks, notes, the command to paste."""
    lines = nd_lines(result.nd) if result.nd else []
    lines += case_lines(result)
    lines += report_lines(list(result.leaks), root, LEAKS, f": {_leaks_file(result)}")
    if rows := output_rows(result.output):
        lines += [*table(rows), *output_lines(result.output)]
    lines += [f"note: {note}" for note in result.notes]
    if result.status not in (Status.PASSED, Status.SKIPPED, Status.NOT_RUN):
        lines.append(f"run it again: {result.again}")
        lines += [f"its log: {name}" for name in result.files if name.startswith("logs/")]
    return [f"  {line}" for line in lines]


def ending_lines(run: Run, folder: str) -> list[str]:
    """Return the last lines: what did not run, the verdict, why it is not green, where the evidence is."""
    left_out = [result.name for result in run.results if result.status is Status.NOT_RUN]
    lines = [f"not run: {', '.join(left_out)}"] if left_out else []
    return [*lines, str(run.verdict), *(f"  {reason}" for reason in run.reasons), f"evidence: {folder}"]


def case_lines(result: Result) -> list[str]:
    """Return the tests that did not pass, the first ones by name, each with its reason."""
    sampled = {one.nodeid for one in result.nd}  # their table tells
    cases = [case for case in result.tests if case.nodeid not in sampled and not _is_leak(case, result)]
    bad = [case for case in cases if case.outcome in ("failed", "error")]
    others = [case for case in cases if case.outcome == "skipped"]
    shown = bad if bad or result.status is Status.PASSED else others
    lines = [_case(case) for case in shown[:_CASES]]
    return lines if len(shown) <= _CASES else [*lines, f"and {len(shown) - _CASES:,} more"]


def _case(case: Case) -> str:
    return f"{case.outcome}: {case.nodeid}" + (f": {case.message}" if case.message else "")


def _is_leak(case: Case, result: Result) -> bool:
    """Whether an error at teardown is that of --leaks=fail: the leak stands among the leaks."""
    told = case.message or ""
    is_that = case.outcome == "error" and told.startswith("at teardown: ") and told.endswith(" changed")
    return is_that and any(leak.owner == case.nodeid for leak in result.leaks)


def output_rows(output: Any) -> list[tuple[str, ...]]:
    """Return what probe or clients say with --json as rows, their heads first; [] for anything else."""
    match output:
        case {"type": "probe"}:
            heads, rows = PROBE_HEADS, [output]
        case {"type": "clients", "rows": [*rows]}:
            heads = CLIENT_HEADS
        case _:
            return []
    named = (row for row in rows if isinstance(row, dict))
    return [heads, *(tuple(_told(row.get(name)) for name in heads) for row in named)]


def output_lines(output: Any) -> list[str]:
    """Return what stands below these rows: routes that are not as wanted, faults of configurations."""
    match output:
        case {"type": "probe", "routes": [*routes]}:
            bad = _bad(routes)
            return [f"{route.get('wanted')} {route.get('path')}: {route.get('detail')}" for route in bad]
        case {"type": "clients", "problems": [*problems]}:
            return [": ".join(filter(None, map(_told, problem.values()))) for problem in _bad(problems)]
    return []


def _bad(rows: list[Any]) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict) and not row.get("is_fine")]


def _told(value: Any) -> str:
    return "" if value is None else str(value)


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return what changed between two runs."""
    lines = [f"before: {comparison.before}", f"after:  {comparison.after}"]
    for what in dict.fromkeys(change.what for change in comparison.changes):
        lines.append(what)
        for change in comparison.changes:
            if change.what == what:
                remark = f"  ({change.remark})" if change.remark else ""
                lines.append(f"  {change.name}: {change.before} -> {change.after}{remark}")
    return lines if comparison.changes else [*lines, "nothing changed"]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows in columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = ([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(cells).rstrip() for cells in padded]


def _leaks_file(result: Result) -> str:
    return next((name for name in result.files if name.startswith("leaks/")), "the log has them")


def joined(lines: Iterable[str]) -> str:
    """Return lines as the text of a file."""
    return "\n".join(lines) + "\n"

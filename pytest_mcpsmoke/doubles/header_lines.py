"""Compares the lines of one header, as they arrived, with those that were expected."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mcpsmoke.doubles.shown import show_header

Line = tuple[str, str]  # the name as it was written, the value


def problem(lines: list[Line], name: str, values: Sequence[str] | None, casing: str | None) -> str:
    """Say what is wrong with the lines of a header, to follow "arrived"; "" when nothing is.

    Args:
        lines: Those that arrived.
        name: The header, in whatever casing.
        values: What they have to say, in this order; none: there may be no line; None: whatever they say.
        casing: The name exactly as it has to be written; None for any casing.
    """
    came = ", ".join(show_header(*line) for line in lines)
    if values is None and not lines:
        return f"without {name}"
    if values is not None and [value for _, value in lines] != list(values):
        expected = ", ".join(show_header(casing or name, value) for value in values)
        found = f"with {came}" if came else f"without {name}"
        return f"{found}; {_counted(expected, len(values))} expected{_hidden(lines, values)}"
    wrong = sorted({written for written, _ in lines} - {casing})
    if casing is not None and wrong:
        return f"with {', '.join(wrong)}; written {casing} expected"
    return ""


def _counted(expected: str, count: int) -> str:
    return "none" if count == 0 else f"{expected} once" if count == 1 else expected


def _hidden(lines: list[Line], values: Sequence[str]) -> str:
    """Say that values differ which are shown alike, for they are secret."""
    written = [show_header(name, value) for name, value in lines]
    wanted = [show_header(name, value) for (name, _), value in zip(lines, values, strict=False)]
    return ", with another value" if len(lines) == len(values) and written == wanted else ""

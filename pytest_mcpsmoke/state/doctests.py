"""Doctests as source code: their statements, at the lines of the file that they stand in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Final

_PROMPT: Final = re.compile(r"\s*(>>>|\.\.\.)(?: (.*))?$")
_BEFORE, _AFTER = "<doctests of ", ">"


def named(path: str) -> str:
    """The name under which the doctests of a file are source code of its own."""
    return f"{_BEFORE}{path}{_AFTER}"


def file_of(name: str) -> str:
    """The file whose doctests go by this name; any other path as it is."""
    return name[len(_BEFORE) : -len(_AFTER)] if is_named(name) else name


def is_named(path: str) -> bool:
    """Whether this is no path, but the name of the doctests of a file."""
    return path.startswith(_BEFORE)


def statements(lines: Iterable[str]) -> str:
    """The examples in these lines, each at its place; all else, and what is no Python, is left blank."""
    found: list[str] = []
    example: list[str] = []
    for line in [*lines, ""]:
        prompt = _PROMPT.match(line.rstrip())
        if prompt is None or prompt[1] == ">>>":
            found += example if _is_python(example) else [""] * len(example)
            example = []
        if prompt is None:
            found.append("")
        else:
            example.append(prompt[2] or "")
    return "\n".join(found + example) + "\n"


def _is_python(lines: list[str]) -> bool:
    try:
        ast.parse("\n".join(lines))
    except (SyntaxError, ValueError):
        return False
    return True

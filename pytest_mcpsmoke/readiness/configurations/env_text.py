"""Environment files: NAME=value by lines, quoted or not, with references to other variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pytest_mcpsmoke.readiness.configurations.located import Fault, Located
from pytest_mcpsmoke.readiness.configurations.variables import expand_shell

_ASSIGNMENT: Final = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.]*)[ \t]*=[ \t]*")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def read_env(text: str, environ: Mapping[str, str]) -> tuple[dict[str, Located], list[Fault]]:
    """Read an environment file.

    Args:
        text: Lines `NAME=value`, `export NAME=value`, comments. A value in quotes may span lines; in single
            quotes it is taken as it stands, else `${NAME}` and `${NAME:-default}` are filled in.
        environ: What the references are looked up in, after the file's own variables.

    Returns:
        The texts by name, each with its line, and what is wrong: a line that assigns nothing, a quote that is
        not closed, a name that stands twice (the last one counts), a reference to what is not set.
    """
    found: dict[str, Located] = {}
    faults: list[Fault] = []
    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at) if "\n" in text[at:] else len(text)
        start, number = at, line
        assignment = _ASSIGNMENT.match(text, at, end)
        if assignment is None:
            if text[at:end].strip() and not text[at:end].lstrip().startswith("#"):
                faults.append(Fault(number, "", "no assignment", "write NAME=value"))
            at, line = end + 1, line + 1
            continue
        name = assignment["name"]
        value, quote, end = _value(text, assignment.end(), end)
        if quote and end < 0:
            faults.append(Fault(number, name, f"the quote {quote} is not closed", "close it"))
            break
        if quote != "'":
            known = {**environ, **{other: str(item.value) for other, item in found.items()}}
            value, missing = expand_shell(value, known)
            faults += [
                Fault(number, name, f"${{{unset}}} is not set", f"set {unset}, or write the value")
                for unset in missing
            ]
        if name in found:
            faults.append(Fault(number, name, f"stands twice; line {found[name].line} is lost", "keep one"))
        found[name] = Located(value, number)
        at, line = end + 1, line + text.count("\n", start, end) + 1
    return found, faults


def _value(text: str, at: int, end: int) -> tuple[str, str, int]:
    """The value that begins at an index, its quote, and the end of its last line (-1: not closed)."""
    quote = text[at : at + 1]
    if at >= end or quote not in ("'", '"'):
        return re.sub(r"(^|[ \t])#.*", "", text[at:end]).strip(), "", end
    inside = r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\.)*)"'
    found = re.compile(inside, re.DOTALL).match(text, at)
    if found is None:
        return "", quote, -1
    value = found[1]
    if quote == '"':
        value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), value, flags=re.DOTALL)
    rest = text.find("\n", found.end())
    return value, quote, len(text) if rest < 0 else rest

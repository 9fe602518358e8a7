"""Reads the files of --leaks-report back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.report.json import SCHEMA


class Record(NamedTuple):
    """One line of a report: its type, its fields, and where it stands (path:line)."""

    type: str
    fields: dict[str, Any]
    where: str

    def text(self, name: str) -> str:
        """Return a field that has to be a text. Raises UsageProblem."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise UsageProblem(f'{self.where}: a {self.type} without a text "{name}"; is this a report?')
        return value


def read_report(path: str, is_incomplete_fine: bool = False) -> Iterator[Record]:
    """Yield the lines of a report. Raises UsageProblem for what is none, or is of a run that was cut off."""
    last = None
    for record in _records(path):
        if last is None and record.type != "run":
            raise UsageProblem(f"{record.where}: not a report: it begins with a line of type run")
        if record.type == "run" and record.fields.get("schema") != SCHEMA:
            schema = record.fields.get("schema")
            raise UsageProblem(f"{record.where}: schema {schema!r}; this mcpsmoke reads schema {SCHEMA}")
        last = record.type
        yield record
    if last is None:
        raise UsageProblem(f"{path}:1: empty; write a report with pytest --leaks-report=PATH")
    if last != "end" and not is_incomplete_fine:
        raise UsageProblem(
            f"{path}: no line of type end: the run was cut off; run it again, or use --incomplete"
        )


def _records(path: str) -> Iterator[Record]:
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageProblem(f"{where}: not a line of a report: no JSON") from error
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            raise UsageProblem(f"{where}: not a line of a report: no type")
        yield Record(fields["type"], fields, where)

"""The baseline file: leaks that a suite had when it adopted the plugin, each with the day it was noted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.report.allowances import Allowance, Declared

SCHEMA: Final = 1
_REASON: Final = "baseline since "

Key = tuple[str, str]  # owner, place
Entries = dict[Key, str]  # and the day, as in 2026-11-21


class Baseline:
    """The entries of one file, as allowances: each covers exactly its owner and its place."""

    def __init__(self, entries: Entries, source: str) -> None:
        self._entries = entries
        self._source = source

    def covering(self, owner: str, place: str) -> Iterator[Allowance]:
        """Yield the allowance for a place that an owner left changed, if there is one."""
        since = self._entries.get((owner, place))
        if since is not None:
            yield Allowance((place,), _REASON + since, self._source, owner)

    def declared(self) -> Iterator[Declared]:
        """Yield every entry."""
        return (Declared(place, self._source, owner) for owner, place in self._entries)


def since_of(reason: str | None) -> str | None:
    """Return the day in the reason of a finding that a baseline allowed; None for any other reason."""
    return reason.removeprefix(_REASON) if reason is not None and reason.startswith(_REASON) else None


def read_baseline(path: Path, name: str) -> Entries:
    """Read a file; name is what to call it. Raises UsageProblem, one line, when it is not to be used."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageProblem(f"{name}: no such file; write it with: mcpsmoke baseline REPORT") from error
    except OSError as error:
        raise UsageProblem(f"{name}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageProblem(f"{name}: not JSON: {error}; repair it, or delete it and write it anew") from error
    if not isinstance(content, dict) or not isinstance(content.get("allowed"), list):
        raise UsageProblem(f"{name}: not a baseline; write one with: mcpsmoke baseline REPORT")
    if content.get("schema") != SCHEMA:
        raise UsageProblem(f"{name}: schema {content.get('schema')!r}; this mcpsmoke reads schema {SCHEMA}")
    return dict(_entry(each, f"{name}: entry {at}") for at, each in enumerate(content["allowed"], 1))


def _entry(entry: Any, where: str) -> tuple[Key, str]:
    match entry:
        case {"owner": str(owner), "place": str(place), "since": str(since)} if is_day(since):
            return (owner, place), since
    raise UsageProblem(f'{where}: it needs the texts "owner", "place" and "since", a day like 2026-11-21')


def is_day(text: str) -> bool:
    """Whether a text is a day, as in 2026-11-21."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def render_baseline(entries: Mapping[Key, str]) -> str:
    """Return the text of the file: one entry a line, sorted, so that a diff shows what went."""
    lines = (
        json.dumps({"owner": owner, "place": place, "since": since}, ensure_ascii=False)
        for (owner, place), since in sorted(entries.items())
    )
    body = ",\n".join(f"  {line}" for line in lines)
    head = f'{{"schema": {SCHEMA}, "allowed": ['
    return f"{head}\n{body}\n]}}\n" if body else f"{head}]}}\n"

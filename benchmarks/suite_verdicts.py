"""What a reader made of the findings: judgements.toml says of each place whether it is true, and why."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pytest_mcpsmoke.state.globs import matches

LIST: Final = Path(__file__).with_name("judgements.toml")
Verdict = Literal["true", "false"]


class Found(NamedTuple):
    """A leak that the plugin reported."""

    owner: str
    place: str
    before: str
    after: str
    line: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a human says of the findings of a suite at places that a glob matches, left by certain owners."""

    suite: str
    place: str
    verdict: Verdict
    why: str
    owner: str = "*"

    def covers(self, found: Found) -> bool:
        return matches(found.place, self.place) and matches(found.owner, self.owner)


def judgements() -> list[Judgement]:
    """All judgements, in the order of the file: the first that covers a finding holds."""
    return [Judgement(**one) for one in tomllib.loads(LIST.read_text("utf-8")).get("judgement", [])]


def leaks(report: Path) -> list[Found]:
    """The leaks in a report file. Raises ValueError where the run that wrote it did not end."""
    records = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    if not records or records[-1]["type"] != "end":
        raise ValueError(f"{report.name}: the run did not end")
    return [_found(one) for one in records if one["type"] == "finding" and one["verdict"] == "leak"]


def _found(record: dict[str, Any]) -> Found:
    site = record["site"]
    line = f"{site['path']}:{site['line']}" if site else ""
    return Found(record["owner"], record["place"], str(record["before"]), str(record["after"]), line)


class Read(NamedTuple):
    """The findings of a suite, by what a human says of them."""

    true: list[Found]
    false: list[Found]
    unread: list[Found]


def read(suite: str, found: Iterable[Found], every: Sequence[Judgement]) -> Read:
    """Sort the findings of a suite by the first judgement that covers each."""
    result = Read([], [], [])
    own = [one for one in every if one.suite == suite]
    for finding in found:
        verdict = next((one.verdict for one in own if one.covers(finding)), None)
        {"true": result.true, "false": result.false, None: result.unread}[verdict].append(finding)
    return result

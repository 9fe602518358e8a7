"""Failures that are known: a reason for each, and none that has become untrue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from conformance.results import FAILED, VERSIONS, WAYS, Check, Run
from pytest_mcpsmoke.errors import UsageProblem

FILE: Final = Path(__file__).with_name("expected-failures.yaml")

Reasons = Mapping[tuple[str, str], Mapping[str, str]]
"""By version and way: a reason by "scenario", or by "scenario:check" for one check of it."""


@dataclass(frozen=True)
class Verdict:
    """What of a run was not expected: failures without an entry, and entries without a failure."""

    unexpected: list[Check] = field(default_factory=list)
    expected: list[tuple[Check, str]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether all is as expected."""
        return not self.unexpected and not self.stale


def judge(run: Run, reasons: Reasons) -> Verdict:
    """Compare a run's failures with what is known of its version and way.

    An entry has to be met by a failure: one whose checks pass, are skipped or are gone is stale.
    """
    known = reasons.get((run.version, run.way), {})
    verdict = Verdict()
    met: set[str] = set()
    for check in run.of(FAILED):
        entries = [entry for entry in (f"{check.scenario}:{check.id}", check.scenario) if entry in known]
        met.update(entries)
        if entries:
            verdict.expected.append((check, known[entries[0]]))
        elif check.counts:
            verdict.unexpected.append(check)
    verdict.stale.extend(entry for entry in known if entry not in met)
    return verdict


def read(path: Path = FILE) -> Reasons:
    """Read the file of known failures; raise UsageProblem, in one line, for what cannot be used."""
    try:
        told = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageProblem(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    found = {}
    for version, ways in _mapping(told, path, "the file", VERSIONS):
        for way, entries in _mapping(ways, path, version, WAYS):
            found[version, way] = dict(_reasons(entries, path, f"{version}, {way}"))
    return found


def _mapping(told: object, path: Path, where: str, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """The items of a mapping with known names; nothing at all is an empty one."""
    told = {} if told is None else told
    if not isinstance(told, dict):
        raise UsageProblem(f"{path}: {where}: expected {' and '.join(names)}, found {told!r}")
    # A bare 2025-11-25 is a date to YAML.
    items = [(str(name), value) for name, value in told.items()]
    for name, _ in items:
        if name not in names:
            raise UsageProblem(f"{path}: {where}: {name!r} is not known; write {' or '.join(names)}")
    return items


def _reasons(told: object, path: Path, where: str) -> Iterable[tuple[str, str]]:
    told = {} if told is None else told
    if not isinstance(told, dict):
        raise UsageProblem(f"{path}: {where}: expected 'scenario: reason' or 'scenario:check: reason'")
    for entry, reason in told.items():
        if not isinstance(entry, str) or not isinstance(reason, str) or not reason.strip():
            raise UsageProblem(f"{path}: {where}: {entry!r} needs a reason, in words")
        if f"{entry.partition(':')[0]}" in told and ":" in entry:
            raise UsageProblem(
                f"{path}: {where}: {entry!r} stands beside its whole scenario; keep one of both"
            )
        yield entry, " ".join(reason.split())

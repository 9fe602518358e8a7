"""What the suite wrote down: checks, by scenario, and which of them count."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

VERSIONS: Final = ("2025-11-25", "2026-07-28")
WAYS: Final = ("direct", "gateway")

REQUIRED: Final = "required"
BEYOND: Final = "beyond"
PAIRED: Final = "paired"
EXTENSION: Final = "extension"
GROUPS: Final = (REQUIRED, BEYOND, PAIRED, EXTENSION)

PASSED: Final = "SUCCESS"
FAILED: Final = "FAILURE"
WARNED: Final = "WARNING"
SKIPPED: Final = "SKIPPED"

_FOLDER: Final = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


class NoResults(Exception):
    """The suite's files are not what they were; the text says which, and what is wrong."""


@dataclass(frozen=True)
class Check:
    """One thing that the suite looked at, or we did.

    Attributes:
        scenario: The suite's scenario.
        id: The check's id; one scenario may give several checks of one id.
        status: "SUCCESS", "FAILURE", "WARNING", "SKIPPED" or "INFO".
        group: "required", "beyond" (not in the version's requirements when these were frozen), "paired"
            (ours, beside a scenario that passes for nothing) or "extension" (of the protocol; optional).
        message: Why it did not pass; "" when it did.
    """

    scenario: str
    id: str
    status: str
    group: str = REQUIRED
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether its failure is one of ours: what is no extension is offered, whoever requires it."""
        return self.group != EXTENSION


@dataclass(frozen=True)
class Run:
    """All checks of one version of the protocol, "direct" or through the "gateway"."""

    version: str
    way: str
    checks: tuple[Check, ...]

    def of(self, status: str, group: str | None = None) -> list[Check]:
        """The checks with a status, of a group or of all."""
        return [check for check in self.checks if check.status == status and group in (None, check.group)]

    def scenarios(self, group: str) -> tuple[int, int]:
        """How many scenarios of a group passed, and how many there are."""
        there = {check.scenario for check in self.checks if check.group == group}
        failed = {check.scenario for check in self.of(FAILED, group)}
        return len(there - failed), len(there)


def requirements(path: Path) -> dict[str, str]:
    """Read the suite's frozen requirements of a version: group by scenario, of those against a server.

    Raises NoResults when the file is not as it was.
    """
    try:
        told: Any = yaml.safe_load(path.read_text("utf-8"))
        groups = dict.fromkeys(map(str, told["server"]), REQUIRED)
        for entry in told["not_scored"]:
            if entry["leg"] == "server":
                is_extension = entry["reason"] == "extension"
                groups[str(entry["scenario"])] = EXTENSION if is_extension else BEYOND
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise NoResults(f"{path.name}: no requirements of the suite can be read: {error!r}") from None
    return groups


def read(folder: Path, groups: Mapping[str, str]) -> tuple[Check, ...]:
    """Read what a run of the suite left in a folder.

    A scenario that left nothing has failed, and so has one that was not asked for: no result gets lost.

    Raises NoResults for a file that is not as it was.
    """
    found: dict[str, list[Check]] = {}
    for path in sorted(folder.glob("*/checks.json")):
        named = _FOLDER.fullmatch(path.parent.name)
        if named is None:
            raise NoResults(f"{path.parent.name}: no scenario's name can be told from this folder")
        scenario = named["scenario"]
        found.setdefault(scenario, []).extend(_checks(path, scenario, groups.get(scenario, REQUIRED)))
    for scenario, group in groups.items():
        if not found.get(scenario):
            nothing = Check(scenario, scenario, FAILED, group, "the suite left no result of this scenario")
            found[scenario] = [nothing]
    order = [*groups, *(scenario for scenario in found if scenario not in groups)]
    return tuple(check for scenario in order for check in found[scenario])


def _checks(path: Path, scenario: str, group: str) -> Iterable[Check]:
    try:
        told: Any = json.loads(path.read_text("utf-8"))
        return [
            Check(scenario, str(one["id"]), str(one["status"]), group, _one_line(one.get("errorMessage")))
            for one in told
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoResults(f"{path.parent.name}/{path.name}: no checks can be read: {error!r}") from None


def _one_line(message: object) -> str:
    return "" if message is None else " ".join(str(message).split())

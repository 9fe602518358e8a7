"""What a run of the readiness gate came to: the model that its renderings are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.nd import NdResult

SCHEMA: Final = 1  # of report.json


class Status(StrEnum):
    """How one check ended."""

    PASSED = "PASSED"  # it ran, measured something, and that is as wanted
    FAILED = "FAILED"  # it ran, and what it measured is not as wanted
    INCONCLUSIVE = "INCONCLUSIVE"  # its samples prove neither
    EMPTY = "EMPTY"  # it ran no test
    TIMEOUT = "TIMEOUT"  # ended by the wall clock
    ERROR = "ERROR"  # it could not do its work
    SKIPPED = "SKIPPED"  # not wanted here, or it says so itself
    INTERRUPTED = "INTERRUPTED"  # ended by Ctrl-C or a signal
    NOT_RUN = "NOT RUN"  # its turn did not come


class Verdict(StrEnum):
    """What the run as a whole says."""

    GREEN = "GREEN"
    RED = "RED"
    INCONCLUSIVE = "INCONCLUSIVE"


class Case(NamedTuple):
    """One test of a check: its node id, its outcome as in the report contract, and what it failed with."""

    nodeid: str
    outcome: str
    seconds: float
    message: str | None = None


class Result(NamedTuple):
    """One check of a run. Texts are without secrets; files: paths in the evidence folder."""

    name: str
    kind: str
    tier: str | None
    is_optional: bool
    is_expected: bool
    timeout: float
    argv: tuple[str, ...]
    again: str
    status: Status = Status.NOT_RUN
    reason: str = "its turn did not come"
    is_red: bool = False
    exit_status: int | None = None
    seconds: float = 0.0
    tests: tuple[Case, ...] = ()
    leaks: tuple[Finding, ...] = ()
    nd: tuple[NdResult, ...] = ()
    output: Any = None  # what probe and clients say with --json
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the JSON object of report.json."""
        return {
            "name": self.name,
            "kind": self.kind,
            "tier": self.tier,
            "optional": self.is_optional,
            "expected": self.is_expected,
            "status": self.status.value,
            "red": self.is_red,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "timeout": self.timeout,
            "exit_status": self.exit_status,
            "argv": list(self.argv),
            "again": self.again,
            "tests": [case._asdict() for case in self.tests],
            "leaks": [finding.record() for finding in self.leaks],
            "nd": [sampled.record() for sampled in self.nd],
            "output": self.output,
            "notes": list(self.notes),
            "files": list(self.files),
        }


class Run(NamedTuple):
    """A run of the gate. verdict is None while it goes on; about: commit, versions, environment, wishes."""

    verdict: Verdict | None
    reasons: tuple[str, ...]
    began: str  # UTC, as in 2026-11-21T10:15:00Z
    seconds: float
    seed: int | None
    results: tuple[Result, ...]
    about: Mapping[str, Any]
    problems: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the JSON object of report.json."""
        return {
            "type": "readiness",
            "schema": SCHEMA,
            "verdict": None if self.verdict is None else self.verdict.value,
            "reasons": list(self.reasons),
            "began": self.began,
            "seconds": round(self.seconds, 3),
            "seed": self.seed,
            **self.about,
            "checks": [result.record() for result in self.results],
            "problems": list(self.problems),
        }


class Change(NamedTuple):
    """One difference between two runs: what kind of thing, which one, before and after."""

    what: str  # checks, tests, leaks, rates
    name: str
    before: str
    after: str
    remark: str = ""


class Comparison(NamedTuple):
    """What changed from one run to another; before and after describe the two runs in one line each."""

    before: str
    after: str
    changes: tuple[Change, ...]

    def record(self) -> dict[str, Any]:
        """Return the JSON object of mcpsmoke ready --compare --json."""
        return {**self._asdict(), "changes": [change._asdict() for change in self.changes]}


def counted(cases: tuple[Case, ...]) -> str:
    """Return "1 failed, 2 passed", what went wrong first; empty where there is no test."""
    counts = Counter(case.outcome for case in cases)
    order = ("failed", "error", "passed", "skipped", "xfailed", "xpassed", "rerun")
    return ", ".join(
        f"{counts[outcome]:,} {_word(outcome, counts[outcome])}" for outcome in order if counts[outcome]
    )


def _word(outcome: str, number: int) -> str:
    return "errors" if outcome == "error" and number > 1 else outcome

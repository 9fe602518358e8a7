"""The child process of one check, and what it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pytest_mcpsmoke.readiness.gate import commands, outcomes
from pytest_mcpsmoke.readiness.gate.checks import LIVE_KINDS, Check
from pytest_mcpsmoke.readiness.gate.evidence import Evidence
from pytest_mcpsmoke.readiness.gate.judging import Left
from pytest_mcpsmoke.readiness.gate.running import Ended, Outputs, run_child
from pytest_mcpsmoke.readiness.gate.scrubbing import Scrubber
from pytest_mcpsmoke.readiness.gate.wanted import Wanted
from pytest_mcpsmoke.report.readiness_model import Status
from pytest_mcpsmoke.report.text import plural

_READ: Final = 1_000_000  # bytes of a log's end in which its telling line is looked for
_JUNIT: Final = {Status.PASSED: "passed", Status.SKIPPED: "skipped", Status.FAILED: "failed"}


class Child:
    """The process of one check with its files: it writes to a private folder, evidence gets them scrubbed."""

    def __init__(
        self, check: Check, wanted: Wanted, scratch: Path, evidence: Evidence, scrubber: Scrubber
    ) -> None:
        self._check = check
        self._heard = 0  # bytes of its log before it was told to end
        self._scrubber = scrubber
        self._evidence = evidence
        name = check.name
        self._junit = scratch / f"{name}.xml"
        self._lines = scratch / f"{name}.jsonl"
        self._said = scratch / f"{name}.log"
        self._json = scratch / f"{name}.json" if check.kind in LIVE_KINDS else self._said
        self._tails = [
            evidence.tail(self._said, f"logs/{name}.log", is_log=True),
            evidence.tail(self._lines, f"leaks/{name}.jsonl", is_log=False),
        ]
        self.argv = commands.argv(check, wanted, commands.Reports(self._junit, self._lines))

    def run(self, root: Path, environ: Mapping[str, str], tick: Callable[[float], None]) -> Ended:
        """Run it to its end, whichever that is."""

        def follow(seconds: float) -> None:
            tick(seconds)
            self._heard = self._said.stat().st_size
            for tail in self._tails:
                tail.follow()

        outputs = Outputs(self._json, self._said)
        ended = run_child(self.argv, root, environ, self._check.timeout, outputs, follow)
        for tail in self._tails:
            tail.follow(is_end=True)
        if self._junit.exists():
            self._evidence.write_junit(self._check.name, self._junit.read_bytes())
        return ended

    def left(self, ended: Ended) -> Left:
        """Read what it left."""
        is_over = ended.by == "itself"
        log = _end_of(self._said, None if is_over else self._heard)
        if self._check.kind == "pytest":
            told = outcomes.told(self._lines, self._junit, self._scrubber.values)
            said = outcomes.telling_line(log) if is_over else outcomes.last_line(log)
            return Left(ended, told.tests, told.leaks, told.nd, said, told.notes, is_whole=told.is_whole)
        if self._check.kind == "command":
            return Left(ended, said=outcomes.last_line(log))
        text = _end_of(self._json)
        try:
            output = json.loads(text)
        except ValueError:
            return Left(ended, said=outcomes.last_line(log or text))
        return Left(ended, said=_said_by(output) or outcomes.last_line(log), output=output)

    def report(self, status: Status, reason: str, ended: Ended) -> None:
        """Write a JUnit file for what is no run of pytest."""
        if self._check.kind != "pytest":
            outcome = _JUNIT.get(status, "error")
            content = outcomes.junit_of(self._check.name, ended.seconds, outcome, reason)
            self._evidence.write_junit(self._check.name, content)

    def files(self) -> list[str]:
        """The files of this check in the evidence folder."""
        name = self._check.name
        names = (f"logs/{name}.log", f"junit/{name}.xml", f"leaks/{name}.jsonl")
        return [each for each in names if (self._evidence.folder / each).exists()]


def _said_by(output: Any) -> str:
    """The verdict of a probe and what it adds to that; how many rows of a matrix are green."""
    match output:
        case {"type": "probe", "verdict": str(verdict), "detail": detail}:
            return f"{verdict}: {detail}" if detail else verdict
        case {"type": "clients", "rows": [*rows]}:
            green = sum(row.get("is_green") is True for row in rows if isinstance(row, dict))
            return f"{green} of {plural(len(rows), 'server')} green"
    return ""


def _end_of(path: Path, size: int | None = None) -> str:
    """The end of a file as text, of its first bytes where a size is given; empty where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size if size is None else size
        start = max(0, end - _READ)
        file.seek(start)
        return file.read(end - start).decode("utf-8", "backslashreplace")

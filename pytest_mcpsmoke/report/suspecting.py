"""Findings as suspects: whose doing, who has to run for it, and when that was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from pytest_mcpsmoke.order.suspects import Suspect
from pytest_mcpsmoke.report.model import Finding


def suspect_of(finding: Finding, at: Mapping[str, int]) -> Suspect | None:
    """Return a finding as a suspect; at: when each test ran. None where it is nobody's who ran."""
    is_leak = finding.verdict == "leak"
    if finding.owner_kind == "module":
        if PurePosixPath(finding.owner).name == "conftest.py":
            return None  # it is imported for the victim, too, or it is not there at all
        return Suspect(finding.place, finding.owner, finding.owner, True, is_leak, 0)
    test = finding.owner if finding.owner_kind == "test" else finding.during
    if test is None or test not in at:
        return None
    return Suspect(finding.place, finding.owner, test, False, is_leak, at[test])

"""The statements that changed a place, as records and as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_mcpsmoke.report.model import SiteText
from pytest_mcpsmoke.report.text import site_line
from pytest_mcpsmoke.state.describe import describe_pair
from pytest_mcpsmoke.state.lines import Write


def write_record(
    write: Write, nodeid: str, stage: str, place: str, relative: Callable[[str], str]
) -> dict[str, Any]:
    """Return the JSON object of one write; relative makes paths as pytest prints them."""
    before, after = describe_pair(write.before.shown(), write.after.shown(), place)
    return {
        "type": "write",
        "nodeid": nodeid,
        "stage": stage,
        "place": place,
        "before": before,
        "after": after,
        "thread": write.thread,
        "chain": [
            {"path": relative(code.co_filename), "line": line, "function": code.co_name}
            for code, line in write.chain
        ],
    }


def write_lines(record: dict[str, Any], root: str) -> list[str]:
    """Return one write: what changed, and the way from the test to the statement, which stands last."""
    where = "" if record["thread"] == "MainThread" else f", thread {record['thread']}"
    lines = [f"{record['place']}: {record['before']} -> {record['after']} ({record['stage']}{where})"]
    for step in record["chain"]:
        site = SiteText(step["path"], step["line"], step["function"], "observed")
        lines.append(f"  {site_line(site, record['place'], root)}   in {step['function']}")
    return lines

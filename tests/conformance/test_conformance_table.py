"""The tables, as text and in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance import expected, install, table
from conformance.expected import judge
from conformance.results import BEYOND, EXTENSION, GROUPS, PAIRED, VERSIONS, WAYS, Check, Run
from pytest_mcpsmoke.errors import UsageProblem

CHECKS = (
    Check("ping", "ping", "SUCCESS"),
    Check("ping", "wire-schema-valid", "SUCCESS"),
    Check("caching", "ttl", "FAILURE", message="no ttlMs"),
    Check("caching", "scope", "FAILURE"),
    Check("polling", "retry", "WARNING", BEYOND, "no retry"),
    Check("polling", "info", "INFO", BEYOND),
    Check("ping", "ping-says-so", "SUCCESS", PAIRED),
    Check("tasks", "t", "FAILURE", EXTENSION, "no tasks"),
    Check("tasks", "u", "SKIPPED", EXTENSION),
)


def test_text_shows_the_counts_and_every_check_that_did_not_pass() -> None:
    run = Run("2026-07-28", "gateway", CHECKS)
    reasons = {("2026-07-28", "gateway"): {"caching:ttl": "later", "ping": "once"}}
    assert "\n".join(table.text(run, judge(run, reasons))) == (
        "2026-07-28, through the gateway\n"
        "  protocol    group      scenarios  passed  failed  warnings  skipped\n"
        "  2026-07-28  required   1/2        2       2       0         0\n"
        "  2026-07-28  beyond     1/1        0       0       1         0\n"
        "  2026-07-28  paired     1/1        1       0       0         0\n"
        "  2026-07-28  extension  0/1        0       1       0         1\n"
        "  failed: caching:ttl: no ttlMs (expected: later)\n"
        "  failed: caching:scope: no reason given\n"
        "  warning: polling:retry: no retry\n"
        "  stale: ping: listed for 2026-07-28, gateway, and does not fail"
    )


def test_markdown_has_a_table_for_each_way_and_says_what_made_it(tmp_path: Path) -> None:
    runs = [Run("2025-11-25", way, CHECKS[:2]) for way in WAYS]
    block = table.markdown(runs, "python -m conformance", "0.2.0-alpha.12")
    assert block == (
        "<!-- conformance tables: begin -->\n\n"
        "Made by `python -m conformance`, with the suite's version 0.2.0-alpha.12.\n\n"
        "### Directly\n\n"
        "| protocol | group | scenarios | passed | failed | warnings | skipped |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 2025-11-25 | required | 1/1 | 2 | 0 | 0 | 0 |\n\n"
        "### Through the gateway\n\n"
        "| protocol | group | scenarios | passed | failed | warnings | skipped |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 2025-11-25 | required | 1/1 | 2 | 0 | 0 | 0 |\n\n"
        "<!-- conformance tables: end -->"
    )
    page = tmp_path / "page.md"
    page.write_text(
        "above\n<!-- conformance tables: begin -->\nold\n<!-- conformance tables: end -->\nbelow\n"
    )
    table.write(block, page)
    assert page.read_text() == f"above\n{block}\nbelow\n"


def test_a_page_without_the_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(UsageProblem, match="no place for the tables"):
        table.write("block", page)


class TestThePage:
    """What can be known of the documentation's tables without running the suite."""

    block = table.written(table.PAGE.read_text("utf-8"))

    def rows(self, way: str) -> list[list[str]]:
        title = {"direct": "Directly", "gateway": "Through the gateway"}[way]
        part = self.block.partition(f"### {title}\n")[2].partition("### ")[0]
        lines = re.findall(r"^\| (2.*) \|$", part, re.MULTILINE)
        return [line.split(" | ") for line in lines]

    def test_it_says_what_made_it(self) -> None:
        command = "python -m conformance --through all --write-docs"
        assert f"Made by `{command}`, with the suite's version {install.pinned()}." in self.block

    @pytest.mark.parametrize("way", WAYS)
    def test_it_has_every_version_and_group(self, way: str) -> None:
        found = {(version, group) for version, group, *_ in self.rows(way)}
        counted = {(version, group) for version in VERSIONS for group in GROUPS if group != EXTENSION}
        assert counted <= found
        assert found - counted <= {(version, EXTENSION) for version in VERSIONS}

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("version", VERSIONS)
    def test_it_agrees_with_the_known_failures(self, way: str, version: str) -> None:
        known = expected.read().get((version, way), {})
        counted = [row for row in self.rows(way) if row[0] == version and row[1] != EXTENSION]
        failing = sum(
            int(there) - int(passed) for _, _, share, *_ in counted for passed, there in [share.split("/")]
        )
        assert failing == len({entry.partition(":")[0] for entry in known})
        assert sum(int(row[4]) for row in counted) >= len(known)
        assert all((int(row[4]) == 0) == (len(set(row[2].split("/"))) == 1) for row in counted)

"""The reference pages list exactly what the product has."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from stories import DOCS, blocks

from pytest_mcpsmoke import plugin
from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.glue import markers
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.state.engines import ENGINE_NAMES, open_engine
from pytest_mcpsmoke.state.policy import RULES


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of the table rows in a text, heads and rulers left out."""
    tables = re.findall(r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)*)", text, re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def section(text: str, heading: str) -> str:
    """The part of a page below a heading of the second level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


class Declared:
    """Stands in for pytest's parser, and keeps what is declared."""

    def __init__(self) -> None:
        self.options: dict[str, dict[str, Any]] = {}
        self.ini: list[str] = []
        plugin.pytest_addoption(self)  # type: ignore[arg-type]

    def getgroup(self, *_: str) -> Declared:
        return self

    def addoption(self, name: str, **settings: Any) -> None:
        self.options[name] = settings

    def addini(self, name: str, *_: Any, **__: Any) -> None:
        self.ini.append(name)


class TestOptions:
    def test_every_option_has_its_heading_with_its_values(self) -> None:
        headings = re.findall(r"^## `(--[\w-]+)=(\S+)`$", page("options.md"), re.MULTILINE)
        declared = [(name, settings["metavar"]) for name, settings in Declared().options.items()]
        assert headings == declared

    def test_every_ini_key_has_its_heading(self) -> None:
        assert re.findall(r"^## ini: `(\w+)`$", page("options.md"), re.MULTILINE) == Declared().ini

    def test_each_has_an_example(self) -> None:
        text = page("options.md")
        for name in [*Declared().options, *Declared().ini]:
            part = re.search(rf"^## (?:ini: )?`{name}.*\n(?:.*\n)*?(?=## |\Z)", text, re.MULTILINE)
            assert part is not None
            assert any(name in "\n".join(block.lines) for block in blocks(part[0])), name


def test_markers_have_their_headings() -> None:
    registered: list[str] = []
    config = SimpleNamespace(
        addinivalue_line=lambda _, line: registered.append(re.split(r"\W", line)[0]),
        pluginmanager=SimpleNamespace(register=lambda *_: None),
    )
    markers.register(config)  # type: ignore[arg-type]
    assert re.findall(r"^## `(\w+)`$", page("markers.md"), re.MULTILINE) == registered


def test_policy_lists_the_rules_in_their_order() -> None:
    listed = rows(page("policy.md"))
    assert [row[:3] for row in listed] == [[rule.name, rule.verdict, rule.reason] for rule in RULES]
    assert all(len(row) == 4 and row[3] for row in listed), "each with its example"


class TestReportContract:
    @staticmethod
    def records() -> dict[str, dict[str, Any]]:
        """The records that the page shows, by type; that a run writes them is tested with the examples."""
        lines = [line for block in blocks(page("report-contract.md")) for line in block.lines]
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return {record["type"]: record for record in records}

    @pytest.mark.parametrize("kind", ["run", "finding", "test", "end"])
    def test_every_field_is_explained(self, kind: str) -> None:
        explained = [cell[0] for cell in rows(section(page("report-contract.md"), f"type `{kind}`"))]
        names = re.findall(r"`(\w+)`", " ".join(explained))
        assert names == [name for name in self.records()[kind] if name != "type"]

    def test_a_finding_has_the_fields_of_the_model(self) -> None:
        assert list(self.records()["finding"]) == ["type", *Finding._fields]


class TestEngines:
    def test_the_engines_are_listed(self) -> None:
        assert tuple(row[0].strip("`") for row in rows(page("engines.md"))[:3]) == ENGINE_NAMES

    @pytest.mark.parametrize("name", ENGINE_NAMES)
    def test_what_does_not_work_here_says_so_as_documented(self, name: str) -> None:
        documented = re.findall(r"`((?:watch|version): [^`]+)`", section(page("engines.md"), "Messages"))
        message = complaint(name)
        assert not message or any(message.startswith(text.removesuffix("…")) for text in documented), message


def complaint(name: str) -> str:
    """Why an engine does not work on this interpreter; empty where it does."""
    try:
        open_engine(name, set())[0].stop()
    except EngineUnavailable as error:
        return str(error)
    return ""


def test_exit_statuses_are_those_of_pytest() -> None:
    listed = [row[0] for row in rows(page("exit-status.md"))]
    own = [str(int(code)) for code in pytest.ExitCode]
    assert listed[: len(own)] == own
    assert set(listed[len(own) :]) <= {"6"}, "older releases of pytest have no status 6"

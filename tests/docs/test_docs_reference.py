"""The reference pages list exactly what the product has."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from types import SimpleNamespace
from typing import Any

import pytest
from stories import DOCS, ROOT, blocks

from pytest_mcpsmoke import plugin
from pytest_mcpsmoke.cli import ready
from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.glue import fixtures, markers
from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.readiness.gate.checks import DEFAULT_TIMEOUT, KEYS, KINDS
from pytest_mcpsmoke.readiness.gate.wanted import VARIABLES
from pytest_mcpsmoke.report.model import _OPTIONAL, Finding
from pytest_mcpsmoke.report.readiness_model import Result, Run, Status
from pytest_mcpsmoke.state.change import Rule
from pytest_mcpsmoke.state.containers import _MOST
from pytest_mcpsmoke.state.engines import ENGINE_NAMES, open_engine
from pytest_mcpsmoke.state.policy import MODULE_RULES, OBJECT_RULES, PROBE_RULES, RULES
from pytest_mcpsmoke.state.probes.builtin import interpreter_probes
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.probes.registries import CodecSearch, MimeTypes
from pytest_mcpsmoke.state.probes.resources import resource_probes
from pytest_mcpsmoke.state.undoing import STAYS


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
        headings = re.findall(r"^## `(--[\w-]+)(?:=(\S+))?`$", page("options.md"), re.MULTILINE)
        declared = [(name, settings.get("metavar", "")) for name, settings in Declared().options.items()]
        assert headings == declared

    def test_every_ini_key_has_its_heading(self) -> None:
        headings = re.findall(r"^## ini: `(\w+)`$", page("options.md"), re.MULTILINE)
        assert sorted(headings) == sorted(Declared().ini)

    def test_each_has_an_example(self) -> None:
        text = page("options.md")
        for name in [*Declared().options, *Declared().ini]:
            part = re.search(rf"^## (?:ini: )?`{name}[=`].*\n(?:.*\n)*?(?=## |\Z)", text, re.MULTILINE)
            assert part is not None
            assert any(name in "\n".join(block.lines) for block in blocks(part[0])), name


def test_what_stays_of_that_which_is_to_be_undone() -> None:
    listed = [row[1:] for row in rows(section(page("options.md"), "`--leaks-undo=GLOB`"))]
    assert listed == [[one.reason, "yes" if one.is_lifted else "no"] for one in STAYS]


def test_markers_have_their_headings() -> None:
    registered: list[str] = []
    config = SimpleNamespace(
        addinivalue_line=lambda _, line: registered.append(re.split(r"\W", line)[0]),
        pluginmanager=SimpleNamespace(register=lambda *_: None),
    )
    markers.register(config)  # type: ignore[arg-type]
    assert re.findall(r"^## `(\w+)`$", page("markers.md"), re.MULTILINE) == registered


def test_fixtures_have_their_headings_in_order_each_with_an_example() -> None:
    text = page("fixtures.md")
    declared = [
        name for name, thing in vars(fixtures).items() if type(thing).__name__ == "FixtureFunctionDefinition"
    ]
    assert re.findall(r"^## `(\w+)`$", text, re.MULTILINE) == declared
    for name in declared:
        files = [block for block in blocks(section(text, f"`{name}`")) if block.caption]
        assert any(name in "\n".join(block.lines) for block in files), name


@pytest.mark.parametrize(
    ("heading", "rules"),
    [
        ("Names", RULES),
        ("Objects", OBJECT_RULES),
        ("Entries of `sys.modules`", MODULE_RULES),
        ("Ambient state", PROBE_RULES),
    ],
)
def test_policy_lists_the_rules_in_their_order(heading: str, rules: tuple[Rule, ...]) -> None:
    listed = rows(section(page("policy.md"), heading))
    assert [row[:3] for row in listed] == [[rule.name, rule.verdict, rule.reason] for rule in rules]
    assert all(len(row) == 6 and all(row) for row in listed), (
        "each with its example, its occasion and its test"
    )


SUITES = {
    f"{suite['name']} {suite['version']}"
    for suite in tomllib.loads((ROOT / "benchmarks" / "suites.toml").read_text("utf-8"))["suite"]
}


@pytest.mark.parametrize("row", rows(page("policy.md")), ids=lambda row: row[0])
def test_each_rule_was_met_somewhere_and_has_a_test(row: list[str]) -> None:
    name, *_, met, tests = row
    assert met == "a case of our own" or set(met.split(", ")) <= SUITES
    for path, _, function in (test.partition("::") for test in re.findall("`(.+?)`", tests)):
        text = (ROOT / "tests" / path).read_text("utf-8")
        wanted = f"def {function}(" if function else f'"{name}",'
        assert wanted in text, f"{path} has no test of it"


class TestWhatIsRead:
    @staticmethod
    def listed() -> dict[str, list[str]]:
        return {row[0]: row[1:] for row in rows(section(page("what-is-read.md"), "Ambient probes"))}

    def test_every_probe_is_listed_with_what_it_cannot_see(self) -> None:
        probes = [*interpreter_probes(), *resource_probes("", lambda path: False)]
        probes += [MimeTypes(), CodecSearch(), SysModules()]
        listed = self.listed()
        assert {probe.name: probe.blind for probe in probes}.items() <= {
            name: row[2] for name, row in listed.items()
        }.items()
        if sys.platform == "linux":  # elsewhere there are fewer
            assert [*listed] == [probe.name for probe in probes]

    def test_each_says_what_it_reads_and_whether_that_is_put_back(self) -> None:
        assert all(len(row) == 3 and all(row) for row in self.listed().values())

    def test_limits_are_the_defaults(self) -> None:
        numbers = [row[1].replace(",", "") for row in rows(section(page("what-is-read.md"), "Limits"))]
        assert numbers == [str(number) for number in (Limits().depth, Limits().size, _MOST)]


class TestReportContract:
    @staticmethod
    def records() -> dict[str, dict[str, Any]]:
        """The records that the page shows, by type; that a run writes them is tested with the examples."""
        lines = [line for block in blocks(page("report-contract.md")) for line in block.lines]
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return {record["type"]: record for record in records}

    @pytest.mark.parametrize(
        "kind", ["run", "finding", "note", "stale", "test", "nd", "end", "write", "where"]
    )
    def test_every_field_is_explained(self, kind: str) -> None:
        explained = [cell[0] for cell in rows(section(page("report-contract.md"), f"type `{kind}`"))]
        names = re.findall(r"`(\w+)`", " ".join(explained))
        shown = self.records()[kind]
        assert [name for name in names if name in shown] == [name for name in shown if name != "type"]
        assert set(names) - set(shown) == (set(_OPTIONAL) - set(shown) if kind == "finding" else set())

    def test_a_finding_has_the_fields_of_the_model(self) -> None:
        explained = [cell[0] for cell in rows(section(page("report-contract.md"), "type `finding`"))]
        assert re.findall(r"`(\w+)`", " ".join(explained)) == list(Finding._fields)
        assert Finding._fields[-len(_OPTIONAL) :] == _OPTIONAL


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


class TestReadiness:
    """The page about mcpsmoke ready."""

    @staticmethod
    def firsts(heading: str) -> list[str]:
        """The code in the first cells of a section's tables, in order."""
        cells = (row[0] for row in rows(section(page("readiness.md"), heading)))
        return [word for cell in cells for word in re.findall("`([^`]+)`", cell)]

    def test_keys_and_kinds(self) -> None:
        assert self.firsts("Checks") == [*KEYS, *KINDS]
        assert f"| `{DEFAULT_TIMEOUT:.0f}` |" in page("readiness.md")

    def test_variables_flags_and_options(self) -> None:
        cells = [cell for row in rows(section(page("readiness.md"), "Environment and flags")) for cell in row]
        words = {found[1] for cell in cells if (found := re.match(r"`([A-Z_]+|--[\w-]+)[^`]*`$", cell))}
        parser = argparse.ArgumentParser()
        ready.add_to(parser.add_subparsers())
        (choices,) = (action.choices for action in parser._actions if action.choices)
        options = {name for action in choices["ready"]._actions for name in action.option_strings}
        assert words == {*VARIABLES, "READINESS_EXPECT", "CHECK"} | options - {"-h", "--help"}

    def test_statuses(self) -> None:
        assert [word for word in self.firsts("Statuses") if word.isupper()] == [*Status]

    def test_fields_of_the_report(self) -> None:
        result = Result("", "", None, False, False, 1.0, (), "")
        about = {"argv": [], "wanted": {}, "commit": None, "versions": {}, "environment": {}}
        run = Run(None, (), "", 0.0, None, (result,), about).record()
        check = run["checks"][0]
        assert sorted(self.firsts("`report.json`")) == sorted([*run, *check])


def test_exit_statuses_are_those_of_pytest() -> None:
    listed = [row[0] for row in rows(page("exit-status.md"))]
    own = [str(int(code)) for code in pytest.ExitCode]
    assert listed[: len(own)] == own
    assert set(listed[len(own) :]) <= {"6"}, "older releases of pytest have no status 6"


class TestSuites:
    """The table that python -m benchmarks.suites writes."""

    @staticmethod
    def listed() -> list[list[str]]:
        return rows(page("suites.md"))

    def test_each_suite_has_its_row(self) -> None:
        *suites, _ = self.listed()
        assert {f"{row[0]} {row[1]}" for row in suites} == SUITES

    def test_every_finding_was_read(self) -> None:
        for name, *_, findings, true, false in (row[:8] for row in self.listed()):
            assert int(findings) == int(true) + int(false), name

    def test_the_goals(self) -> None:
        total = self.listed()[-1]
        tests, findings, true, false = (int(total[at].replace(",", "")) for at in (3, 5, 6, 7))
        assert tests >= 8_000
        assert {row[4] for row in self.listed()} == {"yes"}
        assert true >= 0.95 * findings
        assert false <= tests / 1_000

    def test_every_judgement_is_about_a_suite_of_the_list(self) -> None:
        text = (ROOT / "benchmarks" / "judgements.toml").read_text("utf-8")
        known = {suite.partition(" ")[0] for suite in SUITES}
        judged = tomllib.loads(text)["judgement"]
        assert {one["suite"] for one in judged} <= known
        assert {one["verdict"] for one in judged} <= {"true", "false"}
        assert all(one["why"].strip() for one in judged)

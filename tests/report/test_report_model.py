"""From judged changes to findings, and from findings to the report contract and back."""

from __future__ import annotations

import json
import types
import weakref
from typing import Any

import pytest

from pytest_mcpsmoke.report.model import Finding, SiteText, findings
from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.place import MISSING, Namespace
from pytest_mcpsmoke.state.writer import Site, Writer

MODULE = types.ModuleType("shop")
SPACE = Namespace("module", weakref.ref(MODULE), "shop")
TEST = Owner("tests/test_a.py::test_x", "test")
SITE = Site("/project/tests/test_a.py", 5, "test_x", "observed")


def relative(path: str) -> str:
    return path.removeprefix("/project/")


def change(key: str, before: Any, after: Any, owner: Owner = TEST, **more: Any) -> Change:
    return Change(SPACE, key, before, after, owner, lambda: Writer("test", SITE), **more)


def test_a_leak_becomes_the_object_of_the_report_contract() -> None:
    (finding,) = findings([(change("MODE", "prod", "test"), "leak", None)], relative)
    record = finding.record()
    assert record == {
        "type": "finding",
        "owner": "tests/test_a.py::test_x",
        "owner_kind": "test",
        "scope": "function",
        "during": None,
        "place": "shop.MODE",
        "probe": "namespaces",
        "change": "rebound",
        "before": "'prod'",
        "after": "'test'",
        "site": {"path": "tests/test_a.py", "line": 5, "function": "test_x", "certainty": "observed"},
        "verdict": "leak",
        "reason": None,
        "restored": None,
        "remedy": "undo it in a fixture's teardown, or patch it for the time of the test",
    }
    assert Finding.of_record(json.loads(json.dumps(record))) == finding


def test_a_finding_without_a_site_makes_the_round_trip() -> None:
    (finding,) = findings([(change("MODE", "prod", "test"), "leak", None)], relative)
    nowhere = finding._replace(site=None)
    assert Finding.of_record(nowhere.record()) == nowhere


def test_what_a_finding_may_say_besides_makes_the_round_trip() -> None:
    (finding,) = findings([(change("MODE", "prod", "test"), "leak", None)], relative)
    more = {"cause": "one statement", "extent": ("a", "b"), "within": "app.REG", "command": "pytest x"}
    full = finding._replace(**more)
    assert full.record() == {**finding.record(), **more}
    assert Finding.of_record(json.loads(json.dumps(full.record()))) == full
    assert Finding.of_record(full._replace(extent=None).record()).extent is None


@pytest.mark.parametrize("record", [{}, {"type": "finding", "owner": "x"}])
def test_what_is_no_finding_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        Finding.of_record(record)


def test_what_is_ignored_is_not_recorded() -> None:
    assert findings([(change("MODE", "prod", "test"), "ignored", "book-keeping")], relative) == []


def test_the_writer_of_a_warm_up_is_not_searched_for_the_report() -> None:
    def search() -> Writer:
        raise AssertionError("searching costs")

    warm_up = Change(SPACE, "MODE", None, 1, TEST, search)
    (finding,) = findings([(warm_up, "warm-up", "first use")], relative)
    assert (finding.site, finding.remedy, finding.reason) == (None, None, "first use")


def test_the_site_of_a_warm_up_is_told_when_judging_found_it() -> None:
    warm_up = change("MODE", None, 1)
    assert warm_up.writer.site == SITE
    (finding,) = findings([(warm_up, "warm-up", "first use")], relative)
    assert finding.site == SiteText("tests/test_a.py", 5, "test_x", "observed")


def test_only_a_fixture_says_during_which_test() -> None:
    fixture = Owner("tests/conftest.py::server", "fixture", "session")
    for owner, during in ((fixture, "tests/test_a.py::test_x"), (TEST, None)):
        left = change("MODE", 1, 2, owner, during="tests/test_a.py::test_x")
        (finding,) = findings([(left, "leak", None)], relative)
        assert (finding.during, finding.owner_kind, finding.scope) == (during, owner.kind, owner.scope)


def test_the_kind_of_a_change_follows_from_its_values() -> None:
    kinds = [(MISSING, 1), (1, MISSING), (1, 2)]
    found = findings([(change("MODE", *pair), "leak", None) for pair in kinds], relative)
    assert [finding.change for finding in found] == ["added", "removed", "rebound"]


def test_values_under_secret_names_are_hidden() -> None:
    (finding,) = findings([(change("API_KEY", "hunter1", "hunter2"), "leak", None)], relative)
    assert (finding.before, finding.after) == ("str ***", "str ***")


def reload_of(*keys: str) -> list[Any]:
    return [(change(key, 1, 2, cause="reload"), "leak", None) for key in keys]


def test_a_reload_is_one_finding_that_names_some_of_what_it_defined_anew() -> None:
    warm = (change("OTHER", 1, 1.0, cause="reload"), "warm-up", "same")
    (finding,) = findings([warm, *reload_of("A", "B", "C", "D", "E", "F")], relative)
    assert (finding.place, finding.change, finding.verdict) == ("shop", "rebound", "leak")
    assert finding.before == "module shop"
    assert finding.after == "reloaded: A, B, C, D, and 2 more defined anew"
    assert (
        finding.remedy == "reload it again in a fixture's teardown, and import names from it inside the tests"
    )


def test_a_reload_that_is_exempt_is_one_warm_up() -> None:
    entries = [(change(key, 1, 2, cause="reload"), "warm-up", "clean") for key in ("__loader__", "A")]
    (finding,) = findings(entries, relative)  # type: ignore[arg-type]
    assert (finding.verdict, finding.after, finding.remedy) == ("warm-up", "reloaded: A defined anew", None)


def test_an_allowed_finding_says_why() -> None:
    (finding,) = findings([(change("MODE", 1, 2), "leak", None)], relative)
    allowed = finding.allowed("the tests share it")
    assert (allowed.verdict, allowed.reason, allowed.place) == ("allowed", "the tests share it", "shop.MODE")

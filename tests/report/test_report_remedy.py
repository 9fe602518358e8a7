"""What to write instead of the statement that leaked."""

from __future__ import annotations

import ast
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_mcpsmoke.report.remedy import remedy_for
from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.place import MISSING, Namespace
from pytest_mcpsmoke.state.writer import Site, Writer

MODULE = types.ModuleType("shop")
Remedy = Callable[..., str | None]


@pytest.fixture
def remedy(tmp_path: Path) -> Remedy:
    """The remedy for a statement that stands in a file and wrote a key."""

    def find(
        statement: str | None,
        key: str,
        before: Any = 0,
        after: Any = 1,
        kind: Literal["test", "fixture", "module"] = "test",
    ) -> str | None:
        path = tmp_path / f"{len([*tmp_path.iterdir()])}.py"
        path.write_text(statement or "", encoding="utf-8")
        parsed = None if statement is None else ast.parse(statement).body[0]
        writer = Writer("test", Site(str(path), 1, "test", "observed"), statement=parsed)
        owner = Owner("x", kind, "function" if kind == "test" else "session")
        namespace = Namespace("module", weakref.ref(MODULE), "shop")
        return remedy_for(Change(namespace, key, before, after, owner, lambda: writer))

    return find


@pytest.mark.parametrize(
    ("statement", "key", "expected"),
    [
        ("app.route = fake", "route", 'monkeypatch.setattr(app, "route", fake)'),
        ("shop.app.route = None", "route", 'monkeypatch.setattr(shop.app, "route", None)'),
        ("first.x = second.route = f()", "route", 'monkeypatch.setattr(second, "route", f())'),
        ("app.a, app.route = 1, 2", "route", 'monkeypatch.setattr(app, "route", …)'),
        ("app.route: int = 5", "route", 'monkeypatch.setattr(app, "route", 5)'),
        ("app.count += 1", "count", 'monkeypatch.setattr(app, "count", …)'),
        ("app.route = " + "f(" * 30 + "1" + ")" * 30, "route", 'monkeypatch.setattr(app, "route", …)'),
        ("SEEN = [1]", "SEEN", 'monkeypatch.setitem(globals(), "SEEN", [1])'),
        ('vars(app)["route"] = 1', "route", 'monkeypatch.setitem(vars(app), "route", 1)'),
        ("del app.route", "route", 'monkeypatch.delattr(app, "route")'),
        ("del app.a, app.route", "route", 'monkeypatch.delattr(app, "route")'),
        ('del vars(app)["route"]', "route", 'monkeypatch.delitem(vars(app), "route")'),
        ("del SEEN", "SEEN", 'monkeypatch.delitem(globals(), "SEEN")'),
        ('setattr(app, "route", fake)', "route", 'monkeypatch.setattr(app, "route", fake)'),
        ('delattr(app, "route")', "route", 'monkeypatch.delattr(app, "route")'),
        ('app.API_KEY = "hunter2"', "API_KEY", 'monkeypatch.setattr(app, "API_KEY", "***")'),
    ],
)
def test_the_statement_becomes_a_call_of_monkeypatch(
    statement: str, key: str, expected: str, remedy: Remedy
) -> None:
    after = MISSING if statement.startswith("del") else 1
    assert remedy(statement, key, after=after) == expected


def test_a_name_that_was_not_there_before_is_set_without_raising(remedy: Remedy) -> None:
    added = [remedy(f"{text}", "EXTRA", before=MISSING) for text in ADDING]
    assert added == [
        'monkeypatch.setattr(app, "EXTRA", 1, raising=False)',
        'monkeypatch.setattr(app, "EXTRA", 1, raising=False)',
        'monkeypatch.setitem(vars(app), "EXTRA", 1)',
    ]


ADDING = ["app.EXTRA = 1", 'setattr(app, "EXTRA", 1)', 'vars(app)["EXTRA"] = 1']


@pytest.mark.parametrize(
    "statement",
    [None, 'mock.patch("shop.route").start()', "install()", "for app.route in x: pass", "import route"],
)
def test_without_a_statement_to_turn_around_the_advice_is_general(
    statement: str | None, remedy: Remedy
) -> None:
    assert (
        remedy(statement, "route") == "undo it in a fixture's teardown, or patch it for the time of the test"
    )


def test_a_wide_fixture_is_told_to_use_the_context_manager(remedy: Remedy) -> None:
    assert remedy("app.route = fake", "route", kind="fixture") == (
        "with pytest.MonkeyPatch.context() as monkeypatch:"
        ' monkeypatch.setattr(app, "route", fake), and yield inside'
    )


def test_an_import_is_told_to_use_a_fixture(remedy: Remedy) -> None:
    text = "do this in a fixture that undoes it, not when the module is imported"
    assert remedy("app.route = fake", "route", kind="module") == text


@pytest.mark.parametrize(
    "statement", ["app.route = fake", "del app.route", 'vars(app)["route"] = 1', 'setattr(app, "route", 1)']
)
def test_what_is_suggested_is_python(statement: str, remedy: Remedy) -> None:
    text = remedy(statement, "route", after=MISSING if statement.startswith("del") else 1)
    assert text is not None
    assert isinstance(ast.parse(text).body[0], ast.Expr)

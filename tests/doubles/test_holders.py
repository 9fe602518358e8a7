"""Who else holds what is patched: by identity, and by what a module's source says that it imports."""

from __future__ import annotations

import enum
import importlib
import sys
from typing import Any

import pytest

from pytest_mcpsmoke.doubles.holders import holders_of, importers_of, is_test_module
from pytest_mcpsmoke.doubles.importing import Import, imports_of
from pytest_mcpsmoke.doubles.patching import Patches

BASE = {
    "inn/__init__.py": "from .rooms import NUMBER, Room\n",
    "inn/rooms.py": "class Room: pass\nNUMBER = 7\nCHOICE = None\n",
    "inn/star.py": "from inn.rooms import *\n",
    "inn/again.py": "from inn import Room as Chamber, NUMBER\n",
    "inn/guarded.py": """
        try:
            from inn.rooms import NUMBER
        except ImportError:
            NUMBER = 0
    """,
    "inn/late.py": """
        NUMBER = 7

        def use():
            from inn.rooms import NUMBER
            return NUMBER
    """,
    "inn/hinted.py": """
        from typing import TYPE_CHECKING

        NUMBER = 7
        if TYPE_CHECKING:
            from inn.rooms import NUMBER
    """,
    "inn/kept.py": """
        import inn.rooms

        DEFAULT = inn.rooms.Room

        class Keeper:
            room = inn.rooms.Room
    """,
    "hotel.py": "NUMBER = 7\n",
    "guest.py": "from hotel import NUMBER\n",
    "elsewhere.py": "from inn.rooms import Room\n\nclass Keeper:\n    room = Room\n",
}


@pytest.fixture(autouse=True)
def loaded(write: Any) -> None:
    write(BASE)
    for name in BASE:
        importlib.import_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def found(module: str, attribute: str) -> list[str]:
    owner = sys.modules[module]
    return [one.name for one in holders_of(getattr(owner, attribute), owner, attribute)]


def importers(module: str, attribute: str) -> list[str]:
    owner = sys.modules[module]
    holders = holders_of(getattr(owner, attribute), owner, attribute)
    return sorted(one.name for one in importers_of(holders, owner, attribute))


def test_an_object_is_found_by_identity_under_any_name() -> None:
    assert found("inn.rooms", "Room") == [
        "inn.Room",
        "inn.again.Chamber",
        "inn.kept.DEFAULT",
        "inn.kept.Keeper.room",
        "inn.star.Room",
        "elsewhere.Room",
    ]


def test_those_who_imported_it_from_there_are_told_apart() -> None:
    assert importers("inn.rooms", "Room") == [
        "elsewhere.Room",
        "inn.Room",
        "inn.again.Chamber",
        "inn.star.Room",
    ]
    assert importers("inn", "Room") == ["inn.again.Chamber"]
    assert importers("elsewhere", "Room") == []


def test_a_shared_value_is_found_where_it_was_imported_and_nowhere_else() -> None:
    assert found("inn.rooms", "NUMBER") == [
        "inn.NUMBER",
        "inn.again.NUMBER",
        "inn.guarded.NUMBER",
        "inn.star.NUMBER",
    ]
    assert found("inn.again", "NUMBER") == [
        "inn.NUMBER",
        "inn.guarded.NUMBER",
        "inn.rooms.NUMBER",
        "inn.star.NUMBER",
    ]
    assert found("hotel", "NUMBER") == ["guest.NUMBER"]
    assert found("inn.late", "NUMBER") == []


class Color(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value", [None, True, 3, 0.5, "text", b"", (), frozenset(), ..., Color.RED, dict, len]
)
def test_what_is_everybody_s(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inn.rooms", "inn.again", "hotel"):
        monkeypatch.setattr(sys.modules[name], "NAMELESS", value, raising=False)
    assert found("hotel", "NAMELESS") == []


def test_everywhere_reaches_all_of_them_and_puts_them_back() -> None:
    names = ["inn.rooms", "inn", "inn.again", "inn.guarded", "inn.star"]
    with Patches() as patch:
        patch("inn.guarded.NUMBER", 8, everywhere=True)
        assert [sys.modules[name].NUMBER for name in names] == [8] * 5
        assert [sys.modules[name].NUMBER for name in ("hotel", "guest", "inn.late", "inn.hinted")] == [7] * 4
    assert [sys.modules[name].NUMBER for name in names] == [7] * 5


def test_imports_are_read_from_the_source() -> None:
    assert imports_of(sys.modules["inn"]) == {
        Import("NUMBER", "inn.rooms", "NUMBER"),
        Import("Room", "inn.rooms", "Room"),
    }
    assert imports_of(sys.modules["inn.kept"]) == {Import("inn", "inn.rooms", "")}
    assert {one.meant for one in imports_of(sys.modules["inn.late"])} == set()
    assert {one.meant for one in imports_of(sys.modules["inn.hinted"])} == {"typing.TYPE_CHECKING"}
    assert imports_of(sys) == frozenset()


@pytest.mark.parametrize(
    "name", ["test_x", "a.b.test_x", "x_test", "conftest", "a.conftest", "tests.x", "__main__"]
)
def test_test_code_by_its_name(name: str) -> None:
    assert is_test_module(name)
    assert not is_test_module("app.testing")

"""What has one cause is told by evidence in the changes, without running the code of what has changed."""

from __future__ import annotations

import types
import weakref
from typing import Any

import pytest

from pytest_mcpsmoke.report.causes import causes
from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.place import MISSING, Namespace
from pytest_mcpsmoke.state.probes.descriptors import Descriptors
from pytest_mcpsmoke.state.probes.loops import EventLoop
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.writer import By, Site, Span, Writer

MODULE = types.ModuleType("shop")
SPACE = Namespace("module", weakref.ref(MODULE), "shop")
OWNER = Owner("test_a.py::test_x", "test", find_spans=lambda: (Span("/project/test_a.py", 3, 9, "test_x"),))


def change(
    holder: Any, key: str, before: Any = 1, after: Any = 2, line: int = 5, by: By = "test", **more: Any
) -> Change:
    writer = Writer(by, Site("/project/test_a.py", line, "test_x", "observed"))
    return Change(holder, key, before, after, OWNER, lambda: writer, **more)


def told(*leaks: Change) -> list[str | None]:
    found = causes(leaks, lambda path: path.removeprefix("/project/"))
    return [found.get(leak) for leak in leaks]


def test_three_places_of_one_statement() -> None:
    many = [change(SPACE, name) for name in "ABC"]
    assert told(*many, change(SPACE, "D", line=6)) == [*["one statement, test_a.py:5"] * 3, None]
    assert told(*many[:2]) == [None, None]


def test_a_statement_that_is_not_known_binds_nothing_together() -> None:
    assert told(*(change(SPACE, name, by="unknown") for name in "ABC")) == [None] * 3
    start = Writer("test", OWNER.start)  # where the owner's code begins, the last resort
    assert told(*(Change(SPACE, name, 1, 2, OWNER, lambda: start) for name in "ABC")) == [None] * 3


def test_what_one_reload_changed() -> None:
    act = "reload of shop"
    assert told(change(SPACE, "A", act=act), change(SPACE, "B", act=act), change(SPACE, "C")) == [
        act,
        act,
        None,
    ]


def test_modules_in_the_places_of_modules_of_the_same_name() -> None:
    def twin(name: str) -> Change:
        return change(SysModules(), name, types.ModuleType(name), types.ModuleType(name), line=len(name))

    stub = change(SysModules(), "mcp", types.ModuleType("mcp"), types.ModuleType("stub"))
    assert told(twin("a"), twin("bb"), stub) == [*["modules imported anew"] * 2, None]
    assert told(twin("a")) == [None]


class Loop:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Hostile:
    def fileno(self) -> int:
        raise AssertionError("code of the program ran")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("code of the program ran")

    __hash__ = None  # type: ignore[assignment]


def test_a_loop_and_the_descriptors_that_it_holds() -> None:
    import socket

    with socket.socket() as one, socket.socket() as other:
        loop = Loop(_ssock=one, _csock=Hostile(), _selector=Hostile())
        descriptors = Descriptors(lambda path: False)
        leaks = [
            change(EventLoop(), "asyncio.get_event_loop()", None, loop),
            change(descriptors, f"{one.fileno()} (socket)", MISSING, "socket", line=6),
            change(descriptors, f"{other.fileno()} (socket)", MISSING, "socket", line=6),
        ]
        assert told(*leaks) == [*["an event loop left open"] * 2, None]


@pytest.mark.parametrize("value", [Hostile(), None, Hostile])
def test_no_code_of_what_has_changed_is_run(value: Any) -> None:
    assert (
        told(change(SPACE, "A", Hostile(), value), change(SPACE, "B", Hostile(), value, line=6)) == [None] * 2
    )
    assert told(change(EventLoop(), "asyncio.get_event_loop()", None, value)) == [None]

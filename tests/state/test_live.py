"""One place read live: each that a report can name is followed, and no code of the user's is run for it."""

from __future__ import annotations

import logging
import os
import random
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest

from pytest_mcpsmoke import no_leaks
from pytest_mcpsmoke.errors import LeakError
from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state.live import Difference, Live
from pytest_mcpsmoke.state.place import MISSING, Contents
from pytest_mcpsmoke.state.probes.builtin import interpreter_probes
from pytest_mcpsmoke.state.probes.modules import SysModules

SOURCE = """
import functools, threading
from collections import OrderedDict, deque
from contextvars import ContextVar

MODE = "live"
ITEMS = [1, [2]]
NAMES = {"a"}
LAST = deque([1], maxlen=3)
TOOLS = {"echo": {"level": 1}, "list": "x", ("a", 1): 0, "api_token": "hush", "k" * 90: 0}
ORDERED = OrderedDict(a=1, b=2)
PAIR = (1, [2])
WORDS = bytearray(b"ab")
LOCAL = threading.local()
USER = ContextVar("USER", default="nobody")


class Client:
    retries = 3

    class Inner:
        deep = 1

    def send(self):
        pass

    @staticmethod
    def make():
        pass


class Slotted:
    __slots__ = ("size",)


class Known(dict):
    pass


ONE = Client()
ONE.parts = {"a": [1]}
TWO = Slotted()
TWO.size = 1
THREE = Known(a=1)
OBJECTS = {Client: 1}


def counted():
    count, seen = 0, []

    def count_up():
        nonlocal count
        count += 1
        seen.append(count)

    return count_up


COUNT = counted()


@functools.lru_cache
def cached(x):
    return x
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "live_app.py").write_text(SOURCE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import live_app  # type: ignore[import-not-found]

    yield live_app
    sys.modules.pop("live_app", None)


def changes(place: str, *acts: Callable[[], object], **options: Any) -> list[Difference | None]:
    """What a place was found to differ in after each act."""
    live = Live(place, [*interpreter_probes(), SysModules()], **options)
    live.open()
    assert live.look() is None
    try:
        return [(act(), live.look())[1] for act in acts]
    finally:
        live.close()


def rebound(difference: Difference | None) -> tuple[str, Any, Any]:
    assert difference is not None
    (part,) = difference.parts
    assert part.label == ""
    before, after = (
        value.values if type(value) is Contents else value for value in (part.before, part.after)
    )
    return difference.change, before, after


ACTS: dict[str, tuple[Callable[[Any], object], tuple[str, Any, Any]]] = {
    "live_app.MODE": (lambda app: setattr(app, "MODE", "test"), ("rebound", "live", "test")),
    "live_app.NEW": (lambda app: setattr(app, "NEW", 1), ("added", MISSING, 1)),
    "live_app.ITEMS": (lambda app: app.ITEMS.append(3), ("mutated", (1, [2, 9]), (1, [2, 9], 3))),
    "live_app.ITEMS[1]": (lambda app: app.ITEMS[1].append(3), ("mutated", (2, 9), (2, 9, 3))),
    "live_app.ITEMS[0]": (lambda app: app.ITEMS.clear(), ("removed", 1, MISSING)),
    "live_app.NAMES": (lambda app: app.NAMES.clear(), ("mutated", ("a",), ())),
    "live_app.LAST": (lambda app: app.LAST.append(2), ("mutated", (1,), (1, 2))),
    "live_app.TOOLS['list']": (lambda app: app.TOOLS.update(list="y"), ("rebound", "x", "y")),
    "live_app.TOOLS['new']": (lambda app: app.TOOLS.update(new=1), ("added", MISSING, 1)),
    "live_app.TOOLS['list'] ": (lambda app: app.TOOLS.pop("list"), ("removed", "x", MISSING)),
    "live_app.TOOLS['echo']['level']": (lambda app: app.TOOLS["echo"].update(level=2), ("rebound", 1, 2)),
    "live_app.TOOLS[('a', 1)]": (lambda app: app.TOOLS.update({("a", 1): 5}), ("rebound", 0, 5)),
    f"live_app.TOOLS['{'k' * 55}…']": (lambda app: app.TOOLS.update({"k" * 90: 5}), ("rebound", 0, 5)),
    "live_app.OBJECTS[Client]": (lambda app: app.OBJECTS.update({app.Client: 2}), ("rebound", 1, 2)),
    "live_app.ORDERED": (
        lambda app: app.ORDERED.move_to_end(next(iter(app.ORDERED))),
        ("mutated", ("a", "b"), ("b", "a")),
    ),
    "live_app.PAIR[1]": (lambda app: app.PAIR[1].append(3), ("mutated", (2,), (2, 3))),
    "live_app.WORDS": (lambda app: app.WORDS.extend(b"c"), ("mutated", b"ab", b"abc")),
    "live_app.Client.retries": (lambda app: setattr(app.Client, "retries", 0), ("rebound", 3, 0)),
    "live_app.Client.Inner.deep": (lambda app: setattr(app.Client.Inner, "deep", 0), ("rebound", 1, 0)),
    "live_app.Client.make.tag": (lambda app: setattr(app.Client.make, "tag", 1), ("added", MISSING, 1)),
    "live_app.Client.send.__defaults__": (
        lambda app: setattr(app.Client.send, "__defaults__", (1,)),
        ("rebound", None, (1,)),
    ),
    "live_app.ONE.mode": (lambda app: setattr(app.ONE, "mode", 1), ("added", MISSING, 1)),
    "live_app.ONE.parts['a']": (lambda app: app.ONE.parts["a"].append(2), ("mutated", (1,), (1, 2))),
    "live_app.TWO.size": (lambda app: setattr(app.TWO, "size", 2), ("rebound", 1, 2)),
    "live_app.THREE['a']": (lambda app: app.THREE.update(a=2), ("rebound", 1, 2)),
    "live_app.THREE.tag": (lambda app: setattr(app.THREE, "tag", 2), ("added", MISSING, 2)),
    "live_app.COUNT.__closure__['count']": (lambda app: app.COUNT(), ("mutated", 0, 1)),
    "live_app.COUNT.__closure__['seen']": (lambda app: app.COUNT(), ("mutated", (), (1,))),
    "live_app.cached.cache_info()": (
        lambda app: app.cached(1),
        ("rebound", ("misses", 0, "currsize", 0), ("misses", 1, "currsize", 1)),
    ),
    "live_app.LOCAL.user": (lambda app: setattr(app.LOCAL, "user", 1), ("added", MISSING, 1)),
    "live_app.USER.get()": (lambda app: app.USER.set("me"), ("rebound", "nobody", "me")),
    "os.environ['MCPSMOKE_LIVE']": (
        lambda app: os.environ.update(MCPSMOKE_LIVE="1"),
        ("added", MISSING, "1"),
    ),
    "sys.modules['live_app.x']": (
        lambda app: sys.modules.update({"live_app.x": app}),
        ("added", MISSING, Any),
    ),
    "sys.path": (lambda app: sys.path.append("x"), ("mutated", Any, Any)),
    "sys.getrecursionlimit()": (
        lambda app: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
        ("rebound", Any, Any),
    ),
    "logging.getLogger('live.app').level": (
        lambda app: logging.getLogger("live.app").setLevel(10),
        ("rebound", 0, 10),
    ),
}


@pytest.mark.parametrize("place", ACTS)
def test_what_a_place_was_and_is(app: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MCPSMOKE_LIVE", "1")
    monkeypatch.delenv("MCPSMOKE_LIVE")
    monkeypatch.setitem(sys.modules, "live_app.x", app)
    monkeypatch.delitem(sys.modules, "live_app.x")
    limit = sys.getrecursionlimit()
    logging.getLogger("live.app").setLevel(0)
    app.ITEMS[1].append(9)
    act, (change, before, after) = ACTS[place]
    try:
        (found,) = changes(place.rstrip(), lambda: act(app))
    finally:
        sys.setrecursionlimit(limit)
        logging.getLogger("live.app").setLevel(0)
    told = rebound(found)
    assert told[0] == change
    assert before is Any or told[1] == before
    assert after is Any or told[2] == after


def test_parts_inside(app: Any) -> None:
    (found,) = changes("live_app.TOOLS", lambda: app.TOOLS.update(list="y", new=1))
    assert found is not None
    assert (found.change, found.parts) == (
        "mutated",
        (("['list']", "x", "y"), ("['new']", MISSING, 1)),
    )
    (found,) = changes("live_app", lambda: setattr(app, "MODE", 5))
    assert found is not None
    assert found.parts == ((".MODE", "live", 5),)


def test_what_is_as_good_is_no_change(app: Any) -> None:
    def equal() -> None:
        app.MODE = "".join(["li", "ve"])
        app.ITEMS[0] = int("1")
        app.TOOLS["list"] = "x"

    for place in ("live_app.MODE", "live_app.ITEMS", "live_app.TOOLS", "live_app.TOOLS['list']"):
        assert changes(place, equal) == [None]
    first, second = changes("live_app.ITEMS", app.ITEMS.clear, lambda: setattr(app, "ITEMS", []))
    assert first is not None
    assert second is not None
    assert second.change == "rebound"  # another list: whoever holds the old one holds another truth


def test_whatever_comes_in_its_way(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects on the way are replaced, and come only later."""
    place = "live_app.ONE.parts['a'][0]"
    acts = [
        lambda: setattr(app, "ONE", app.Client()),
        lambda: setattr(app.ONE, "parts", {"a": []}),
        lambda: app.ONE.parts["a"].append("new"),
        lambda: app.ONE.parts["a"].insert(0, "newer"),
        lambda: sys.modules.pop("live_app"),
        lambda: sys.modules.update(live_app=app),
    ]
    found = changes(place, *acts)
    assert [None if each is None else rebound(each) for each in found] == [
        ("removed", 1, MISSING),
        None,
        ("added", MISSING, "new"),
        ("rebound", "new", "newer"),
        ("removed", "newer", MISSING),
        ("added", MISSING, "newer"),
    ]


def test_a_module_that_is_imported_later(app: Any, tmp_path: Path) -> None:
    (tmp_path / "live_app.py").write_text("MODE = 1\n", "utf-8")
    sys.modules.pop("live_app")

    def load() -> None:
        import live_app  # noqa: F401

    assert rebound(changes("live_app.MODE", load)[0]) == ("added", MISSING, 1)


def test_the_value_of_a_fixture() -> None:
    live = Live("fixture client.headers['x']")
    live.open()
    client = types.SimpleNamespace(headers={"x": 1})
    live.give("client", client)
    assert rebound(live.look()) == ("added", MISSING, 1)
    client.headers["x"] = 2
    assert rebound(live.look()) == ("rebound", 1, 2)


def test_long_containers_are_read_from_their_beginning(app: Any) -> None:
    app.ITEMS[:] = range(50)
    limits = Limits(size=10)
    grown, inside, beyond = changes(
        "live_app.ITEMS",
        lambda: app.ITEMS.append(50),
        lambda: app.ITEMS.__setitem__(3, 99),
        lambda: app.ITEMS.__setitem__(30, 99),
        limits=limits,
    )
    assert grown is not None
    assert inside is not None
    assert beyond is None
    (found,) = changes("live_app.ITEMS[30]", lambda: app.ITEMS.__setitem__(30, 98), limits=limits)
    assert rebound(found) == ("rebound", 99, 98)


@pytest.mark.parametrize(
    ("place", "nearest"),
    [
        ("live_app.MODEE", ["live_app.MODE"]),
        ("live_app.ONE.part", ["live_app.ONE.parts"]),
        ("live_app.TOOLS['ehco']", ["live_app.TOOLS['echo']"]),
        ("live_appp.MODE", ["live_app"]),
    ],
)
def test_the_names_nearest_to_one_that_is_not_there(app: Any, place: str, nearest: list[str]) -> None:
    live = Live(place)
    live.open()
    assert not live.was_there
    assert live.nearest()[: len(nearest)] == nearest


def test_no_code_of_the_users_is_run(app: Any) -> None:
    hostile.ASKED.clear()
    for name, value in hostile.hostile_kinds().items():
        app.THING = value
        app.TOOLS["thing"] = value
        for place in ("live_app.THING", "live_app.THING.x", "live_app.THING[0]", "live_app.TOOLS['thing'].x"):
            assert changes(place, lambda: None) == [None], name
        for place in ("live_app.THING", "live_app.TOOLS", "live_app.TOOLS['thing']"):
            (found,) = changes(place, lambda: (setattr(app, "THING", None), app.TOOLS.update(thing=None)))
            assert found is not None, name
            app.THING = app.TOOLS["thing"] = value
    assert hostile.ASKED == []


def test_every_place_that_the_detector_reports_is_followed(app: Any) -> None:
    """The same acts again: each place that was reported for the first time is seen to change."""
    number = iter(range(100, 10_000))

    def act() -> None:
        for place, (one, _) in ACTS.items():
            if place.startswith("live_app") and "clear" not in one.__code__.co_names:
                app.TOOLS.setdefault("list", "x")
                one(app)
        new = next(number)
        app.MODE = app.NEW = app.Client.retries = app.Client.Inner.deep = app.Client.make.tag = new
        app.ONE.mode = app.TWO.size = app.THREE.tag = app.THREE["a"] = app.LOCAL.user = new
        app.TOOLS["list"] = app.TOOLS["new"] = app.TOOLS["echo"]["level"] = app.TOOLS["k" * 90] = new
        app.TOOLS["a", 1] = app.OBJECTS[app.Client] = new
        app.Client.send.__defaults__ = (new,)
        app.USER.set(str(new))
        app.cached(new)
        app.NAMES.add(new)
        random.seed(new)
        os.umask(new % 8)

    umask, state = os.umask(0), random.getstate()
    try:
        with pytest.raises(LeakError), no_leaks() as found:
            act()
        places = {finding.place for finding in found}
        assert len(places) > 20
        lives = [Live(place, [*interpreter_probes(), SysModules()]) for place in places]
        for live in lives:
            live.open()
        act()
        assert [live.place for live in lives if live.look() is None] == []
        for live in lives:
            live.close()
    finally:
        os.umask(umask)
        random.setstate(state)


def test_what_depends_on_the_thread_says_so(app: Any) -> None:
    for place, *depends in [
        ("live_app.LOCAL.user", True, False),
        ("live_app.USER.get()", True, True),
        ("live_app.MODE", False, False),
    ]:
        live = Live(place)
        live.open()
        assert [live.is_of_thread, live.is_of_task] == depends

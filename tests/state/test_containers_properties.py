"""Graphs of objects at random, changed at random: an oracle of the test's own says what changed."""

from __future__ import annotations

import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_containers import COMPARERS, Kept, comparing_as, put_back

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state.containers import Graph
from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.ledger import Ledger, Owner
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.place import MISSING, Contents, Namespace

LIMITS = Limits(depth=100, size=1000)
OWNER = Owner("test_app.py::test", "test")


class Plain:
    pass


class Slots:
    __slots__ = ("a", "b")


class SlotsAndDict:
    __slots__ = ("__dict__", "a")


class Registry(dict[Any, Any]):
    pass


class Stack(list[Any]):
    __slots__ = ("a", "b")


KINDS: dict[str, Callable[[], Any]] = {
    "dict": dict,
    "list": list,
    "set": set,
    "deque": deque,
    "OrderedDict": OrderedDict,
    "Plain": Plain,
    "Slots": Slots,
    "SlotsAndDict": SlotsAndDict,
    "Registry": Registry,
    "Stack": Stack,
}
ATOMS: list[Callable[[], Any]] = [
    lambda: 0,
    lambda: 1,
    lambda: int("1000"),
    lambda: "text",
    lambda: None,
    lambda: float("nan"),
    lambda: tuple(["a", int("1000")]),
]
NAMES = ("a", "b", "c")


class Value(NamedTuple):
    """One of the pool, an atom, or a tuple made new of one of the pool."""

    form: str
    index: int


class Action(NamedTuple):
    """One thing that is done to one object of the pool."""

    name: str
    target: int
    key: int
    value: Value
    other: int


VALUES = st.builds(Value, st.sampled_from(["pool", "pool", "atom", "tuple"]), st.integers(0, 7))
ACTIONS = st.builds(
    Action,
    st.sampled_from(["put", "put", "take", "back", "clear", "reorder", "move", "attribute", "delete"]),
    st.integers(0, 7),
    st.integers(0, 2),
    VALUES,
    st.integers(0, 7),
)
POOLS = st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=6)
LINKS = st.lists(ACTIONS, max_size=12)
BATCHES = st.lists(st.lists(ACTIONS, min_size=1, max_size=5), min_size=1, max_size=4)


class World:
    """A pool of objects, of which a module holds the first two."""

    def __init__(self, pool: list[str], links: list[Action]) -> None:
        self.pool = [KINDS[kind]() for kind in pool]
        for at, value in enumerate(self.pool[2:]):  # most of them are to be in reach
            self.put(self.pool[at], at % 3, value)
        self.act(links)
        self.module: Any = types.ModuleType("app")
        self.module.FIRST, self.module.SECOND = self.pool[:2]
        self.namespace = Namespace("module", weakref.ref(self.module), "app")
        self.graph = Graph(LIMITS, lambda name: False)
        self.graph.follow(self.namespace)

    def value(self, value: Value) -> Any:
        if value.form == "atom":
            return ATOMS[value.index % len(ATOMS)]()
        found = self.pool[value.index % len(self.pool)]
        return found if value.form == "pool" else (found, value.index)

    def act(self, actions: list[Action], out_of_reach: frozenset[int] = frozenset()) -> None:
        """Do all that is not to be done to an object that is out of reach."""
        for action in actions:
            target = self.pool[action.target % len(self.pool)]
            other = self.pool[action.other % len(self.pool)]
            if id(target) in out_of_reach or (action.name == "move" and id(other) in out_of_reach):
                continue
            value = self.value(action.value)
            if action.name == "put":
                self.put(target, action.key, value)
            elif action.name == "move":
                self.put(other, action.key, self.take(target, action.key))
            elif action.name in ("attribute", "delete"):
                self.attribute(target, NAMES[action.key], value, action.name == "delete")
            else:
                getattr(self, action.name)(target, action.key)

    def put(self, target: Any, key: int, value: Any) -> None:
        """Set, append or add."""
        if isinstance(target, dict):
            target[NAMES[key]] = value
        elif isinstance(target, list | deque):
            if key == 0 and target:
                target[0] = value
            elif key == 1:
                target.append(value)
            else:
                target.insert(0, value)
        elif isinstance(target, set):
            target.add(value if isinstance(value, Plain | int | str) else key)
        else:
            self.attribute(target, NAMES[key], value, is_delete=False)

    def attribute(self, target: Any, name: str, value: Any, is_delete: bool) -> None:
        if type(target) is OrderedDict:  # its attributes are test_containers.py's business
            return
        try:
            delattr(target, name) if is_delete else setattr(target, name, value)
        except AttributeError:  # it has none of that name
            pass

    def take(self, target: Any, key: int) -> Any:
        """Take one thing out."""
        if isinstance(target, dict):
            return target.pop(NAMES[key], None)
        if isinstance(target, list | deque):
            if not target:
                return None
            return target.pop() if key or not isinstance(target, deque) else target.popleft()
        if isinstance(target, set):
            target.discard(key)
            return None
        value = getattr(target, NAMES[key], None)
        self.attribute(target, NAMES[key], None, is_delete=True)
        return value

    def back(self, target: Any, key: int) -> None:
        """Take something out and put it back."""
        if isinstance(target, list | deque):
            if target:
                target.append(target.pop())
        elif not isinstance(target, set):
            value = self.take(target, key)
            if value is not None:
                self.put(target, key, value)

    def clear(self, target: Any, key: int) -> None:
        if isinstance(target, dict | list | deque | set):
            target.clear()
        else:
            vars(target).clear() if hasattr(target, "__dict__") else None

    def reorder(self, target: Any, key: int) -> None:
        if isinstance(target, dict):
            items = [*target.items()][::-1]
            target.clear()
            target.update(items)
        elif isinstance(target, list | deque):
            target.reverse()

    # the oracle

    def reached(self) -> dict[int, tuple[Kept, Any]]:
        """What each object in reach holds, by its address."""
        found: dict[int, tuple[Kept, Any]] = {}
        waiting = [self.module.FIRST, self.module.SECOND]
        while waiting:
            value = waiting.pop()
            if type(value) is tuple:
                waiting += value
            elif type(value) in KINDS.values() and id(value) not in found:
                shape, inside = look_at(value)
                found[id(value)] = Kept(value), shape
                waiting += inside
        return found

    def told(self, writes: list[Write]) -> list[str]:
        """Writes as text that is the same in two worlds."""
        return [
            f"{write.holder.place(write.key)}: {self._text(write.old)} -> {self._text(write.new)}"
            for write in writes
        ]

    def _text(self, value: Any) -> str:
        if type(value) is Contents:
            texts = [self._text(item) for item in value.values]
            return f"{value.kind}({sorted(texts) if value.kind == 'set' else texts})"
        if type(value) is tuple:
            return f"({', '.join(self._text(item) for item in value)})"
        at = next((at for at, one in enumerate(self.pool) if one is value), None)
        return f"pool {at}" if at is not None else repr(value)


def token(value: Any) -> object:
    if type(value) is tuple:
        return (tuple, *map(token, value))
    return id(value) if type(value) in KINDS.values() else (type(value), repr(value))


def look_at(value: Any) -> tuple[Any, list[Any]]:
    """What an object holds, and the objects in it that are looked into."""
    inside: list[Any] = []
    shape: list[Any] = []
    if isinstance(value, dict):
        inside += value.values()
        shape.append([(key, token(item)) for key, item in value.items()])
    elif isinstance(value, list | deque):
        inside += value
        shape.append([*map(token, value)])
    elif isinstance(value, set):
        shape.append({*map(token, value)})
    attributes = {name: getattr(value, name) for name in NAMES if hasattr(value, name)}
    return [*shape, {(name, token(item)) for name, item in attributes.items()}], [
        *inside,
        *attributes.values(),
    ]


@pytest.fixture(params=COMPARERS)
def comparer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each test runs with each of them."""
    with comparing_as(request.param):
        yield str(request.param)


often = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def object_of(write: Write) -> Any:
    assert isinstance(write.holder, Node)
    return write.holder.object


@often
@given(POOLS, LINKS, BATCHES)
def test_what_changed_is_told_and_nothing_else(
    comparer: str, pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    """Batch by batch; what was cut off before is let go in between."""
    world = World(pool, links)
    assert world.graph.drain() == []
    for batch in batches:
        before = world.reached()
        world.act(batch)
        writes = world.graph.drain()
        changed = {address for address, (kept, shape) in before.items() if look_at(kept.value)[0] != shape}
        assert {id(object_of(write)) for write in writes} == changed
        assert world.graph.drain() == []
        world.graph.settle()


@often
@given(POOLS, LINKS, BATCHES)
def test_what_changed_while_it_was_out_of_reach_is_told_when_it_is_back(
    comparer: str, pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    """Batch by batch, with changes outstanding: what has been known is compared with what was known."""
    world = World(pool, links)
    known = world.reached()
    for batch in batches:
        before = world.reached()
        world.act(batch)
        writes = world.graph.drain()
        after = world.reached()
        changed = {address for address, (kept, shape) in known.items() if look_at(kept.value)[0] != shape}
        told = {id(object_of(write)) for write in writes}
        # what what is back held when it was cut off may be told with it, though it is out of reach itself
        assert changed & (before.keys() | after.keys()) <= told <= changed
        seen = {**before, **after, **{address: known[address] for address in told}}
        known = known | {address: (kept, look_at(kept.value)[0]) for address, (kept, _) in seen.items()}
        assert world.graph.drain() == []


@often
@given(POOLS, LINKS, BATCHES)
def test_the_old_and_new_values_of_writes_form_a_chain(
    comparer: str, pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    """What a write says was there is what the write before it said came there."""
    world = World(pool, links)
    last: dict[tuple[Any, str], Any] = {}
    for batch in batches:
        world.act(batch)
        for write in world.graph.drain():
            place = write.holder, write.key
            if place in last and not (write.key == "" and isinstance(object_of(write), dict)):
                assert world._text(write.old) == world._text(last[place])
            last[place] = write.new
            assert world._text(write.old) != world._text(write.new)


@often
@given(POOLS, LINKS, st.lists(ACTIONS, min_size=1, max_size=6))
def test_all_of_one_drain_is_put_back(
    comparer: str, pool: list[str], links: list[Action], actions: list[Action]
) -> None:
    world = World(pool, links)
    before = world.reached()
    world.act(actions)
    assert put_back(world.graph.drain()) == {}
    assert world.reached() == before
    world.graph.drain()
    assert world.graph.drain() == []


@often
@given(POOLS, LINKS, BATCHES)
def test_all_of_a_test_is_put_back(
    comparer: str, pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    """Several boundaries in the time of one owner: the ledger makes one change of each place."""
    world, ledger = World(pool, links), Ledger()
    before = world.reached()
    seen = set(before)
    for batch in batches:
        seen |= world.reached().keys()
        world.act(batch, frozenset(seen - world.reached().keys()))
        ledger.book(world.graph.drain(), OWNER, None)
    steps = sorted(ledger.end(OWNER), key=lambda entry: entry[2].at)
    assert put_back([Write(holder, key, step.before, step.after, ()) for holder, key, step in steps]) == {}
    assert world.reached() == before
    world.graph.drain()
    assert world.graph.drain() == []


@often
@given(POOLS, LINKS, BATCHES)
def test_what_is_as_it_was_is_not_outstanding(
    comparer: str, pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    world, ledger = World(pool, links), Ledger()
    before = world.reached()
    for batch in batches:
        world.act(batch)
        ledger.book(world.graph.drain(), OWNER, None)
    restore_all(world, before)
    ledger.book(world.graph.drain(), OWNER, None)
    world_is_back = world.reached() == before
    left = [entry for entry in ledger.end(OWNER) if id(entry[0].object) in before]  # type: ignore[attr-defined]
    assert world_is_back
    assert [holder.place(key) for holder, key, _ in left] == []


def restore_all(world: World, before: dict[int, tuple[Kept, Any]]) -> None:
    """Put every object back as the oracle saw it."""
    objects = {id(value): value for value in world.pool}

    def untoken(one: Any) -> Any:
        if type(one) is int:
            return objects[one]
        if one[0] is tuple:
            return tuple(untoken(item) for item in one[1:])
        return float("nan") if one[1] == "nan" else eval(one[1])

    for kept, shape in before.values():
        value = kept.value
        attributes = {name: untoken(item) for name, item in shape[-1]}
        if isinstance(value, dict):
            items = {key: untoken(item) for key, item in shape[0]}
            value.clear()
            value.update(items)
        elif isinstance(value, list | deque):
            items = [untoken(item) for item in shape[0]]
            value.clear()
            value.extend(items)
        elif isinstance(value, set):
            items = {untoken(item) for item in shape[0]}
            value.clear()
            value.update(items)
        for name in NAMES:
            if name not in attributes:
                world.attribute(value, name, None, is_delete=True)
            elif token(getattr(value, name, MISSING)) != token(attributes[name]):
                setattr(value, name, attributes[name])


def put(target: int, key: int, value: int, name: str = "put") -> Action:
    return Action(name, target, key, Value("pool", value), 0)


@often
@given(POOLS, LINKS, BATCHES)
@example(  # the order of attributes decides by which of them what they both hold is called
    ["OrderedDict", "OrderedDict", "Plain"],
    [put(0, 1, 0), put(2, 1, 1), put(2, 0, 1)],
    [[put(0, 1, 0), put(1, 0, 0), put(2, 1, 0, "take"), put(2, 1, 1)]],
)
def test_both_comparers_tell_the_same(
    pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    with ExitStack() as used:
        worlds = []
        for name in COMPARERS:
            used.enter_context(comparing_as(name))
            worlds.append(World(pool, links))
        for batch in batches:
            told = []
            for world in worlds:
                world.act(batch)
                told.append(world.told(world.graph.drain()))
            assert told[0] == told[1] == told[2]
        assert [world.graph.cut for world in worlds] == [{}, {}, {}]


@often
@given(POOLS, LINKS, BATCHES)
def test_nobody_is_kept_alive_by_what_is_settled(
    comparer: str, pool: list[str], links: list[Action], batches: list[list[Action]]
) -> None:
    """What is followed is what is in reach, neither more nor less."""
    world = World(pool, links)
    for batch in batches:
        world.act(batch)
        world.graph.drain()
        world.graph.settle()
        followed = {address for address, _ in world.graph._nodes}
        tuples = {id(node.object) for node in world.graph._nodes.values() if type(node.object) is tuple}
        assert followed - tuples == set(world.reached())
        assert world.graph._retired == {}

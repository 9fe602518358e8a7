"""Following, comparing and naming what the program holds runs none of its code."""

from __future__ import annotations

import _thread
import array
import collections
import functools
import gc
import io
import itertools
import queue
import traceback
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
from test_containers import COMPARERS, comparing_as

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state.containers import Graph
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.place import Namespace

ASKED = hostile.ASKED


def sealed(test: Callable[..., None]) -> Callable[..., None]:
    """A failure without its frames: pytest would ask the hostile objects in them for their repr."""

    @functools.wraps(test)
    def run(**values: Any) -> None:
        failure = None
        try:
            test(**values)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[:0:-1])
            failure = f"{type(error).__name__}: {error}\n{where}"
        if failure is not None:
            pytest.fail(failure, pytrace=False)

    return run


@pytest.fixture(params=COMPARERS, autouse=True)
def comparer(request: pytest.FixtureRequest, frozen: None) -> Iterator[str]:
    """Each test runs with each of them."""
    gc.collect()  # streams of the test before are asked whether they are closed when they die
    ASKED.clear()
    with comparing_as(request.param):
        yield str(request.param)


class Followed:
    """A module that holds something, and a graph that follows it."""

    def __init__(self, limits: Limits | None = None, **held: Any) -> None:
        self.module: Any = types.ModuleType("app")
        vars(self.module).update(held)
        self.namespace = Namespace("module", weakref.ref(self.module), "app")
        ASKED.clear()
        self.graph = Graph(Limits() if limits is None else limits, lambda name: name == "app")
        self.graph.follow(self.namespace)

    def told(self) -> list[str]:
        writes: list[Write] = self.graph.drain()
        return [
            f"{write.holder.place(write.key)}: {describe(write.old, write.key)} -> "
            f"{describe(write.new, write.key)}"
            for write in writes
        ]


def looping_class(name: str = "Looping", *bases: type) -> Any:
    """A class that gives out ever new things of itself, whatever is asked for."""

    def again(self: Any, *args: object) -> Any:
        ASKED.append("again")
        return made() if len(ASKED) < 1000 else pytest.fail("going round and round")

    def made() -> Any:
        return cls.__new__(cls) if not bases else bases[0].__new__(cls)

    def iterate(self: Any) -> Iterator[Any]:
        ASKED.append("iter")
        while len(ASKED) < 1000:
            yield made()

    asked = ("getattr", "getitem", "call", "next", "get", "copy", "reduce_ex")
    body: dict[str, Any] = {f"__{method}__": again for method in asked}
    body |= {method: again for method in ("keys", "items", "values", "copy", "popleft")}
    body |= {"__iter__": iterate, "__len__": lambda self: ASKED.append("len") or 10**9}
    body |= {"__eq__": lambda self, other: ASKED.append("eq") or False, "__hash__": object.__hash__}
    cls: Any = type(name, bases, body)
    return cls


def recording_class(name: str = "Recording", *bases: type) -> Any:
    """A class that notes what it is asked, and answers truly."""

    def notes(method: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any) -> Any:
            ASKED.append(method)
            return getattr(super(cls, self), method)(*args)

        return call

    names = ("__getattribute__", "__eq__", "__hash__", "__iter__", "__len__", "__repr__", "__bool__")
    known = [method for method in names if any(method in vars(base) for base in (*bases, object))]
    cls: Any = type(name, bases, {method: notes(method) for method in known})
    return cls


BASES: tuple[type, ...] = (
    *(list, dict, set, tuple, str, int, bytes, float, frozenset),
    *(collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter),
    *(bytearray, types.SimpleNamespace, functools.partial, io.StringIO, io.BytesIO),
    *(queue.SimpleQueue, itertools.count, _thread.RLock, array.array),
)
MAKERS = {"raising": hostile.hostile_class, "looping": looping_class, "recording": recording_class}
ARGUMENTS: dict[type, tuple[Any, ...]] = {functools.partial: (len,), array.array: ("i",)}


def make(maker: str, base: type | None) -> Any:
    """An instance of a hostile class."""
    if base is None:
        cls = MAKERS[maker]()
        return object.__new__(cls)
    try:
        cls = MAKERS[maker]("Made", base)
    except TypeError:
        pytest.skip("no class can be derived from it so")
    value = base.__new__(cls, *ARGUMENTS.get(base, ()))
    if base in (io.StringIO, io.BytesIO):
        base.__init__(value)
    return value


CHANGES: dict[type, Callable[[Any], object]] = {
    list: lambda value: list.append(value, 1),
    dict: lambda value: dict.__setitem__(value, "a", 1),
    set: lambda value: set.add(value, 1),
    collections.deque: lambda value: collections.deque.append(value, 1),
    collections.OrderedDict: lambda value: collections.OrderedDict.__setitem__(value, "a", 1),
    collections.defaultdict: lambda value: dict.__setitem__(value, "a", 1),
    collections.Counter: lambda value: dict.__setitem__(value, "a", 1),
    bytearray: lambda value: bytearray.append(value, 1),
    types.SimpleNamespace: lambda value: object.__setattr__(value, "a", 1),
    io.StringIO: lambda value: io.StringIO.write(value, "a"),
    io.BytesIO: lambda value: io.BytesIO.write(value, b"a"),
    queue.SimpleQueue: lambda value: queue.SimpleQueue.put(value, 1),
    _thread.RLock: lambda value: _thread.RLock.acquire(value),
    array.array: lambda value: array.array.append(value, 1),
}


@pytest.mark.parametrize("base", [None, *BASES], ids=lambda base: getattr(base, "__name__", "object"))
@pytest.mark.parametrize("maker", MAKERS)
@sealed
def test_objects_are_not_asked(maker: str, base: type | None) -> None:
    value = make(maker, base)
    followed = Followed(ONE=value, LIST=[value], DICT={"key": value}, PAIR=(value,))
    assert followed.told() == []
    assert ASKED == []
    change = CHANGES.get(base) if base is not None else None
    if change is not None:
        change(value)
        ASKED.clear()  # what the change itself has asked
        assert len(followed.told()) >= 1
    followed.module.LIST.append(value)
    followed.module.DICT["other"] = value
    followed.module.DICT["key"] = None
    assert len(followed.told()) == 3
    followed.graph.rebound(followed.namespace, "ONE", None)
    followed.graph.rebound(followed.namespace, "TWO", value)
    assert followed.told() == []
    assert ASKED == []
    followed.graph.settle()
    followed.graph.stop()
    assert ASKED == []


@sealed
def test_attributes_are_read_where_they_are() -> None:
    class Lying:
        """Shows other attributes than it has."""

        __slots__ = ("__dict__", "real")

        def __getattribute__(self, name: str) -> Any:
            ASKED.append(name)
            return {"fake": 1} if name == "__dict__" else 1

        def __getattr__(self, name: str) -> Any:
            ASKED.append(name)
            return 1

        def __setattr__(self, name: str, value: object) -> None:
            ASKED.append(name)

        def __dir__(self) -> list[str]:
            ASKED.append("dir")
            return ["fake"]

        @property
        def __class__(self) -> Any:  # type: ignore[override]
            ASKED.append("class")
            return dict

    value = Lying()
    followed = Followed(X=value)
    object.__setattr__(value, "real", 2)
    object.__setattr__(value, "more", 3)
    assert followed.told() == ["app.X.real: (nothing) -> 2", "app.X.more: (nothing) -> 3"]
    assert ASKED == []


@sealed
def test_properties_and_descriptors_are_not_run() -> None:
    class Asking:
        def __get__(self, value: object, owner: object = None) -> Any:
            ASKED.append("get")
            return [1]

        def __set__(self, value: object, item: object) -> None:
            ASKED.append("set")

    class App:
        mode = property(lambda self: ASKED.append("mode"))
        cached = functools.cached_property(lambda self: ASKED.append("cached"))
        asking = Asking()

        def __init__(self) -> None:
            self.real = [1]

    followed = Followed(X=App())
    followed.module.X.real.append(2)
    vars(followed.module.X)["mode"] = 1  # behind the property
    vars(followed.module.X)["asking"] = 2
    assert sorted(followed.told()) == [
        "app.X.asking: (nothing) -> 2",
        "app.X.mode: (nothing) -> 1",
        "app.X.real: [1] -> [1, 2]",
    ]
    assert ASKED == []


class Owner:
    __slots__ = ("a", "b")


class WithDict:
    pass


def _shadowing() -> dict[str, Any]:
    class TakenSlot:
        a = vars(Owner)["a"]

    class TakenSlotAndOwn:
        __slots__ = ("own",)
        a = vars(Owner)["a"]

    class TakenDict:
        __slots__ = ("own",)
        __dict__ = vars(WithDict)["__dict__"]  # type: ignore[assignment]

    class TakenDictAndOwn(WithDict):
        __dict__ = vars(Owner)["a"]

    class DictProperty:
        __dict__ = property(lambda self: ASKED.append("__dict__"))  # type: ignore[assignment]

    class DictValue:
        __dict__ = {"a": 1}  # type: ignore[assignment]

    class SlotReplaced:
        __slots__ = ("a",)

    SlotReplaced.a = property(lambda self: ASKED.append("a"))  # type: ignore[assignment]

    class SlotTwice(Owner):
        __slots__ = ("a",)

    class OfFunction:
        code = vars(types.FunctionType)["__code__"]
        closure = vars(types.FunctionType)["__closure__"]

    class SlotsOfWeird:
        __slots__ = {"a": "a slot", "b": "another"}

    class Both(WithDict, TakenSlot):
        pass

    found = dict(locals())
    return {name: cls() for name, cls in found.items()}


@pytest.mark.parametrize("name", _shadowing())
@sealed
def test_descriptors_that_belong_elsewhere(name: str) -> None:
    value = _shadowing()[name]
    followed = Followed(X=value)
    assert followed.told() == []
    for holder, key in ((value, "own"), (value, "b"), (value, "new")):
        try:
            object.__setattr__(holder, key, 1)
        except AttributeError:
            continue
        told = followed.told()
        if "__dict__" not in vars(type(value)):
            assert told == [f"app.X.{key}: (nothing) -> 1"]
    assert followed.told() == []
    assert ASKED == []


class Key:
    """A key that notes when it is hashed or compared."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def __hash__(self) -> int:
        ASKED.append("hash")
        return self.number

    def __eq__(self, other: object) -> bool:
        ASKED.append("eq")
        return self is other

    def __repr__(self) -> str:
        ASKED.append("repr")
        return "Key"


HASHED = pytest.mark.xfail(
    strict=True, reason="the interpreter hashes the keys of an OrderedDict to go through it"
)


@pytest.mark.parametrize(
    "made",
    [
        dict,
        pytest.param(collections.OrderedDict, marks=HASHED),
        lambda: collections.defaultdict(list),
    ],
)
@sealed
def test_keys_are_not_asked(made: Callable[[], Any]) -> None:
    one, other, third = Key(), Key(), Key()
    held = made()
    for key in (one, other, third, (Key(), 1)):
        held[key] = [1]
    for item in (int, Key, len, lambda: 1, types, None, property()):
        held[Key(1)] = item
    followed = Followed(X=held)
    assert ASKED == []
    held[one] = 2
    held[other].append(2)
    del held[third]
    held[Key(5)] = Key
    ASKED.clear()
    told = followed.told()
    assert sorted(told) == [
        "app.X[<Key object>]: (nothing) -> class Key",
        "app.X[<Key object>]: [1] -> (nothing)",
        "app.X[<Key object>]: [1] -> 2",
        "app.X[<Key object>]: [1] -> [1, 2]",
    ]
    value = held.pop(one)
    held[one] = value
    ASKED.clear()
    assert len(followed.told()) == 1
    assert ASKED == []


@sealed
def test_members_of_sets_are_not_asked() -> None:
    one, other = Key(), Key()
    held = {one, other, (one, 1), frozenset({other})}
    followed = Followed(X=held, Y=(one, {other}))
    held.discard(one)
    held.add(Key())
    held.add("text")
    ASKED.clear()
    assert len(followed.told()) == 1
    held.clear()
    assert len(followed.told()) == 1
    assert ASKED == []


@sealed
def test_values_that_claim_to_be_equal_are_told_apart() -> None:
    class Equal(int):
        def __eq__(self, other: object) -> bool:
            ASKED.append("eq")
            return True

        def __hash__(self) -> int:
            return 1

    followed = Followed(X={"a": Equal(1)}, Y=[Equal(1)], Z={"a": (Equal(1),)})
    followed.module.X["a"] = Equal(2)
    followed.module.Y[0] = Equal(2)
    followed.module.Z["a"] = (Equal(2),)
    assert len(followed.told()) == 3
    assert ASKED == []


@sealed
def test_names_of_classes_and_functions_are_theirs_to_lie_about() -> None:
    class Meta(type):
        __module__ = property(lambda cls: ASKED.append("module"))  # type: ignore[assignment]
        __mro__ = property(lambda cls: ASKED.append("mro"))
        __name__ = property(lambda cls: ASKED.append("name"))

        def __getattribute__(cls, name: str) -> Any:
            ASKED.append(name)
            return super().__getattribute__(name)

        def __hash__(cls) -> int:
            ASKED.append("hash")
            return 1

        def __eq__(cls, other: object) -> bool:
            ASKED.append("eq")
            return False

    class App(metaclass=Meta):
        pass

    class Stack(list[Any], metaclass=Meta):
        pass

    value, stack = App(), Stack()
    followed = Followed(X=value, Y=stack, Z={App: 1, "class": App}, W=[App])
    object.__setattr__(value, "a", 1)
    stack.append(1)
    followed.module.Z[App] = 2
    followed.module.W.append(App)
    ASKED.clear()
    told = followed.told()
    assert len(told) == 4
    assert told[0].startswith("app.X.a: ")
    assert ASKED == []


@sealed
def test_functions_may_have_odd_attributes() -> None:
    def function(x: object = None) -> object:
        return x

    function.__module__ = hostile.hostile_kinds()["a str"]
    named = types.FunctionType(function.__code__, {"__name__": "app"})
    named.__name__ = named.__qualname__ = "named"
    named.__module__ = "app"
    named.__defaults__ = (hostile.hostile_kinds()["an instance"],)
    vars(named)["odd"] = hostile.hostile_kinds()["a dict"]
    followed = Followed(X=function, Y=named, Z=[function])
    named.__defaults__ = (hostile.hostile_kinds()["a list"],)
    vars(named)["odd"] = hostile.hostile_kinds()["a set"]
    assert sorted(line.split(":")[0] for line in followed.told()) == ["app.Y.__defaults__", "app.Y.odd"]
    assert ASKED == []


class Name(str):
    __slots__ = ()

    def __repr__(self) -> str:
        ASKED.append("repr")
        return "?"

    def __str__(self) -> str:
        ASKED.append("str")
        return "?"

    def __format__(self, spec: str) -> str:
        ASKED.append("format")
        return "?"


@sealed
def test_attribute_names_that_are_no_plain_text() -> None:
    value = WithDict()
    vars(value)[Name("a")] = [1]
    vars(value)[1] = 1  # type: ignore[index]
    followed = Followed(X=value, Y={Name("b"): [1]})
    vars(value)["a"].append(2)
    vars(value)[1] = 2  # type: ignore[index]
    followed.module.Y["b"].append(2)
    assert sorted(followed.told()) == [
        "app.X[1]: 1 -> 2",
        "app.X[<Name object>]: [1] -> [1, 2]",
        "app.Y[<Name object>]: [1] -> [1, 2]",
    ]
    assert ASKED == []


@sealed
def test_a_module_with_odd_names_and_values() -> None:
    followed = Followed(
        **{f"name {number}": value for number, value in enumerate(hostile.hostile_kinds().values())}
    )

    class Name(str):
        def __eq__(self, other: object) -> bool:
            ASKED.append("eq")
            return False

        def __hash__(self) -> int:
            return str.__hash__(self)

    vars(followed.module)[Name("odd")] = [1]
    vars(followed.module)[5] = [1]
    again = Graph(Limits(), lambda name: True)
    again.follow(followed.namespace)
    assert again.drain() == followed.graph.drain() == []
    assert ASKED == []


@sealed
def test_a_pretender_is_seen_through() -> None:
    pretended = [type, dict, list, types.ModuleType, types.FunctionType, property, str]
    followed = Followed(X=[hostile.Pretender(one) for one in pretended])
    for one in followed.module.X:
        object.__setattr__(one, "pretended", int)
    assert followed.told() == [f"app.X[{at}].pretended: class {one.__name__} -> class int"
                               for at, one in enumerate(pretended)]  # fmt: skip
    assert ASKED == []


@sealed
def test_libraries_objects_of_hostile_classes() -> None:
    """What is read as a logger, a mock, or a client is read without it, too."""
    import asyncio
    import logging
    import threading
    from unittest.mock import MagicMock

    class Logger(recording_class("Logger", logging.Logger)):  # type: ignore[misc]
        pass

    class Event(recording_class("Event", threading.Event)):  # type: ignore[misc]
        pass

    class Loop(asyncio.SelectorEventLoop):
        def is_closed(self) -> bool:
            ASKED.append("is_closed")
            return super().is_closed()

    mock = MagicMock()
    mock.__eq__.side_effect = mock.__hash__.side_effect = lambda *args: ASKED.append("mock")
    loop = Loop()
    try:
        followed = Followed(L=Logger("app"), E=Event(), M=mock, O=loop)
        assert followed.told() == []
        assert ASKED == []
        assert mock.mock_calls == []
    finally:
        loop.close()


@pytest.mark.parametrize("limits", [Limits(depth=1, size=2), Limits()])
@sealed
def test_limits_do_not_ask_either(limits: Limits) -> None:
    made = [make(maker, base) for maker in MAKERS for base in (None, list, dict, set, collections.deque)]
    followed = Followed(limits, X=made, Y={"a": {"b": {"c": made}}})
    made.append(made[0])
    followed.module.Y["a"]["b"]["c"] = None
    assert followed.graph.cut or limits == Limits()
    followed.told()
    assert ASKED == []

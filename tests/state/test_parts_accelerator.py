"""The compiled part over the parts of objects: class Comparer, and attributes_of.

The kinds of rows are those of readers.py; what is handed over wrongly is refused.
"""

from __future__ import annotations

import array
import collections
import enum
import fractions
import functools
import gc
import io
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import hostile
import pytest

from pytest_mcpsmoke.state import readers
from pytest_mcpsmoke.state.readers import ATTRIBUTES, CELL, DICT, FIXED, FUNCTION, LIST, OTHER

_parts = pytest.importorskip("pytest_mcpsmoke.state._parts", reason="the compiled part is not installed")


class App:
    pass


class Slots:
    __slots__ = ("a",)


def function(x: object = 1, *, y: object = 2) -> object:
    return x, y


def cell(value: object) -> types.CellType:
    return types.CellType(value)


READERS: dict[int, Any] = {
    LIST: readers.ListReader(),
    DICT: readers.DictReader(),
    CELL: readers.CellReader(),
    FUNCTION: readers.FunctionReader(),
}


def add(comparer: Any, kind: int, value: Any) -> int:
    index: int = comparer.add(kind, value, *read(kind, value), None)
    return index


def read(kind: int, value: Any) -> readers.Parts:
    if kind == ATTRIBUTES:
        held = object.__getattribute__(value, "__dict__")
        return ("__class__", *held), (type(value), *held.values())
    parts: readers.Parts = READERS[kind].read(value)
    return parts


def instance(**attributes: object) -> App:
    made = App()
    vars(made).update(attributes)
    return made


def two_attributes() -> Any:
    """Of a class of its own: that of others may have met too many names to keep values in its instances."""
    made: Any = type("Two", (), {})()
    made.a = made.b = 1
    return made


def write_first_anew(value: Any) -> None:
    first = value.a
    del value.a
    value.a = first


# what is seen

WRITES: dict[str, tuple[int, Callable[[], Any], Callable[[Any], object]]] = {
    "list appended": (LIST, lambda: [1], lambda value: value.append(2)),
    "list replaced": (LIST, lambda: [1], lambda value: value.__setitem__(0, 2)),
    "list cleared": (LIST, lambda: [1], lambda value: value.clear()),
    "list filled": (LIST, lambda: [], lambda value: value.append(None)),
    "list reordered": (LIST, lambda: [1, 2], lambda value: value.reverse()),
    "list with an equal object": (LIST, lambda: [1000], lambda value: value.__setitem__(0, int("1000"))),
    "list subclass": (LIST, lambda: type("Stack", (list,), {})([1]), lambda value: value.append(2)),
    "dict added": (DICT, lambda: {"a": 1}, lambda value: value.update(b=1)),
    "dict removed": (DICT, lambda: {"a": 1, "b": 2}, lambda value: value.pop("a")),
    "dict replaced": (DICT, lambda: {"a": 1}, lambda value: value.update(a=2)),
    "dict reordered": (DICT, lambda: {"a": 1, "b": 1}, lambda value: value.update(a=value.pop("a"))),
    "dict with another key": (DICT, lambda: {1: 1}, lambda value: (value.clear(), value.update({1.0: 1}))),
    "attribute added": (ATTRIBUTES, instance, lambda value: setattr(value, "a", 1)),
    "attribute removed": (ATTRIBUTES, lambda: instance(a=1), lambda value: delattr(value, "a")),
    "attribute replaced": (ATTRIBUTES, lambda: instance(a=1), lambda value: setattr(value, "a", 2)),
    "attributes reordered": (ATTRIBUTES, two_attributes, write_first_anew),
    "attributes replaced": (ATTRIBUTES, lambda: instance(a=1), lambda value: setattr(value, "__dict__", {})),
    "class": (ATTRIBUTES, instance, lambda value: setattr(value, "__class__", type("B", (App,), {}))),
    "cell": (CELL, lambda: cell(1), lambda value: setattr(value, "cell_contents", 2)),
    "cell emptied": (CELL, lambda: cell(1), lambda value: delattr(value, "cell_contents")),
    "cell filled": (CELL, types.CellType, lambda value: setattr(value, "cell_contents", None)),
}
for _name, _value in {
    "__code__": (lambda: 1).__code__,
    "__defaults__": (2,),
    "__kwdefaults__": None,
    "__dict__": {"a": 1},
}.items():
    WRITES[f"function {_name}"] = (
        FUNCTION,
        lambda: types.FunctionType(function.__code__, {}, "f", (1,)),
        lambda value, name=_name, new=_value: setattr(value, name, new if new is not None else {"y": 1}),
    )


@pytest.mark.parametrize("name", WRITES)
def test_each_way_of_writing_is_seen(name: str) -> None:
    kind, make, write = WRITES[name]
    comparer, value = _parts.Comparer(), make()
    index = add(comparer, kind, value)
    add(comparer, LIST, [])
    assert comparer.changed() == []
    write(value)
    assert comparer.changed() == comparer.changed() == [index]
    comparer.update(index, *read(kind, value))
    assert comparer.changed() == []


def test_what_is_back_is_not_seen() -> None:
    comparer = _parts.Comparer()
    held: list[Any] = [1, 2]
    names: dict[Any, Any] = {"a": held}
    app = instance(a=1)
    box = cell(held)
    for kind, value in ((LIST, held), (DICT, names), (ATTRIBUTES, app), (CELL, box), (FUNCTION, function)):
        add(comparer, kind, value)
    held.append(held.pop())
    names["b"] = names.pop("a")
    names["a"] = names.pop("b")
    app.a, app.b = 2, 3  # type: ignore[attr-defined]
    del app.b  # type: ignore[attr-defined]
    app.a = 1  # type: ignore[attr-defined]
    del box.cell_contents
    box.cell_contents = held
    function.attribute = 1  # type: ignore[attr-defined]
    del function.attribute  # type: ignore[attr-defined]
    assert comparer.changed() == []


def test_an_empty_dict_of_a_function_is_as_good_as_none() -> None:
    comparer, made = _parts.Comparer(), types.FunctionType(function.__code__, {})
    add(comparer, FUNCTION, made)
    assert vars(made) == {}
    assert comparer.changed() == []


def test_the_changed_rows_come_in_order() -> None:
    comparer, values = _parts.Comparer(), [[number] for number in range(5000)]
    assert [add(comparer, LIST, value) for value in values] == [*range(5000)]
    for at in (4999, 0, 1024, 1023, 7):
        values[at].append(1)
    assert comparer.changed() == [0, 7, 1023, 1024, 4999]


def test_nobody_is_asked() -> None:
    comparer = _parts.Comparer()
    kinds = hostile.hostile_kinds()
    held, other = [*kinds.values()], [*kinds.values()]
    hostile.ASKED.clear()
    add(comparer, LIST, held)
    add(comparer, DICT, dict(enumerate(held)))
    add(comparer, LIST, kinds["a list"])
    add(comparer, DICT, kinds["a dict"])
    pretender = hostile.Pretender(dict)
    add(comparer, ATTRIBUTES, pretender)
    assert comparer.changed() == []
    held[:] = other[::-1]
    list.append(kinds["a list"], 1)
    dict.__setitem__(kinds["a dict"], "a", kinds["an instance"])
    object.__setattr__(pretender, "pretended", list)
    assert comparer.changed() == [0, 2, 3, 4]
    for value in kinds.values():
        assert type(_parts.attributes_of(value)) is dict
    assert hostile.ASKED == []


# what is refused

FITTING: dict[int, tuple[Any, Any, Any]] = {
    LIST: ([1], None, (1,)),
    DICT: ({"a": 1}, ("a",), (1,)),
    ATTRIBUTES: (instance(a=1), ("__class__", "a"), (App, 1)),
    CELL: (cell(1), ("",), (1,)),
    FUNCTION: (function, ("a", "b", "c", "d"), (1, 2, 3, 4)),
}


@pytest.mark.parametrize(
    ("kind", "value", "keys", "values"),
    [
        (LIST, (1,), None, (1,)),
        (LIST, {}, None, ()),
        (LIST, None, None, ()),
        (DICT, [], (), ()),
        (DICT, {"a": 1}, ("a",), ()),
        (DICT, {"a": 1}, (), (1,)),
        (DICT, {"a": 1}, None, (1,)),
        (DICT, {"a": 1}, ["a"], (1,)),
        (DICT, types.MappingProxyType({}), (), ()),
        (ATTRIBUTES, App(), (), ()),
        (ATTRIBUTES, App(), None, (App,)),
        (ATTRIBUTES, App(), ("__class__",), (App, 1)),
        (CELL, [1], ("",), (1,)),
        (CELL, cell(1), ("", ""), (1, 2)),
        (FUNCTION, len, ("a", "b", "c", "d"), (1, 2, 3, 4)),
        (FUNCTION, function, ("a", "b", "c"), (1, 2, 3)),
        (OTHER, [1], None, (1,)),
        (FIXED, (1,), None, (1,)),
        (-1, [1], None, (1,)),
        (10**6, [1], None, (1,)),
    ],
)
def test_what_is_not_of_the_kind_is_refused(kind: int, value: Any, keys: Any, values: Any) -> None:
    comparer = _parts.Comparer()
    with pytest.raises(TypeError, match=r"^object or parts are not of this kind$"):
        comparer.add(kind, value, keys, values, None)
    assert comparer.changed() == []
    assert add(comparer, LIST, []) == 0


@pytest.mark.parametrize("kind", FITTING)
def test_an_update_that_is_not_of_the_kind_is_refused(kind: int) -> None:
    comparer = _parts.Comparer()
    value, keys, values = FITTING[kind]
    index = comparer.add(kind, value, keys, values, None)
    before = comparer.changed()
    for wrong in ({DICT: ((), (1,)), ATTRIBUTES: ((), ()), CELL: (("", ""), (1, 2)), FUNCTION: ((), ())},):
        if kind in wrong:
            with pytest.raises(TypeError, match=r"^the parts are not of this kind$"):
                comparer.update(index, *wrong[kind])
    with pytest.raises(TypeError):
        comparer.update(index, keys, [*values])
    assert comparer.changed() == before


def test_arguments_are_checked() -> None:
    comparer = _parts.Comparer()
    for arguments in (
        (),
        (LIST, []),
        (LIST, [], None, ()),
        (LIST, [], None, [], None),
        ("0", [], None, (), 0),
    ):
        with pytest.raises(TypeError):
            comparer.add(*arguments)
    with pytest.raises(OverflowError):
        comparer.add(2**70, [], None, (), None)
    with pytest.raises(TypeError):
        comparer.discard("0")
    with pytest.raises((OverflowError, IndexError)):
        comparer.discard(2**70)
    for arguments in ((1,), (LIST,)):
        with pytest.raises(TypeError):
            _parts.Comparer(*arguments)
    with pytest.raises(TypeError):
        _parts.Comparer(a=1)
    with pytest.raises(TypeError):
        _parts.attributes_of()
    with pytest.raises(TypeError):
        comparer.changed(True, False)
    with pytest.raises(TypeError):
        type("Derived", (_parts.Comparer,), {})
    with pytest.raises(TypeError):
        _parts.Comparer.attribute = 1


@pytest.mark.parametrize("index", [-1, 2, 1, 10**6, sys.maxsize, -sys.maxsize - 1])
def test_rows_that_are_not_there_are_refused(index: int) -> None:
    comparer = _parts.Comparer()
    add(comparer, LIST, [])
    add(comparer, LIST, [])
    comparer.discard(1)
    with pytest.raises(IndexError, match=r"^no such row$"):
        comparer.discard(index)
    with pytest.raises(IndexError, match=r"^no such row$"):
        comparer.update(index, None, ())
    assert comparer.changed() == []


# rows and references


def test_discarded_rows_are_used_again() -> None:
    comparer, values = _parts.Comparer(), [[number] for number in range(10)]
    for value in values:
        add(comparer, LIST, value)
    for index in (3, 7, 5):
        comparer.discard(index)
    for value in values:
        value.append(1)
    assert comparer.changed() == [0, 1, 2, 4, 6, 8, 9]
    assert sorted(add(comparer, DICT, {}) for _ in range(3)) == [3, 5, 7]
    assert add(comparer, DICT, {}) == 10
    assert comparer.changed() == [0, 1, 2, 4, 6, 8, 9]


def test_references_are_let_go() -> None:
    object_, key, value, reader = App(), App(), App(), App()
    counts = [sys.getrefcount(one) for one in (object_, key, value, reader)]
    comparer = _parts.Comparer()
    for _ in range(10):
        indices = [
            comparer.add(ATTRIBUTES, object_, ("__class__", key), (App, value), reader) for _ in range(2000)
        ]
        for index in indices:
            comparer.update(index, ("__class__", value), (App, key))
        comparer.changed()
        for index in indices[::2]:
            comparer.discard(index)
        for index in indices[1::2]:
            comparer.discard(index)
    for _ in range(100):
        with pytest.raises(TypeError):
            comparer.add(LIST, object_, (key,), (value,), reader)
    assert [sys.getrefcount(one) for one in (object_, key, value, reader)] == counts
    comparer.add(ATTRIBUTES, object_, ("__class__", key), (App, value), reader)
    del comparer
    assert [sys.getrefcount(one) for one in (object_, key, value, reader)] == counts


def test_asking_what_changed_leaves_no_references() -> None:
    values = [instance(a=object()), {"a": 1}, [1], cell(1), types.FunctionType(function.__code__, {})]
    kinds = (ATTRIBUTES, DICT, LIST, CELL, FUNCTION)
    comparer = _parts.Comparer()
    for kind, value in zip(kinds, values, strict=True):
        add(comparer, kind, value)
    values[1]["b"] = 1
    comparer.changed()
    watched = [*values, vars(values[0]), App]
    before = [sys.getrefcount(value) for value in watched]
    for _ in range(1000):
        assert comparer.changed() == [1]
        assert _parts.attributes_of(values[0]) is vars(values[0])
        assert _parts.attributes_of(5) == {}
    assert [sys.getrefcount(value) for value in watched] == before


def test_a_row_keeps_its_object_alive_until_it_is_discarded() -> None:
    comparer, value = _parts.Comparer(), instance(a=instance())
    gone, inside = weakref.ref(value), weakref.ref(value.a)  # type: ignore[attr-defined]
    index = add(comparer, ATTRIBUTES, value)
    value.a = None  # type: ignore[attr-defined]
    del value
    assert gone() is not None
    assert inside() is not None  # what it held when it was read
    comparer.discard(index)
    assert gone() is None
    assert inside() is None


def test_a_comparer_in_a_reference_cycle_is_collected() -> None:
    comparer, value = _parts.Comparer(), instance()
    value.comparer = comparer  # type: ignore[attr-defined]
    add(comparer, ATTRIBUTES, value)
    add(comparer, LIST, [comparer])
    gone = weakref.ref(value)
    del comparer, value
    gc.collect()
    assert gone() is None
    assert gc.is_tracked(_parts.Comparer())


class Calls:
    """Calls back when it dies."""

    def __init__(self, back: Callable[[], object]) -> None:
        self.back = back

    def __del__(self) -> None:
        self.back()


def test_what_dies_may_call_back() -> None:
    comparer = _parts.Comparer()
    other = [1]
    add(comparer, LIST, other)
    called: list[Any] = []

    def back() -> None:
        called.append(comparer.changed())
        for _ in range(3000):  # the table of rows is moved
            add(comparer, LIST, [])
        with pytest.raises(IndexError):
            comparer.discard(10**6)

    index = comparer.add(LIST, [], None, (Calls(back),), None)
    comparer.update(index, None, ())
    assert called == [[index]] or called == [[]]
    again = comparer.add(LIST, [Calls(back)], None, (), None)
    comparer.discard(again)
    assert len(called) == 2
    other.append(2)
    assert 0 in comparer.changed()


def test_what_dies_with_the_comparer_may_call_back() -> None:
    called: list[Any] = []
    comparer = _parts.Comparer()
    held = [comparer]

    def back(held: list[Any] = held) -> None:
        called.append(held[0].changed())
        called.append(add(held[0], LIST, []))

    for _ in range(3):
        comparer.add(LIST, [Calls(back), held], None, (), None)
    holder: list[Any] = [held]
    del comparer
    held.append(holder)
    del holder
    gone = weakref.ref(held[0]) if type(held[0]).__weakrefoffset__ else None
    del held
    del back
    gc.collect()
    assert gone is None or gone() is None
    assert all(type(answer) in (int, list) for answer in called)


def test_an_object_that_lost_its_attributes_is_compared_still() -> None:
    comparer, value = _parts.Comparer(), Slots()
    index = comparer.add(ATTRIBUTES, value, ("__class__",), (Slots,), None)
    assert comparer.changed() == []
    comparer.update(index, ("__class__", "a"), (Slots, 1))
    assert comparer.changed() == [index]


# attributes_of

OBJECTS: dict[str, Callable[[], Any]] = {
    "instance": lambda: instance(a=1, b=2),
    "instance without attributes": App,
    "slots": Slots,
    "int": lambda: 5,
    "str": lambda: "a",
    "None": lambda: None,
    "str subclass": lambda: _with(type("Name", (str,), {})("a")),
    "int subclass": lambda: _with(type("Number", (int,), {})(1)),
    "tuple subclass": lambda: _with(type("Pair", (tuple,), {})((1,))),
    "list subclass": lambda: _with(type("Stack", (list,), {})()),
    "dict subclass": lambda: _with(type("Registry", (dict,), {})()),
    "OrderedDict": lambda: _with(collections.OrderedDict()),
    "OrderedDict subclass": lambda: _with(type("Registry", (collections.OrderedDict,), {})()),
    "Counter": lambda: _with(collections.Counter()),
    "defaultdict": lambda: collections.defaultdict(list),
    "deque subclass": lambda: _with(type("Line", (collections.deque,), {})()),
    "set subclass": lambda: _with(type("Bag", (set,), {})()),
    "slots and a dict": lambda: _with(type("Both", (), {"__slots__": ("x", "__dict__")})()),
    "slots, and a dict of a derived class": lambda: _with(type("Derived", (Slots,), {})()),
    "partial": lambda: _with(functools.partial(len)),
    "lru_cache": lambda: _with(functools.lru_cache(function)),
    "function": lambda: _with(types.FunctionType(function.__code__, {})),
    "function without attributes": lambda: types.FunctionType(function.__code__, {}),
    "built-in function": lambda: len,
    "method": lambda: App().__init__,
    "static method": lambda: staticmethod(function),
    "property": lambda: property(function),
    "cached property": lambda: functools.cached_property(function),
    "class": lambda: App,
    "metaclass": lambda: type("Meta", (type,), {}),
    "class of a metaclass": lambda: type("Meta", (type,), {})("Made", (), {"a": 1}),
    "module": lambda: types.ModuleType("made"),
    "module subclass": lambda: type("Lazy", (types.ModuleType,), {})("made"),
    "exception": lambda: _with(ValueError(1)),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=1),
    "enum member": lambda: enum.Enum("Colour", "RED").RED,
    "fraction": lambda: fractions.Fraction(1, 2),
    "random": lambda: _with(random.Random(1)),
    "StringIO": lambda: _with(io.StringIO()),
    "BytesIO": lambda: _with(io.BytesIO()),
    "array": lambda: array.array("i"),
    "lock": threading.Lock,
    "event": threading.Event,
    "thread": threading.Thread,
    "generator": lambda: (x for x in ()),
    "cell": lambda: cell(1),
    "weak reference": lambda: weakref.ref(App),
    "weak reference subclass": lambda: _with(type("Ref", (weakref.ref,), {})(App)),
    "dict replaced": lambda: _replaced(),
    "dict hidden by a property": lambda: type("Hidden", (App,), {"__dict__": property(lambda self: 1 / 0)})(),
    "generic alias": lambda: list[int],
    "object": object,
}


def _with(value: Any) -> Any:
    value.attribute = [1]
    return value


def _replaced() -> App:
    made = App()
    made.__dict__ = type("Attributes", (dict,), {})(a=1)
    return made


@pytest.mark.parametrize("name", OBJECTS)
def test_attributes_are_those_that_python_finds(name: str) -> None:
    value = OBJECTS[name]()
    compiled, plain = _parts.attributes_of(value), readers._attributes_of(value)
    assert isinstance(compiled, dict)
    assert isinstance(plain, dict)
    assert compiled == plain
    if compiled:
        assert compiled is plain
    assert _parts.attributes_of(value) == compiled


def test_the_attributes_that_are_given_out_are_the_object_s_own() -> None:
    value = instance(a=1)
    _parts.attributes_of(value)["b"] = 2
    assert value.b == 2  # type: ignore[attr-defined]
    del value.a  # type: ignore[attr-defined]
    assert _parts.attributes_of(value) == {"b": 2}


def test_asking_a_function_makes_it_no_dict() -> None:
    made = types.FunctionType(function.__code__, {})
    assert _parts.attributes_of(made) == {}
    assert not any(type(held) is dict and held is not made.__globals__ and not held
                   for held in gc.get_referents(made))  # fmt: skip


def test_thread_local_values_are_not_attributes() -> None:
    local = threading.local()
    local.a = 1
    assert _parts.attributes_of(local) == {}
    assert readers._attributes_of(local) == {}


# what is told, and what is not


@pytest.mark.parametrize("name", WRITES)
def test_who_is_told_sees_the_same(name: str) -> None:
    kind, make, write = WRITES[name]
    comparer, value = _parts.Comparer(is_told=True), make()
    index, other = add(comparer, kind, value), add(comparer, LIST, [])
    assert comparer.changed() == comparer.changed(False) == []
    comparer.touch(index)  # audit events come before the act
    write(value)
    assert comparer.changed() == comparer.changed() == [index]
    comparer.update(index, *read(kind, value))
    assert comparer.changed() == []
    comparer.discard(other)
    comparer.touch(index)
    assert comparer.changed(False) == []


def test_what_nobody_tells_of_is_found_only_when_it_is_compared() -> None:
    comparer, held = _parts.Comparer(is_told=True), [1]
    index = add(comparer, LIST, held)
    assert len(comparer) == 1
    held.append(2)
    assert comparer.changed(False) == []
    assert comparer.changed() == [index]


def test_dicts_are_not_compared_where_watchers_tell() -> None:
    is_seen = sys.version_info >= (3, 12)
    comparer, held = _parts.Comparer(is_told=True), {"a": 1}
    rows = [add(comparer, DICT, held) for _ in range(3)]
    made = types.FunctionType(function.__code__, {})
    add(comparer, FUNCTION, made)
    assert len(comparer) == (0 if is_seen else 4)
    held["b"] = 1
    assert comparer.changed(not is_seen) == rows
    comparer.discard(rows[1])
    for index in (rows[0], rows[2]):
        comparer.update(index, *read(DICT, held))
    held["c"] = 1
    assert comparer.changed(not is_seen) == [rows[0], rows[2]]
    for index in (rows[0], rows[2]):
        comparer.discard(index)
    held["d"] = 1
    assert comparer.changed() == []


def test_instances_are_not_compared_where_watchers_tell() -> None:
    is_seen = sys.version_info[:2] == (3, 12)  # from 3.13 on values stand in the instance
    comparer, value = _parts.Comparer(is_told=True), instance(a=1)
    index = add(comparer, ATTRIBUTES, value)
    assert len(comparer) == (not is_seen)
    value.a = 2  # type: ignore[attr-defined]
    assert comparer.changed(not is_seen) == [index]
    value.a = 1  # type: ignore[attr-defined]
    assert comparer.changed(not is_seen) == []
    value.__dict__ = {"a": 1}
    assert comparer.changed(not is_seen) == []  # the same in another dict
    value.a = 2  # type: ignore[attr-defined]
    assert comparer.changed(not is_seen) == [index]


def test_an_object_with_another_dict_is_watched_on() -> None:
    comparer, value = _parts.Comparer(is_told=True), instance(a=1)
    index = add(comparer, ATTRIBUTES, value)
    for number in range(2, 5):
        value.__dict__ = {"a": number}
        assert comparer.changed() == [index]
        comparer.update(index, *read(ATTRIBUTES, value))
        value.a = number + 10  # type: ignore[attr-defined]
        assert comparer.changed() == [index]
        value.a = number  # type: ignore[attr-defined]
        assert comparer.changed() == []


class Slotted:
    __slots__ = ("a", "b")


class SlottedWithDict(Slotted):
    pass


@pytest.mark.parametrize("cls", [Slotted, SlottedWithDict])
def test_slots_are_compared(cls: Any) -> None:
    comparer, value = _parts.Comparer(is_told=True), cls()
    value.a = 1
    reader = readers._attributes_reader(cls)
    assert reader is not None
    index = comparer.add(reader.kind, value, *reader.read(value), reader.slots)

    def update() -> None:
        comparer.update(index, *reader.read(value))
        assert comparer.changed() == []

    for write in (
        lambda: setattr(value, "a", 2),
        lambda: setattr(value, "b", 1),
        lambda: delattr(value, "a"),
        lambda: delattr(value, "b"),
        lambda: setattr(value, "__class__", type("Same", (cls,), {"__slots__": ()})),
    ):
        write()
        assert comparer.changed() == [index]
        update()
    if cls is SlottedWithDict:
        value.other = 1
        assert comparer.changed() == [index]


@pytest.mark.parametrize(
    "slots",
    [None, [], (1,), (Slots.a,), (vars(types.CodeType)["co_name"],)],  # type: ignore[attr-defined]
)
def test_what_is_no_slot_of_the_object_is_refused(slots: Any) -> None:
    with pytest.raises(TypeError):
        _parts.Comparer().add(readers.SLOTS, App(), ("__class__",), (App,), slots)


def test_sets_are_compared() -> None:
    comparer = _parts.Comparer()
    held = {1, 2, 3}
    reader = readers.SetReader()
    index = comparer.add(readers.SET, held, *reader.read(held), None)
    assert comparer.changed() == []
    held.discard(2)
    assert comparer.changed() == [index]
    held.add(2)
    assert comparer.changed() == []
    held.discard(2)
    held.add(4)
    assert comparer.changed() == [index]
    comparer.update(index, *reader.read(held))
    assert comparer.changed() == []
    held.clear()
    assert comparer.changed() == [index]

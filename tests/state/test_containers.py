"""What the program holds: each kind of object is read, its change is named, and it can be put back."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
import textwrap
import types
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import pytest

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state import comparing, readers
from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.containers import Graph
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.nodes import FixtureValue, Library
from pytest_mcpsmoke.state.place import IMMUTABLE_TYPE, MISSING, Namespace
from pytest_mcpsmoke.state.restore import restore

OWNER = Owner("test_app.py::test", "test")


class Program:
    """A module `app` made of source text, and a graph that follows it."""

    def __init__(self, source: str = "", limits: Limits | None = None) -> None:
        self.module: Any = types.ModuleType("app")
        exec(textwrap.dedent(source), vars(self.module))
        self.namespace = Namespace("module", weakref.ref(self.module), "app")
        self.graph = Graph(Limits() if limits is None else limits, lambda name: name == "app")
        self.graph.follow(self.namespace)

    def run(self, source: str) -> None:
        """Run code that sees the names of the module, and binds none there."""
        exec(textwrap.dedent(source), vars(self.module), {})

    def bind(self, name: str, value: object) -> None:
        """Bind a name of the module, and tell the graph as an engine does."""
        if value is MISSING:
            delattr(self.module, name)
        else:
            setattr(self.module, name, value)
        self.graph.rebound(self.namespace, name, value)

    def told(self) -> list[str]:
        return tell(self.graph.drain())

    def follow_class(self, name: str) -> None:
        self.graph.follow(Namespace("class", weakref.ref(getattr(self.module, name)), "app"))


def tell(writes: list[Write]) -> list[str]:
    """Writes as text: "place: before -> after"."""
    return [
        f"{write.holder.place(write.key)}: {describe(write.old)} -> {describe(write.new)}" for write in writes
    ]


def put_back(writes: list[Write]) -> dict[str, str]:
    """Put writes back as the changes of a test; returns by place why one could not be."""

    def find_writer() -> NoReturn:
        raise AssertionError("who wrote is nobody's question here")

    changes = [
        Change(write.holder, write.key, write.old, write.new, OWNER, find_writer, at=at)
        for at, write in enumerate(writes)
    ]
    return {change.place: failure for change, failure in restore(changes).items() if failure is not None}


# An oracle of its own: nothing of the package is asked.

_VALUES = (int, float, complex, str, bytes, bytearray, type(None), type, types.BuiltinFunctionType)
_VALUES += (types.CodeType, types.ModuleType, range, weakref.ref)


class Kept:
    """An object that is kept alive, and never asked whether it equals another."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def fingerprint(*roots: object) -> dict[int, Any]:
    """What hangs on some objects: by address, each object (kept alive so), its class, and what it holds."""
    shapes: dict[int, Any] = {}
    waiting: list[Any] = list(roots)
    while waiting:
        value = waiting.pop()
        if id(value) in shapes or _is_atom(value):
            continue
        shape, inside = _shape(value)
        shapes[id(value)] = Kept(value), type(value), shape
        waiting += inside
    return shapes


def _is_atom(value: object) -> bool:
    return (issubclass(type(value), _VALUES) and not hasattr(value, "__dict__")) or isinstance(value, type)


def _token(value: object) -> object:
    return (
        (type(value), repr(value)) if type(value) in _VALUES and type(value) is not bytearray else id(value)
    )


def _shape(value: Any) -> tuple[Any, list[Any]]:
    """What an object holds, as tokens, and the objects themselves."""
    inside: list[Any] = []
    shape: list[Any] = []
    if isinstance(value, dict):
        items = [(key, dict.__getitem__(value, key)) for key in value]
        inside += [one for item in items for one in item]
        shape.append([(_token(key), _token(item)) for key, item in items])
    elif isinstance(value, list | tuple | deque):
        inside += value
        shape.append([*map(_token, value)])
    elif isinstance(value, set | frozenset):
        inside += value
        shape.append({*map(_token, value)})
    elif isinstance(value, types.CellType):
        try:
            inside.append(value.cell_contents)
        except ValueError:
            pass
        shape.append([*map(_token, inside)])
    elif isinstance(value, types.FunctionType):
        inside += (value.__defaults__, value.__kwdefaults__, value.__closure__)
        shape += (value.__code__, *map(_token, inside))
    elif isinstance(value, bytearray):
        shape.append(bytes(value))
    if type(value).__flags__ & IMMUTABLE_TYPE == 0 or type(value) in (
        types.FunctionType,
        types.SimpleNamespace,
    ):
        attributes = _attributes(value)
        inside += attributes.values()
        shape.append({(name, _token(item)) for name, item in attributes.items()})
    return shape, inside


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        for name, slot in vars(cls).items():
            if type(slot) is types.MemberDescriptorType:
                try:
                    found[f"slot {cls.__qualname__}.{name}"] = slot.__get__(value)
                except AttributeError:
                    pass
    return found


COMPARERS = ("compiled", "told", "python")


@pytest.fixture(params=COMPARERS, autouse=True)
def comparer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each test runs with each of them."""
    with comparing_as(request.param):
        yield str(request.param)


@contextmanager
def comparing_as(name: str) -> Iterator[None]:
    """Let graphs use the compiled comparer, told of writes and not, or the one in Python."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as ended:
        if name == "python":
            patch.setattr(comparing, "compiled", lambda name, otherwise, part="_watch": otherwise)
        else:
            pytest.importorskip("pytest_mcpsmoke.state._parts", reason="the compiled part is not installed")
        if name == "told":
            start_graphs(patch, ended)
        yield


def start_graphs(patch: pytest.MonkeyPatch, ended: ExitStack) -> None:
    """Let graphs rely on what they are told, as in a run."""
    make = Graph.__init__

    def start(graph: Graph, *arguments: Any) -> None:
        make(graph, *arguments)
        graph.start()
        ended.callback(graph.stop)

    patch.setattr(Graph, "__init__", start)


class Case(NamedTuple):
    """A program, what is done to it, what is told then, and what cannot be put back."""

    program: str
    change: str
    told: list[str]
    failed: dict[str, str] = {}
    look: str = ""  # an expression for what the fingerprint does not see, or sees too much of


@dataclass(frozen=True)
class Frozen:
    """Dataclasses want their module in sys.modules."""

    a: int


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    a: int


NO_WAY = "its type offers no way to put this back"

KINDS = {
    # dicts
    "dict, added": Case("X = {'a': 1}", "X['b'] = 2", ["app.X['b']: (nothing) -> 2"]),
    "dict, removed": Case("X = {'a': 1, 'b': 2, 'c': 3}", "del X['a']", ["app.X['a']: 1 -> (nothing)"]),
    "dict, replaced": Case("X = {'a': 1}", "X['a'] = 2", ["app.X['a']: 1 -> 2"]),
    "dict, cleared": Case(
        "X = {'a': 1, 'b': 2}",
        "X.clear()",
        ["app.X['a']: 1 -> (nothing)", "app.X['b']: 2 -> (nothing)"],
    ),
    "dict, reordered": Case(
        "X = {'a': 1, 'b': 2}",
        "X['a'] = X.pop('a')",
        ["app.X: order: ['a', 'b'] -> order: ['b', 'a']"],
    ),
    "dict, reordered and replaced": Case(
        "X = {'a': 1, 'b': 2, 'c': 3}",
        "X['a'] = X.pop('a') + 10",
        ["app.X['a']: 1 -> 11", "app.X: order: ['a', 'b', 'c'] -> order: ['b', 'c', 'a']"],
    ),
    "dict, everything at once": Case(
        "X = {'a': 1, 'b': 2, 'c': 3}",
        "del X['b']; X['d'] = 4; X['a'] = X.pop('a') + 10",
        [
            "app.X['a']: 1 -> 11",
            "app.X['b']: 2 -> (nothing)",
            "app.X['d']: (nothing) -> 4",
            "app.X: order: ['a', 'b', 'c'] -> order: ['c', 'd', 'a']",
        ],
    ),
    "dict, added and reordered": Case(
        "X = {'a': 1, 'b': 2}",
        "X['c'] = 3; X['a'] = X.pop('a')",
        ["app.X['c']: (nothing) -> 3", "app.X: order: ['a', 'b'] -> order: ['b', 'c', 'a']"],
    ),
    "dict, keys of all kinds": Case(
        """
        class Key: pass
        def handler(): pass
        KEY = Key()
        X = {}
        """,
        "X.update({1: 1, 2.5: 2, None: 3, b'b': 4, ('a', 1): 5, Key: 6, handler: 7, KEY: 8, True: 9})",
        [
            "app.X[1]: (nothing) -> 9",
            "app.X[2.5]: (nothing) -> 2",
            "app.X[None]: (nothing) -> 3",
            "app.X[b'b']: (nothing) -> 4",
            "app.X[('a', 1)]: (nothing) -> 5",
            "app.X[Key]: (nothing) -> 6",
            "app.X[handler]: (nothing) -> 7",
            "app.X[<Key object>]: (nothing) -> 8",
        ],
    ),
    "dict, keys of the same name": Case(
        """
        def make():
            def dependency(): pass
            return dependency
        ONE, OTHER = make(), make()
        X = {ONE: 1}
        """,
        "X[OTHER] = 2",
        ["app.X[make.<locals>.dependency]: (nothing) -> 2"],
    ),
    "dict, a key of the same name is replaced": Case(
        """
        def make():
            class Model: pass
            return Model
        ONE, OTHER = make(), make()
        X = {ONE: 1, OTHER: 2}
        """,
        "X[ONE] = 3",
        ["app.X[make.<locals>.Model]: 1 -> 3"],
    ),
    "dict, a huge number as key": Case(
        "X = {10**5000: 1}", "X['a'] = 2", ["app.X['a']: (nothing) -> 2"], look="[*X.values()]"
    ),
    "dict, a secret key": Case(
        "X = {}",
        "X['Bearer abcdefgh1234'] = 1",
        ["app.X['***']: (nothing) -> 1"],
    ),
    "dict, a long key": Case("X = {}", "X['k' * 500] = 1", [f"app.X['{'k' * 55}…']: (nothing) -> 1"]),
    "OrderedDict": Case(
        "from collections import OrderedDict\nX = OrderedDict(a=1, b=2)",
        "X['c'] = 3; X['a'] = 4",
        ["app.X['a']: 1 -> 4", "app.X['c']: (nothing) -> 3"],
    ),
    "OrderedDict, reordered": Case(
        "from collections import OrderedDict\nX = OrderedDict(a=1, b=2, c=3)",
        "X.move_to_end('a')",
        ["app.X: order: ['a', 'b', 'c'] -> order: ['b', 'c', 'a']"],
    ),
    "OrderedDict, removed": Case(
        "from collections import OrderedDict\nX = OrderedDict(a=1, b=2)",
        "X.popitem(last=False)",
        ["app.X['a']: 1 -> (nothing)"],
    ),
    "OrderedDict, attribute of a subclass": Case(
        "from collections import OrderedDict as Base\nclass Own(Base): pass\nX = Own()\nX.open = True",
        "X.open = False",
        ["app.X.open: True -> False"],
    ),
    "defaultdict": Case(
        "from collections import defaultdict\nX = defaultdict(list)",
        "X['a'].append(1)",
        ["app.X['a']: (nothing) -> [1]"],
    ),
    "Counter": Case(
        "from collections import Counter\nX = Counter(a=1)",
        "X.update('ab')",
        ["app.X['a']: 1 -> 2", "app.X['b']: (nothing) -> 1"],
    ),
    "dict and attributes": Case(
        "class Registry(dict): pass\nX = Registry(a=1)\nX.open = True",
        "X['a'] = 2; X.open = False; X.new = 1",
        ["app.X['a']: 1 -> 2", "app.X.open: True -> False", "app.X.new: (nothing) -> 1"],
    ),
    "UserDict": Case(
        "from collections import UserDict\nX = UserDict(a=1)", "X['a'] = 2", ["app.X.data['a']: 1 -> 2"]
    ),
    "mapping proxy": Case(
        "from types import MappingProxyType\nX = MappingProxyType({'a': 1})\nINSIDE = X | {}",
        "import gc; gc.get_referents(X)[0]['a'] = 2",
        ["app.X['a']: 1 -> 2"],
    ),
    # sequences and sets
    "list, appended": Case("X = [1, 2]", "X.append(3)", ["app.X: [1, 2] -> [1, 2, 3]"]),
    "list, sorted": Case("X = [2, 1]", "X.sort()", ["app.X: [2, 1] -> [1, 2]"]),
    "list, cleared": Case("X = [[1], [2]]", "X.clear()", ["app.X: [[1], [2]] -> []"]),
    "list, inside": Case("X = [{'a': [1]}]", "X[0]['a'].append(2)", ["app.X[0]['a']: [1] -> [1, 2]"]),
    "list, swapped": Case(
        "X = [[1], [2]]",
        "X.reverse(); X[0].append(3)",
        ["app.X: [[1], [2, 3]] -> [[2, 3], [1]]", "app.X[0]: [2] -> [2, 3]"],
    ),
    "list subclass and attribute": Case(
        "class Stack(list): pass\nX = Stack([1])",
        "X.pop(); X.top = None",
        ["app.X: [1] -> []", "app.X.top: (nothing) -> None"],
    ),
    "set": Case("X = {1}", "X.add(2)", ["app.X: {1} -> {1, 2}"]),
    "set of objects": Case("class A: pass\nX = {A()}", "X.clear()", ["app.X: {A object} -> set()"]),
    "deque": Case(
        "from collections import deque\nX = deque([1, 2], maxlen=3)",
        "X.extend((3, 4))",
        ["app.X: deque: [1, 2] -> deque: [2, 3, 4]"],
    ),
    "deque, rotated": Case(
        "from collections import deque\nX = deque([[1], [2]])",
        "X.rotate()",
        ["app.X: deque: [[1], [2]] -> deque: [[2], [1]]"],
    ),
    "a container in tuples": Case("X = (1, ([1],))", "X[1][0].append(2)", ["app.X[1][0]: [1] -> [1, 2]"]),
    "a container in a named tuple": Case(
        "from typing import NamedTuple\nclass Pair(NamedTuple):\n    a: list\n    b: int\nX = Pair([1], 2)",
        "X.a.append(2)",
        ["app.X[0]: [1] -> [1, 2]"],
        look="X.a.copy()",
    ),
    "cycles": Case(
        "X = {'a': 1, 'knot': []}\nX['self'] = X\nX['knot'].append(X['knot'])",
        "X['a'] = 2; X['knot'].append(1)",
        ["app.X['a']: 1 -> 2", "app.X['knot']: [[[[…], 1], 1]] -> [[[[…], 1], 1], 1]"],
    ),
    "innermost name": Case(
        "TREE = {'db': {'pool': {'size': 1}}}",
        "TREE['db']['pool']['size'] = 2",
        ["app.TREE['db']['pool']['size']: 1 -> 2"],
    ),
    "bytearray": Case("X = bytearray(b'abc')", "X[2:] = b'xyz'", ["app.X: b'abc' -> b'abxyz'"]),
    "array": Case(
        "from array import array\nX = array('b', [1, 2])",
        "X.append(3)",
        [r"app.X: ('b', b'\x01\x02') -> ('b', b'\x01\x02\x03')"],
        look="X.tolist()",
    ),
    # queues, streams, iterators
    "queue.Queue": Case(
        "import queue\nX = queue.Queue()",
        "X.put(1)",
        ["app.X.unfinished_tasks: 0 -> 1", "app.X.queue: deque: [] -> deque: [1]"],
    ),
    "SimpleQueue": Case(
        "import queue\nX = queue.SimpleQueue()",
        "X.put(1)",
        ["app.X.qsize(): 0 -> 1"],
        {"app.X.qsize()": NO_WAY},
    ),
    "StringIO": Case(
        "import io\nX = io.StringIO('abc')",
        "X.write('xyz!')",
        ["app.X.getvalue(): 'abc' -> 'xyz!'", "app.X.tell(): 0 -> 4"],
        look="X.getvalue(), X.tell()",
    ),
    "BytesIO": Case(
        "import io\nX = io.BytesIO(b'abc')",
        "X.seek(1); X.write(b'!')",
        ["app.X.getvalue(): b'abc' -> b'a!c'", "app.X.tell(): 0 -> 2"],
        look="X.getvalue(), X.tell()",
    ),
    "StringIO, read": Case(
        "import io\nX = io.StringIO('abc')", "X.read()", ["app.X.tell(): 0 -> 3"], look="X.tell()"
    ),
    "StringIO, closed": Case(
        "import io\nX = io.StringIO('abc')",
        "X.close()",
        [
            "app.X.getvalue(): 'abc' -> (nothing)",
            "app.X.tell(): 0 -> (nothing)",
            "app.X.closed: (nothing) -> True",
        ],
        {
            "app.X.getvalue()": "ValueError: I/O operation on closed file",
            "app.X.tell()": "ValueError: I/O operation on closed file",
            "app.X.closed": "it has been closed, and its contents are gone",
        },
    ),
    "itertools.count": Case(
        "import itertools\nX = itertools.count(5, 2)",
        "next(X)",
        ["app.X: 'count(5, 2)' -> 'count(7, 2)'"],
        look="repr(X)",
    ),
    "itertools.count of fractions": Case(
        "import itertools\nfrom fractions import Fraction\nX = itertools.count(Fraction(1, 2))",
        "next(X)",
        ["app.X: (Fraction object, 1) -> (Fraction object, 1)"],
        {"app.X": "it counts objects that are no plain numbers"},
    ),
    "list iterator": Case(
        "X = iter([1, 2, 3])", "next(X)", ["app.X: '3 left' -> '2 left'"], {"app.X": NO_WAY}
    ),
    "text iterator": Case("X = iter('abc')", "next(X)", ["app.X: '3 left' -> '2 left'"], {"app.X": NO_WAY}),
    "generator": Case(
        "def ids():\n    yield 1\nX = ids()\nnext(X)",
        "list(X)",
        ["app.X: 'at line 2, instruction N' -> 'finished'"],
        {"app.X": NO_WAY},
    ),
    # instances
    "attribute": Case(
        "class App: pass\nX = App()\nX.mode = 'live'", "X.mode = 'test'", ["app.X.mode: 'live' -> 'test'"]
    ),
    "attribute, added and removed": Case(
        "class App: pass\nX = App()\nX.a = 1",
        "del X.a; X.b = 2",
        ["app.X.a: 1 -> (nothing)", "app.X.b: (nothing) -> 2"],
    ),
    "name-mangled attribute": Case(
        "class App:\n    def __init__(self): self.__mode = 1\n    def set(self): self.__mode = 2\nX = App()",
        "X.set()",
        ["app.X._App__mode: 1 -> 2"],
    ),
    "SimpleNamespace": Case(
        "from types import SimpleNamespace\nX = SimpleNamespace(a=[1])",
        "X.a.append(2); X.b = 1",
        ["app.X.b: (nothing) -> 1", "app.X.a: [1] -> [1, 2]"],
    ),
    "slots": Case(
        "class App: __slots__ = ('a', 'b', 'c')\nX = App()\nX.a, X.b = 1, 2",
        "X.a = 10; del X.b; X.c = 3",
        ["app.X.a: 1 -> 10", "app.X.b: 2 -> (nothing)", "app.X.c: (nothing) -> 3"],
    ),
    "slots and a dict": Case(
        "class App: __slots__ = ('a', '__dict__')\nX = App()\nX.a = X.b = 1",
        "X.a = 2; X.b = 3",
        ["app.X.a: 1 -> 2", "app.X.b: 1 -> 3"],
    ),
    "slots of a base": Case(
        "class Base: __slots__ = ('a',)\nclass App(Base): pass\nX = App()\nX.a = X.b = [1]",
        "X.a = [2]; X.b.append(3)",
        ["app.X.a: [1, 3] -> [2]", "app.X.b: [1] -> [1, 3]"],
    ),
    "frozen dataclass": Case(
        "from test_containers import Frozen\nX = Frozen(1)",
        "object.__setattr__(X, 'a', 2)",
        ["app.X.a: 1 -> 2"],
    ),
    "frozen dataclass with slots": Case(
        "from test_containers import FrozenSlots\nX = FrozenSlots(1)",
        "object.__setattr__(X, 'a', 2)",
        ["app.X.a: 1 -> 2"],
    ),
    "enum member": Case(
        "from enum import Enum\nclass Colour(Enum):\n    RED = 1\nX = Colour.RED",
        "X.seen = True",
        ["app.X.seen: (nothing) -> True"],
    ),
    "str with attributes": Case(
        "class Name(str): pass\nX = Name('a')", "X.seen = 1", ["app.X.seen: (nothing) -> 1"]
    ),
    "class of an instance": Case(
        "class A: pass\nclass B(A): pass\nX = A()\nX.a = 1",
        "X.__class__ = B; X.a = 2",
        ["app.X.__class__: class A -> class B", "app.X.a: 1 -> 2"],
    ),
    "class of an instance, unrelated": Case(
        "class A: pass\nclass B: pass\nX = A()\nX.a = 1",
        "X.__class__ = B; X.a = 2",
        ["app.X.__class__: class A -> class B", "app.X.a: 1 -> 2"],
    ),
    "class of an instance with slots": Case(
        "class A: __slots__ = ('a',)\nclass B: __slots__ = ('a',)\nX = A()\nX.a = 1",
        "X.__class__ = B; X.a = 2",
        ["app.X.__class__: class A -> class B", "app.X.a: 1 -> 2"],
    ),
    "class of a list": Case(
        "class A(list): pass\nclass B(list): pass\nX = A([1])\nX.a = 1",
        "X.__class__ = B; X.a = 2; X.append(3)",
        ["app.X: [1] -> [1, 3]", "app.X.__class__: class A -> class B", "app.X.a: 1 -> 2"],
    ),
    # functions
    "mutable default": Case(
        "def f(x, seen=[]): seen.append(x)", "f(1)", ["app.f.__defaults__[0]: [] -> [1]"]
    ),
    "defaults": Case("def f(x=1): pass", "f.__defaults__ = (2,)", ["app.f.__defaults__: (1,) -> (2,)"]),
    "keyword defaults": Case(
        "def f(*, x=1): pass", "f.__kwdefaults__['x'] = 2", ["app.f.__kwdefaults__['x']: 1 -> 2"]
    ),
    "keyword defaults, replaced": Case(
        "def f(*, x=1): pass", "f.__kwdefaults__ = None", ["app.f.__kwdefaults__: {'x': 1} -> None"]
    ),
    "closure": Case(
        "def make():\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n    return f\nX = make()",
        "X()",
        ["app.X.__closure__['n']: 0 -> 1"],
    ),
    "closure, a container": Case(
        "def make():\n    seen = []\n    return lambda x: seen.append(x)\nX = make()",
        "X(1)",
        ["app.X.__closure__['seen']: [] -> [1]"],
    ),
    "closure, a variable without value": Case(
        "def make():\n    def f():\n        nonlocal n\n        n = 1\n    return f\n    n = 0\nX = make()",
        "X()",
        ["app.X.__closure__['n']: (nothing) -> 1"],
    ),
    "function attribute": Case(
        "def f(): pass\nf.calls = 0",
        "f.calls += 1; f.last = None",
        ["app.f.calls: 0 -> 1", "app.f.last: (nothing) -> None"],
    ),
    "first function attribute": Case("def f(): pass", "f.calls = 1", ["app.f: None -> {'calls': 1}"]),
    "code": Case(
        "def f(): pass\ndef g(): return 1",
        "f.__code__ = g.__code__",
        ["app.f.__code__: code object -> code object"],
    ),
    "function in a list": Case(
        "HOOKS = [lambda x=[]: x]", "HOOKS[0]().append(1)", ["app.HOOKS[0].__defaults__[0]: [] -> [1]"]
    ),
    "bound method": Case(
        "class App: pass\nclass Api:\n    def call(self): self.n = 1\nX = Api().call",
        "X()",
        ["app.X.__self__.n: (nothing) -> 1"],
        look="vars(X.__self__)",
    ),
    "partial": Case(
        "from functools import partial\ndef f(*args, **kwargs): pass\nX = partial(f, [1], key=1)",
        "X.args[0].append(2); X.keywords['key'] = 2",
        ["app.X.args[0]: [1] -> [1, 2]", "app.X.keywords['key']: 1 -> 2"],
        look="(X.args[0].copy(), X.keywords.copy())",
    ),
    "singledispatch": Case(
        "from functools import singledispatch\n@singledispatch\ndef f(x): return 'any'",
        "f.register(int, lambda x: 'int')",
        ["app.f.registry[int]: (nothing) -> function <lambda>"],
        look="f(1)",
    ),
    "singledispatch, and used": Case(
        "from functools import singledispatch\n@singledispatch\ndef f(x): return 'any'",
        "f.register(int, lambda x: 'int'); f(1)",
        ["app.f.registry[int]: (nothing) -> function <lambda>"],
        look="f(1)",
    ),
    "lru_cache": Case(
        "from functools import lru_cache\n@lru_cache\ndef f(x): return x",
        "f(1), f(1), f(2)",
        ["app.f.cache_info(): ('misses', 0, 'currsize', 0) -> ('misses', 2, 'currsize', 2)"],
        look="f.cache_info()",
    ),
    "the function inside an lru_cache": Case(
        "from functools import lru_cache\n@lru_cache\ndef f(x, seen=[]): seen.append(x)",
        "f.__wrapped__(1)",
        ["app.f.__defaults__[0]: [] -> [1]"],
        look="f.__wrapped__.__defaults__[0].copy()",
    ),
    # threads and contexts
    "context variable": Case(
        "from contextvars import ContextVar\nX = ContextVar('X', default=1)",
        "X.set(2)",
        ["app.X.get(): 1 -> 2"],
        look="X.get()",
    ),
    "context variable without default": Case(
        "from contextvars import ContextVar\nX = ContextVar('X')",
        "X.set(2)",
        ["app.X.get(): (nothing) -> 2"],
        {"app.X.get()": "a context variable without a default cannot be unset"},
    ),
    "what a context variable holds": Case(
        "from contextvars import ContextVar\nX = ContextVar('X')\nX.set({'user': 1})",
        "X.get()['user'] = 2",
        ["app.X.get()['user']: 1 -> 2"],
        look="dict(X.get())",
    ),
    "thread-local": Case(
        "import threading\nX = threading.local()\nX.a = 1",
        "X.a = 2; X.b = [1]",
        ["app.X.a: 1 -> 2", "app.X.b: (nothing) -> [1]"],
        look="dict(vars(X))",
    ),
    "Lock": Case(
        "import threading\nX = threading.Lock()",
        "X.acquire()",
        ["app.X.locked(): False -> True"],
        look="X.locked()",
    ),
    "Lock, released": Case(
        "import threading\nX = threading.Lock()\nX.acquire()",
        "X.release()",
        ["app.X.locked(): True -> False"],
        look="X.locked()",
    ),
    "RLock": Case(
        "import threading\nX = threading.RLock()",
        "X.acquire(); X.acquire()",
        ["app.X.locked(): False -> True"],
        look="X._is_owned()",
    ),
    "RLock, released": Case(
        "import threading\nX = threading.RLock()\nX.acquire()",
        "X.release()",
        ["app.X.locked(): True -> False"],
        {"app.X.locked()": "who held it is not known"},
    ),
    "Event": Case(
        "import threading\nX = threading.Event()",
        "X.set()",
        ["app.X.is_set(): False -> True"],
        look="X.is_set()",
    ),
    "Semaphore": Case(
        "import threading\nX = threading.Semaphore(2)",
        "X.acquire()",
        ["app.X._value: 2 -> 1"],
        look="X._value",
    ),
    "BoundedSemaphore": Case(
        "import threading\nX = threading.BoundedSemaphore()",
        "X.acquire()",
        ["app.X._value: 1 -> 0"],
        look="X._value",
    ),
    "Condition": Case(
        "import threading\nX = threading.Condition(threading.Lock())",
        "X.acquire()",
        ["app.X._lock.locked(): False -> True"],
        look="X._lock.locked()",
    ),
    "asyncio.Event": Case(
        "import asyncio\nX = asyncio.Event()",
        "X.set()",
        ["app.X.is_set(): False -> True"],
        look="X.is_set()",
    ),
    "asyncio.Lock": Case(
        "import asyncio\nX = asyncio.Lock()",
        "try: X.acquire().send(None)\nexcept StopIteration: pass",
        ["app.X.locked(): False -> True"],
        look="X.locked()",
    ),
    "asyncio.Semaphore": Case(
        "import asyncio\nX = asyncio.Semaphore(2)",
        "try: X.acquire().send(None)\nexcept StopIteration: pass",
        ["app.X._value: 2 -> 1"],
        look="X._value",
    ),
    "asyncio.Queue": Case(
        "import asyncio\nX = asyncio.Queue()",
        "X.put_nowait(1)",
        ["app.X._queue: deque: [] -> deque: [1]"],
        look="X.qsize()",
    ),
    # libraries
    "logger": Case(
        "import logging\nX = logging.getLogger('mcpsmoke-tests.x')",
        """
        X.setLevel('DEBUG'); X.propagate = False; X.disabled = True
        X.addHandler(logging.NullHandler()); X.addFilter(len)
        """,
        [
            "app.X.level: 0 -> 10",
            "app.X.propagate: True -> False",
            "app.X.disabled: False -> True",
            "app.X.handlers: [] -> [NullHandler object]",
            "app.X.filters: [] -> [built-in function len]",
        ],
        look="X.isEnabledFor(logging.DEBUG), X.handlers[:], X.filters[:], X.propagate, X.disabled",
    ),
    "handler": Case(
        "import logging\nX = logging.NullHandler()",
        "X.setLevel('ERROR'); X.setFormatter(logging.Formatter()); X.addFilter(len)",
        [
            "app.X.level: 0 -> 40",
            "app.X.formatter: None -> Formatter object",
            "app.X.filters: [] -> [built-in function len]",
        ],
        look="X.level, X.formatter, X.filters[:]",
    ),
    "mock": Case(
        "from unittest.mock import Mock\nX = Mock(return_value=1)",
        "X(); X.side_effect = len",
        ["app.X.call_count: 0 -> 1", "app.X.side_effect: None -> built-in function len"],
        look="X.call_count, X.side_effect",
    ),
}


def look(program: Program, expression: str) -> Any:
    """All that a program holds, by the test's own means: what the expression gives, or everything."""
    held = {name: value for name, value in vars(program.module).items() if name != "__builtins__"}
    names = {name: id(value) for name, value in held.items()}
    seen = eval(expression, vars(program.module)) if expression else fingerprint(*held.values())
    return seen if expression == "repr(X)" else (names, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_told_and_put_back(kind: str) -> None:
    case = KINDS[kind]
    program = Program(case.program)
    assert program.told() == []
    before = look(program, case.look)
    program.run(case.change)
    writes = program.graph.drain()
    told = [re.sub(r"instruction \d+", "instruction N", line) for line in tell(writes)]
    assert sorted(told) == sorted(case.told)
    assert program.told() == []
    assert put_back(writes) == case.failed
    if not case.failed:
        assert look(program, case.look) == before
    program.told()  # the way back
    assert program.told() == []


# what is no change


@pytest.mark.parametrize(
    ("program", "change"),
    [
        ("X = {'a': float('nan'), 'b': [float('nan')]}", "X['a'] = -float('nan'); X['b'][0] = float('nan')"),
        ("X = {'a': [1]}", "X['b'] = X.pop('a'); X['a'] = X.pop('b')"),
        ("X = {'a': 1000, 'b': ('a', 1)}", "X['a'] = int('1000'); X['b'] = tuple(['a', int('1')])"),
        ("X = [1, [2]]", "X.append(3); X[1].append(1); X.pop(); X[1].pop()"),
        ("X = {1, 2, 'a'}", "X.clear(); X.update(('a', 2, 1))"),
        (
            "X = {3} | {('a', n) for n in range(200)}",
            "X.clear(); X.update(('a', int(str(n))) for n in reversed(range(200))); X.add(3)",
        ),
        ("X = {*range(100, 200)}", "X.update(range(10**5)); X.intersection_update(range(100, 200))"),
        ("class A: pass\nX = A()\nX.a, X.b = 1, 2", "del X.a; X.a = 1"),
        ("class A: __slots__ = 'a'\nX = A()", "X.a = 1; del X.a"),
        ("from collections import deque\nX = deque([1, 2])", "X.rotate(2)"),
        ("from collections import OrderedDict\nX = OrderedDict(a=1)", "X['b'] = 1; del X['b']"),
        ("def f(x=1): pass", "f.a = 1; del f.a; f.__defaults__ = tuple([1])"),
        ("def f(x=1): pass", "f.__dict__"),
        ("from contextvars import ContextVar\nX = ContextVar('X', default=1)", "X.reset(X.set(2))"),
        ("import threading\nX = threading.RLock()", "X.acquire(); X.release()"),
        ("import io\nX = io.StringIO('a')", "X.write('b'); X.seek(0); X.write('a'); X.seek(0)"),
        ("import array\nX = array.array('i', [1])", "X.append(1); X.pop()"),
        ("import itertools\nX = itertools.count()", "repr(X)"),
        ("from functools import cache\n@cache\ndef f(x): return x\nf(1)", "f(1)"),
    ],
)
def test_what_is_as_it_was_is_not_told(program: str, change: str) -> None:
    followed = Program(program)
    followed.run(change)
    assert followed.told() == []
    assert followed.told() == []


def test_what_is_no_state_of_the_program_is_not_looked_into() -> None:
    followed = Program(
        """
        import abc, re, string, textwrap, types, weakref
        class A:
            items = []
        MODULE = string
        FOREIGN = textwrap.dedent
        ERROR = ValueError([1])
        REF = weakref.WeakSet()
        __doc__ = [1]
        __all__ = ["A"]
        """
    )
    followed.run(
        """
        A.items.append(1); FOREIGN.attribute = 1; ERROR.args[0].append(2); ERROR.a = 1; REF.add(A)
        __doc__.append(2); __all__.append("B")
        """
    )
    told = followed.told()
    del textwrap.dedent.attribute  # type: ignore[attr-defined]
    assert told == ["app.__all__: ['A'] -> ['A', 'B']"]


# classes


def test_the_contents_of_class_attributes_are_followed_where_the_class_is() -> None:
    followed = Program(
        """
        class App:
            routes = []
            def call(self, seen=[]): seen.append(1)
            @staticmethod
            def parse(seen=[]): seen.append(1)
            @property
            def mode(self, seen=[]): return seen.append(1)
        """
    )
    followed.follow_class("App")
    followed.run("App.routes.append('/'); App().call(); App.parse(); App().mode")
    writes = followed.graph.drain()
    assert tell(writes) == [
        "app.App.routes: [] -> ['/']",
        "app.App.call.__defaults__[0]: [] -> [1]",
        "app.App.parse.__defaults__[0]: [] -> [1]",
        "app.App.mode.__defaults__[0]: [] -> [1]",
    ]
    assert put_back(writes) == {}
    assert followed.module.App.routes == []


def test_a_class_registered_with_an_abstract_one() -> None:
    followed = Program("import abc\nclass Base(abc.ABC): pass\nclass Other: pass")
    followed.follow_class("Base")
    followed.run("Base.register(Other)")
    writes = followed.graph.drain()
    assert tell(writes) == ["app.Base._abc_impl registry: set() -> {class Other}"]
    assert issubclass(followed.module.Other, followed.module.Base)
    assert put_back(writes) == {}
    assert not issubclass(followed.module.Other, followed.module.Base)
    followed.told()
    assert followed.told() == []


@pytest.mark.parametrize("first", ["module", "class"])
@pytest.mark.parametrize("bases", ["", "(abc.ABC)"])
def test_subclasses_are_state_where_the_program_asks_for_them(bases: str, first: str) -> None:
    source = f"import abc\nclass Plugin{bases}: pass\n"
    asks = "def plugins(): return Plugin.__subclasses__()"
    followed = Program(source + (asks if first == "module" else ""))
    followed.follow_class("Plugin")
    if first == "class":
        exec(asks, vars(followed.module))
        followed.bind("plugins", followed.module.plugins)
    assert followed.told() == []
    followed.module.Made = type("Made", (followed.module.Plugin,), {"__module__": "app"})
    writes = followed.graph.drain()
    assert tell(writes) == ["app.Plugin.__subclasses__(): set() -> {class Made}"]
    assert put_back(writes) == {"app.Plugin.__subclasses__()": NO_WAY}


def test_subclasses_are_no_state_where_nobody_asks() -> None:
    followed = Program("class Plugin: pass")
    followed.follow_class("Plugin")
    made = type("Made", (followed.module.Plugin,), {})
    assert followed.told() == []
    assert made.__mro__[1] is followed.module.Plugin


# paths


def test_a_subtree_that_was_cut_and_is_back_is_followed_under_its_new_name() -> None:
    followed = Program("TREE = {'a': {'x': [1]}}")
    cut = followed.module.TREE.pop("a")
    assert followed.told() == ["app.TREE['a']: {'x': [1]} -> (nothing)"]
    cut["unseen"] = 1  # it is nobody's now
    del cut["unseen"]
    followed.module.TREE["b"] = cut
    assert followed.told() == ["app.TREE['b']: (nothing) -> {'x': [1]}"]
    cut["x"].append(2)
    assert followed.told() == ["app.TREE['b']['x']: [1] -> [1, 2]"]


def test_what_happened_to_a_subtree_while_it_was_cut_is_told_when_it_is_back_and_not_later() -> None:
    followed = Program("TREE = {'a': {'x': [1]}}")
    cut = followed.module.TREE.pop("a")
    followed.told()
    cut["x"].append(2)
    followed.module.TREE["b"] = cut
    assert followed.told() == [
        "app.TREE['b']: (nothing) -> {'x': [1, 2]}",
        "app.TREE['b']['x']: [1] -> [1, 2]",
    ]
    assert followed.told() == []


def test_what_is_cut_is_let_go_when_nothing_is_outstanding() -> None:
    followed = Program("class A: pass\nTREE = {'a': {'x': A()}}")
    gone = weakref.ref(followed.module.TREE["a"]["x"])
    del followed.module.TREE["a"]
    followed.told()
    assert gone() is not None  # it can still be put back
    followed.graph.settle()
    assert gone() is None


def test_a_subtree_that_moves_is_one_change_at_each_end() -> None:
    followed = Program("A = {'s': {'x': 1}}\nB = {}")
    followed.module.B["t"] = followed.module.A.pop("s")
    followed.module.B["t"]["x"] = 2
    assert sorted(followed.told()) == [
        "app.A['s']: {'x': 2} -> (nothing)",
        "app.B['t']: (nothing) -> {'x': 2}",
        "app.B['t']['x']: 1 -> 2",
    ]
    followed.module.B["t"]["x"] = 3
    assert followed.told() == ["app.B['t']['x']: 2 -> 3"]


@pytest.mark.parametrize("cut", ["del A['s']", "A.clear()", "A['s'] = A['s'].copy()"])
def test_a_shared_object_is_named_by_the_path_that_is_left(cut: str) -> None:
    followed = Program("A = {'s': {'x': [1]}}\nB = {'t': A['s']}")
    followed.run("A['s']['x'].append(2)")
    assert followed.told() == ["app.A['s']['x']: [1] -> [1, 2]"]
    followed.run(cut)
    assert len(followed.told()) == 1
    followed.run("B['t']['x'].append(3)")
    assert [line.split(":")[0] for line in followed.told()] in (["app.B['t']['x']"], ["app.A['s']['x']"])
    followed.run("B['t']['y'] = 1")
    assert followed.told() == ["app.B['t']['y']: (nothing) -> 1"]
    followed.run("B.clear()")
    followed.told()
    assert followed.told() == []


def test_names_of_the_module_are_paths_too() -> None:
    followed = Program("X = {'a': 1}\nY = [X]\nZ = X")
    followed.bind("X", None)
    followed.run("Z['a'] = 2")
    assert [line.rpartition("['a']")[0] for line in followed.told()] in (["app.Y[0]"], ["app.Z"])
    followed.bind("Z", MISSING)
    followed.run("Y[0]['a'] = 3")
    assert followed.told() == ["app.Y[0]['a']: 2 -> 3"]
    held = followed.module.Y
    followed.bind("Y", MISSING)
    held[0]["a"] = 4
    assert followed.told() == []
    followed.bind("W", held[0])
    followed.run("W['a'] = 5")
    assert followed.told()[-1].endswith(" -> 5")


def test_a_name_bound_to_the_same_object_again_is_still_let_go_later() -> None:
    followed = Program("X = {'a': 1}")
    held = followed.module.X
    followed.bind("X", held)
    followed.bind("X", None)
    held["a"] = 2
    assert followed.told() == []


def test_a_function_that_only_a_static_method_leads_to_any_more() -> None:
    followed = Program("FIRST = []\nclass App: pass")
    source = "def f(): pass\nf.calls = 0\nFIRST.append(f)\nApp.f = staticmethod(f)"
    exec(source, {**vars(followed.module)})
    followed.told()
    followed.follow_class("App")
    followed.run("FIRST.clear()")
    assert len(followed.told()) == 1
    followed.run("App.f.calls = 1")
    assert followed.told() == ["app.App.f.calls: 0 -> 1"]


# fixtures and libraries


def test_the_value_of_a_fixture_is_followed_until_it_is_forgotten() -> None:
    followed, value = Program(), {"x": [1]}
    root = FixtureValue("db", "owner")
    followed.graph.follow_value(root, "", value)
    value["x"].append(2)
    writes = followed.graph.drain()
    assert tell(writes) == ["fixture db['x']: [1] -> [1, 2]"]
    assert [write.holder.probe for write in writes] == ["containers"]
    assert writes[0].holder.root[0] is root  # type: ignore[attr-defined]
    assert put_back(writes) == {}
    followed.told()
    followed.graph.forget_value(root, "")
    value["x"].append(3)
    assert followed.told() == []
    followed.graph.forget_value(root, "")


def test_the_value_of_a_fixture_that_a_module_holds_is_the_module_s_again_afterwards() -> None:
    followed = Program("APP = {'state': {'db': {}}}")
    value = followed.module.APP["state"]
    root = FixtureValue("state", "owner")
    followed.graph.follow_value(root, "", value)
    value["db"]["a"] = 1
    assert followed.told() == ["fixture state['db']['a']: (nothing) -> 1"]
    followed.graph.forget_value(root, "")
    value["db"]["a"] = 2
    assert followed.told() == ["app.APP['state']['db']['a']: 1 -> 2"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_value_that_two_fixtures_give_is_followed_until_both_are_forgotten(first: int) -> None:
    followed, value = Program(), {"x": 1}
    roots = [FixtureValue(name, name) for name in ("one", "two")]
    for root in roots:
        followed.graph.follow_value(root, "", value)
    followed.graph.forget_value(roots[first], "")
    value["x"] = 2
    assert followed.told() == [f"fixture {roots[1 - first].name}['x']: 1 -> 2"]
    followed.graph.forget_value(roots[1 - first], "")
    value["x"] = 3
    assert followed.told() == []


def test_a_value_inside_that_of_another_fixture() -> None:
    followed, app = Program(), {"db": {"x": 1}}
    outer, inner = FixtureValue("app", 1), FixtureValue("db", 2)
    followed.graph.follow_value(outer, "", app)
    followed.graph.follow_value(inner, "", app["db"])
    app["db"]["x"] = 2
    assert followed.told() == ["fixture db['x']: 1 -> 2"]
    followed.graph.forget_value(inner, "")
    app["db"]["x"] = 3
    assert followed.told() == ["fixture app['db']['x']: 2 -> 3"]
    followed.graph.forget_value(outer, "")
    app["db"]["x"] = 4
    assert followed.told() == []


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    logging.disable(logging.NOTSET)
    root.setLevel(level)
    root.handlers[:] = handlers


def test_what_logging_keeps_for_all(root_logger: logging.Logger) -> None:
    followed = Program()
    child = logging.getLogger("mcpsmoke-tests.child")
    followed.graph.follow_value(Library("logging"), "", logging.Logger.manager)
    assert followed.told() == []
    assert not child.isEnabledFor(logging.DEBUG)
    root_logger.setLevel(logging.DEBUG)
    logging.disable(logging.INFO)
    child.propagate = False
    logging.getLogger("mcpsmoke-tests.new")
    logging.disable(logging.INFO - 10)
    assert child.isEnabledFor(logging.INFO)
    writes = followed.graph.drain()
    logging.Logger.manager.loggerDict.pop("mcpsmoke-tests.new")
    assert sorted(tell(writes)) == [
        "logging.getLogger('mcpsmoke-tests.child').propagate: True -> False",
        "logging.getLogger('mcpsmoke-tests.new'): (nothing) -> Logger object",
        f"logging.root.level: {logging.WARNING} -> {logging.DEBUG}",
        "logging.root.manager.disable: 0 -> 10",
    ]
    kept = [write for write in writes if not write.key.endswith("new')")]
    assert put_back(kept) == {}
    assert not child.isEnabledFor(logging.INFO)  # nor is a cached answer left
    assert (root_logger.level, logging.root.manager.disable, child.propagate) == (logging.WARNING, 0, True)


# limits


def test_what_lies_too_deep_is_noted_once() -> None:
    followed = Program("X = {'a': {'b': {'c': {'d': 1}}}}", Limits(depth=2, size=10))
    assert followed.graph.cut == {"app.X['a']['b']['c']": "deeper than 2"}
    followed.run("X['a']['b']['c']['d'] = 2; X['a']['b']['e'] = {'f': 1}; X['a']['b']['g'] = {}")
    assert sorted(followed.told()) == [
        "app.X['a']['b']['e']: (nothing) -> {'f': 1}",
        "app.X['a']['b']['g']: (nothing) -> {}",
    ]
    assert sorted(followed.graph.cut) == [f"app.X['a']['b']['{key}']" for key in "ceg"]


@pytest.mark.parametrize(
    "made",
    [
        "[*range(10)]",
        "dict.fromkeys(range(10))",
        "{*range(10)}",
        "__import__('collections').deque(range(10))",
    ],
)
def test_of_what_is_too_long_the_first_items_and_the_length_are_followed(made: str) -> None:
    followed = Program(f"X = {made}", Limits(size=4))
    assert followed.graph.cut == {"app.X": "more than 4 items"}
    for change in (
        "X.pop() if type(X) is not dict else X.popitem()",
        "getattr(X, 'add', getattr(X, 'append', lambda x: X.update({x: 0})))(10**6)",
    ):
        followed.run(change)
        (told,) = followed.told()
        assert told.startswith("app.X: first of ")
        assert followed.told() == []
    assert len(followed.graph.cut) == 1


def test_a_list_that_grows_beyond_the_limit_and_shrinks_again() -> None:
    followed = Program("X = [[1], [2]]", Limits(size=3))
    followed.run("X += [[3], [4]]")
    assert followed.told() == ["app.X: [[1], [2]] -> [[1], [2], [3], [4]]"]
    assert followed.graph.cut == {"app.X": "more than 3 items"}
    followed.run("X.append(5)")
    assert followed.told() == ["app.X: first of 4: [[1], [2], [3]] -> first of 5: [[1], [2], [3]]"]
    followed.run("X[0].append(2)")
    assert followed.told() == ["app.X[0]: [1] -> [1, 2]"]
    followed.run("del X[1:]")
    assert len(followed.told()) == 1
    followed.run("X.append(6)")
    assert len(followed.told()) == 1
    followed.bind("X", None)
    assert followed.told() == []


@pytest.mark.parametrize("made", ["bytearray(20_000)", "__import__('array').array('b', bytes(20_000))"])
def test_a_long_buffer_is_never_cut_short(made: str) -> None:
    followed = Program(f"X = {made}")
    followed.run("X[0] = 1; X[-1] = 1")
    writes = followed.graph.drain()
    assert len(writes) == 1
    failed = put_back(writes)
    assert len(followed.module.X) == 20_000
    assert failed or followed.module.X[0] == 0


def test_the_length_of_a_long_buffer_counts() -> None:
    followed = Program("X = bytearray(20_000)")
    followed.run("X.append(1)")
    assert len(followed.told()) == 1


@pytest.mark.parametrize("depth", [8, 100_000])
def test_a_deep_nest_is_followed_down_to_the_limit(depth: int) -> None:
    followed = Program(
        "X = BOTTOM = []\nfor _ in range(50_000): X = [X]\nHELD = [BOTTOM]\ndel BOTTOM",
        Limits(depth=depth),
    )
    followed.run("HELD[0].append(1)")
    assert len(followed.told()) == 1
    assert len(followed.graph.cut) == (1 if depth == 8 else 0)
    followed.bind("HELD", None)
    followed.run("X.append(1)")
    assert len(followed.told()) == 1
    followed.bind("X", None)
    assert followed.told() == []


def test_of_a_million_items_few_are_read() -> None:
    followed = Program("class A: pass\nX = [A()] * 1_000_000")
    (node,) = followed.graph._roots[followed.namespace, "X"]
    assert len(node.values) <= Limits().size + 1
    followed.run("X.append(1)")
    (told,) = followed.told()
    assert told.startswith("app.X: first of 1,000,000: [A object, ")


def test_a_wide_graph_is_read_once_for_each_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything refers to everything: 200 objects, 40,000 references."""
    read: list[int] = []
    before = readers.ListReader.read

    def counting(self: Any, value: Any) -> Any:
        read.append(id(value))
        return before(self, value)

    monkeypatch.setattr(readers.ListReader, "read", counting)
    followed = Program("X = [[] for _ in range(200)]\nfor one in X: one.extend(X)\ndel one")
    assert len(read) == len(set(read)) == 201
    read.clear()
    followed.run("X[7].append(1)")
    assert len(followed.told()) == 1
    assert len(read) <= 2 * 201  # the comparer in Python reads all of them


def test_numbers_of_many_digits_are_compared_and_described() -> None:
    followed = Program("X = {'n': 10**100_000}")
    followed.run("X['n'] += 1")
    assert followed.told() == ["app.X['n']: int of 332193 bits -> int of 332193 bits"]
    followed.run("X['n'] = (X['n'] - 1) + 1")
    assert followed.told() == []


def test_a_stopped_graph_holds_nothing() -> None:
    followed = Program("class A: pass\nX = {'a': A()}")
    gone = weakref.ref(followed.module.X["a"])
    followed.run("X['b'] = 1")
    followed.told()
    followed.graph.stop()
    followed.module.X.clear()
    gc.collect()
    assert gone() is None
    assert followed.told() == []


def test_a_counter_that_others_hold_too_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Program("import itertools\nX = itertools.count()")
    other: Any = types.ModuleType("other")
    other.IDS = followed.module.X
    monkeypatch.setitem(sys.modules, "other", other)
    followed.run("next(X)")
    assert put_back(followed.graph.drain()) == {"app.X": "it can only be replaced, and others hold it, too"}


def test_a_counter_goes_on_being_followed_when_it_has_been_replaced() -> None:
    followed = Program("import itertools\nX = itertools.count()")
    for _ in range(2):
        followed.run("next(X)")
        assert put_back(followed.graph.drain()) == {}
        followed.graph.rebound(followed.namespace, "X", followed.module.X)
        assert followed.told() == []
    followed.bind("X", None)
    assert followed.told() == []
    assert not [node for node in followed.graph._others if node.key == "X"]


def test_nothing_is_put_back_over_what_somebody_else_wrote() -> None:
    followed = Program("X = {'a': 1}\nY = [1]")
    followed.run("X['a'] = 2; Y.append(2)")
    writes = followed.graph.drain()
    followed.run("X['a'] = 3; Y.append(3)")
    since = "somebody else has written it since"
    assert put_back(writes) == {"app.X['a']": since, "app.Y": since}
    assert (followed.module.X, followed.module.Y) == ({"a": 3}, [1, 2, 3])


# libraries that need not be installed


@pytest.mark.parametrize("made", ["FastAPI()", "Starlette()"])
def test_web_applications(made: str) -> None:
    pytest.importorskip("starlette")
    if made == "FastAPI()":
        pytest.importorskip("fastapi")
    library = "fastapi" if made == "FastAPI()" else "starlette.applications"
    followed = Program(
        f"""
        from {library} import {made[:-2]}
        from starlette.routing import Route
        from starlette.middleware import Middleware
        from starlette.middleware.gzip import GZipMiddleware
        X = {made}
        X.state.db = 1
        """
    )
    app = followed.module.X
    assert followed.told() == []
    before = _look_at_application(app)
    followed.run(
        """
        X.state.db = 2; X.state.cache = {}; X.exception_handlers[ValueError] = len
        X.router.routes.append(Route('/b', print)); X.user_middleware.append(Middleware(GZipMiddleware))
        X.router.lifespan_context = None
        """
    )
    writes = followed.graph.drain()
    told = [line for line in tell(writes) if ".routes: " not in line and ".lifespan_context: " not in line]
    assert sorted(told) == [
        "app.X.exception_handlers[ValueError]: (nothing) -> built-in function len",
        "app.X.state.cache: (nothing) -> {}",
        "app.X.state.db: 1 -> 2",
        "app.X.user_middleware: [] -> [Middleware object]",
    ]
    assert len(writes) == 6
    assert put_back(writes) == {}
    assert _look_at_application(app) == before
    followed.told()
    assert followed.told() == []


def _look_at_application(app: Any) -> list[Any]:
    lists = [app.routes, app.user_middleware]
    return [
        dict(app.state._state),
        dict(app.exception_handlers),
        [(id(one), one.copy()) for one in lists],
        app.router.lifespan_context,
        dict(getattr(app, "dependency_overrides", {})),
    ]


def test_overridden_dependencies() -> None:
    pytest.importorskip("fastapi")
    followed = Program(
        """
        from fastapi import FastAPI
        def get_db(): return 'real'
        X = FastAPI()
        """
    )
    followed.run("X.dependency_overrides[get_db] = lambda: 'fake'")
    writes = followed.graph.drain()
    assert tell(writes) == ["app.X.dependency_overrides[get_db]: (nothing) -> function <lambda>"]
    assert put_back(writes) == {}
    assert followed.module.X.dependency_overrides == {}


def test_middleware_and_handlers_that_were_put_back_are_out_of_use() -> None:
    pytest.importorskip("fastapi")
    followed = Program(
        """
        import asyncio
        from fastapi import FastAPI
        from starlette.middleware import Middleware
        from starlette.responses import Response
        X = FastAPI()
        ENTERED = []

        @X.get('/a')
        async def a():
            raise LookupError

        async def handle(request, error):
            return Response(status_code=418)

        def middleware(app):
            async def call(scope, receive, send):
                ENTERED.append(1)
                await app(scope, receive, send)
            return call

        def get():
            started = []
            async def receive(): return {'type': 'http.request', 'body': b''}
            async def send(message): started.append(message.get('status'))
            scope = {'type': 'http', 'method': 'GET', 'path': '/a', 'headers': [], 'query_string': b'',
                     'http_version': '1.1', 'scheme': 'http', 'server': ('test', 80), 'client': ('test', 1)}
            try:
                asyncio.run(X(scope, receive, send))
            except LookupError:
                pass
            return started[0], len(ENTERED)
        """
    )
    followed.run(
        "X.exception_handlers[LookupError] = handle; X.user_middleware.append(Middleware(middleware))"
    )
    assert followed.module.get() == (418, 1)
    writes = [write for write in followed.graph.drain() if "ENTERED" not in write.holder.place(write.key)]
    assert len(writes) == 2
    assert put_back(writes) == {}
    assert followed.module.get() == (500, 1)


def test_a_handler_of_exceptions_that_was_put_back_is_out_of_use() -> None:
    pytest.importorskip("fastapi")
    followed = Program("from fastapi import FastAPI\nX = FastAPI()")
    followed.run("X.exception_handlers[LookupError] = len; X.middleware_stack = X.build_middleware_stack()")
    assert put_back(followed.graph.drain()) == {}
    assert followed.module.X.middleware_stack is None  # built anew at the next request


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_clients(library: str) -> None:
    pytest.importorskip(library)
    followed = Program(f"import {library}\nX = {library}.Client(headers={{'a': '1'}}, cookies={{'c': '1'}})")
    client = followed.module.X
    assert followed.told() == []
    before = _look_at_client(client)
    followed.run(
        """
        X.headers['a'] = '2'; X.headers['Bearer'] = 'secret'; X.cookies.set('c', '2'); X.cookies.set('d', '3')
        del X.headers['accept']; X.event_hooks['request'].append(print); X.follow_redirects = True
        X.base_url = 'http://fake'; X.timeout = 3; X.auth = ('user', 'secret')
        """
    )
    writes = followed.graph.drain()
    told = tell(writes)
    assert sorted(line for line in told if ".auth:" not in line) == [
        "app.X.base_url: URL object -> URL object",
        "app.X.cookies['c']: '1' -> '2'",
        "app.X.cookies['d']: (nothing) -> '3'",
        "app.X.event_hooks['request']: [] -> [built-in function print]",
        "app.X.follow_redirects: False -> True",
        "app.X.headers['a']: b'1' -> b'2'",
        "app.X.headers['accept']: b'*/*' -> (nothing)",
        "app.X.headers['bearer']: (nothing) -> b'secret'",
        "app.X.timeout: Timeout object -> Timeout object",
    ]
    assert len(writes) == 10
    assert put_back(writes) == {}
    assert _look_at_client(client) == before
    followed.told()
    assert followed.told() == []
    client.close()
    writes = followed.graph.drain()
    assert tell(writes) == ["app.X.is_closed: False -> True"]
    assert put_back(writes) == {}
    assert not client.is_closed
    followed.told()
    assert followed.told() == []
    client.close()


def _look_at_client(client: Any) -> list[Any]:
    hooks = {name: (id(held), held.copy()) for name, held in client._event_hooks.items()}
    own = [client.base_url, client.timeout, client.follow_redirects, client.auth]
    return [dict(client.headers), dict(client.cookies), hooks, *own]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_cookie_of_a_domain_is_put_back_where_it_was(library: str) -> None:
    pytest.importorskip(library)
    followed = Program(f"import {library}\nX = {library}.Client()\nX.cookies.set('c', '1', domain='a.test')")
    followed.run("X.cookies.set('c', '2', domain='a.test')")
    writes = followed.graph.drain()
    assert len(writes) == 1
    assert put_back(writes) == {}
    jar = followed.module.X.cookies.jar
    assert [(cookie.domain, cookie.value) for cookie in jar] == [("a.test", "1")]
    followed.module.X.close()


@pytest.mark.parametrize(
    ("made", "change", "told"),
    [
        ("numpy.array([1, 2], 'i1')", "X[0] = 3", r"(2, '|i1', b'\x01\x02') -> (2, '|i1', b'\x03\x02')"),
        ("numpy.array(5, 'i1')", "X[...] = 3", r"('|i1', b'\x05') -> ('|i1', b'\x03')"),
        ("numpy.zeros(10**6, 'i1')", "X[0] = 1", None),
        ("numpy.array([1, [2]], object)", "X[0] = 3", "[1, [2]] -> [3, [2]]"),
        ("numpy.zeros((2, 2)).T", "X += 1", None),
        ("numpy.ma.array([1, 2])", "X[0] = 3", None),
    ],
)
def test_arrays(made: str, change: str, told: str | None) -> None:
    pytest.importorskip("numpy")
    followed = Program(f"import numpy\nX = {made}")
    before, held = followed.module.X.copy(), followed.module.X
    assert followed.told() == []
    followed.run(change)
    writes = followed.graph.drain()
    assert [write.holder.place(write.key) for write in writes][:1] == ["app.X"]
    assert told is None or tell(writes) == [f"app.X: {told}"]
    failed = put_back(writes)
    if "object" in made:
        assert failed == {"app.X": "arrays of objects are not put back"}
    elif before.size > Limits().size:
        assert failed == {"app.X": "the array has another shape now, or is too long to be kept whole"}
    else:
        assert failed == {}
        assert (before == held).all()
    followed.told()
    assert followed.told() == []


def test_a_connection_in_a_transaction() -> None:
    followed = Program("import sqlite3\nX = sqlite3.connect(':memory:')\nX.execute('create table t (a)')")
    with closing(followed.module.X) as connection:
        connection.execute("insert into t values (1)")
        writes = followed.graph.drain()
        assert tell(writes) == ["app.X.in_transaction: False -> True"]
        assert put_back(writes) == {}
        assert connection.execute("select * from t").fetchall() == []
        followed.told()
        assert followed.told() == []
        connection.execute("begin")
        followed.told()
        connection.rollback()
        writes = followed.graph.drain()
        assert put_back(writes) == {"app.X.in_transaction": "a transaction that has ended is not begun again"}
    assert len(followed.told()) == 1
    assert followed.told() == []


def test_an_event_loop_with_tasks_that_wait() -> None:
    followed = Program("import asyncio\nX = asyncio.new_event_loop()")
    loop = followed.module.X
    tasks = [loop.create_task(asyncio.sleep(3600)) for _ in range(3)]
    writes = followed.graph.drain()
    assert [write.holder.place(write.key) for write in writes] == ["app.X pending tasks"]
    assert (writes[0].old.values, set(writes[0].new.values)) == ((), set(tasks))
    assert put_back(writes) == {}
    assert all(task.cancelled() for task in tasks)
    followed.told()
    assert followed.told() == []
    loop.close()
    writes = followed.graph.drain()
    assert tell(writes) == ["app.X.is_closed(): False -> True"]
    assert put_back(writes) == {"app.X.is_closed()": "a closed loop cannot be opened again"}


def test_tasks_are_a_set() -> None:
    """In which order asyncio knows its tasks says nothing."""
    followed = Program("import asyncio\nX = asyncio.new_event_loop()")
    loop = followed.module.X
    tasks = [loop.create_task(asyncio.sleep(3600)) for _ in range(3)]
    followed.told()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "all_tasks", lambda loop: tasks[::-1])
        followed.told()
        patch.setattr(asyncio, "all_tasks", lambda loop: tasks[:])
        assert followed.told() == []
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.wait(tasks))
    loop.close()

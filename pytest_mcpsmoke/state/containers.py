"""What the program holds in its namespaces: read structurally, bounded, and compared at each boundary.

The objects form a graph; each that can change is a node, named by the shortest path to it when it was
found. A node keeps its parts as they were, and with them what the program may have dropped since.
"""

from __future__ import annotations

import os
import sys
import types
from collections import deque
from collections.abc import Callable
from operator import is_
from typing import Any, Final

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state import readers
from pytest_mcpsmoke.state.audit import Ear
from pytest_mcpsmoke.state.comparing import open_comparer, open_functions
from pytest_mcpsmoke.state.diff import ATOMS, same
from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.globs import matches
from pytest_mcpsmoke.state.kinds import type_readers
from pytest_mcpsmoke.state.nodes import NAMES, Library, Node, Parent, Root, labelled
from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    Namespace,
    is_class,
    kind_of,
)
from pytest_mcpsmoke.state.readers import Parts, Reader
from pytest_mcpsmoke.state.registrations import ABC_REGISTRY, PATCHES, STARTED, SUBCLASSES

_BOOKS_OF_ENUMS: Final = frozenset(
    {"_value2member_map_", "_unhashable_values_", "_unhashable_values_map_", "_hashable_values_"}
)
_MOST: Final = 200_000  # nodes of one run
_ASKING: Final = "__subclasses__"  # who calls this makes defining a class a change of state
_TABLES: Final = (sys.modules, getattr(os.environ, "_data", None))  # they have probes of their own
_FUNCTION, _CLOSURE = readers.FunctionReader(), readers.ClosureReader()


# an abstract base class has both: each has a position of its own
_REGISTRIES: Final[dict[str, tuple[Reader, ...]]] = {
    "_abc_impl": (ABC_REGISTRY,),
    _ASKING: (readers.PartsReader(lambda cls: {}), SUBCLASSES),
    STARTED: (PATCHES,),
}


class Graph:
    """The objects that the followed namespaces and fixtures hold, and what has become of them.

    is_ours tells by the name of a module whether its functions are looked into; is_test, whether it is test
    code; is_namespace, whether a dict is a namespace, which is followed as such.
    """

    def __init__(
        self,
        limits: Limits,
        is_ours: Callable[[str], bool],
        is_namespace: Callable[[dict[str, Any]], bool] = lambda contents: False,
        is_test: Callable[[str], bool] = lambda module: False,
    ) -> None:
        self.is_test = is_test
        self._limits = limits
        self._is_namespace = is_namespace
        self.is_ours = is_ours
        self._types = type_readers(limits.size)
        self._nodes: dict[tuple[int, int], Node] = {}
        self._retired: dict[tuple[int, int], Node] = {}  # out of reach, but there may be changes to settle
        self._comparer: Any = open_comparer()
        self._functions: Any = open_functions()  # those on which nothing hangs: no nodes
        self._ear = Ear({"object.__setattr__": self._assigned, "object.__delattr__": self._assigned})
        self._compared: dict[int, Node] = {}  # by index of the comparer's
        self._others: dict[Node, None] = {}  # read by Python
        self._guards: dict[Reader, bool] = {}  # in this drain
        self._guarded: dict[Reader, Any] = {}  # what they said in the last one
        self._roots: dict[tuple[Root, str], list[Node]] = {}
        self._given: dict[tuple[Root, str], Any] = {}  # to follow_value
        self._namespaces: dict[Namespace, None] = {}
        self._registered = 0  # how often a node was
        self._is_back = False  # something that was out of reach is in reach again
        self._written: dict[Node, Parts] = {}  # since the last settling, and what they held then
        self._asking: set[str] = set()  # packages whose code looks for subclasses
        self.now: object = None  # in whose time nodes are born
        self._fresh: list[Node] = []  # of things that began in a known state: to be compared with that
        self.cut: dict[str, str] = {}  # place -> why not all of it is read

    def start(self) -> None:
        """Rely on audit events from now on, where they can be heard; before anything is followed."""
        self._ear.open()
        is_told = self._ear.is_open
        self._comparer, self._functions = open_comparer(is_told), open_functions(is_told)

    def _assigned(self, arguments: tuple[Any, ...]) -> None:
        """An instance gets another class, or a function another code or other defaults."""
        value = arguments[0]
        self._functions.touch(value)
        for position in (0, 1):
            node = self._nodes.get((id(value), position))
            if node is not None and node.index >= 0:
                self._comparer.touch(node.index)

    # what is followed

    def follow(self, namespace: Namespace) -> None:
        """Look into everything that a namespace holds, from now on."""
        contents = namespace.contents
        if contents is None or namespace in self._namespaces:
            return
        self._namespaces[namespace] = None
        module = namespace.module
        for key, value in self._not_plain(namespace, module, contents):
            self._visit(value, namespace, key, 0)
        if namespace.kind == "class":
            self._visit_registries(namespace, module, contents)

    def _not_plain(
        self, namespace: Namespace, module: str, contents: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        """What a namespace holds and has to be looked into; the plain functions are kept all at once."""
        taken = module, namespace, _ASKING
        rest = self._functions.take(contents.copy(), *taken)
        if not rest:
            return []
        inside = {key: unwrapped(value) for key, value in rest if is_state(namespace, key, value)}
        found: list[tuple[str, Any]] = self._functions.take(inside, *taken)
        return found

    def _visit_registries(self, namespace: Namespace, module: str, contents: dict[str, Any]) -> None:
        """The classes that a class knows of: registered with it; derived from it, where the program asks."""
        if "_abc_impl" in contents:
            self._visit(namespace.ref(), namespace, "_abc_impl", 0)
        if self._asking and module.partition(".")[0] in self._asking:
            self._visit(namespace.ref(), namespace, _ASKING, 0)

    def follows(self, holder: object) -> bool:
        return holder in self._namespaces

    def roots_at(self, holder: Root, key: str) -> bool:
        """Whether one value of a namespace is looked into."""
        return (holder, key) in self._roots

    def follow_value(self, root: Root, key: str, value: object) -> None:
        """Look into one value, even where it has been found on another path already."""
        for position, _ in enumerate(self._readers_of(value, None, key)):
            node = self._nodes.get((id(value), position))
            if node is not None:
                self._detach(node)
                node.parent, node.key, node.depth = root, key, 0
                self._roots.setdefault((root, key), []).append(node)
        self._given[root, key] = value
        self._visit(value, root, key, 0)

    def forget_value(self, root: Root, key: str) -> None:
        """Look into it no more, unless it is reached on another path."""
        self._given.pop((root, key), None)
        self._drop(self._roots.pop((root, key), []))

    def rebound(self, namespace: Namespace, key: str, new: object, old: object = MISSING) -> None:
        """A name of a followed namespace holds another object."""
        new = unwrapped(new)
        self._functions.forget(old, namespace)
        nodes = self._roots.pop((namespace, key), [])
        lost = [node for node in nodes if node.object is not new]
        if len(lost) < len(nodes):
            self._roots[namespace, key] = [node for node in nodes if node.object is new]
        if (namespace, key) in self._given:
            self._given[namespace, key] = new
        if is_state(namespace, key, new):
            self._visit(new, namespace, key, 0)
        self._drop(lost)

    # what has changed

    def drain(self, unseen: bool = True) -> list[Write]:
        """Return what has changed since the last call; unseen: where nobody tells of changes, too."""
        writes = self._drain(unseen)
        while self._is_back:  # what came back into reach may have changed while it was out of it
            self._is_back = False
            writes += self._drain(unseen)
        return writes

    def _drain(self, unseen: bool) -> list[Write]:
        changed: list[tuple[Node, Parts | None]] = [
            (node, None)
            for row in self._functions.changed(unseen)
            if (node := self._promoted(*row)) is not None
        ]
        touched: dict[Node, None] = {}
        indices = self._comparer.changed(unseen)
        if len(indices) > 1:  # an index says nothing about the order: it may have been used before
            indices.sort(key=lambda index: self._compared[index].number)
        for index in indices:
            node = self._compared[index]
            if node.index == index:
                changed.append((node, None))
            else:
                touched[node] = None
        for node in touched:
            self._compare_no_more(node)
            self._register(node)
            parts = self._changed(node)
            changed += [] if parts is None else [(node, parts)]
        if unseen and self._others:
            self._guards.clear()
            changed += [
                (node, parts)
                for node in self._others
                if not self._is_guarded(node.reader) and (parts := self._changed(node)) is not None
            ]
        if not changed:
            return []
        writes: list[Write] = []
        lost: list[Node] = []
        for node, parts in changed:
            if self._is_read_otherwise(node) or parts is None:
                parts = self._read(node)
            writes += self._note(node, parts)
            lost += self._update(node, parts)
        self._drop(lost)
        return writes + self._of_fresh()

    def _promoted(
        self, function: Any, namespace: Namespace, key: str, code: Any, defaults: Any, keyword: Any
    ) -> Node | None:
        """The node of a function that is plain no more, with the parts that it had; None: it has one."""
        if (id(function), 0) in self._nodes:
            return None
        node = Node(self, function, _FUNCTION, namespace, key, 0)
        node.keys, node.values = readers.FUNCTION_PARTS, (code, defaults, keyword, None)
        self._nodes[id(function), 0] = node
        self._roots.setdefault((namespace, key), []).append(node)
        self._register(node)
        return node

    def _note(self, node: Node, parts: Parts) -> list[Write]:
        """The writes that made these parts of those that a node had; keeps what that was."""
        found = _writes(node, parts)
        if found:
            self._written.setdefault(node, (node.keys, node.values))
        return found

    def _of_fresh(self) -> list[Write]:
        """What new objects are other than they began as."""
        fresh, self._fresh = self._fresh, []
        writes: list[Write] = []
        for node in fresh:
            parts = self._read(node)
            writes += self._note(node, parts)
            node.keys, node.values = parts
        return writes

    def replace(self, node: Node, value: Any) -> None:
        """Another object, like the one that a node stood for, has taken its place."""
        self._unregister(node)
        del self._retired[id(node.object), 0]
        node.object = value
        node.keys, node.values = self._read(node)
        self._nodes[id(value), 0] = node
        self._register(node)

    def let_go(self) -> None:
        """Look no more into what only modules hold that have left sys.modules: it may be garbage."""
        gone = [one for one in self._namespaces if one.key not in sys.modules]
        for namespace in gone:
            del self._namespaces[namespace]
            self._functions.forget_all(namespace)
            for root in [root for root in self._roots if root[0] is namespace]:
                self._drop(self._roots.pop(root))
        if gone:
            self._retired.clear()
            self._written = {node: was for node, was in self._written.items() if self.holds(node.object)}

    def settle(self) -> None:
        """Nothing is outstanding: let go of what is out of reach, and of what restoring would need."""
        self._retired.clear()
        for node in self._written:
            node.touched, node.order = {}, ()  # what restoring would need
        self._written.clear()

    def stop(self) -> None:
        """Hold nothing any more."""
        for kept in (self._nodes, self._retired, self._others, self._roots, self._given, self._namespaces):
            kept.clear()
        self._written.clear()
        self._compared.clear()
        self._ear.close()
        self._comparer, self._functions = open_comparer(), open_functions()

    def _changed(self, node: Node) -> Parts | None:
        """The parts of a node that Python reads, when they are others than before."""
        keys, values = parts = self._read(node)
        is_same_size = len(values) == len(node.values)
        if is_same_size and all(map(_is_alike, values, node.values)) and _are_alike(keys, node.keys):
            return None
        return parts

    def _is_guarded(self, reader: Reader) -> bool:
        """Whether what guards a reader says that no object that it reads has changed; asked once a drain."""
        if reader.guard is None:
            return False
        if reader not in self._guards:
            now = reader.guard()
            self._guards[reader] = now == self._guarded.get(reader, MISSING)
            self._guarded[reader] = now
        return self._guards[reader]

    def _read(self, node: Node) -> Parts:
        return node.reader.read(node.object)

    def was_equal(self, before: object, after: object) -> bool:
        """Whether an object holds what another one held when nothing was outstanding, however nested."""
        earlier = {id(node.object): parts for node, parts in self._written.items()}
        pairs: list[tuple[Any, Any]] = [(before, after)]
        seen: set[tuple[int, int]] = set()
        while pairs:
            one, other = pairs.pop()
            if (id(one), id(other)) in seen or (one is other and id(one) not in earlier) or same(one, other):
                continue
            seen.add((id(one), id(other)))
            kinds = self._types.of(one), self._types.of(other)
            if kinds[0] is not kinds[1] or not kinds[0] or len(seen) > self._limits.size:
                return False
            keys, values = earlier.get(id(one)) or kinds[0][0].read(one)
            other_keys, others = kinds[0][0].read(other)
            if len(values) != len(others) or not same(keys, other_keys):
                return False
            pairs += zip(values, others, strict=True)
        return True

    def is_replaced(self, node: Node) -> bool:
        """Whether nothing leads to a node any more, and an equal of what it was stands in its place."""
        for one in node.ancestors():
            parent = one.parent
            if self.holds(one.object):
                return False
            if isinstance(parent, Node) and self.holds(parent.object):
                now = parent.value_now(parent.reader.label(one.key))
                return now is not MISSING and self.was_equal(one.object, now)
        return False

    def holds(self, value: object) -> bool:
        """Whether an object is still reached on some path."""
        return (id(value), 0) in self._nodes or value in self._functions

    # walking

    def _readers_of(self, value: Any, parent: Parent | None, key: Any) -> tuple[Reader, ...]:
        if type(value) is types.FunctionType:
            module = value.__module__
            if not (type(module) is str and self.is_ours(module)):
                return ()
            if _ASKING in value.__code__.co_names:
                self._asks_for_subclasses(module.partition(".")[0])
            if value.__closure__ and not self.is_test(module):
                return _FUNCTION, _CLOSURE
            return (_FUNCTION,)  # what decorators keep in the closures of tests is theirs
        if is_class(value):
            return _REGISTRIES.get(key, ()) if isinstance(parent, Namespace | Library) else ()
        if (
            isinstance(parent, Node)
            and parent.reader is _FUNCTION
            and key == "__dict__"
            and value is not None
        ):
            return (NAMES,)
        if type(value) is dict and (any(value is table for table in _TABLES) or self._is_namespace(value)):
            return ()
        return self._types.of(value)

    def _visit(self, value: Any, parent: Parent, key: Any, depth: int) -> None:
        """Make nodes of a value and of all that hangs on it, nearest first."""
        waiting = deque([(value, parent, key, depth)])
        while waiting:
            value, parent, key, depth = waiting.popleft()
            if value in self._functions:
                continue
            for position, reader in enumerate(self._readers_of(value, parent, key)):
                if (id(value), position) in self._nodes or self._is_unread(parent, key):
                    continue
                if depth > self._limits.depth or len(self._nodes) >= _MOST:
                    is_deep = depth > self._limits.depth
                    deep = f"deeper than {self._limits.depth}"
                    self._cut(parent, key, deep if is_deep else f"more than {_MOST:,} objects in all")
                    continue
                node = self._add(value, position, reader, parent, key, depth)
                if node.reader.is_entered:
                    waiting += [
                        (child, node, name, depth + 1)
                        for name, child in node.items()
                        if kind_of(child) not in ATOMS
                    ]

    def _is_unread(self, parent: Parent, key: Any) -> bool:
        """Whether the user wants this place left alone."""
        return bool(self._limits.unread) and is_unread(_place(parent, key), self._limits.unread)

    def _asks_for_subclasses(self, package: str) -> None:
        """A function of this package looks for subclasses: for it, defining a class is state."""
        if package in self._asking:
            return
        self._asking.add(package)
        for namespace in list(self._namespaces):
            contents = namespace.contents
            if namespace.kind == "class" and contents and namespace.module.partition(".")[0] == package:
                self._visit_registries(namespace, namespace.module, contents)

    def _add(self, value: Any, position: int, reader: Reader, parent: Parent, key: Any, depth: int) -> Node:
        node = self._retired.pop((id(value), position), None)
        self._is_back = self._is_back or node is not None
        if node is None:
            node = Node(self, value, reader, parent, key, depth)
            if readers.length(value, reader) > self._limits.size:
                node.reader = readers.FirstItems(reader, self._limits.size)
                self._cut(parent, key, f"more than {self._limits.size:,} items")
            node.keys, node.values = self._read(node)
            if self.now is not None and isinstance(reader, readers.PartsReader) and reader.begins is not None:
                node.keys, node.values = tuple(reader.begins), tuple(reader.begins.values())
                self._fresh.append(node)
        node.parent, node.key, node.depth = parent, key, depth
        self._nodes[id(value), position] = node
        self._register(node)
        if isinstance(parent, Node):
            parent.children.append(node)
        else:
            self._roots.setdefault((parent, key), []).append(node)
        return node

    def _register(self, node: Node) -> None:
        self._registered += 1
        node.number = self._registered
        kind = node.reader.kind
        sources = node.reader.sources
        if sources is not None:
            for source in sources(node.object):
                self._compare_source(node, source)
        elif kind == readers.OTHER:
            self._others[node] = None
        elif kind != readers.FIXED:
            node.index = self._comparer.add(node.reader, node.object, node.keys, node.values)
            if node.index < 0:
                self._others[node] = None
            else:
                self._compared[node.index] = node

    def _compare_source(self, node: Node, source: Any) -> None:
        """As long as a source has the parts that it has now, the node has its parts, too."""
        reader = readers.plain_reader(source)
        index = self._comparer.add(reader, source, *reader.read(source))
        self._compared[index] = node
        node.sources.append(index)

    def _cut(self, parent: Parent, key: Any, why: str) -> None:
        root = parent.root[0] if isinstance(parent, Node) else parent
        if not isinstance(root, Namespace) or self.is_ours(root.module):
            self.cut.setdefault(_place(parent, key), why)

    # keeping it true

    def _update(self, node: Node, parts: Parts) -> list[Node]:
        """Take new parts over; returns the nodes that were found through parts that are gone."""
        if readers.length(node.object, node.reader) > self._limits.size:
            self._compare_no_more(node)
            node.reader = readers.FirstItems(node.reader, self._limits.size)
            self._cut(node.parent, node.key, f"more than {self._limits.size:,} items")
            node.keys, node.values = parts = self._read(node)
            self._register(node)
        node.keys, node.values = parts
        if node.index >= 0:
            self._comparer.update(node.index, *parts)
        if not node.reader.is_entered:
            return []
        held = {id(value): key for key, value in reversed([*node.items()])}
        kept: list[Node] = []
        lost: list[Node] = []
        for child in node.children:
            (kept if id(child.object) in held else lost).append(child)
        for child in kept:
            child.key = held[id(child.object)]
        node.children = kept
        for key, value in node.items():
            self._visit(value, node, key, node.depth + 1)
        return lost

    def _is_read_otherwise(self, node: Node) -> bool:
        """Whether an object has got another class, which has other readers."""
        if isinstance(node.reader, readers.FirstItems):
            return False
        found = self._readers_of(node.object, node.parent, node.key)
        position = next(at for at in (0, 1) if self._nodes.get((id(node.object), at)) is node)
        if position >= len(found) or found[position] is node.reader:
            return False
        self._compare_no_more(node)
        node.reader = found[position]
        self._register(node)
        return True

    def _detach(self, node: Node) -> None:
        """Take a node from whatever it was found through."""
        found = node.parent.children if isinstance(node.parent, Node) else self._roots[node.parent, node.key]
        found.remove(node)

    def _drop(self, lost: list[Node]) -> None:
        """Let go of nodes that were lost on their path, unless another path leads to them."""
        gone: dict[int, list[Node]] = {}  # by address of the object
        waiting = list(lost)
        while waiting:
            node = waiting.pop()
            gone.setdefault(id(node.object), []).append(node)
            waiting += node.children
            node.children = []
        if not gone:
            return
        for nodes in gone.values():
            for node in nodes:
                self._unregister(node)
        for node in list(self._nodes.values()):
            if node.reader.is_entered:
                for key, value in node.items():
                    if id(value) in gone:
                        self._visit(value, node, key, node.depth + 1)
        for (root, key), value in list(self._given.items()):
            if id(value) in gone:
                self._visit(value, root, key, 0)
        for namespace in list(self._namespaces):
            for key, value in (namespace.contents or {}).copy().items():
                held = unwrapped(value)
                if id(held) in gone and type(key) is str and is_state(namespace, key, value):
                    self._visit(held, namespace, key, 0)

    def _compare_no_more(self, node: Node) -> None:
        for index in (*node.sources, *([node.index] if node.index >= 0 else [])):
            self._comparer.discard(index)
            del self._compared[index]
        node.sources, node.index = [], -1
        self._others.pop(node, None)

    def _unregister(self, node: Node) -> None:
        self._compare_no_more(node)
        for position in (0, 1):
            if self._nodes.get((id(node.object), position)) is node:
                del self._nodes[id(node.object), position]
                self._retired[id(node.object), position] = node


def _is_alike(now: Any, before: Any) -> bool:
    """Whether a part is as before, where reading makes some of them anew; the usual cases first."""
    if now is before:
        return True
    kind = type(now)
    if kind is not type(before):
        return False
    if kind is str or kind is int or kind is bool or kind is bytes:
        return bool(now == before)
    if kind is Contents and len(now.values) == len(before.values):
        return all(map(is_, now.values, before.values)) or same(now, before)
    return same(now, before)


def _are_alike(now: tuple[Any, ...] | None, before: tuple[Any, ...] | None) -> bool:
    if now is None or before is None:
        return now is before
    return len(now) == len(before) and (all(map(is_, now, before)) or same(now, before))


def _place(parent: Parent, key: Any) -> str:
    return parent.place(parent.reader.label(key)) if isinstance(parent, Node) else parent.place(key)


def is_unread(place: str, globs: tuple[str, ...]) -> bool:
    """Whether a place is left alone."""
    return any(matches(place, glob) for glob in globs)


def is_state(namespace: Namespace, key: str, value: object) -> bool:
    """Whether a name of a namespace may hold state: its books and its machinery under dunder names do not."""
    if key in _BOOKS_OF_ENUMS:  # they come to know combinations of flags when these are first used
        return False
    if not (key.startswith("__") and key.endswith("__")):
        return True
    return type(value) is types.FunctionType or (namespace.kind == "module" and key == "__all__")


def unwrapped(value: Any) -> Any:
    """The function inside a static method, a class method or a property; any other value as it is."""
    kind = type(value)
    if kind is staticmethod or kind is classmethod:
        return value.__func__
    return value.fget if kind is property else value


def _writes(node: Node, parts: Parts) -> list[Write]:
    """What differs between the parts that a node had and those that it has."""
    reader = node.reader
    before: Parts = (node.keys, node.values)
    if reader.is_whole:
        old, new = reader.contents(before), reader.contents(parts)
        return [] if same(old, new) else [Write(node, "", old, new, ())]
    was, now = labelled(reader, before), labelled(reader, parts)
    writes = []
    for label in {**was, **now}:
        _, old = was.get(label, (None, MISSING))
        _, new = now.get(label, (None, MISSING))
        if old is not new and not same(old, new):
            node.touched[label] = (now.get(label) or was[label])[0]
            if new is MISSING and not node.order:
                node.order = before[0] or ()
            writes.append(Write(node, label, old, new, ()))
    if isinstance(reader, readers.DictReader) and [*was] != [*now]:
        new_order = reader.contents(parts)
        orders = [Contents("order", keys or ()) for keys in (node.order, node.keys)]
        other = [order for order in orders if not same(order, new_order)]
        if other or "" in node.touched:  # once told, it is told until it is back
            node.touched[""] = None
            node.order = node.order or node.keys or ()
            writes.append(Write(node, "", (other or orders[1:])[0], new_order, ()))
    return writes

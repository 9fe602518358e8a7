"""Reads one place again and again, by its name, without running code of the user's."""

from __future__ import annotations

import ast
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import MemberDescriptorType
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.state.diff import same
from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    class_dict,
    dict_of_class,
    is_class,
    is_module,
    module_dict,
    mro_of,
    plain_contents,
)
from pytest_mcpsmoke.state.probes.base import Probe

_STEP: Final = re.compile(
    r"\.(?P<name>[A-Za-z_]\w*)|\[(?P<key>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|-?\d+)\]"
)
_HEAD: Final = re.compile(r"[A-Za-z_]\w*")
_KINDS: Final[tuple[tuple[type, str], ...]] = (
    *((list, "list"), (deque, "deque"), (set, "set"), (frozenset, "set")),
)

_ITERATORS: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (list, list.__iter__),
    (deque, deque.__iter__),
    (set, set.__iter__),
    (frozenset, frozenset.__iter__),
)


class Reading(NamedTuple):
    """What stands at a place: the value, and what it holds at this moment."""

    value: Any
    keys: tuple[Any, ...] = ()
    held: tuple[Any, ...] = ()

    def is_like(self, other: Reading) -> bool:
        """Whether nothing has changed: the same value, or an equal one of a built-in type, holds the same."""
        if not same(self.value, other.value) or len(self.held) != len(other.held):
            return False
        pairs = zip((*self.keys, *self.held), (*other.keys, *other.held), strict=True)
        return all(mine is theirs or same(mine, theirs) for mine, theirs in pairs)

    def shown(self) -> Any:
        """What describe() shows: the contents as they were at that moment."""
        kind = next((name for cls, name in _KINDS if isinstance_of(self.value, cls)), None)
        if kind is not None:
            return Contents(kind, self.held)
        if isinstance_of(self.value, dict) and all(type(key) is str for key in self.keys):
            return dict(zip(self.keys, self.held, strict=True))
        return self.value


def isinstance_of(value: object, cls: type) -> bool:
    """Whether value really is of a class, whatever its __class__ pretends."""
    return issubclass(type(value), cls)


class LivePlace:
    """One place: a name of a module, an attribute, an entry, or what a probe reads.

    probes are asked where the name is none of these.
    """

    def __init__(self, place: str, probes: Iterable[Probe] = ()) -> None:
        self.name = place
        self._steps = _steps(place)
        self._probes = [] if self._steps else list(probes)
        self.was_there = False

    def read(self) -> Reading:
        """Read it; of what is not there, MISSING is the value."""
        value = self._from_probes() if not self._steps else self._walk()
        self.was_there |= value is not MISSING
        return _reading(value)

    def _from_probes(self) -> Any:
        for probe in self._probes:
            for key, reading in probe.read().items():
                if probe.place(key) == self.name:
                    return probe.value(reading)
        return MISSING

    def _walk(self) -> Any:
        value, rest = self._module()
        for step in rest:
            value = _go(value, step)
            if value is MISSING:
                break
        return value

    def _module(self) -> tuple[Any, list[tuple[str, Any]]]:
        """The module that the name begins with, the longest there is, and the steps from there."""
        names = []
        for kind, key in self._steps:
            if kind != "name":
                break
            names.append(key)
        for length in range(len(names), 0, -1):
            found = sys.modules.get(".".join(names[:length]), MISSING)
            if found is not MISSING and length < len(self._steps):
                return found, self._steps[length:]
        return MISSING, []

    def is_in(self, contents: dict[str, Any]) -> bool:
        """Whether these are the globals of the module that the name begins with."""
        module, _ = self._module()
        return is_module(module) and module_dict(module) is contents


def _steps(place: str) -> list[tuple[str, Any]]:
    """The steps of a dotted name; [] for what is none, as the name of a probe."""
    head = _HEAD.match(place)
    if head is None:
        return []
    steps: list[tuple[str, Any]] = [("name", head[0])]
    at = head.end()
    while at < len(place):
        step = _STEP.match(place, at)
        if step is None:
            return []
        name = step["name"]
        steps.append(("name", name) if name else ("key", ast.literal_eval(step["key"])))
        at = step.end()
    return steps


def _go(value: Any, step: Any) -> Any:
    kind, key = step
    return _attribute(value, key) if kind == "name" else _entry(value, key)


def _attribute(value: Any, name: str) -> Any:
    if is_module(value):
        return module_dict(value).get(name, MISSING)
    if is_class(value):
        return (class_dict(value) or {}).get(name, MISSING)
    contents = plain_contents(value)
    if contents is not None:
        return contents.get(name, MISSING)
    for cls in mro_of(type(value)):
        slot = dict_of_class(cls).get(name)
        if type(slot) is MemberDescriptorType:
            try:
                return slot.__get__(value)
            except AttributeError:  # it is empty
                return MISSING
    return MISSING


def _entry(value: Any, key: Any) -> Any:
    if type(value).__module__ == "os" and type(value).__name__ == "_Environ":
        data = (plain_contents(value) or {}).get("_data", {})
        found = data.get(key.encode(sys.getfilesystemencoding(), "surrogateescape"), MISSING)
        return found.decode(errors="replace") if type(found) is bytes else found
    if isinstance_of(value, dict):
        items = list(dict.items(value))
        return next((held for each, held in items if type(each) is type(key) and each == key), MISSING)
    for cls in (list, tuple, deque):
        if isinstance_of(value, cls) and type(key) is int and -cls.__len__(value) <= key < cls.__len__(value):
            return cls.__getitem__(value, key)
    return MISSING


def _reading(value: Any) -> Reading:
    if isinstance_of(value, dict):
        items = list(dict.items(value))
        return Reading(value, tuple(key for key, _ in items), tuple(held for _, held in items))
    for cls, iter_of in _ITERATORS:
        if isinstance_of(value, cls):
            return Reading(value, (), tuple(iter_of(value)))
    if type(value) is bytearray:
        return Reading(value, (), (bytes(value),))
    contents = None if is_module(value) or is_class(value) else plain_contents(value)
    if contents is not None:
        return Reading(value, tuple(contents), tuple(contents.values()))
    return Reading(value)

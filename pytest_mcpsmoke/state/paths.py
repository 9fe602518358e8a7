"""From the text of a place, as reports write it, to what stands there: the readers' labels are followed.

No user code runs on the way: what leads from one object to the next is what the readers of containers.py
read, so that every place that the detector reports is found by the very steps that have named it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.state import readers
from pytest_mcpsmoke.state.containers import unwrapped
from pytest_mcpsmoke.state.nodes import NAMES, shown
from pytest_mcpsmoke.state.place import (
    MISSING,
    class_dict,
    is_class,
    is_module,
    module_dict,
    module_of,
    open_classes,
    qualname_of,
    text_of,
)
from pytest_mcpsmoke.state.readers import Parts, Reader, TypeReaders
from pytest_mcpsmoke.state.registrations import ABC_REGISTRY, PATCHES, SUBCLASSES

_FUNCTION, _CLOSURE = readers.FunctionReader(), readers.ClosureReader()
_MOST_ALIASES: Final = 6  # parts without a label inside one another: a function's cell's dict …
_BEGINNINGS: Final = ("", ".", "[", "(", " ")  # of labels
_SHORTENED: Final = ("…", "***")  # in a place: a label is not shown as it is
_ADDRESS: Final = " at 0x"  # in a label: it is not shown
_WHOLE: Final = "\0"  # before the kind of the contents of a whole: no label begins like this
_FIXTURE: Final = re.compile(r"fixture (\w+)(?P<rest>.*)", re.DOTALL)


class AttributesOfNamespace(readers.DictReader):
    """The dict of a module or of a class: its keys are attributes."""

    def label(self, key: Any) -> str:
        return f".{key}" if type(key) is str else readers.subscript(key)


_NAMESPACE = AttributesOfNamespace()


class Look(NamedTuple):
    """One object, how it is read, and what its labels are preceded by."""

    reader: Reader
    object: Any
    prefix: str = ""


class Row(NamedTuple):
    """What was read of an object on the way: while it holds the same, the way leads to the same."""

    reader: Reader
    object: Any
    parts: Parts


class Found(NamedTuple):
    """What a way led to.

    value: what stands at the place; MISSING. looks: how it is looked into. rows: what was read on the way.
    rest: what of the place could not be followed, and labels: what could have been, there.
    """

    value: Any
    looks: tuple[Look, ...]
    rows: list[Row]
    rest: str
    labels: list[str]


class Paths:
    """Follows the text of one place from what it begins with: a module, a fixture's value, a library."""

    def __init__(self, place: str, types: TypeReaders) -> None:
        self.place = place
        self.fixtures: dict[str, Any] = {}
        self._types = types
        steps = [found.start() for found in re.finditer(r"[.\[ ]", place)]
        # the longest first: a module is not looked for in the attributes of its package
        self._names = [place[:end] for end in (*steps, len(place))][::-1]
        self._elsewhere: type | None = None  # a class that its module holds under no name, or another one
        self._searched = -1  # how many modules there were when it was looked for

    def roots(self) -> tuple[Any, ...]:
        """What the place may begin with: while this is the same, the way begins with the same."""
        return tuple(map(sys.modules.get, self._names))

    def follow(self) -> Found:
        """Go as far as the place leads."""
        best = Found(MISSING, (), [], self.place, [])
        rows: list[Row] = []
        for looks, value, rest in self._beginnings():
            found = _Way(self._types, rest, rows).go(value, looks)
            if found.rest == "":
                return found
            if len(found.rest) < len(best.rest):
                best = found
        return best

    def _beginnings(self) -> Iterator[tuple[tuple[Look, ...], Any, str]]:
        fixture = _FIXTURE.fullmatch(self.place)
        if fixture is not None:
            value = self.fixtures.get(fixture[1], MISSING)
            if value is not MISSING:
                yield looks_of(self._types, value), value, fixture["rest"]
            return
        for name in self._names:
            module = sys.modules.get(name)
            if is_module(module):
                yield looks_of(self._types, module), module, self.place[len(name) :]
        for name, look in _libraries(self._types):
            if self.place.startswith(name):
                yield (look,), look.object, self.place[len(name) :]
        cls = self._class_elsewhere()
        if cls is not None:
            yield looks_of(self._types, cls), cls, self.place[len(_name_of(cls)) :]

    def _class_elsewhere(self) -> type | None:
        """A class of this name that was defined inside a function, or stands under another name."""
        if self._elsewhere is None and self._searched != len(sys.modules):
            self._searched = len(sys.modules)
            names = set(self._names[1:])
            candidates = [cls for cls in _classes() if _name_of(cls) in names]
            self._elsewhere = max(candidates, key=lambda cls: len(_name_of(cls)), default=None)
        return self._elsewhere


class _Way:
    """The rest of a place, and what is read while it is followed."""

    def __init__(self, types: TypeReaders, rest: str, rows: list[Row]) -> None:
        self._types = types
        self._rows = rows
        self._best = rest
        self._labels: list[str] | None = None

    def go(self, value: Any, looks: tuple[Look, ...]) -> Found:
        """Follow the rest from here; of what it could go by, the first way that leads to the end."""
        found = self._step(value, looks, self._best, 0)
        if found is not None:
            return Found(*found, self._rows, "", [])
        return Found(MISSING, (), self._rows, self._best, self._labels or [])

    def _step(
        self, value: Any, looks: tuple[Look, ...], rest: str, aliases: int
    ) -> tuple[Any, tuple[Look, ...]] | None:
        if rest == "":
            return value, looks
        labels: list[str] = []
        for look in looks:
            parts = look.reader.read(look.object)
            self._rows.append(Row(look.reader, look.object, parts))
            items = [*_items(look, parts)]
            labels += [label for label, _, _ in items]
            for label, key, item in [*_fitting(items, rest)]:
                if label == "" and aliases == _MOST_ALIASES:
                    continue
                inside = _looks_of_part(self._types, look, key, item)
                found = self._step(item, inside, rest[len(label) :], aliases + 1 if label == "" else 0)
                if found is not None:
                    return found
        if self._labels is None or len(rest) < len(self._best):
            self._best, self._labels = rest, labels
        return None


def _items(look: Look, parts: Parts) -> Iterator[tuple[str, Any, Any]]:
    """Label, key and value of each part."""
    keys, values = parts
    for key, value in enumerate(values) if keys is None else zip(keys, values, strict=True):
        yield look.prefix + look.reader.label(key), key, value


def _fitting(items: list[tuple[str, Any, Any]], rest: str) -> Iterator[tuple[str, Any, Any]]:
    """The parts that the rest of a place may begin with, those of the longest labels first."""
    yield from sorted((item for item in items if _begins(rest, item[0])), key=lambda item: -len(item[0]))
    is_shortened = any(sign in rest for sign in _SHORTENED)
    for label, key, value in items:
        if is_shortened or _ADDRESS in label:
            text = shown(label)
            if text != label and _begins(rest, text):
                yield text, key, value


def _begins(rest: str, label: str) -> bool:
    """Whether a label is the first of the rest of a place: what follows is another one."""
    return rest.startswith(label) and rest[len(label) : len(label) + 1] in _BEGINNINGS


def looks_of(types: TypeReaders, value: Any) -> tuple[Look, ...]:
    """How an object is looked into; nothing where it holds nothing."""
    if is_module(value):
        return (Look(_NAMESPACE, module_dict(value)),)
    if is_class(value):
        return _looks_of_class(value)
    value = unwrapped(value)
    if type(value) is FunctionType:
        function = Look(_FUNCTION, value)
        return (function, Look(_CLOSURE, value)) if value.__closure__ else (function,)
    return tuple(Look(reader, value) for reader in types.of(value))


def _looks_of_class(cls: Any) -> tuple[Look, ...]:
    contents = class_dict(cls)
    if contents is None:
        return ()
    found = [Look(_NAMESPACE, contents), Look(SUBCLASSES, cls, ".__subclasses__")]
    if "_abc_impl" in contents:
        found.append(Look(ABC_REGISTRY, cls, "._abc_impl"))
    return tuple(found)


def _looks_of_part(types: TypeReaders, look: Look, key: Any, value: Any) -> tuple[Look, ...]:
    """How a part of an object is looked into."""
    if look.reader is _FUNCTION and key == "__dict__":
        return () if value is None else (Look(NAMES, value),)
    return looks_of(types, value) if look.reader.is_entered else ()


def parts_of(types: TypeReaders, looks: tuple[Look, ...], limit: int) -> tuple[dict[str, Any], list[Row]]:
    """What an object holds, one step deep, by label: "" for the whole of a list, a set, the order of a dict.

    limit: of longer containers the length and the first items are read. Also returns what was read.
    """
    found: dict[str, Any] = {}
    rows: list[Row] = []
    waiting = [(look, 0) for look in looks]
    while waiting:
        look, aliases = waiting.pop(0)
        reader = look.reader
        if readers.length(look.object, reader) > limit:
            reader = readers.FirstItems(reader, limit)
        parts = reader.read(look.object)
        rows.append(Row(reader, look.object, parts))
        if reader.is_whole or isinstance(reader, readers.DictReader):
            whole = reader.contents(parts)
            if reader.is_whole or len(whole.values) > 1:
                found[_WHOLE + whole.kind] = whole
        if reader.is_whole:
            continue
        for label, key, value in _items(look._replace(reader=reader), parts):
            if reader is _NAMESPACE and not _is_told(key, value):
                continue
            found[label] = value
            if label == "" and aliases < _MOST_ALIASES:
                waiting += [(inside, aliases + 1) for inside in _looks_of_part(types, look, key, value)]
    return found, rows


def is_of_whole(label: str) -> bool:
    """Whether what stands under a label of parts_of() is the contents of the whole."""
    return label.startswith(_WHOLE)


def _is_told(key: Any, value: Any) -> bool:
    """Whether a name of a module or a class is more than its machinery."""
    is_dunder = type(key) is str and key.startswith("__") and key.endswith("__")
    return not is_dunder or type(value) is FunctionType


def _libraries(types: TypeReaders) -> Iterator[tuple[str, Look]]:
    """What the detector gives names of its own, see Observer."""
    logging = sys.modules.get("logging")
    if is_module(logging):
        manager = class_dict(module_dict(logging)["Logger"])
        if manager is not None:
            for reader in types.of(manager["manager"]):
                yield "logging", Look(reader, manager["manager"])
    mock = sys.modules.get("unittest.mock")
    if is_module(mock):
        yield "unittest.mock", Look(PATCHES, module_dict(mock)["_patch"])


def _classes() -> Iterator[type]:
    """All classes that modules hold, and those inside these."""
    waiting = [module_dict(module) for module in list(sys.modules.values()) if is_module(module)]
    seen: set[int] = set()
    while waiting:
        for cls, contents in open_classes(waiting.pop()):
            if id(cls) not in seen:
                seen.add(id(cls))
                waiting.append(contents)
                yield cls


def _name_of(cls: type) -> str:
    return f"{module_of(cls)}.{text_of(qualname_of(cls))}"

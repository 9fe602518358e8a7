"""What an object holds, type by type, read without running any of its code, and how to put it back."""

from __future__ import annotations

import collections
import types
import weakref
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import (
    IMMUTABLE_TYPE,
    MISSING,
    Contents,
    compiled,
    dict_of_class,
    flags_of_class,
    is_class,
    is_module,
    kind_of,
    module_of,
    mro_of,
    qualname_of,
)

# Kinds that the compiled part knows how to read; OTHER is read by Python.
LIST, DICT, ATTRIBUTES, CELL, FUNCTION, SET, SLOTS, OTHER, FIXED = range(9)

_MOST_SLOTS: Final = 64  # that the compiled part can tell apart

Parts = tuple[tuple[Any, ...] | None, tuple[Any, ...]]  # keys (None: a sequence, or a whole) and values


class Reader:
    """Reads the parts of objects of one kind.

    is_entered: whether the values are looked into, too. is_whole: a change is one of the whole, not of a key.
    """

    kind: int = OTHER
    slots: tuple[Any, ...] | None = None  # of the kind SLOTS: their descriptors
    is_entered = True
    is_whole = False
    sources: Callable[[Any], list[Any]] | None = None  # where all the parts are taken from
    guard: Callable[[], Any] | None = None  # its result changes whenever an object of this kind does

    def read(self, value: Any) -> Parts:
        """Return keys and values as they are now."""
        raise NotImplementedError

    def label(self, key: Any) -> str:
        """How a place inside is written: what follows the name of the object."""
        return f".{key}"

    def contents(self, parts: Parts) -> Contents:
        """The parts as one immutable value, for changes of the whole."""
        return Contents("list", parts[1])

    def restore(self, value: Any, key: Any, before: Any) -> None:
        """Put one part back; MISSING removes it. With is_whole: key is None, before is Contents."""
        raise CannotRestore("nothing puts this back")


_ATOM_KEYS: Final = frozenset({str, int, bytes, float, bool, type(None)})


def subscript(key: Any) -> str:
    """How a key of a dict is written in a place: ['name']; objects as keys by their type and address."""
    if kind_of(key) in _ATOM_KEYS or (
        type(key) is tuple and all(kind_of(item) in _ATOM_KEYS for item in key)
    ):
        try:
            return f"[{key!r}]"
        except ValueError:  # a number of too many digits
            pass
    # the address tells keys of one name apart; it is not shown
    if is_class(key):
        return f"[{qualname_of(key)} at {id(key):#x}]"
    if type(key) is types.FunctionType:
        return f"[{key.__qualname__} at {id(key):#x}]"
    return f"[<{qualname_of(type(key))} object at {id(key):#x}>]"


class ListReader(Reader):
    kind = LIST
    is_whole = True

    def read(self, value: Any) -> Parts:
        return None, tuple(list.copy(value))

    def label(self, key: Any) -> str:
        return f"[{key}]"

    def restore(self, value: Any, key: Any, before: Any) -> None:
        list.__setitem__(value, slice(None), before.values)


class DictReader(Reader):
    kind = DICT

    def read(self, value: Any) -> Parts:
        return tuple(dict.keys(value)), tuple(dict.values(value))

    def label(self, key: Any) -> str:
        return subscript(key)

    def contents(self, parts: Parts) -> Contents:
        return Contents("order", parts[0] or ())

    def restore(self, value: Any, key: Any, before: Any) -> None:
        if before is MISSING:
            dict.__delitem__(value, key)
        else:
            dict.__setitem__(value, key, before)

    def arrange(self, value: Any, order: tuple[Any, ...]) -> None:
        """Bring the keys into an order; keys that it does not name come last."""
        now = dict(zip(map(id, dict.keys(value)), dict.items(value), strict=True))
        wanted = [now.pop(id(key)) for key in order if id(key) in now]
        dict.clear(value)
        for key, item in (*wanted, *now.values()):
            dict.__setitem__(value, key, item)


class OrderedDictReader(DictReader):
    kind = OTHER  # its order is kept beside the dict

    def read(self, value: Any) -> Parts:
        held = dict(zip(map(id, dict.keys(value)), dict.values(value), strict=True))
        keys = tuple(collections.OrderedDict.__iter__(value))
        return keys, tuple(held[id(key)] for key in keys)

    def restore(self, value: Any, key: Any, before: Any) -> None:
        if before is MISSING:
            collections.OrderedDict.__delitem__(value, key)
        else:
            collections.OrderedDict.__setitem__(value, key, before)

    def arrange(self, value: Any, order: tuple[Any, ...]) -> None:
        keys, values = self.read(value)
        now = {id(key): (key, item) for key, item in zip(keys or (), values, strict=True)}
        wanted = [now.pop(id(key)) for key in order if id(key) in now]
        collections.OrderedDict.clear(value)
        for key, item in (*wanted, *now.values()):
            collections.OrderedDict.__setitem__(value, key, item)


class SetReader(Reader):
    kind = SET
    is_whole = True
    is_entered = False  # its members are hashable: state of their own is rare, and has no place to name

    def read(self, value: Any) -> Parts:
        return None, tuple(set.__iter__(value))

    def contents(self, parts: Parts) -> Contents:
        return Contents("set", parts[1])

    def restore(self, value: Any, key: Any, before: Any) -> None:
        set.clear(value)
        set.update(value, before.values)


class DequeReader(Reader):
    is_whole = True

    def read(self, value: Any) -> Parts:
        return None, tuple(collections.deque.__iter__(value))

    def label(self, key: Any) -> str:
        return f"[{key}]"

    def contents(self, parts: Parts) -> Contents:
        return Contents("deque", parts[1])

    def restore(self, value: Any, key: Any, before: Any) -> None:
        collections.deque.clear(value)
        collections.deque.extend(value, before.values)


class TupleReader(Reader):
    kind = FIXED

    def read(self, value: Any) -> Parts:
        return None, tuple(tuple.__iter__(value))

    def label(self, key: Any) -> str:
        return f"[{key}]"


class CellReader(Reader):
    kind = CELL

    def read(self, value: Any) -> Parts:
        try:
            return ("",), (value.cell_contents,)
        except ValueError:  # the variable has no value (yet, or any more)
            return (), ()

    def label(self, key: Any) -> str:
        return ""

    def restore(self, value: Any, key: Any, before: Any) -> None:
        if before is MISSING:
            del value.cell_contents
        else:
            value.cell_contents = before


FUNCTION_PARTS: Final = ("__code__", "__defaults__", "__kwdefaults__", "__dict__")


class FunctionReader(Reader):
    kind = FUNCTION

    def read(self, value: Any) -> Parts:
        attributes = attributes_of(value) or None  # an empty one is as good as none
        return FUNCTION_PARTS, (value.__code__, value.__defaults__, value.__kwdefaults__, attributes)

    def label(self, key: Any) -> str:
        return "" if key == "__dict__" else f".{key}"

    def restore(self, value: Any, key: Any, before: Any) -> None:
        if key == "__dict__" and before is None:
            value.__dict__.clear()
        else:
            setattr(value, key, before)


class ClosureReader(Reader):
    """The cells of a function's closure: the tuple stays, what the cells hold changes."""

    kind = FIXED

    def read(self, value: Any) -> Parts:
        return tuple(value.__code__.co_freevars), tuple(value.__closure__ or ())

    def label(self, key: Any) -> str:
        return f".__closure__[{key!r}]"


class NamesReader(DictReader):
    """The dict of a function's attributes."""

    def label(self, key: Any) -> str:
        return f".{key}" if type(key) is str else subscript(key)


class AttributesReader(Reader):
    """Instances whose attributes live in a dict of their own."""

    kind = ATTRIBUTES

    def __init__(self, getter: Any = None) -> None:
        # not the getter of one class: an object may get another class
        self.dict_of = attributes_of if getter is None else getter.__get__

    def read(self, value: Any) -> Parts:
        attributes = self.dict_of(value)
        return ("__class__", *dict.keys(attributes)), (type(value), *dict.values(attributes))

    def label(self, key: Any) -> str:
        return f".{key}" if type(key) is str else subscript(key)

    def restore(self, value: Any, key: Any, before: Any) -> None:
        if key == "__class__":
            object.__setattr__(value, key, before)
        elif before is MISSING:
            dict.__delitem__(self.dict_of(value), key)
        else:
            dict.__setitem__(self.dict_of(value), key, before)


class SlotsReader(Reader):
    """Instances with __slots__, and with a dict beside them."""

    def __init__(self, slots: dict[str, Any], has_dict: bool) -> None:
        self.kind = SLOTS if len(slots) <= _MOST_SLOTS else OTHER
        self.slots = tuple(slots.values())
        self._slots = slots
        self._dict_of = attributes_of if has_dict else None

    def read(self, value: Any) -> Parts:
        keys: list[Any] = ["__class__"]
        values: list[Any] = [type(value)]
        for name, slot in self._slots.items():
            try:
                held = slot.__get__(value)
            except (AttributeError, TypeError):  # not set; the object has got another class
                continue
            keys.append(name)
            values.append(held)
        if self._dict_of is not None:
            attributes = self._dict_of(value)
            keys += dict.keys(attributes)
            values += dict.values(attributes)
        return tuple(keys), tuple(values)

    def label(self, key: Any) -> str:
        return f".{key}" if type(key) is str else subscript(key)

    def restore(self, value: Any, key: Any, before: Any) -> None:
        slot = self._slots.get(key)
        if key == "__class__":
            object.__setattr__(value, key, before)
        elif slot is not None:
            slot.__delete__(value) if before is MISSING else slot.__set__(value, before)
        elif self._dict_of is not None:
            attributes = self._dict_of(value)
            dict.__delitem__(attributes, key) if before is MISSING else dict.__setitem__(
                attributes, key, before
            )


class PartsReader(Reader):
    """Objects of which certain parts count: read returns them by label, put brings one back.

    Where nothing can be brought back in place, remake makes another object like it was. begins: the parts
    of a new one.
    """

    def __init__(
        self,
        read: Callable[[Any], dict[str, Any]],
        put: Callable[[Any, str, Any], None] | None = None,
        is_entered: bool = True,
        remake: Callable[[Any, Any], Any] | None = None,
        begins: dict[str, Any] | None = None,
        guard: Callable[[], Any] | None = None,
        sources: Callable[[Any], list[Any]] | None = None,
    ) -> None:
        self.sources = sources
        self.guard = guard
        self.begins = begins
        self._read = read
        self._put = put
        self.remake = remake
        self.is_entered = is_entered

    def read(self, value: Any) -> Parts:
        parts = self._read(value)
        return tuple(parts), tuple(parts.values())

    def label(self, key: Any) -> str:
        return str(key)

    def restore(self, value: Any, key: Any, before: Any) -> None:
        if self._put is None:
            raise CannotRestore("its type offers no way to put this back")
        self._put(value, key, before)


def listing(value: Any) -> Any:
    """A list as one part, of which nothing is looked into; any other value as it is."""
    return Contents("list", tuple(value)) if type(value) is list else value


def plain_reader(source: Any) -> Reader:
    """The reader of an object as such: of a list, of a dict, else of its attributes."""
    mro = mro_of(type(source))
    kinds = (
        reader for base in mro for known, reader in _STORAGE[:3] if known is base and reader.kind != OTHER
    )
    return next(kinds, _ATTRIBUTES)


class TypeReaders:
    """The readers of each type, found once. Types are told apart by identity: a metaclass is never asked."""

    def __init__(self, is_leaf: Callable[[type], bool]) -> None:
        self._is_leaf = is_leaf
        self._known: dict[int, tuple[weakref.ref[type], tuple[Reader, ...]]] = {}
        self._chosen: dict[tuple[str, str], Reader] = {}

    def add(self, module: str, name: str, reader: Reader) -> None:
        """Read instances of this class, and of classes derived from it, in this way and in no other."""
        self._chosen[module, name] = reader

    def of(self, value: Any) -> tuple[Reader, ...]:
        """The readers of a value: none for one that holds nothing, or nothing that is looked into."""
        cls = type(value)
        known = self._known.get(id(cls))
        if known is None or known[0]() is not cls:  # no class is kept alive for this
            known = self._known[id(cls)] = weakref.ref(cls), self._find(cls)
        return known[1]

    def _find(self, cls: type) -> tuple[Reader, ...]:
        mro = mro_of(cls)
        for base in mro:
            chosen = self._chosen.get((module_of(base) or "", qualname_of(base)))
            if chosen is not None:
                return (chosen,)
        if self._is_leaf(cls) or not _NEVER_IDS.isdisjoint(map(id, mro)):
            return ()
        storage = next((_STORAGE_BY_ID[id(base)] for base in mro if id(base) in _STORAGE_BY_ID), None)
        attributes = None if type(cls) is type and cls in _PLAIN else _attributes_reader(cls)
        return tuple(reader for reader in (storage, attributes) if reader is not None)


_STORAGE: Final[tuple[tuple[type, Reader], ...]] = (
    (list, ListReader()),
    (collections.OrderedDict, OrderedDictReader()),
    (dict, DictReader()),
    (set, SetReader()),
    (collections.deque, DequeReader()),
    (tuple, TupleReader()),
    (types.CellType, CellReader()),
)
# What is no state, or somebody else's: never looked into.
_NEVER: Final[tuple[type, ...]] = (
    *(type, types.ModuleType, BaseException, types.FrameType, types.TracebackType, types.CodeType),
    *(types.CoroutineType, types.AsyncGeneratorType, types.GenericAlias),
)
# By address: the hash of a class is its metaclass's to tell.
_STORAGE_BY_ID: Final = {id(known): reader for known, reader in _STORAGE}
_NEVER_IDS: Final = frozenset(map(id, _NEVER))
_PLAIN: Final = frozenset(
    {list, dict, set, tuple, str, int, float, bytes, bool, type(None), frozenset, object}
)


_GETTERS: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)


def _attributes_of(value: Any) -> dict[str, Any]:
    if is_class(value) or is_module(value):
        return {}
    for base in mro_of(type(value)):
        getter = dict_of_class(base).get("__dict__")
        if type(getter) in _GETTERS and getter.__objclass__ is base:
            found = getter.__get__(value)
            return found if isinstance(found, dict) else {}
    return {}


# The attributes of an instance; an empty dict for what has none.
attributes_of: Callable[[Any], dict[str, Any]] = compiled("attributes_of", _attributes_of, "_parts")


def _attributes_reader(cls: type) -> Reader | None:
    """The reader of the attributes of a class's instances, None when they have none."""
    has_dict, slots = False, dict[str, Any]()
    for base in mro_of(cls):
        attributes = dict_of_class(base)
        if _is_built_in(base) and (base is cls or base is not collections.OrderedDict):
            continue
        getter = attributes.get("__dict__")
        has_dict = has_dict or (type(getter) is types.GetSetDescriptorType and getter.__objclass__ is base)
        for name, descriptor in attributes.items():
            is_slot = type(descriptor) is types.MemberDescriptorType and type(name) is str
            if is_slot and descriptor.__objclass__ is base:  # not one that was taken from elsewhere
                slots.setdefault(name, descriptor)
    if slots:
        return SlotsReader(slots, has_dict)
    return AttributesReader() if has_dict else None


def _is_built_in(cls: type) -> bool:
    """Whether a class is compiled: what its descriptors give out is not always state."""
    return bool(flags_of_class(cls) & IMMUTABLE_TYPE)


def length(value: Any, reader: Reader) -> int:
    """How many parts an object has, as far as that is known without reading them."""
    if reader.kind == LIST:
        return list.__len__(value)
    if isinstance(reader, DictReader):
        return dict.__len__(value)
    if isinstance(reader, SetReader):
        return set.__len__(value)
    return collections.deque.__len__(value) if isinstance(reader, DequeReader) else 0


class FirstItems(Reader):
    """The length and the first items of a container that is too long to be read whole."""

    is_whole = True

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._iterate: Any = next(of for kind, of in _ITERATE if isinstance(reader, kind))

    def read(self, value: Any) -> Parts:
        return None, (length(value, self._reader), *islice(self._iterate(value), self._size))

    def label(self, key: Any) -> str:
        return f"[{key - 1}]"

    def contents(self, parts: Parts) -> Contents:
        values = " values" if isinstance(self._reader, DictReader) else ""
        return Contents(f"first of {parts[1][0]:,}{values}", parts[1][1:])


_ITERATE: Final[tuple[tuple[type[Reader], Any], ...]] = (
    (ListReader, list.__iter__),
    (DictReader, dict.values),
    (SetReader, set.__iter__),
    (DequeReader, collections.deque.__iter__),
)


_ATTRIBUTES: Final = AttributesReader()

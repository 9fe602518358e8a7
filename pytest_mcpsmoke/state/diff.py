"""Comparing values without running user code: identity, and equality of exact built-in types only."""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque
from typing import Any, Final

from pytest_mcpsmoke.state.place import MISSING, Contents, is_class, kind_of, plain_contents, qualname_of

ATOMS: Final = frozenset({int, str, bytes, bool, float, complex, type(None), type(...), range})
_SEQUENCES: Final = frozenset({list, tuple, deque})
_SETS: Final = frozenset({set, frozenset})
_IMMUTABLE: Final = ATOMS | {tuple, frozenset, Contents}
_MAPPINGS: Final = frozenset({dict, OrderedDict, defaultdict})
BUILT_IN_VALUES: Final = ATOMS | _SEQUENCES | _SETS | _MAPPINGS
_BUDGET: Final = 10_000  # pairs of objects compared before giving up


def _same_atom(a: Any, b: Any) -> bool:
    if type(a) is float and a != a:
        return bool(b != b)  # NaN equals itself
    return bool(a == b)


def same(a: object, b: object) -> bool:
    """Whether b is as good as a: the same object, or an equal one of an immutable built-in type."""
    return a is b or (type(a) is type(b) and _equal(a, b, is_deep=False))


def equal_structure(a: object, b: object) -> bool:
    """Whether two values of built-in types hold the same, however often they were built anew.

    Instances of one plain class are compared by their attributes; objects of other types are equal only
    when they are the same object. A comparison that grows beyond 10,000 pairs counts as unequal.
    """
    return _equal(a, b, is_deep=True)


def _equal(a: object, b: object, is_deep: bool) -> bool:
    pairs: list[tuple[Any, Any]] = [(a, b)]
    seen: set[tuple[int, int]] = set()
    budget = _BUDGET
    while pairs:
        one, other = pairs.pop()
        if one is other or (id(one), id(other)) in seen:
            continue
        budget -= 1
        if type(one) is not type(other) or budget < 0:
            return False
        seen.add((id(one), id(other)))
        inside = _inside(one, other) if is_deep or kind_of(one) in _IMMUTABLE else None
        if inside is None:
            return False
        pairs += inside
    return True


def _inside(one: Any, other: Any) -> list[tuple[Any, Any]] | None:
    """The pairs that two objects of one type are made of; None when they differ already."""
    kind = kind_of(one)
    if kind in ATOMS:
        return [] if _same_atom(one, other) else None
    if kind in _SEQUENCES:
        return [*zip(one, other, strict=True)] if len(one) == len(other) else None
    if kind in _SETS:
        return [] if _only_atoms(one, other) and one == other else None
    if kind in _MAPPINGS:
        keys, others = tuple(one), tuple(other)
        same_keys = _only_atoms(keys, others) and same(keys, others)
        return [(one[key], other[key]) for key in keys] if same_keys else None
    if kind is Contents:
        return _inside_contents(one, other)
    contents = plain_contents(one), plain_contents(other)
    return None if None in contents else [contents]


def _inside_contents(one: Contents, other: Contents) -> list[tuple[Any, Any]] | None:
    if one.kind == other.kind == "order":
        return [] if _order(one, other) == _order(other, one) else None
    if one.kind != other.kind or len(one.values) != len(other.values):
        return None
    if one.kind != "set":
        return [*zip(one.values, other.values, strict=True)]
    rest = {id(value): value for value in other.values}
    unmatched = [value for value in one.values if rest.pop(id(value), MISSING) is MISSING]
    if not unmatched:
        return []
    if not all(map(_is_plain, (*unmatched, *rest.values()))):
        return None
    kinds = ({_typed(value) for value in values} for values in (unmatched, rest.values()))
    return [] if next(kinds) == next(kinds) else None


def _order(one: Contents, other: Contents) -> list[Any]:
    """The keys, in their order, that both name: of the others the order says nothing."""
    names = {_name(key) for key in other.values}
    return [name for key in one.values if (name := _name(key)) in names]


def _name(key: Any) -> Any:
    return (type(key), key) if kind_of(key) in ATOMS else id(key)


def _is_plain(value: Any) -> bool:
    """Whether a value is an atom, or a tuple of atoms: hashing it runs nobody's code."""
    return kind_of(value) in ATOMS or (type(value) is tuple and _only_atoms(value))


def _typed(value: Any) -> Any:
    """A value for a set in which 1, 1.0 and True are three."""
    if type(value) is tuple:
        return (tuple, *((type(item), item) for item in value))
    return type(value), value


def _only_atoms(*collections: Any) -> bool:
    return all(kind_of(item) in ATOMS for items in collections for item in items)


def redefinition(a: object, b: object) -> bool:
    """Whether b is what running the source of a again gives: equal code, a class of the same name, …"""
    if equal_structure(a, b):
        return True
    if type(a) is not type(b):
        return _kind(a) == _kind(b) and _kind(a) is not None
    if type(a) is types.FunctionType and type(b) is types.FunctionType:
        return a.__code__ == b.__code__
    if is_class(a):
        return bool(qualname_of(a) == qualname_of(b))
    return kind_of(a) not in ATOMS | _SEQUENCES | _MAPPINGS | _SETS | {bytearray}


def _kind(value: object) -> object:
    """The name of a value's class, where the class itself was defined anew by the same run."""
    return None if kind_of(value) in ATOMS | _SEQUENCES | _MAPPINGS else qualname_of(type(value))

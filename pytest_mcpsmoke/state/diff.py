"""Comparing values without running user code: identity, and equality of exact built-in types only."""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque
from typing import Any, Final

from pytest_mcpsmoke.state.place import is_class, plain_contents, qualname_of

_ATOMS: Final = frozenset({int, str, bytes, bool, float, complex, type(None), type(...), range})
_SEQUENCES: Final = frozenset({list, tuple, deque})
_MAPPINGS: Final = frozenset({dict, OrderedDict, defaultdict})
_BUDGET: Final = 10_000  # pairs of objects compared before giving up


def _same_atom(a: Any, b: Any) -> bool:
    if type(a) is float and a != a:
        return bool(b != b)  # NaN equals itself
    return bool(a == b)


def same(a: Any, b: Any) -> bool:
    """Whether b is as good as a: the same object, or an equal one of an immutable built-in type."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in _ATOMS:
        return _same_atom(a, b)
    if kind is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is frozenset:
        return _only_atoms(a, b) and a == b
    return False


def _only_atoms(*collections: Any) -> bool:
    return all(type(item) in _ATOMS for items in collections for item in items)


def equal_structure(a: object, b: object) -> bool:
    """Whether two values of built-in types hold the same, however often they were built anew.

    Instances of one plain class are compared by their attributes; objects of other types are equal only
    when they are the same object. A comparison that grows beyond 10,000 pairs counts as unequal.
    """
    pairs: list[tuple[Any, Any]] = [(a, b)]
    seen: set[tuple[int, int]] = set()
    budget = _BUDGET
    while pairs:
        one, other = pairs.pop()
        budget -= 1
        if same(one, other) or (id(one), id(other)) in seen:
            continue
        seen.add((id(one), id(other)))
        kind = type(one)
        if kind is not type(other) or budget < 0:
            return False
        if kind in _SEQUENCES:
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif kind in _MAPPINGS:
            if not _only_atoms(one, other) or list(one) != list(other):
                return False
            pairs += [(one[key], other[key]) for key in one]
        elif kind is set:
            if not _only_atoms(one, other) or one != other:
                return False
        else:
            contents, others = plain_contents(one), plain_contents(other)
            if contents is None or others is None:
                return False
            pairs.append((contents, others))
    return True


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
    return type(a) not in _ATOMS | _SEQUENCES | _MAPPINGS | {set, frozenset, bytearray}


def _kind(value: object) -> object:
    """The name of a value's class, where the class itself was defined anew by the same run."""
    cls = type(value)
    return None if cls in _ATOMS | _SEQUENCES | _MAPPINGS else qualname_of(cls)

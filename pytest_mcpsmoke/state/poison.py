"""Caches that were filled while what they depend on was patched: the fake stays when the patch is gone."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any, Final

from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.place import Holder, dict_of_class, is_class, is_module, module_dict, mro_of
from pytest_mcpsmoke.state.readers import CellReader, attributes_of
from pytest_mcpsmoke.state.source import index_of
from pytest_mcpsmoke.state.writer import Span, calls_in

_CELLS: Final = CellReader()
_MOST: Final = 100  # functions followed
_ENVIRONMENT: Final = frozenset({"environ", "getenv", "environb"})
_ENVIRONMENT_CALLS: Final = frozenset({"setenv", "delenv", "putenv", "unsetenv"})


def function_of_cache(holder: Holder, label: str) -> types.FunctionType | None:
    """The function whose results are kept under a place: of an lru_cache, or of a cached_property."""
    if not isinstance(holder, Node):
        return None
    if type(holder.object) is functools._lru_cache_wrapper:
        return _function(holder.object)
    name = holder.touched.get(label)
    if not holder.is_instance or type(name) is not str:
        return None
    for cls in mro_of(type(holder.object)):
        found = dict_of_class(cls).get(name)
        if found is not None:
            kept = type(found) is functools.cached_property
            return _function(found) if kept else None
    return None


def is_empty_cache(value: object) -> bool:
    """Whether these are the counts of an lru_cache that holds nothing."""
    return type(value) is tuple and value[2:] == ("currsize", 0)


def is_poisoned(function: types.FunctionType, owner: Owner) -> bool:
    """Whether the owner's code patches a name that a function, or one that it calls, goes by."""
    names = _names_behind(function)
    for span in _reached(owner):
        index = index_of(span.path)
        for name in names:
            for store in index.stores.get(name, ()):
                if span.first <= store.line <= span.last and store.form != "name":
                    return True
        touched = any(
            span.first <= one.line <= span.last
            for found in (index.touches, index.stores)
            for one in found.get("environ", ())
        )
        if not names.isdisjoint(_ENVIRONMENT) and (touched or calls_in(owner, _ENVIRONMENT_CALLS)):
            return True
    return False


def _reached(owner: Owner) -> tuple[Span, ...]:
    """The owner's spans, and the functions of the same files that they call by name."""
    spans = list(owner.spans)
    for span in spans:
        scopes = index_of(span.path).scopes
        called = {
            name
            for scope in scopes
            if span.first <= scope.first and scope.last <= span.last
            for name in scope.calls
        }
        for scope in scopes:
            reached = Span(span.path, scope.first, scope.last, scope.name)
            is_inside = any(one.path == span.path and one.first <= scope.first <= one.last for one in spans)
            if scope.kind == "function" and scope.name in called and not is_inside:
                spans.append(reached)
    return tuple(spans)


def _function(value: Any) -> types.FunctionType | None:
    """The function inside a value that is called or computed; None: it is something else."""
    kind = type(value)
    if kind is staticmethod or kind is classmethod:
        value = value.__func__
    elif kind is property:
        value = value.fget
    elif kind is functools.cached_property:
        value = attributes_of(value).get("func")
    elif kind is functools._lru_cache_wrapper:
        value = attributes_of(value).get("__wrapped__")
    return value if type(value) is types.FunctionType else None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of the functions, generators and lambdas inside it."""
    yield code
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            yield from _codes(constant)


def _names_behind(function: types.FunctionType) -> set[str]:
    """The names that a function uses, and those that the functions under these names use, and so on."""
    names: set[str] = set()
    waiting, seen = [function], {id(function)}
    while waiting and len(seen) <= _MOST:
        one = waiting.pop()
        names.update(*(code.co_names for code in _codes(one.__code__)))
        for found in _functions_under(one):
            if id(found) not in seen:
                seen.add(id(found))
                waiting.append(found)
    return names


def _functions_under(function: types.FunctionType) -> list[types.FunctionType]:
    """What the names of a function stand for, as far as those are functions of the same package."""
    contents: dict[str, Any] = function.__globals__
    names = [name for code in _codes(function.__code__) for name in code.co_names]
    held = [contents.get(name) for name in names]
    inside = [module_dict(value) for value in held if is_module(value)]
    inside += [dict_of_class(value) for value in list(contents.values()) if is_class(value)]  # methods
    held += [one.get(name) for one in inside for name in names]
    held += [value for cell in function.__closure__ or () for value in _CELLS.read(cell)[1]]
    package = (function.__module__ or "").partition(".")[0]
    found = [inner for value in held if (inner := _function(value)) is not None]
    return [one for one in found if (one.__module__ or "").partition(".")[0] == package]

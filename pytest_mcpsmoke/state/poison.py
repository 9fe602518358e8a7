"""Caches that were filled while what they depend on was patched: the fake stays when the patch is gone."""

from __future__ import annotations

import functools
import types
from typing import Any, Final

from pytest_mcpsmoke.state.containers import Node
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.place import Holder, dict_of_class, is_module, module_dict, mro_of
from pytest_mcpsmoke.state.readers import attributes_of
from pytest_mcpsmoke.state.source import index_of
from pytest_mcpsmoke.state.writer import calls_in

_MOST: Final = 100  # functions followed
_ENVIRONMENT: Final = frozenset({"environ", "getenv", "environb"})
_ENVIRONMENT_CALLS: Final = frozenset({"setenv", "delenv", "putenv", "unsetenv"})


def function_of_cache(holder: Holder, label: str) -> types.FunctionType | None:
    """The function whose results are kept under a place: of an lru_cache, or of a cached_property."""
    if not isinstance(holder, Node):
        return None
    if type(holder.object) is functools._lru_cache_wrapper:
        return _function(attributes_of(holder.object).get("__wrapped__"))
    name = holder.touched.get(label)
    if not holder.is_instance or type(name) is not str:
        return None
    for cls in mro_of(type(holder.object)):
        found = dict_of_class(cls).get(name)
        if found is not None:
            kept = type(found) is functools.cached_property
            return _function(attributes_of(found).get("func")) if kept else None
    return None


def is_empty_cache(value: object) -> bool:
    """Whether these are the counts of an lru_cache that holds nothing."""
    return type(value) is tuple and value[2:] == ("currsize", 0)


def is_poisoned(function: types.FunctionType, owner: Owner) -> bool:
    """Whether the owner's code patches a name that a function, or one that it calls, goes by."""
    names = _names_behind(function)
    for span in owner.spans:
        index = index_of(span.path)
        for name in names:
            for store in index.stores.get(name, ()):
                if span.first <= store.line <= span.last and store.form != "name":
                    return True
        touched = any(span.first <= touch.line <= span.last for touch in index.touches.get("environ", ()))
        if not names.isdisjoint(_ENVIRONMENT) and (touched or calls_in(owner, _ENVIRONMENT_CALLS)):
            return True
    return False


def _function(value: Any) -> types.FunctionType | None:
    return value if type(value) is types.FunctionType else None


def _names_behind(function: types.FunctionType) -> set[str]:
    """The names that a function uses, and those that the functions under these names use, and so on."""
    names: set[str] = set()
    waiting, seen = [function], {id(function)}
    while waiting and len(seen) <= _MOST:
        one = waiting.pop()
        names.update(one.__code__.co_names)
        for found in _functions_under(one):
            if id(found) not in seen:
                seen.add(id(found))
                waiting.append(found)
    return names


def _functions_under(function: types.FunctionType) -> list[types.FunctionType]:
    """What the names of a function stand for, as far as those are functions of the same package."""
    contents: dict[str, Any] = function.__globals__
    held = [contents.get(name) for name in function.__code__.co_names]
    modules = [module_dict(value) for value in held if is_module(value)]
    held += [inside.get(name) for inside in modules for name in function.__code__.co_names]
    package = (function.__module__ or "").partition(".")[0]
    return [
        value
        for value in held
        if type(value) is types.FunctionType and (value.__module__ or "").partition(".")[0] == package
    ]

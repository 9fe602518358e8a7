"""Modules that were first imported while one of their imports was a stub: they stay bound to it."""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any, ClassVar, Final

from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.place import (
    IMMUTABLE_TYPE,
    MISSING,
    dict_of_class,
    flags_of_class,
    is_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    mro_of,
    qualname_of,
    text_of,
)
from pytest_mcpsmoke.state.readers import attributes_of


class BoundToStubs:
    """Holds, under the name of a module, what it was bound to when it was imported."""

    probe: ClassVar[str] = "stubs"
    is_one_act: ClassVar[bool] = False

    def __init__(self, is_test: Callable[[str], bool]) -> None:
        self._is_test = is_test
        self._bound: dict[str, weakref.ref[Any]] = {}

    def is_gone(self, name: str) -> bool:
        """Whether nobody who imports a module gets the one that was bound to a stub any more."""
        package, _, last = name.rpartition(".")
        parent = sys.modules.get(package)
        found = [sys.modules.get(name), module_dict(parent).get(last) if is_module(parent) else None]
        return not any(one is self._bound[name]() for one in found if one is not None)

    def place(self, key: str) -> str:
        return key

    def module(self, name: str) -> Any:
        """The module that was bound to a stub; None when it is gone."""
        return self._bound[name]()

    def stubs(self, entries: dict[str, Any]) -> dict[str, Any]:
        """Of what was written into sys.modules: that which no import put there, and is no alias."""
        written = {name: value for name, value in entries.items() if value is not MISSING}
        return {
            name: value
            for name, value in written.items()
            if not is_imported(value)
            and not any(other is value and key != name for key, other in sys.modules.copy().items())
        }

    def imported(self, name: str, stubs: dict[str, Any]) -> list[Write]:
        """A module has been imported: what it got from a stub, if anything."""
        module = sys.modules.get(name)
        if not is_module(module) or not is_imported(module):
            return []
        for stub_name, stub in stubs.items():
            given = given_by(stub, self._is_test)
            held = [
                key
                for key, value in module_dict(module).copy().items()
                if id(value) in given or is_method_of(value, stub)
            ]
            if held:
                self._bound[name] = weakref.ref(module)
                after = f"imported while sys.modules[{stub_name!r}] was a stub, held as {', '.join(held[:3])}"
                return [Write(self, name, MISSING, after, ())]
        return []


def is_method_of(value: Any, stub: object) -> bool:
    """Whether a value is a bound method of a stub: it is a new object each time it is asked for."""
    return type(value) is types.MethodType and value.__self__ is stub


def given_by(stub: object, is_test: Callable[[str], bool]) -> set[int]:
    """The addresses of a stub and of what it gives out, but for what proves nothing."""
    return {id(value) for value in (stub, *_inside(stub)) if not _is_of_others(value, is_test)}


def _is_of_others(value: Any, is_test: Callable[[str], bool]) -> bool:
    """Whether a value proves nothing: a plain one, a module, what a module that was imported defines."""
    if kind_of(value) in PLAIN or is_imported(value) or is_empty(value):
        return True
    if is_class(value):
        home, name = module_of(value), text_of(qualname_of(value))
    elif kind_of(value) in (types.FunctionType, types.BuiltinFunctionType):
        home, name = text_of(value.__module__), text_of(value.__name__)
    else:
        return False
    module = sys.modules.get(home or "")
    is_home = is_imported(module) and not is_test(home or "")
    return is_home and module_dict(module).get(name or "") is value


def is_empty(value: object) -> bool:
    """Whether a value is the one empty tuple, or the one empty frozenset."""
    return kind_of(value) in (tuple, frozenset) and not value


def is_imported(value: object) -> bool:
    """Whether a value is a module that an import made, no stub."""
    return is_module(value) and type(module_dict(value).get("__spec__")) is ModuleSpec


def _inside(stub: Any) -> list[Any]:
    """What a stub gives out: its names; the children of a mock."""
    held = list((module_dict(stub) if is_module(stub) else attributes_of(stub)).values())
    for cls in () if is_module(stub) else mro_of(stub if is_class(stub) else type(stub)):
        if not flags_of_class(cls) & IMMUTABLE_TYPE:  # what built-in types hold is everybody's
            held += [_unwrapped(value) for value in dict_of_class(cls).values()]
    children = attributes_of(stub).get("_mock_children")
    held += list(dict.values(children)) if type(children) is dict else []
    return held


def _unwrapped(value: Any) -> Any:
    return value.__func__ if type(value) in (staticmethod, classmethod) else value


PLAIN: Final = frozenset({type(None), bool, int, str, bytes, float, complex, type(...), type(NotImplemented)})

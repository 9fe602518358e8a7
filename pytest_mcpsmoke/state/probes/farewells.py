"""What runs when the interpreter ends: the functions registered with atexit."""

from __future__ import annotations

import atexit
import functools
import sys
import types
from collections.abc import Callable
from operator import is_
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import MISSING, kind_of, module_of, qualname_of, text_of
from pytest_mcpsmoke.state.probes.base import Probe

_unregister = atexit.unregister

_OWN_BOOKS: Final = sys.stdlib_module_names | {"_pytest"}


class ExitFunctions(Probe):
    """The functions that are registered with atexit.

    The interpreter does not list them, but unregister() compares each with what it is asked to remove: an
    object that notes what it is compared with, and equals nothing, gets to see them all.
    """

    name = "atexit"
    words = ("atexit", "unregister")
    blind = "the arguments of a registered function, and functions that C code registers"

    def __init__(self) -> None:
        self._seen: list[Any] = []
        methods = {"__eq__": self._seen.append, "__hash__": None}  # append returns None: not equal
        self._observer: Any = type("Observer", (), methods)()
        self._forget()

    def _forget(self) -> None:
        self._functions: list[Any] = []
        self._last: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        self._modules: set[str] = set()

    def start(self) -> None:
        self._forget()

    def stop(self) -> None:
        self._seen.clear()
        self._forget()

    def read(self) -> dict[str, Any]:
        self._seen.clear()
        _unregister(self._observer)
        if len(self._seen) != len(self._functions) or not all(map(is_, self._seen, self._functions)):
            self._functions = self._seen.copy()
            self._advance()
        if len(sys.modules) != len(self._modules):
            self._modules = set(sys.modules)
        return self._last

    def _advance(self) -> None:
        """Name what is registered now, and note why what is new is no leak."""
        before, self._last = self._last, {}
        for function in self._functions:
            module, name = _name_of(function)
            key = _unused(f"{module}.{name}", self._last)
            self._last[key] = function
            if key not in before and module.partition(".")[0] in _OWN_BOOKS:
                self._reasons[key] = "the standard library, or pytest, cleans up after itself"
            elif key not in before and module not in self._modules:
                self._reasons[key] = f"{module} was imported, and registers it once"

    def place(self, key: str) -> str:
        return f"atexit.register({key})"

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        return self._reasons.get(key)

    def restore(self, key: str, before: Any, after: Any) -> None:
        if before is not MISSING:
            raise CannotRestore("the arguments it was registered with are not known")
        if sum(function is after for function in self._functions) != 1:
            raise CannotRestore("it is registered more than once, and only all of it can be removed")
        _unregister(after)


def _name_of(function: Any) -> tuple[str, str]:
    """The module and the qualified name of a function, or of the class of another callable."""
    unwrap: dict[Any, Callable[[Any], Any]] = {
        types.MethodType: lambda method: method.__func__,
        functools.partial: lambda partial: partial.func,
    }
    while kind_of(function) in unwrap:
        function = unwrap[type(function)](function)
    if kind_of(function) in (types.FunctionType, types.BuiltinFunctionType):
        return text_of(function.__module__) or "builtins", text_of(function.__qualname__) or "?"
    return module_of(type(function)) or "?", qualname_of(type(function))


def _unused(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number where another function has it already."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found

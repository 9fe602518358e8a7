"""Noticing that a module's body has finished, and that a module is reloaded.

A module first imported inside a test, and patched later in the same test, has to be watched from the
end of its body on; a reading at the test's boundaries would never see its first state. So the two
functions of importlib that every import and every reload go through are wrapped.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from typing import Any, Protocol

from pytest_mcpsmoke.state.place import is_module, module_dict

# Named like this, the wrappers' frames are dropped from tracebacks of failed imports and skipped by the
# stack levels of warnings, as those of the import system are.
_FILENAME = "<frozen importlib._bootstrap>"


class ImportListener(Protocol):
    """What is told about imports and reloads."""

    def import_begins(self, name: str) -> bool:
        """A module is about to be found and loaded; the answer is handed to import_ends."""

    def import_ends(self, name: str, began: bool) -> None:
        """It has been loaded, or could not be."""

    def reload_begins(self) -> bool:
        """A module's body is about to run again; the answer is handed to reload_ends."""

    def reload_ends(self, module: Any, outer: bool) -> None:
        """It has run again."""


class ImportHook:
    """Tells a listener about each import and each reload, until removed.

    Hooks nest: one installed inside another (a pytest run inside a test) calls the outer one too, and
    when it is not the innermost any more on removal it stays in place as a mere pass-through.
    """

    def __init__(self, listener: ImportListener) -> None:
        self._listener: ImportListener | None = listener
        self._bootstrap: Any = getattr(importlib, "_bootstrap", None)
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def install(self) -> None:
        """Wrap the import system; elsewhere than on CPython and PyPy there may be nothing to wrap."""
        for name, wrap in (("_find_and_load", self._wrap_import), ("_exec", self._wrap_reload)):
            real = getattr(self._bootstrap, name, None)
            if real is not None:
                wrapper = wrap(real)
                self._wrapped[name] = (real, wrapper)
                setattr(self._bootstrap, name, wrapper)

    def remove(self) -> None:
        """Unwrap; removing twice is fine."""
        self._listener = None
        for name, (real, wrapper) in self._wrapped.items():
            if getattr(self._bootstrap, name) is wrapper:
                setattr(self._bootstrap, name, real)
        self._wrapped.clear()

    def _wrap_import(self, real: Callable[..., Any]) -> Any:
        def _find_and_load(name: str, import_: Any) -> Any:
            listener = self._listener
            if listener is None:
                return real(name, import_)
            began = listener.import_begins(name)
            try:
                return real(name, import_)
            finally:
                listener.import_ends(name, began)

        return _as_import_system(_find_and_load)

    def _wrap_reload(self, real: Callable[..., Any]) -> Any:
        def _exec(spec: Any, module: Any) -> Any:
            listener = self._listener
            if listener is None:
                return real(spec, module)
            outer = listener.reload_begins()
            try:
                return real(spec, module)
            finally:
                listener.reload_ends(module, outer)

        return _as_import_system(_exec)


def is_on_path(name: str) -> bool:
    """Whether the import system's own finder of files would find a module now; loads nothing."""
    parent = sys.modules.get(name.rpartition(".")[0])
    path = None if parent is None else module_dict(parent).get("__path__") if is_module(parent) else []
    return PathFinder.find_spec(name, path) is not None


def _as_import_system(function: Any) -> Any:
    function.__code__ = function.__code__.replace(co_filename=_FILENAME)
    return function

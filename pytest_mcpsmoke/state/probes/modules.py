"""The probe of sys.modules: replaced, removed, stubbed. What is imported is no change."""

from __future__ import annotations

import sys
import types
import weakref
from array import array
from collections.abc import Callable
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import MISSING, compiled, is_module, module_dict
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.stubs import is_imported


def _identities(contents: dict[str, Any]) -> bytes:
    return array("Q", map(id, contents.values())).tobytes()


identities: Callable[[dict[str, Any]], bytes] = compiled("identities", _identities, "_parts")


ADDRESS: Final = len(identities({"": None}))  # bytes of one entry


class _Always:
    """For whoever is told of nothing."""

    def __init__(self, contents: dict[str, Any]) -> None:
        pass

    def take(self) -> bool:
        return True


open_written: Callable[[dict[str, Any]], Any] = compiled("Written", _Always, "_parts")


class Gone(types.ModuleType):
    """Stands for a module that nobody holds any more."""


class _Entry:
    """What stands under a name; a module is kept alive for it only where is_kept says so."""

    __slots__ = ("name", "value_of")

    def __init__(self, name: str, value: Any, is_kept: bool) -> None:
        is_weak = is_module(value) and not is_kept
        self.name = name
        self.value_of: Callable[[], Any] = weakref.ref(value) if is_weak else lambda: value

    def value(self) -> Any:
        value = self.value_of()
        return Gone(self.name) if value is None and type(self.value_of) is weakref.ref else value


class SysModules(Probe):
    name = "sys.modules"
    is_one_act = True  # removed and imported anew: replaced
    words = ("modules", "ModuleType", "import_module", "import_fresh_module")
    blind = "who did it, where the source of the test does not name sys.modules"

    def __init__(self, keeps: bool = False) -> None:
        self._keeps = keeps  # modules alive that are taken out
        self._identities = b""
        self._written: Any = None  # whether the dict has been written to
        self._dict: Any = None  # the one that is meant
        self._last: dict[str, Any] = {}
        self._known: dict[tuple[str, int], _Entry] = {}  # what comes back is the same entry again

    def stop(self) -> None:
        self._written = self._dict = None

    def read(self) -> dict[str, Any]:
        if sys.modules is not self._dict:
            self._dict, self._written = sys.modules, open_written(sys.modules)
        if not self._written.take():
            return self._last
        now = identities(sys.modules)
        before, self._identities = self._identities, now
        if now != before:
            entries = [*sys.modules.copy().items()]
            is_longer = now.startswith(before)  # nothing but imports, as nearly always
            known = len(before) // ADDRESS if is_longer else 0
            added = {name: self._entry(name, value) for name, value in entries[known:] if type(name) is str}
            self._last = {**self._last, **added} if is_longer else added
        return self._last

    def _entry(self, name: str, value: Any) -> _Entry:
        known = self._known.get((name, id(value)))
        if known is None or known.value_of() is not value:
            known = self._known[name, id(value)] = _Entry(name, value, self._keeps)
        return known

    def value(self, reading: Any) -> Any:
        return MISSING if reading is MISSING else reading.value()

    def place(self, key: str) -> str:
        return f"sys.modules[{key!r}]"

    def restore(self, key: str, before: Any, after: Any) -> None:
        """Bindings only, that of a package to its submodule included.

        An import is no change: only for state/undoing.py does this take out what was really imported.
        """
        if type(before) is Gone:
            raise CannotRestore("nobody holds the module any more")
        if before is MISSING:
            del sys.modules[key]
        else:
            sys.modules[key] = before
        if before is MISSING or is_module(before):
            _bind_in_package(key, before, after)


def un_import(name: str, module: Any) -> None:
    """Take a module out of sys.modules and out of its package, as far as it still stands there."""
    if sys.modules.get(name) is module:
        del sys.modules[name]
    _bind_in_package(name, MISSING, module)


def _bind_in_package(name: str, before: Any, after: Any) -> None:
    """Let a package hold, as its attribute, what sys.modules has for its submodule, as importing it would."""
    package, _, last = name.rpartition(".")
    parent = sys.modules.get(package)
    contents = module_dict(parent) if is_module(parent) else {}
    if not is_imported(after) or contents.get(last) is not after:
        return
    if before is MISSING:
        del contents[last]
    else:
        contents[last] = before

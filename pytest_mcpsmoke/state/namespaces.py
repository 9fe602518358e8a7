"""Finding the namespaces of a program: its modules and the classes they hold."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from itertools import islice
from typing import Any

from pytest_mcpsmoke.state.engines import Engine
from pytest_mcpsmoke.state.place import Namespace, is_module, is_open_class, module_dict, open_classes


class Namespaces:
    """Puts every loaded module, and every class held by one, under watch as soon as it appears.

    is_program(module name, file or None) tells which modules count as the program; their classes are
    watched with the classes nested in them, those of other modules without.
    """

    def __init__(self, engine: Engine, is_program: Callable[[str, str | None], bool]) -> None:
        self._engine = engine
        self._is_program = is_program
        self._known: dict[str, int] = {}  # name in sys.modules -> id of the object there
        self._unfinished: set[str] = set()  # names of modules whose bodies still ran when looked at
        self._seen: tuple[int, str | None] = (0, None)  # size and last name of sys.modules, looked at last
        self._identities: list[int] = []  # of the modules at the last sweep
        self._anchor: str | None = None  # of the names in sys.modules, all up to this one are known …
        self._anchored = 0  # … which are so many
        self.now: object = None  # the owner in whose time new namespaces are born

    def refresh(self) -> None:
        """Watch what was added to sys.modules since the last call; nearly free when nothing was.

        A module that took another's place, without a change of the names, is left to sweep().
        """
        loaded = sys.modules
        seen = (len(loaded), next(reversed(loaded), None))
        if seen == self._seen and not self._unfinished:
            return
        behind = seen[0] - self._anchored
        tail = list(islice(reversed(loaded), behind + 1)) if behind >= 0 else []
        if not tail or tail[-1] != self._anchor:
            self.sweep()
            return
        names = tail[-2::-1]
        self._seen = seen
        self._unfinished.clear()
        for name in names:
            self.add(name)
        self._move_anchor(names)

    def sweep(self) -> None:
        """Look at every name in sys.modules."""
        loaded = sys.modules.copy()
        self._seen = (len(loaded), next(reversed(loaded), None))
        identities = [*map(id, loaded.values())]
        if identities == self._identities and self._seen == (self._anchored, self._anchor):
            return  # compared at C speed, for nothing has happened nearly always
        self._identities = identities
        self._unfinished.clear()
        for name in loaded:
            self.add(name)
        self._anchor, self._anchored = None, 0
        self._move_anchor(loaded)

    def _move_anchor(self, names: Iterable[str]) -> None:
        """Move it on, up to the first module that is unfinished: when that is, it moves to the end."""
        for name in names:
            if name in self._unfinished:
                break
            self._anchor = name
            self._anchored += 1

    def add(self, name: str) -> None:
        """Watch the module of this name from its present state on, if it is not watched yet.

        What is in sys.modules and is no module is never opened; a module whose body still runs is
        left for later.
        """
        module = sys.modules.get(name)
        if not is_module(module):
            return
        contents = module_dict(module)
        if self._known.get(name) == id(module) and self._engine.follows(contents):
            return  # an address alone proves nothing: it may have been a dead module's
        if _is_initialising(contents):
            self._unfinished.add(name)
            return
        self._known[name] = id(module)
        deep = self._is_program(
            name, contents.get("__file__") if type(contents.get("__file__")) is str else None
        )
        if self._engine.watch(contents, Namespace("module", weakref.ref(module), name, self.now)):
            self._add_classes(contents, name, deep)

    def add_value(self, value: object, namespace: Namespace) -> None:
        """Watch a class that a watched namespace has come to hold."""
        if is_open_class(value):
            self._add_classes({"": value}, namespace.key, deep=True)

    def _add_classes(self, contents: dict[str, Any], key: str, deep: bool) -> None:
        for cls, attributes in open_classes(contents):
            if self._engine.follows(attributes):
                continue  # most classes stand in several modules
            if self._engine.watch(attributes, Namespace("class", weakref.ref(cls), key, self.now)) and deep:
                self._add_classes(attributes, key, deep)


def _is_initialising(contents: dict[str, Any]) -> bool:
    spec = contents.get("__spec__")
    return type(spec) is ModuleSpec and bool(getattr(spec, "_initializing", False))

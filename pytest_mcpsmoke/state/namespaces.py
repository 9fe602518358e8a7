"""Finding the namespaces of a program: its modules and the classes they hold."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from itertools import islice
from types import FrameType
from typing import Any

from pytest_mcpsmoke.state.engines import Engine
from pytest_mcpsmoke.state.place import (
    Namespace,
    is_module,
    is_open_class,
    module_dict,
    open_classes,
    text_of,
)


class Namespaces:
    """Puts every loaded module, and every class held by one, under watch as soon as it appears.

    is_program(module name, file or None) tells which modules count as the program; their classes are
    watched with the classes nested in them, those of other modules without.
    """

    def __init__(
        self,
        engine: Engine,
        is_program: Callable[[str, str | None], bool],
        found: Callable[[Namespace, bool], None] = lambda namespace, deep: None,
        unread: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._unread = unread
        self._engine = engine
        self._is_program = is_program
        self._found = found
        self._known: dict[str, int] = {}  # name in sys.modules -> id of the object there
        self._identities: list[int] = []  # of the modules at the last sweep
        self._anchor: str | None = None  # of the names in sys.modules, all up to this one are known …
        self._anchored = 0  # … which are so many
        self.now: object = None  # the owner in whose time new namespaces are born

    def refresh(self) -> None:
        """Watch what was added to sys.modules since the last call; nearly free when nothing was.

        A module that took another's place, without a change of the names, is left to sweep().
        """
        loaded = sys.modules
        behind = len(loaded) - self._anchored
        if behind == 0 and next(reversed(loaded), None) == self._anchor:
            return
        tail = list(islice(reversed(loaded), behind + 1)) if behind >= 0 else []
        if tail and tail[-1] == self._anchor:
            self._look_at(tail[-2::-1])
        else:
            self.sweep()

    def sweep(self) -> None:
        """Look at every name in sys.modules."""
        loaded = sys.modules.copy()
        identities = [*map(id, loaded.values())]
        last = next(reversed(loaded), None)
        if identities == self._identities and (len(loaded), last) == (self._anchored, self._anchor):
            return  # compared at C speed, for nothing has happened nearly always
        self._identities = identities
        self._anchor, self._anchored = None, 0
        self._look_at(loaded)

    def _look_at(self, names: Iterable[str]) -> None:
        """Watch these; the anchor moves on, up to the first whose body still runs: that will move, too."""
        is_settled = True
        for name in names:
            is_settled = self.add(name) and is_settled
            if is_settled:
                self._anchor = name
                self._anchored += 1

    def add(self, name: str) -> bool:
        """Watch the module of this name from its present state on, if it is not watched yet.

        What is in sys.modules and is no module is never opened; False: the module's body still runs, and
        it is left for later.
        """
        module = sys.modules.get(name)
        if not is_module(module):
            return True
        contents = module_dict(module)
        if self._known.get(name) == id(module) and self._engine.follows(contents):
            return True  # an address alone proves nothing: it may have been a dead module's
        if _is_initialising(contents):
            return False
        self._known[name] = id(module)
        deep = self._is_program(name, text_of(contents.get("__file__")))
        namespace = Namespace("module", weakref.ref(module), name, self.now)
        if self._unread(name):
            return True
        if self._engine.watch(contents, namespace):
            self._found(namespace, deep)
            self._add_classes(contents, name, deep)
        return True

    def is_program(self, name: str) -> bool:
        """Whether a loaded module counts as the program."""
        module = sys.modules.get(name)
        return is_module(module) and self._is_program(name, text_of(module_dict(module).get("__file__")))

    def add_value(self, value: object, namespace: Namespace) -> None:
        """Watch a class that a watched namespace has come to hold."""
        if is_open_class(value):
            self._add_classes({"": value}, namespace.key, deep=True)

    def _add_classes(self, contents: dict[str, Any], key: str, deep: bool) -> None:
        for cls, attributes in open_classes(contents):
            if self._engine.follows(attributes):
                continue  # most classes stand in several modules
            namespace = Namespace("class", weakref.ref(cls), key, self.now)
            if self._unread(namespace.name):
                continue
            if self._engine.watch(attributes, namespace):
                self._found(namespace, deep)
                if deep:
                    self._add_classes(attributes, key, deep)


def _is_initialising(contents: dict[str, Any]) -> bool:
    spec = contents.get("__spec__")
    if type(spec) is ModuleSpec and "_initializing" in spec.__dict__:
        return bool(spec._initializing)  # type: ignore[attr-defined]
    return contents.get("__name__") != "__main__" and _is_running(contents)


def _is_running(contents: dict[str, Any]) -> bool:
    """Whether a module's body runs that did not come by an import statement: nothing else marks it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is contents and frame.f_code.co_name == "<module>":
            return True
        frame = frame.f_back
    return False

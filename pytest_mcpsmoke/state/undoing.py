"""What a process that is thrown away afterwards may undo beside leaks: warm-ups, and imports among them.

A table of what stays, tried in order; every exemption carries its reason.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final, NamedTuple

from pytest_mcpsmoke.state.change import Change, Verdict
from pytest_mcpsmoke.state.globs import matches
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.object_rules import COLLECTION
from pytest_mcpsmoke.state.place import MISSING, Namespace, is_module
from pytest_mcpsmoke.state.policy import is_submodule
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.stubs import BoundToStubs
from pytest_mcpsmoke.state.writer import Files, file_of_module, is_runner_module

_RESOURCES: Final = frozenset({"descriptors", "threads", "children"})
_Judged = tuple[Change, Verdict, str | None]


class Scene:
    """What is loaded when an owner's time is over.

    imported: the modules first imported in that time. compiled: the packages that hold an extension module.
    plugins: the packages that hold a plugin of pytest.
    """

    def __init__(self, files: Files, warm_ups: Iterable[Change]) -> None:
        loaded = {name: file_of_module(name) or "" for name in list(sys.modules)}
        suffixes = tuple(EXTENSION_SUFFIXES)
        self.imported = frozenset(change.key for change in warm_ups if _is_import(change))
        self.compiled = frozenset(_top(name) for name, file in loaded.items() if file.endswith(suffixes))
        self.plugins = frozenset(_top(name) for name, file in loaded.items() if file in files.plugins)


class Exemption(NamedTuple):
    """Something that stays as its owner left it. is_lifted: not where the place itself is named."""

    name: str
    reason: str
    is_lifted: bool
    applies: Callable[[Change, Scene], bool]


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_import(change: Change) -> bool:
    """Whether a module stands in sys.modules where nothing stood; as a leak, it is a stub."""
    return isinstance(change.holder, SysModules) and change.before is MISSING and is_module(change.after)


def _un_imports(change: Change) -> bool:
    """Whether undoing a change takes a module out of sys.modules."""
    return isinstance(change.holder, BoundToStubs) or _is_import(change)


def _is_of_pytest(change: Change, scene: Scene) -> bool:
    if not _un_imports(change):
        return False
    is_of_plugin = _top(change.key) in scene.plugins and not change.is_ours(change.key)
    return is_of_plugin or is_runner_module(change.key)


def _is_of_interpreter(change: Change, scene: Scene) -> bool:
    return _un_imports(change) and _top(change.key) in sys.stdlib_module_names


def _is_compiled(change: Change, scene: Scene) -> bool:
    return _un_imports(change) and _top(change.key) in scene.compiled


def _is_part_of_older_library(change: Change, scene: Scene) -> bool:
    is_of_library = _un_imports(change) and not change.is_ours(change.key)
    return is_of_library and _top(change.key) not in scene.imported


def _is_of_collection(change: Change, scene: Scene) -> bool:
    return change.owner.kind == "module"


def _is_set_up_by_import(change: Change, scene: Scene) -> bool:
    holder = change.holder.root[0] if isinstance(change.holder, Node) else change.holder
    return change.cause == "import" and isinstance(holder, Namespace) and not change.is_ours(holder.module)


def _is_resource(change: Change, scene: Scene) -> bool:
    return change.holder.probe in _RESOURCES


# What stays of the warm-ups, and of the modules.
STAYS: Final[tuple[Exemption, ...]] = (
    Exemption("pytest", "it belongs to pytest or to a plugin of it, which go on", False, _is_of_pytest),
    Exemption(
        "interpreter", "it is the standard library's, and all the process uses it", False, _is_of_interpreter
    ),
    Exemption(
        "extension",
        "its package holds an extension module, which loads once in a process",
        False,
        _is_compiled,
    ),
    Exemption(
        "collection",
        "a test module's import did it, and the module relies on it; named itself, it is undone",
        True,
        _is_of_collection,
    ),
    Exemption(
        "library",
        "its library was imported before, and may hold it; named itself, it is undone",
        True,
        _is_part_of_older_library,
    ),
    Exemption(
        "set up by an import",
        "an import set it up outside of the program; named itself, it is undone",
        True,
        _is_set_up_by_import,
    ),
    Exemption("resource", "whoever opened it still uses it; named itself, it is undone", True, _is_resource),
)


class Undoing:
    """What is undone of an owner's changes, by globs over their places."""

    def __init__(self, globs: tuple[str, ...], files: Files) -> None:
        self._globs = globs
        self._files = files

    def wants(self, place: str) -> bool:
        return any(matches(place, glob) for glob in self._globs)

    def told(self, judged: list[_Judged]) -> list[_Judged]:
        """Take for warm-ups, which are recorded, the imports and set-ups that no run records otherwise."""
        return [
            (
                change,
                "warm-up" if verdict == "ignored" and self._is_undoable(change, reason) else verdict,
                reason,
            )
            for change, verdict, reason in judged
        ]

    def _is_undoable(self, change: Change, reason: str | None) -> bool:
        if _is_import(change):  # but for test modules, which pytest imports itself and holds
            return not self._files.is_test(file_of_module(change.key) or "")
        return reason == COLLECTION and not is_submodule(change)

    def why_stays(self, change: Change, place: str, is_leak: bool, scene: Scene) -> str | None:
        """Return why a change stays although it is wanted; None: it is undone.

        place is what the report calls it. A leak stays only where undoing it is un-importing.
        """
        if is_leak and not isinstance(change.holder, BoundToStubs):
            return None
        is_named = place in self._globs
        for one in STAYS:
            if one.applies(change, scene) and not (one.is_lifted and is_named):
                return one.reason
        return None

    def scene(self, warm_ups: Iterable[Change]) -> Scene:
        return Scene(self._files, warm_ups)


def goes_along(change: Change) -> bool:
    """Whether it is the attribute of a package that un-importing its submodule takes away."""
    return isinstance(change.holder, Namespace) and is_submodule(change)

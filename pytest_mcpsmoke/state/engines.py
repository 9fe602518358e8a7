"""Three ways to notice writes to namespaces, behind one small interface.

watch    CPython 3.12+: the interpreter reports each write as it happens, with the code that wrote.
version  CPython 3.11: dicts carry a version; those whose version moved are compared with a copy.
scan     anywhere: all are compared with their copies.
"""

from __future__ import annotations

import importlib
import operator
import platform
import sys
import weakref
from itertools import compress
from typing import Any, Final, Literal, NamedTuple, Protocol

from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.state.place import MISSING, Namespace, is_module, module_dict, text_of

EngineName = Literal["watch", "version", "scan"]
ENGINE_NAMES: Final[tuple[EngineName, ...]] = ("watch", "version", "scan")


class Write(NamedTuple):
    """One name that holds another object than at the last drain."""

    namespace: Namespace
    key: str
    old: Any  # MISSING when the name was not there
    new: Any  # MISSING when it is there no more
    stack: tuple[Any, ...]  # code, line, code, line, …: innermost frame first; empty where not observed


class Engine(Protocol):
    """Follows dicts and tells what has been written to them."""

    name: EngineName

    def follows(self, contents: dict[str, Any]) -> bool:
        """Whether this dict is followed already."""

    def watch(self, contents: dict[str, Any], namespace: Namespace) -> bool:
        """Follow this dict from now on; False when it is followed already."""

    def drain(self) -> list[Write]:
        """Return what has been written since the last call and is not back."""

    def stop(self) -> None:
        """Follow nothing any more. Stopping twice is fine."""


class WatchEngine:
    """CPython 3.12+: dict watchers. A drain costs the same however much is watched."""

    name: EngineName = "watch"

    def __init__(self, test_files: set[str]) -> None:
        own_books = (_files_of("_pytest") | _files_of("warnings")) - _files_of("_pytest.monkeypatch")
        self._log = _accelerator("Log", "watch")(test_files, MISSING, own_books, _files_of("pluggy"))

    def watch(self, contents: dict[str, Any], namespace: Namespace) -> bool:
        followed: bool = self._log.watch(contents, namespace)
        return followed

    def follows(self, contents: dict[str, Any]) -> bool:
        followed: bool = self._log.follows(contents)
        return followed

    def drain(self) -> list[Write]:
        # The collector empties the namespaces of what it collects: that is no write.
        rows = self._log.drain()
        return [Write(*row) for row in rows if row[0].ref() is not None] if rows else []

    def stop(self) -> None:
        self._log.stop()


def _files_of(package: str) -> set[str]:
    """The source files of what is loaded of a package.

    Of what pytest and warnings write into their own, some thirty writes a test, the innermost frame tells
    enough (only monkeypatch writes for others); and beyond a hook call of pluggy's there is no test code.
    """
    loaded = [module for name, module in list(sys.modules.items()) if f"{name}.".startswith(f"{package}.")]
    files = [text_of(module_dict(module).get("__file__")) for module in loaded if is_module(module)]
    return {file for file in files if file is not None}


def _differs(contents: dict[str, Any], copy: dict[str, Any]) -> bool:
    """Whether two dicts differ in their keys, their order or the identity of a value."""
    if len(contents) != len(copy):
        return True
    try:
        return not (
            all(map(operator.is_, contents.values(), copy.values()))
            and all(map(operator.is_, contents, copy))
        )
    except RuntimeError:  # another thread wrote meanwhile: the size changed under the iteration
        return True


def _by_text(contents: dict[Any, Any]) -> dict[str, Any]:
    """Copy what stands under names; a subclass of str counts as the text it holds, and is never asked."""
    return {_text_of_key(key): value for key, value in contents.items() if issubclass(type(key), str)}


def _text_of_key(key: Any) -> str:
    return key if type(key) is str else str.__str__(key)


class ScanEngine:
    """Anywhere: a copy of each namespace is compared by identity. Costs grow with the program."""

    name: EngineName = "scan"

    def __init__(self) -> None:
        self._followed: dict[int, tuple[dict[str, Any], Namespace, dict[str, Any]]] = {}
        self._gone: list[int] = []
        self._callbacks: list[weakref.ref[Any]] = []

    def follows(self, contents: dict[str, Any]) -> bool:
        return id(contents) in self._followed

    def watch(self, contents: dict[str, Any], namespace: Namespace) -> bool:
        address = id(contents)
        if address in self._followed:
            return False
        target = namespace.ref()
        if target is not None:  # when it dies, its copy must not keep its values alive
            self._callbacks.append(weakref.ref(target, lambda _: self._gone.append(address)))
        self._followed[address] = (contents, namespace, contents.copy())
        return True

    def drain(self) -> list[Write]:
        while self._gone:
            self._forget(self._gone.pop())
        return [write for address in self._changed() for write in self._compare(address)]

    def stop(self) -> None:
        self._followed.clear()
        self._callbacks.clear()

    def _forget(self, address: int) -> None:
        self._followed.pop(address, None)

    def _changed(self) -> list[int]:
        return [
            address for address, (contents, _, copy) in self._followed.items() if _differs(contents, copy)
        ]

    def _compare(self, address: int) -> list[Write]:
        contents, namespace, copy = self._followed[address]
        current = contents.copy()
        self._followed[address] = (contents, namespace, current)
        if all(map(operator.is_, current, copy)) and len(current) == len(copy):
            # the same names in the same order, as nearly always: only the values are told apart
            rows = zip(copy, copy.values(), current.values(), strict=True)
            changed = compress(rows, map(operator.is_not, copy.values(), current.values()))
            return [
                Write(namespace, _text_of_key(name), old, new, ())
                for name, old, new in changed
                if issubclass(type(name), str)
            ]
        before, after = _by_text(copy), _by_text(current)
        pairs = [(name, before.get(name, MISSING), after.get(name, MISSING)) for name in {**before, **after}]
        return [Write(namespace, name, old, new, ()) for name, old, new in pairs if old is not new]


class VersionEngine(ScanEngine):
    """CPython 3.11: only namespaces whose version tag moved are compared."""

    name: EngineName = "version"

    def __init__(self) -> None:
        super().__init__()
        self._versions = _accelerator("Versions", "version")()
        self._addresses: list[int] = []
        self._indices: dict[int, int] = {}

    def watch(self, contents: dict[str, Any], namespace: Namespace) -> bool:
        if not super().watch(contents, namespace):
            return False
        self._indices[id(contents)] = self._versions.add(contents)
        self._addresses.append(id(contents))
        return True

    def stop(self) -> None:
        super().stop()
        for index in self._indices.values():
            self._versions.discard(index)
        self._indices.clear()

    def _forget(self, address: int) -> None:
        super()._forget(address)
        index = self._indices.pop(address, None)
        if index is not None:
            self._versions.discard(index)

    def _changed(self) -> list[int]:
        return [self._addresses[index] for index in self._versions.changed()]


def _accelerator(name: str, engine: str) -> Any:
    """Return a class of the compiled part; raise EngineUnavailable with the reason when it is not there."""
    running = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    try:
        module = importlib.import_module("pytest_mcpsmoke.state._watch")
    except ImportError as error:
        raise EngineUnavailable(f"{engine}: the compiled part does not load on {running}: {error}") from error
    found = getattr(module, name, None)
    if found is None:
        other = "CPython 3.12 or later" if engine == "watch" else "CPython 3.11"
        raise EngineUnavailable(f"{engine}: needs {other}, this is {running}")
    return found


def open_engine(wanted: str, test_files: set[str]) -> tuple[Engine, str | None]:
    """Return the engine that was asked for, or with "auto" the best there is, and why no better one.

    Raises EngineUnavailable when a certain engine was asked for and does not work here.
    """
    best = "watch" if sys.version_info >= (3, 12) else "version"
    name = best if wanted == "auto" else wanted
    try:
        if name == "watch":
            try:
                return WatchEngine(test_files), None
            except RuntimeError as error:
                raise EngineUnavailable(f"watch: {error}") from error
        if name == "version":
            return VersionEngine(), None
    except EngineUnavailable as unavailable:
        if wanted != "auto":
            raise
        return ScanEngine(), str(unavailable)
    return ScanEngine(), None

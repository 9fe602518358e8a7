"""Three ways to notice writes to namespaces, behind one small interface.

watch    CPython 3.12+: the interpreter reports each write as it happens, with the code that wrote.
version  CPython 3.11: dicts carry a version; those whose version moved are compared with a copy.
scan     anywhere: all are compared with their copies.
"""

from __future__ import annotations

import gc
import importlib
import operator
import platform
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple, Protocol

from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.state.place import MISSING, Holder, Namespace, compiled, is_module, module_dict, text_of

EngineName = Literal["watch", "version", "scan"]
ENGINE_NAMES: Final[tuple[EngineName, ...]] = ("watch", "version", "scan")


class Write(NamedTuple):
    """One key that holds another object than at the last drain."""

    holder: Holder
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

    def rest(self) -> None:
        """Until wake(), let writes pass, unnoticed; what was written before and not drained is lost."""

    def wake(self) -> None:
        """Notice writes again: those against the present state."""

    def stop(self) -> None:
        """Follow nothing any more. Stopping twice is fine."""


class WatchEngine:
    """CPython 3.12+: dict watchers. A drain costs the same however much is watched."""

    name: EngineName = "watch"

    def __init__(self, test_files: set[str]) -> None:
        own_books = _files_of("_pytest") - _files_of("_pytest.monkeypatch") | _files_of("warnings")
        self._log = _accelerator("Log", "watch")(test_files, MISSING, own_books)
        self.watch: Callable[[dict[str, Any], Namespace], bool] = self._log.watch
        self.follows: Callable[[dict[str, Any]], bool] = self._log.follows
        self.rest: Callable[[], None] = self._log.rest
        self.wake: Callable[[], None] = self._log.wake
        self.stop: Callable[[], None] = self._log.stop

    def drain(self) -> list[Write]:
        # The collector empties the namespaces of what it collects: that is no write.
        rows = self._log.drain()
        return [Write(*row) for row in rows if row[0].ref() is not None] if rows else []


def _files_of(package: str) -> set[str]:
    """The source files of what is loaded of a package.

    Of what pytest and warnings write into their own, some thirty writes a test, the innermost frame tells
    enough (only monkeypatch writes for others).
    """
    inside = package + "."
    loaded = [
        sys.modules.get(name) for name in list(sys.modules) if name == package or name.startswith(inside)
    ]
    files = [text_of(module_dict(module).get("__file__")) for module in loaded if is_module(module)]
    return {file for file in files if file is not None}


def _is_same(contents: dict[Any, Any], copy: dict[Any, Any]) -> bool:
    if len(contents) != len(copy):
        return False
    try:
        return all(map(operator.is_, contents.values(), copy.values())) and all(
            map(operator.is_, contents, copy)
        )
    except RuntimeError:  # another thread wrote meanwhile: the size changed under the iteration
        return False


# Whether a dict holds the same objects under the same names, in the same order, as its copy.
is_same: Callable[[dict[Any, Any], dict[Any, Any]], bool] = compiled("is_same", _is_same)


def _by_text(contents: dict[Any, Any]) -> dict[str, Any]:
    """Copy what stands under names; a subclass of str counts as the text it holds, and is never asked."""
    return {
        key if type(key) is str else str.__str__(key): value
        for key, value in contents.items()
        if issubclass(type(key), str)
    }


class _Followed(weakref.ref[Any]):
    """A namespace and the copy that it is compared with; points weakly at its module or class."""

    __slots__ = ("contents", "copy", "index", "namespace")

    contents: dict[str, Any]
    copy: dict[str, Any]
    namespace: Namespace
    index: int  # of the version engine: where the compiled part keeps it


class ScanEngine:
    """Anywhere: a copy of each namespace is compared by identity. Costs grow with the program."""

    name: EngineName = "scan"

    def __init__(self) -> None:
        self._followed: dict[int, _Followed] = {}  # by address of the dict
        self._gone: list[int] = []  # filled whenever a module or class dies: its copy must go, too
        gc.callbacks.append(self._before_collection)

    def follows(self, contents: dict[str, Any]) -> bool:
        return id(contents) in self._followed

    def watch(self, contents: dict[str, Any], namespace: Namespace) -> bool:
        address = id(contents)
        target = namespace.ref()
        if address in self._followed or target is None:
            return False
        followed = _Followed(target, self._note_death)
        followed.contents, followed.copy, followed.namespace = contents, contents.copy(), namespace
        self._followed[address] = followed
        return True

    def drain(self) -> list[Write]:
        return [
            write
            for followed, before in self._advance()
            for write in _writes(followed.namespace, before, followed.copy)
        ]

    def rest(self) -> None:
        pass

    def wake(self) -> None:
        for _ in self._advance():
            pass

    def stop(self) -> None:
        for address in list(self._followed):
            self._forget(address)
        if self._before_collection in gc.callbacks:
            gc.callbacks.remove(self._before_collection)

    def _advance(self) -> Iterator[tuple[_Followed, dict[str, Any]]]:
        """Bring the copies up to date; yield what differed, with its earlier copy."""
        self._forget_gone()
        for followed in list(self._followed.values()):
            if not is_same(followed.contents, followed.copy):
                before, followed.copy = followed.copy, followed.contents.copy()
                yield followed, before

    def _before_collection(self, phase: str, info: dict[str, int]) -> None:
        """Let go what has left sys.modules: but for the copies of what it held it may be garbage."""
        if phase == "start" and info["generation"] == 2:
            for address, followed in list(self._followed.items()):
                if followed.namespace.key not in sys.modules:
                    self._forget(address)

    def _note_death(self, followed: weakref.ref[Any]) -> None:
        assert isinstance(followed, _Followed)
        self._gone.append(id(followed.contents))

    def _forget_gone(self) -> None:
        while self._gone:
            self._forget(self._gone.pop())

    def _forget(self, address: int) -> None:
        self._followed.pop(address, None)


def _writes(namespace: Namespace, before: dict[Any, Any], after: dict[Any, Any]) -> list[Write]:
    """The names that hold other objects in one copy of a namespace than in an earlier one."""
    before, after = _by_text(before), _by_text(after)
    pairs = [(name, before.get(name, MISSING), after.get(name, MISSING)) for name in {**before, **after}]
    return [Write(namespace, name, old, new, ()) for name, old, new in pairs if old is not new]


class VersionEngine(ScanEngine):
    """CPython 3.11: only namespaces whose version tag moved are compared."""

    name: EngineName = "version"

    def __init__(self) -> None:
        self._versions = _accelerator("Versions", "version")()  # first: it may not be there
        super().__init__()
        self._by_index: list[_Followed] = []

    def watch(self, contents: dict[str, Any], namespace: Namespace) -> bool:
        if not super().watch(contents, namespace):
            return False
        followed = self._followed[id(contents)]
        followed.index = self._versions.add(contents, followed.copy)
        self._by_index.append(followed)
        return True

    def _advance(self) -> Iterator[tuple[_Followed, dict[str, Any]]]:
        self._forget_gone()
        for index, copy in self._versions.changed():
            followed = self._by_index[index]
            before, followed.copy = followed.copy, copy
            yield followed, before

    def stop(self) -> None:
        super().stop()
        self._by_index.clear()  # weak references that tell of deaths: not when the interpreter ends

    def _forget(self, address: int) -> None:
        followed = self._followed.pop(address, None)
        if followed is not None:
            followed.contents = followed.copy = {}  # its values must not live on
            self._versions.discard(followed.index)


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

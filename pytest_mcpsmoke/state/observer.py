"""The detector without pytest: namespaces under an engine, changes in a ledger, verdicts by policy."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import Any, Final

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state import policy, writer
from pytest_mcpsmoke.state.ambient import AMBIENT
from pytest_mcpsmoke.state.change import Change, Verdict
from pytest_mcpsmoke.state.containers import Graph, is_unread
from pytest_mcpsmoke.state.diff import redefinition
from pytest_mcpsmoke.state.engines import Engine, Write
from pytest_mcpsmoke.state.imports import ImportHook, is_on_path
from pytest_mcpsmoke.state.kinds import WORDS_OF_PARTS
from pytest_mcpsmoke.state.ledger import Cause, Ledger, Owner, Step
from pytest_mcpsmoke.state.namespaces import Namespaces
from pytest_mcpsmoke.state.nodes import FixtureValue, Library, Node
from pytest_mcpsmoke.state.place import (
    MISSING,
    Holder,
    Namespace,
    dict_of_class,
    module_dict,
    module_of,
    mro_of,
    text_of,
)
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.probes.readings import Readings
from pytest_mcpsmoke.state.registrations import STARTED
from pytest_mcpsmoke.state.restore import is_back, restore
from pytest_mcpsmoke.state.stubs import BoundToStubs

_LIMITS = Limits()
_TRIES: Final = 3  # to import what is not there; a program may ask for it at every call
_LOGGING_WORDS = (
    *("setLevel", "addHandler", "removeHandler", "addFilter", "removeFilter", "disable", "basicConfig"),
    *("dictConfig", "fileConfig", "propagate", "captureWarnings"),
)
_WITH_STATE: Final = {*AMBIENT, "logging", "unittest.mock"}
_PATCHING_WORDS = ("start", "patch", "object", "multiple")
Judged = tuple[Change, Verdict, str | None]


class Observer:
    """Books every change to whoever ran between two boundaries, and says what an owner left behind.

    current is whoever runs now; while it is None, what happens is nobody's and is forgotten.
    """

    def __init__(
        self,
        engine: Engine,
        files: writer.Files,
        is_program: Callable[[str, str | None], bool],
        limits: Limits = _LIMITS,
        probes: Iterable[Probe] = (),
        classify: policy.Classify | None = None,
        undone_later: frozenset[str] = frozenset(),
        keeps_modules: bool = False,
    ) -> None:
        self._classify = classify
        self._undone_later = undone_later
        self.engine = engine
        self.files = files
        self.current: Owner | None = None
        self.during: str | None = None
        self._modules = SysModules(keeps_modules)
        self.readings = Readings([*probes, self._modules])
        self.graph = Graph(limits, self._is_ours, engine.follows, self._is_test)
        unread = self._unread = limits.unread
        self._namespaces = Namespaces(
            engine, is_program, self._found, partial(is_unread, globs=unread) if unread else None
        )
        self._ours: dict[str, bool] = {}  # module -> whether it is the program's, or a test module
        self._bound = BoundToStubs(self._is_test)
        self._stubs: dict[str, Any] = {}  # what stands in sys.modules and was not imported, by name
        self._values: dict[Owner, FixtureValue] = {}
        self._ledger = Ledger()
        self._imports = ImportHook(self)
        self._writes: list[Write] = []  # noticed between boundaries
        self._active = False
        self._resting = False
        self._importing = False
        self._missed: dict[str, int] = {}  # module -> how often it could not be imported
        self.is_changed_between = True  # whether anything may change while this rests
        self.test_module: str | None = None  # the test module whose import is collection's business

    def start(self) -> None:
        """Take the present state of everything that is loaded as the baseline."""
        self._imports.install()
        self.graph.start()
        gc.callbacks.append(self._before_collection)  # before they are looked into
        with _without_collector():
            self._namespaces.sweep()
        self.readings.start()
        self._active = True

    def stop(self) -> None:
        """Watch nothing any more. Stopping twice is fine."""
        self._active = self._resting = False
        self._imports.remove()
        self.engine.stop()
        self.graph.stop()
        self.readings.stop()
        if self._before_collection in gc.callbacks:
            gc.callbacks.remove(self._before_collection)

    def _before_collection(self, phase: str, info: dict[str, int]) -> None:
        """What has left sys.modules may be garbage, but for what is kept here."""
        if phase == "start" and info["generation"] == 2:
            self._ledger.discard(_came_and_went)
            self.graph.let_go()

    def book(self, cause: Cause | None = None) -> None:
        """A boundary: what was written since the last one is booked to whoever is current."""
        if not self._active or self._resting:
            return
        self._namespaces.refresh()
        writes = self.engine.drain()
        if writes:
            self._book(writes, cause)
        self._book_rest(cause)

    def _book_rest(self, cause: Cause | None = None, act: str | None = None) -> None:
        """Book what has changed inside objects, and around the program."""
        writes = self.graph.drain() + self.readings.drain() + self._writes
        self._writes = []
        if writes and self.current is not None:
            self._ledger.book(writes, self.current, self.during, cause, act)

    def sweep(self) -> None:
        """Watch the modules, too, that took the places of others in sys.modules."""
        if self._active:
            self._namespaces.sweep()

    def switch(self, owner: Owner | None) -> Owner | None:
        """A boundary after which somebody else runs; returns who ran until now."""
        before = self.current
        if not self._resting:
            self.book()
        self.resume(owner)
        return before

    def resume(self, owner: Owner | None) -> None:
        """Let somebody run without a boundary: right after one, or to book what nobody has owned so far."""
        self.current = self._namespaces.now = self.graph.now = owner
        if self._resting and owner is not None:
            self._resting = False
            self.engine.wake()
            self.graph.drain(unseen=self.is_changed_between)
            if self.is_changed_between:
                self.readings.skip()

    def rest(self) -> None:
        """Let what happens until somebody runs again pass unseen: it is nobody's."""
        self.current = self._namespaces.now = self.graph.now = None
        if self._active:
            self._resting = True
            self.engine.rest()

    def end(self, owner: Owner) -> list[Judged]:
        """A boundary at which an owner's time is over: judge what it left changed."""
        self.book()
        if self._ledger.is_empty:
            self.graph.settle()
            return []
        left = [entry for entry in self._ledger.end(owner) if not self._is_over(*entry[:2], owner)]
        if self._unread:
            left = [entry for entry in left if not is_unread(entry[0].place(entry[1]), self._unread)]
        judged = policy.judge_all([self._change(*entry) for entry in left], self._classify)
        for (holder, key, step), (_, verdict, _) in zip(left, judged, strict=True):
            if verdict == "leak":
                self._ledger.remember(holder, key, step.before)
        return judged

    def _is_over(self, holder: Holder, key: str, owner: Owner) -> bool:
        """Whether what an owner has changed is no more."""
        if isinstance(holder, BoundToStubs):
            return holder.is_gone(key)
        return _came_and_went(holder, owner)

    def restore(self, changes: list[Change], may_un_import: bool = False) -> dict[Change, str | None]:
        """Put back what an owner left; returns for each change why it could not be, None where it was."""
        failed = restore(changes, may_un_import)
        self._forget_writes()
        for change, failure in failed.items():
            if failure is None and not is_back(change):
                failed[change] = "putting the rest back changed it again"
            if failed[change] is None:
                self._ledger.forget(change.holder, change.key)
        return failed

    def _forget_writes(self) -> None:
        """Take what is there now for the state of things."""
        for write in self.engine.drain():
            self._look_into(write)
        self.graph.drain()
        self.readings.drain()

    def owners(self) -> list[Owner]:
        """Everybody who still has something outstanding."""
        return self._ledger.owners()

    def _book(self, writes: list[Write], cause: Cause | None = None, act: str | None = None) -> None:
        # a class that dies empties its dict first: that is nobody's doing
        writes = [write for write in writes if _namespace(write).ref() is not None]
        for write in writes:
            self._look_into(write)
        if self.current is not None:
            self._ledger.book(writes, self.current, self.during, cause, act)

    def _look_into(self, write: Write) -> None:
        """Watch a class, look into an object, that a namespace has come to hold."""
        namespace = _namespace(write)
        self._namespaces.add_value(write.new, namespace)
        if self.graph.follows(namespace) or self.graph.roots_at(namespace, write.key):
            self.graph.rebound(namespace, write.key, write.new, write.old)

    # ImportListener: an import or reload is one act, whatever it writes

    def import_begins(self, name: str) -> bool:
        """Set the outermost import of program code apart; a test module or conftest speaks for itself."""
        is_test = name.rpartition(".")[2] in (self.test_module, "conftest")
        if self._importing or not self._active or is_test or name in sys.modules:
            return False
        if self._missed.get(name, 0) >= _TRIES and not is_on_path(name):
            return False
        self.book()
        self._importing = True
        entries = self._ledger.values_at(self._modules)
        self._stubs = self._bound.stubs({key: self._modules.value(entry) for key, entry in entries.items()})
        return True

    def import_ends(self, name: str, began: bool) -> None:
        """Watch the module from the end of its body on."""
        if self._active:
            with _without_collector():
                self._namespaces.add(name)
            self.readings.loaded(name)
            if self._stubs and not self._resting:
                self._writes += self._bound.imported(name, self._stubs)
        if name not in sys.modules:
            self._missed[name] = self._missed.get(name, 0) + 1
        if began:
            self._importing = False
            if self._active and not self._resting:
                self._book(self.engine.drain(), cause="import")
                self._book_rest("import")

    def reload_begins(self) -> bool:
        """What came before the reload is not its doing; imports inside it are part of it."""
        self.book()
        outer, self._importing = self._importing, True
        return outer

    def reload_ends(self, module: Any, outer: bool) -> None:
        """What the reload bound anew in the module belongs together."""
        self._importing = outer
        if self._active and not self._resting:
            writes = self.engine.drain()
            act = f"reload of {text_of(module_dict(module).get('__name__'))}"
            self._book([write for write in writes if _namespace(write).ref() is module], "reload", act)
            self._book([write for write in writes if _namespace(write).ref() is not module], "import", act)
            self._book_rest("import", act)

    # what is looked into

    def follow_value(self, owner: Owner, name: str, value: object) -> None:
        """Look into the value that a fixture gives to several tests; a boundary of its owner's follows."""
        if self._active:
            root = self._values[owner] = FixtureValue(name, owner)
            self.graph.follow_value(root, "", value)

    def value_is_over(self, owner: Owner) -> None:
        """Its owner is finalised: what other fixtures do to the value from here on is nobody's concern."""
        if owner in self._values:
            self._values[owner].is_over = True

    def forget_value(self, owner: Owner) -> None:
        """Its owner's time is over: nobody gets the value any more."""
        root = self._values.pop(owner, None)
        if root is not None:
            self.graph.forget_value(root, "")
            self._ledger.forget_all(lambda holder: isinstance(holder, Node) and holder.root[0] is root)

    def _found(self, namespace: Namespace, deep: bool) -> None:
        """A namespace is watched from now on; in the program and in test code the objects are, too."""
        if deep and (namespace.kind == "module" or self._is_ours(namespace.module)):
            self.graph.follow(namespace)
        if namespace.kind == "module" and namespace.key in _WITH_STATE:
            self._follow_library(namespace, namespace.contents or {})

    def _follow_library(self, namespace: Namespace, contents: dict[str, Any]) -> None:
        """Look into what tests write to of a module that is not the program's."""
        for name in AMBIENT.get(namespace.key, ()):
            if f"{namespace.key}.{name}" in self._undone_later:
                continue
            self.graph.follow_value(namespace, name, contents.get(name, MISSING))
        if namespace.key == "logging":
            self.graph.follow_value(
                Library("logging", _LOGGING_WORDS), "", dict_of_class(contents["Logger"]).get("manager")
            )
        if namespace.key == "unittest.mock":
            self.graph.follow_value(Library("unittest.mock", _PATCHING_WORDS), STARTED, contents["_patch"])

    def _is_test(self, name: str) -> bool:
        file = writer.file_of_module(name)
        return file is not None and self.files.is_test(file)

    def _is_ours(self, name: str) -> bool:
        found = self._ours.get(name)
        if found is None:
            found = self._namespaces.is_program(name) or self._is_test(name)
            if name in sys.modules:  # else it may yet be loaded
                self._ours[name] = found
        return found

    def _change(self, holder: Holder, key: str, step: Step) -> Change:
        value_of = holder.value if isinstance(holder, Probe) else _itself
        return Change(
            holder=holder,
            key=key,
            before=value_of(step.before),
            after=value_of(step.after),
            owner=step.owner,
            find_writer=partial(self._writer, holder, key, step),
            during=step.during,
            cause=step.cause,
            puts_back=step.puts_back,
            at=step.at,
            undone_later=self._undone_later,
            act=step.act,
            is_ours=self._is_ours,
        )

    def _writer(self, holder: Holder, key: str, step: Step) -> writer.Writer:
        if step.stack:
            return writer.observed(self.files, step.stack, key)
        if isinstance(holder, Node):
            root, _ = holder.root
            words = root.words if isinstance(root, Library) else WORDS_OF_PARTS.get(key, ())
            return writer.searched_inside(
                self.files, holder.names(key), _modules_of(holder), step.owner, words
            )
        if isinstance(holder, BoundToStubs):
            return writer.searched_around(self.files, (key.rpartition(".")[2],), key, step.owner)
        if isinstance(holder, Probe):
            found = writer.searched_around(self.files, holder.words, key, step.owner)
            return writer.Writer("runner", None) if self._is_over_for_plugin(found, step) else found
        assert isinstance(holder, Namespace)
        return self._writer_of_name(holder, key, step)

    def _is_over_for_plugin(self, found: writer.Writer, step: Step) -> bool:
        """Whether a function of one of pytest's plugins gave way to none, and no test code is to blame."""
        return found.by != "test" and type(step.after) is str and self.files.is_of_plugin(step.before)

    def _writer_of_name(self, namespace: Namespace, key: str, step: Step) -> writer.Writer:
        if step.cause == "reload":
            return writer.reloaded(step.owner)
        fits_body = step.before is MISSING or redefinition(step.before, step.after)
        return writer.searched(self.files, namespace, key, step.owner, fits_body)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Make many objects that stay, without the full collections that this would set off."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _itself(value: Any) -> Any:
    return value


def _namespace(write: Write) -> Namespace:
    """The holder of a write that an engine noticed."""
    assert isinstance(write.holder, Namespace)
    return write.holder


def _modules_of(node: Node) -> list[str]:
    """The modules whose code may have changed an object: of its classes, of those around it, of its root."""
    found = []
    for one in node.ancestors():
        if type(one.object) is FunctionType:  # where it was written, not where its name says
            found.append(text_of(one.object.__globals__.get("__name__")) or "")
        if one.is_instance:
            found += [module_of(cls) or "" for cls in mro_of(type(one.object))]
    root, _ = node.root
    return [*found, *([root.module] if isinstance(root, Namespace) else [])]


def _came_and_went(holder: Holder, owner: Owner) -> bool:
    """Whether a module was first imported in its owner's time and is in sys.modules no more."""
    if isinstance(holder, BoundToStubs):
        return False
    namespace = holder.root[0] if isinstance(holder, Node) else holder
    if not isinstance(namespace, Namespace):
        return False
    return namespace.born is owner and namespace.key not in sys.modules

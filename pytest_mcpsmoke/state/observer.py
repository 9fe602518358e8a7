"""The detector without pytest: namespaces under an engine, changes in a ledger, verdicts by policy."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pytest_mcpsmoke.state import policy, writer
from pytest_mcpsmoke.state.diff import redefinition
from pytest_mcpsmoke.state.engines import Engine, Write
from pytest_mcpsmoke.state.imports import ImportHook
from pytest_mcpsmoke.state.ledger import Cause, Ledger, Owner, Step
from pytest_mcpsmoke.state.namespaces import Namespaces
from pytest_mcpsmoke.state.place import MISSING, Namespace

Judged = tuple[policy.Change, policy.Verdict, str | None]


class Observer:
    """Books every change to whoever ran between two boundaries, and says what an owner left behind.

    current is whoever runs now; while it is None, what happens is nobody's and is forgotten.
    """

    def __init__(
        self, engine: Engine, files: writer.Files, is_program: Callable[[str, str | None], bool]
    ) -> None:
        self.engine = engine
        self.files = files
        self.current: Owner | None = None
        self.during: str | None = None
        self._namespaces = Namespaces(engine, is_program)
        self._ledger = Ledger()
        self._imports = ImportHook(self)
        self._active = False
        self._resting = False
        self._importing = False
        self.test_module: str | None = None  # the test module whose import is collection's business

    def start(self) -> None:
        """Take the present state of everything that is loaded as the baseline."""
        self._imports.install()
        with _without_collector():
            self._namespaces.sweep()
        self._active = True

    def stop(self) -> None:
        """Watch nothing any more. Stopping twice is fine."""
        self._active = self._resting = False
        self._imports.remove()
        self.engine.stop()

    def book(self) -> None:
        """A boundary: what was written since the last one is booked to whoever is current."""
        if not self._active or self._resting:
            return
        self._namespaces.refresh()
        writes = self.engine.drain()
        if writes:
            self._book(writes)

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
        self.current = self._namespaces.now = owner
        if self._resting and owner is not None:
            self._resting = False
            self.engine.wake()

    def rest(self) -> None:
        """Let what happens until somebody runs again pass unseen: it is nobody's."""
        self.current = self._namespaces.now = None
        if self._active:
            self._resting = True
            self.engine.rest()

    def end(self, owner: Owner) -> list[Judged]:
        """A boundary at which an owner's time is over: judge what it left changed."""
        self.book()
        if self._ledger.is_empty:
            return []
        left = [entry for entry in self._ledger.end(owner) if not _came_and_went(entry[0], owner)]
        judged = policy.judge_all([self._change(*entry) for entry in left])
        for change, verdict, _ in judged:
            if verdict == "leak":
                self._ledger.remember(change.namespace, change.key, change.before)
        return judged

    def owners(self) -> list[Owner]:
        """Everybody who still has something outstanding."""
        return self._ledger.owners()

    def _book(self, writes: list[Write], cause: Cause | None = None) -> None:
        # a class that dies empties its dict first: that is nobody's doing
        writes = [write for write in writes if write.namespace.ref() is not None]
        for write in writes:
            self._namespaces.add_value(write.new, write.namespace)
        if self.current is not None:
            self._ledger.book(writes, self.current, self.during, cause)

    # ImportListener: an import or reload is one act, whatever it writes

    def import_begins(self, name: str) -> bool:
        """Set the outermost import of program code apart; a test module or conftest speaks for itself."""
        is_test = name.rpartition(".")[2] in (self.test_module, "conftest")
        if self._importing or not self._active or is_test or name in sys.modules:
            return False
        self.book()
        self._importing = True
        return True

    def import_ends(self, name: str, began: bool) -> None:
        """Watch the module from the end of its body on."""
        if self._active:
            self._namespaces.add(name)
        if began:
            self._importing = False
            if self._active and not self._resting:
                self._book(self.engine.drain(), cause="import")

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
            self._book([write for write in writes if write.namespace.ref() is module], cause="reload")
            self._book([write for write in writes if write.namespace.ref() is not module], cause="import")

    def _change(self, namespace: Namespace, key: str, step: Step) -> policy.Change:
        return policy.Change(
            namespace=namespace,
            key=key,
            before=step.before,
            after=step.after,
            owner=step.owner,
            find_writer=partial(self._writer, namespace, key, step),
            during=step.during,
            cause=step.cause,
            puts_back=step.puts_back,
        )

    def _writer(self, namespace: Namespace, key: str, step: Step) -> writer.Writer:
        if step.stack:
            return writer.observed(self.files, step.stack, key)
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


def _came_and_went(namespace: Namespace, owner: Owner) -> bool:
    """Whether a module was first imported in its owner's time and is in sys.modules no more."""
    return namespace.born is owner and namespace.key not in sys.modules

"""What a probe is: the reader of one piece of ambient state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state import diff


class Probe:
    """Reads one piece of ambient state: of the interpreter, of the process, of a library.

    name is the "probe" of its findings. module: it is read only while a module of this name is loaded ("":
    always). words are names that code which changes the state mentions: where the write site is searched.
    blind says what the probe cannot see; the documentation repeats it.

    A probe is read at every boundary: reading must cost about a microsecond when nothing changed, run no
    user code (no __eq__, no __repr__, no property of unknown types) and raise nothing on the way; one that
    raises is reported once and off for the rest of the run.

    glance, where there is one, costs less: it returns a value of exact, immutable built-in types that is
    equal as long as reading would return the same. Many are compared in one go.
    """

    name: ClassVar[str]
    module: ClassVar[str] = ""
    words: ClassVar[tuple[str, ...]] = ()
    blind: ClassVar[str]
    glance: Callable[[], Any] | None = None
    is_one_act: ClassVar[bool] = False
    is_quiet: ClassVar[bool] = False  # what runs between tests does not change it: it is not read there

    @property
    def probe(self) -> str:
        return self.name

    def start(self) -> None:
        """The run begins: acquire what reading needs."""

    def stop(self) -> None:
        """The run is over: give it back. Stopping twice, or without a start, is fine."""

    def read(self) -> dict[str, Any]:
        """Return what is there now, by key. May return the same dict as before when nothing changed.

        Values that are not of immutable built-in types are compared by identity.
        """
        raise NotImplementedError

    def place(self, key: str) -> str:
        """What the state under a key is called."""
        raise NotImplementedError

    def same(self, key: str, before: Any, after: Any) -> bool:
        """Whether after is as good as before; MISSING stands for a key that is not there."""
        return diff.same(before, after)

    def value(self, reading: Any) -> Any:
        """The value that a reading stands for, where readings hold something lighter."""
        return reading

    def text(self, value: Any) -> str | None:
        """What a value is called in a report, where its contents say little; None: as usual."""
        return None

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        """The reason why this change is one-way set-up by the program itself; None: it is a leak."""
        return None

    def stack(self, key: str) -> tuple[Any, ...]:
        """Who wrote, if that was observed: code, line, code, line, …, innermost frame first."""
        return ()

    def restore(self, key: str, before: Any, after: Any) -> None:
        """Put before back; MISSING: remove it. Raises CannotRestore, whose text says why not."""
        raise CannotRestore("nothing puts this back")

"""What a probe is: the reader of one piece of ambient state, and how a run reads all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state import diff
from pytest_mcpsmoke.state.engines import Write, is_same
from pytest_mcpsmoke.state.place import MISSING


class Probe:
    """Reads one piece of ambient state: of the interpreter, of the process, of a library.

    name is the "probe" of its findings. module: it is read only while a module of this name is loaded ("":
    always). words are names that code which changes the state mentions: where the write site is searched.
    blind says what the probe cannot see; the documentation repeats it.

    A probe is read at every boundary, twice a test: reading must cost about a microsecond when nothing
    changed, run no user code (no __eq__, no __repr__, no property of unknown types) and raise nothing on
    the way; one that raises is reported once and off for the rest of the run.
    """

    name: ClassVar[str]
    module: ClassVar[str] = ""
    words: ClassVar[tuple[str, ...]] = ()
    blind: ClassVar[str]
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


class Readings:
    """The last readings of all probes of a run."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._probes = list(probes)
        self._broken: list[tuple[Probe, Exception]] = []
        self._last: dict[Probe, dict[str, Any]] = {}
        self._read: list[tuple[Probe, Callable[[], dict[str, Any]]]] = []  # of those that work, and apply

    def start(self) -> None:
        """Take the present state as the baseline."""
        for probe in self._probes:
            probe.start()
            self._take(probe)

    def stop(self) -> None:
        """Stop all probes. Stopping twice is fine."""
        for probe in self._probes:
            probe.stop()
        self._last.clear()
        self._read.clear()

    def loaded(self, module: str) -> None:
        """A module has been imported: the probes that read its state have their baseline now."""
        for probe in self._probes:
            if probe.module == module and probe not in self._last:
                self._take(probe)

    def skip(self) -> None:
        """Take what is there now for the state of things, where it may have changed between tests."""
        self._drain([entry for entry in self._read if not entry[0].is_quiet])

    def drain(self) -> list[Write]:
        """Return what has changed since the last call."""
        return self._drain(self._read)

    def _drain(self, probes: list[tuple[Probe, Callable[[], dict[str, Any]]]]) -> list[Write]:
        writes: list[Write] = []
        for probe, read in probes:
            try:
                now = read()
                last = self._last[probe]
                if now is not last:
                    self._last[probe] = now
                    if not is_same(now, last):
                        writes += _changes(probe, last, now)
            except Exception as error:
                self._break(probe, error)
        return writes

    def broken(self) -> list[tuple[Probe, Exception]]:
        """The probes that have raised since the last call; they are off for the rest of the run."""
        broken, self._broken = self._broken, []
        return broken

    def _take(self, probe: Probe) -> None:
        if probe.module and probe.module not in sys.modules:
            return
        try:
            self._last[probe] = probe.read()
            self._read.append((probe, probe.read))
        except Exception as error:  # a probe that fails is a finding, not a crash
            self._break(probe, error)

    def _break(self, probe: Probe, error: Exception) -> None:
        self._read = [(one, read) for one, read in self._read if one is not probe]
        self._last.setdefault(probe, {})
        self._broken.append((probe, error))


def _changes(probe: Probe, last: dict[str, Any], now: dict[str, Any]) -> list[Write]:
    pairs = [(key, last.get(key, MISSING), now.get(key, MISSING)) for key in {**last, **now}]
    return [
        Write(probe, key, before, after, probe.stack(key))
        for key, before, after in pairs
        if before is not after and not probe.same(key, before, after)
    ]

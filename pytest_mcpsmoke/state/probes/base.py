"""What a probe is: the reader of one piece of ambient state, and how a run reads all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
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
        self.probes = list(probes)
        self.broken: list[tuple[Probe, Exception]] = []  # raised, off for the rest of the run, not yet told
        self._last: dict[Probe, dict[str, Any]] = {}

    def start(self) -> None:
        """Take the present state as the baseline."""
        for probe in self.probes:
            probe.start()
        self.drain()

    def stop(self) -> None:
        """Stop all probes. Stopping twice is fine."""
        for probe in self.probes:
            probe.stop()
        self._last.clear()

    def drain(self) -> list[Write]:
        """Return what has changed since the last call. The first reading of a probe is its baseline."""
        writes: list[Write] = []
        for probe in self.probes:
            if probe.module and probe.module not in sys.modules:
                continue
            try:
                now, last = probe.read(), self._last.get(probe)
                if now is last:
                    continue
                self._last[probe] = now
                if last is not None and not is_same(now, last):
                    writes += _changes(probe, last, now)
            except Exception as error:  # a probe that fails is a finding, not a crash
                self.broken.append((probe, error))
        if self.broken:
            failed = {probe for probe, _ in self.broken}
            self.probes = [probe for probe in self.probes if probe not in failed]
        return writes


def _changes(probe: Probe, last: dict[str, Any], now: dict[str, Any]) -> list[Write]:
    pairs = [(key, last.get(key, MISSING), now.get(key, MISSING)) for key in {**last, **now}]
    return [
        Write(probe, key, before, after, probe.stack(key))
        for key, before, after in pairs
        if before is not after and not probe.same(key, before, after)
    ]

"""How a run reads all its probes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from pytest_mcpsmoke.state.engines import Write, is_same
from pytest_mcpsmoke.state.place import MISSING, compiled
from pytest_mcpsmoke.state.probes.base import Probe


class _Entry:
    """A probe that works and applies, and its last reading."""

    __slots__ = ("last", "probe", "read")

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.read = probe.read
        self.last = probe.read()


class Readings:
    """The last readings of all probes of a run."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._probes = list(probes)
        self._broken: list[tuple[Probe, Exception]] = []
        self._known: set[Probe] = set()  # those that apply, broken ones too
        self._every: list[_Entry] = []
        self._long: list[_Entry] = []  # without those of which a glance tells
        self._restless: list[_Entry] = []  # of these, without the quiet ones
        self._glances: list[Callable[[], Any]] = []
        self._seen: list[Any] = []  # at the last glance

    def start(self) -> None:
        """Take the present state as the baseline."""
        for probe in self._probes:
            probe.start()
            self._take(probe)

    def stop(self) -> None:
        """Stop all probes. Stopping twice is fine."""
        for probe in self._probes:
            probe.stop()
        self._known.clear()
        self._keep([])

    def loaded(self, module: str) -> None:
        """A module has been imported: the probes that read its state have their baseline now."""
        for probe in self._probes:
            if probe.module == module and probe not in self._known:
                self._take(probe)

    def skip(self) -> None:
        """Take what is there now for the state of things, where it may have changed between tests."""
        self._drain(self._restless if self._is_as_seen() else self._every)

    def drain(self) -> list[Write]:
        """Return what has changed since the last call."""
        return self._drain(self._long if self._is_as_seen() else self._every)

    def _is_as_seen(self) -> bool:
        try:
            now = [glance() for glance in self._glances]
        except Exception:  # whose it is, reading one by one will tell
            return False
        if now == self._seen:
            return True
        self._seen = now
        return False

    def _drain(self, entries: list[_Entry]) -> list[Write]:
        writes: list[Write] = []
        for entry in entries:
            try:
                now = entry.read()
                if now is not entry.last:
                    last, entry.last = entry.last, now
                    if not is_same(now, last):
                        writes += _changes(entry.probe, last, now)
            except Exception as error:
                self._break(entry.probe, error)
        return writes

    def broken(self) -> list[tuple[Probe, Exception]]:
        """The probes that have raised since the last call; they are off for the rest of the run."""
        broken, self._broken = self._broken, []
        return broken

    def _take(self, probe: Probe) -> None:
        if probe.module and probe.module not in sys.modules:
            return
        self._known.add(probe)
        try:
            self._keep([*self._every, _Entry(probe)])
        except Exception as error:  # a probe that fails is a finding, not a crash
            self._break(probe, error)

    def _break(self, probe: Probe, error: Exception) -> None:
        self._keep([entry for entry in self._every if entry.probe is not probe])
        self._broken.append((probe, error))

    def _keep(self, every: list[_Entry]) -> None:
        self._every = every
        self._long = [entry for entry in every if entry.probe.glance is None]
        self._restless = [entry for entry in self._long if not entry.probe.is_quiet]
        self._glances = [entry.probe.glance for entry in every if entry.probe.glance is not None]
        self._seen = []


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    changed = [key for key, value in before.items() if after.get(key, MISSING) is not value]
    return changed + [key for key in after if key not in before]


# The keys under which two readings hold different objects.
differing: Callable[[dict[str, Any], dict[str, Any]], list[str]] = compiled("differing", _differing, "_parts")


def _changes(probe: Probe, last: dict[str, Any], now: dict[str, Any]) -> list[Write]:
    pairs = [(key, last.get(key, MISSING), now.get(key, MISSING)) for key in differing(last, now)]
    return [
        Write(probe, key, before, after, probe.stack(key))
        for key, before, after in pairs
        if not probe.same(key, before, after)
    ]

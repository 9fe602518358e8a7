"""How a run reads all its probes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from pytest_mcpsmoke.state.engines import Write, is_same
from pytest_mcpsmoke.state.place import MISSING, compiled
from pytest_mcpsmoke.state.probes.base import Probe

Read = tuple[Probe, Callable[[], dict[str, Any]]]


class Readings:
    """The last readings of all probes of a run."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._probes = list(probes)
        self._broken: list[tuple[Probe, Exception]] = []
        self._last: dict[Probe, dict[str, Any]] = {}
        self._every: list[Read] = []  # of the probes that work, and apply
        self._long: list[Read] = []  # of those, without what a glance tells
        self._restless: list[Read] = []  # of these, without the quiet ones
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
        self._last.clear()
        self._keep([])

    def loaded(self, module: str) -> None:
        """A module has been imported: the probes that read its state have their baseline now."""
        for probe in self._probes:
            if probe.module == module and probe not in self._last:
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

    def _drain(self, probes: list[Read]) -> list[Write]:
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
        except Exception as error:  # a probe that fails is a finding, not a crash
            self._break(probe, error)
        else:
            self._keep([*self._every, (probe, probe.read)])

    def _break(self, probe: Probe, error: Exception) -> None:
        self._keep([read for read in self._every if read[0] is not probe])
        self._last.setdefault(probe, {})
        self._broken.append((probe, error))

    def _keep(self, every: list[Read]) -> None:
        self._every = every
        self._long = [read for read in every if read[0].glance is None]
        self._restless = [read for read in self._long if not read[0].is_quiet]
        self._glances = [probe.glance for probe, _ in every if probe.glance is not None]
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

"""One place, read again and again while a program runs: how it has changed since the last look."""

from __future__ import annotations

import re
import sys
from _contextvars import ContextVar
from _thread import _local
from ast import literal_eval
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from operator import is_
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state import readers
from pytest_mcpsmoke.state.change import Kind
from pytest_mcpsmoke.state.comparing import open_comparer
from pytest_mcpsmoke.state.describe import redact_value
from pytest_mcpsmoke.state.diff import same
from pytest_mcpsmoke.state.kinds import type_readers
from pytest_mcpsmoke.state.paths import Paths, Row, is_of_whole, parts_of
from pytest_mcpsmoke.state.place import MISSING, Contents, is_module, module_dict, mro_of
from pytest_mcpsmoke.state.probes.base import Probe

# What these probes read is the thread's, or the context's, that they are read in.
_OF_TASK: Final = frozenset(
    {"decimal", "event loop", "numpy errors", "numpy printing", "trace function", "profile function"}
    | {"async generator hooks", "coroutine origins"}
)
_KEYS_IN_PLACES: Final = r"\[(?P<key>'.*'|\".*\")\]$|(?P<quoted>'.*'|\".*\")$|\((?P<name>[^()]*)\)$"
_LIMITS: Final = Limits()
_NEAREST: Final = 3


class Part(NamedTuple):
    """One part of what stands at a place: its label, "" for the whole, and what it was and is."""

    label: str
    before: Any
    after: Any


class Difference(NamedTuple):
    """How a place differs from what it was: another value, or, mutated, other parts inside."""

    change: Kind
    parts: tuple[Part, ...]  # one with the label "" when the place itself holds something else
    texts: tuple[str, str] | None = None  # what they were and are called, where a probe knows better

    def followed_by(self, later: Difference) -> Difference:
        """What the place was before this one, and is after the later one."""
        first = {part.label: part.before for part in reversed(self.parts)}
        last = {part.label: part.after for part in later.parts}
        mine = {part.label: part.after for part in reversed(self.parts)}
        others = {part.label: part.before for part in reversed(later.parts)}
        parts = [
            Part(label, first.get(label, others.get(label)), last.get(label, mine.get(label)))
            for label in {**first, **last}
        ]
        texts = (self.texts[0], later.texts[1]) if self.texts and later.texts else None
        return Difference(self.change, tuple(parts), texts)


class Reading(NamedTuple):
    """What stands at a place, and the parts of that by label."""

    value: Any
    parts: dict[str, Any]


_NOTHING: Final = Reading(MISSING, {})


class Live:
    """Reads one place, whatever comes in its way: modules that are imported later, objects that are replaced.

    place: as the reports write it. probes: fresh ones; those are used that may tell of it. Values of
    fixtures are given with give(). No code of the program's runs.
    """

    def __init__(self, place: str, probes: Iterable[Probe] = (), limits: Limits = _LIMITS) -> None:
        self.place = place
        self._limits = limits
        self._types = type_readers(limits.size)
        self._paths = Paths(place, self._types)
        self._probes = list(probes)
        self._probed: list[_Probed] = []
        self._comparer: Any = open_comparer()
        self._others: list[Row] = []  # which Python compares
        self._roots: tuple[Any, ...] = ()
        self._is_stale = True
        self._reading = _NOTHING
        self._near: list[str] = []
        self._told_by: _Probed | None = None  # what the last reading was taken from
        self.was_there = False  # at any time
        self.is_of_thread = False  # what stands there is another one in each thread
        self.is_of_task = False  # and in each task

    def open(self) -> None:
        """Take the present state for what the place is."""
        self._probed = [found for probe in self._probes if (found := _Probed.of(probe, self.place))]
        self.refresh()

    def close(self) -> None:
        """Hold nothing any more."""
        for probed in self._probed:
            probed.probe.stop()
        self._probed, self._others, self._roots = [], [], ()
        self._comparer, self._reading = open_comparer(), _NOTHING

    def give(self, fixture: str, value: object) -> None:
        """A fixture has this value from now on."""
        self._paths.fixtures[fixture] = value
        self._is_stale = True

    def refresh(self) -> None:
        """Take the present state for what the place is, however it came about."""
        self._is_stale = True
        self.look()

    def look(self) -> Difference | None:
        """Return how the place differs from what it was at the last look; None: it does not."""
        if not self._has_moved():
            return None
        before, self._reading = self._reading, self._read()
        found = difference(before, self._reading, same if self._told_by is None else self._told_by.same)
        return found if found is None or self._told_by is None else self._told_by.told(found)

    def is_in(self, contents: dict[str, Any]) -> bool:
        """Whether these are the names of the module that the place begins with."""
        module = next((one for one in self._paths.roots() if is_module(one)), None)
        return module is not None and module_dict(module) is contents

    def nearest(self) -> list[str]:
        """Places that there are, or were when it was last looked for, with names like this one's."""
        return self._near

    # whether anything is other than it was

    def _has_moved(self) -> bool:
        roots = self._paths.roots()
        is_told = [probed.has_moved() for probed in self._probed]  # each is to be read
        return (
            self._is_stale
            or True in is_told
            or len(roots) != len(self._roots)
            or not all(map(is_, roots, self._roots))
            or bool(self._comparer.changed())
            or any(not _is_alike(row) for row in self._others)
        )

    def _read(self) -> Reading:
        self._is_stale = False
        self._roots = self._paths.roots()
        for probed in self._probed:
            if probed.value is not MISSING:
                self._compare([])
                self.is_of_thread = self.is_of_task = probed.probe.name in _OF_TASK
                self._told_by = probed
                return self._noted(Reading(probed.value, {}))
        found = self._paths.follow()
        if found.rest:
            self._compare(found.rows)
            self._near = _near(self.place, found.rest, found.labels)
            return _NOTHING
        self._told_by = None
        parts, rows = parts_of(self._types, found.looks, self._limits.size)
        self._compare([*found.rows, *rows])
        return self._noted(Reading(found.value, parts))

    def _noted(self, reading: Reading) -> Reading:
        self.was_there = True
        return reading

    def _compare(self, rows: list[Row]) -> None:
        """Compare these from now on, instead of those of the last reading."""
        self._comparer, self._others = open_comparer(), []
        self.is_of_task = any(type(row.object) is ContextVar for row in rows)
        self.is_of_thread = self.is_of_task or any(_is_local(row.object) for row in rows)
        for row in rows:
            reader = row.reader
            if reader.sources is not None:
                for source in reader.sources(row.object):
                    plain = readers.plain_reader(source)
                    self._compare_one(Row(plain, source, plain.read(source)))
            elif reader.kind != readers.FIXED:
                self._compare_one(row)

    def _compare_one(self, row: Row) -> None:
        is_compiled = row.reader.kind != readers.OTHER
        if not is_compiled or self._comparer.add(row.reader, row.object, *row.parts) < 0:
            self._others.append(row)


def difference(
    before: Reading, after: Reading, is_same: Callable[[Any, Any], bool] = same
) -> Difference | None:
    """How two readings of a place differ; None: what is there now is as good as what was there.

    is_same: whether one value of the place is as good as another.
    """
    if not is_same(before.value, after.value):
        is_there = before.value is not MISSING, after.value is not MISSING
        is_whole = type(after.value) is Contents
        change: Kind = ("mutated" if is_whole else "rebound") if all(is_there) else "removed"
        return Difference(change if is_there[0] else "added", (Part("", before.value, after.value),))
    parts = [
        Part("" if is_of_whole(label) else label, old, new)
        for label in {**before.parts, **after.parts}
        if not same(old := before.parts.get(label, MISSING), new := after.parts.get(label, MISSING))
    ]
    return Difference("mutated", tuple(parts)) if parts else None


def _is_alike(row: Row) -> bool:
    """Whether an object still has the parts that were read."""
    keys, values = row.reader.read(row.object)
    return _are_alike(values, row.parts[1]) and _are_alike(keys or (), row.parts[0] or ())


def _are_alike(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    return len(now) == len(before) and all(
        one is other or same(one, other) for one, other in zip(now, before, strict=True)
    )


def _is_local(value: object) -> bool:
    """Whether what an object holds depends on the thread that asks."""
    return any(base is _local for base in mro_of(type(value)))


def _near(place: str, rest: str, labels: list[str]) -> list[str]:
    """Places with names like the first one that could not be followed."""
    if not labels and rest == place:
        name = re.split(r"[\[( ]", place)[0].rpartition(".")[0] or place
        names = [name for name, module in list(sys.modules.items()) if is_module(module)]
        return get_close_matches(name, names, _NEAREST)
    found = re.match(r"\[.*?\]|.[^.\[( ]*", rest, re.DOTALL)
    wanted = found[0] if found else rest
    return [place[: len(place) - len(rest)] + label for label in get_close_matches(wanted, labels, _NEAREST)]


class _Probed:
    """A probe that may tell of a place, and what it last told."""

    def __init__(self, probe: Probe, place: str) -> None:
        self.probe = probe
        self._place = place
        self._key: str | None = None  # under which the probe has it
        self._is_started = False
        self._last: Any = None  # the reading itself: probes return the same one as long as nothing changes
        self.value: Any = MISSING
        self._read()

    @classmethod
    def of(cls, probe: Probe, place: str) -> _Probed | None:
        """Start a probe; None, and it is stopped, if what it reads has other names."""
        probed = cls(probe, place)
        if probed.value is not MISSING or any(_named(probe, key) == place for key in _keys_in(place)):
            return probed
        probe.stop()
        return None

    def has_moved(self) -> bool:
        """Read anew; whether the place is other than it was."""
        before = self.value
        self._read()
        return self.value is not before

    def same(self, before: Any, after: Any) -> bool:
        """Whether one value is as good as another."""
        if before is MISSING or after is MISSING or self._key is None:
            return before is after
        return self.probe.same(self._key, before, after)

    def told(self, found: Difference) -> Difference:
        """A difference of readings as one of the values that they stand for."""
        (part,) = found.parts
        before, after = self.probe.value(part.before), self.probe.value(part.after)
        texts = self.probe.text(before), self.probe.text(after)
        told = Difference(found.change, (Part("", before, after),))
        return told if texts[0] is None or texts[1] is None else told._replace(texts=(texts[0], texts[1]))

    def _read(self) -> None:
        probe = self.probe
        if not self._is_started:
            if probe.module and probe.module not in sys.modules:
                return
            self._is_started = True
            probe.start()
        reading = probe.read()
        if reading is not self._last:
            self._last = reading
            self._key = next((key for key in reading if _named(probe, key) == self._place), self._key)
            self.value = MISSING if self._key is None else reading.get(self._key, MISSING)


def _named(probe: Probe, key: str) -> str:
    return redact_value(probe.place(key))


def _keys_in(place: str) -> list[str]:
    """What in a place may be the key that a probe has named it by, while there is nothing under that key."""
    keys = [place.rpartition(sign)[2] for sign in (".", " ") if sign in place]
    for found in re.finditer(_KEYS_IN_PLACES, place):
        quoted = found["key"] or found["quoted"]
        if quoted is not None:
            try:
                key = literal_eval(quoted)
            except (ValueError, SyntaxError):
                continue
            keys += [key, f"0 {key}"]  # threads are told apart by a number
        else:
            keys.append(found["name"])
    return keys

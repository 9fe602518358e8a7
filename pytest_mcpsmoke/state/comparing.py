"""Finding the objects that hold other parts than before: compiled where that is installed, else in Python.

The compiled part is told of most writes and compares only what was written to (state/parts/); in Python every
object is compared, and no function is plain.
"""

from __future__ import annotations

from operator import is_
from typing import Any

from pytest_mcpsmoke.state.place import compiled
from pytest_mcpsmoke.state.readers import Parts, Reader


class Comparer:
    """Compares each object with the parts that it had."""

    def __init__(self, *, is_told: bool = False) -> None:
        self._rows: list[tuple[Reader, Any, tuple[Any, ...] | None, tuple[Any, ...]] | None] = []

    def add(self, reader: Reader, value: Any, keys: tuple[Any, ...] | None, values: tuple[Any, ...]) -> int:
        """Compare an object with these parts from now on; returns the index of its row."""
        self._rows.append((reader, value, keys, values))
        return len(self._rows) - 1

    def update(self, index: int, keys: tuple[Any, ...] | None, values: tuple[Any, ...]) -> None:
        """Compare with these parts from now on."""
        row = self._rows[index]
        assert row is not None
        self._rows[index] = (row[0], row[1], keys, values)

    def discard(self, index: int) -> None:
        """Compare this row no more."""
        self._rows[index] = None

    def touch(self, index: int) -> None:
        """The object of this row is getting another class, or a function another code."""

    def changed(self, unseen: bool = True) -> list[int]:
        """The rows that hold others now; unseen: those, too, of whose changes nobody tells."""
        if not unseen:
            return []
        return [
            index
            for index, row in enumerate(self._rows)
            if row is not None and not _is_as(row[0].read(row[1]), row[2], row[3])
        ]


class _CompiledComparer:
    """The compiled one, which reads the kinds of readers.py by itself."""

    def __init__(self, make: Any, is_told: bool) -> None:
        compiled_one = make(is_told=is_told)
        self._add = compiled_one.add
        self.update = compiled_one.update
        self.discard = compiled_one.discard
        self.touch = compiled_one.touch
        self.changed = compiled_one.changed

    def add(self, reader: Reader, value: Any, keys: tuple[Any, ...] | None, values: tuple[Any, ...]) -> int:
        """Compare an object with these parts from now on; -1: it has slots that hold no objects."""
        try:
            index: int = self._add(reader.kind, value, keys, values, reader.slots)
        except TypeError:
            if reader.slots is None:
                raise
            return -1
        return index


class Functions:
    """Keeps no function: each is looked into like any other object."""

    def __init__(self, is_told: bool = False) -> None:
        pass

    def take(
        self, contents: dict[str, Any], module: str, holder: object, telling: str
    ) -> list[tuple[str, Any]]:
        """Return what is to be looked at otherwise: everything."""
        return [(key, value) for key, value in contents.items() if type(key) is str]

    def changed(self, unseen: bool = True) -> list[Any]:
        """The functions that are others now."""
        return []

    def touch(self, function: object) -> None:
        """A part of a function is being replaced."""

    def forget(self, function: object, holder: object) -> bool:
        """Keep a function of this holder no more."""
        return False

    def forget_all(self, holder: object) -> None:
        """Keep no function of this holder any more."""

    def __contains__(self, function: object) -> bool:
        return False


def _is_as(parts: Parts, keys: tuple[Any, ...] | None, values: tuple[Any, ...]) -> bool:
    now, items = parts
    if len(items) != len(values) or not all(map(is_, items, values)):
        return False
    return now is keys or (now is not None and keys is not None and all(map(is_, now, keys)))


def open_comparer(is_told: bool = False) -> Any:
    """The best comparer there is. is_told: touch() will be called."""
    made: Any = compiled("Comparer", Comparer, "_parts")
    return made(is_told=is_told) if made is Comparer else _CompiledComparer(made, is_told)


def open_functions(is_told: bool = False) -> Any:
    """The best keeper of plain functions there is. is_told: touch() will be called."""
    return compiled("Functions", Functions, "_parts")(is_told)

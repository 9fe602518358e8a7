"""Probes of registries of the standard library that no namespace shows whole."""

from __future__ import annotations

import gc
import os.path
import sys
from functools import cache
from operator import is_
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.engines import is_same
from pytest_mcpsmoke.state.place import MISSING, Contents
from pytest_mcpsmoke.state.probes.base import Probe

_isfile = os.path.isfile  # bound early: a test may patch it
_TABLES: Final = ("types_map", "common_types", "encodings_map", "suffix_map")


class MimeTypes(Probe):
    """The tables of the module mimetypes.

    It fills them when they are first used: then they are compared with what filling them anew gives, so
    that a test which is the first to use the module, and adds a type to it, is found as well.
    """

    name = "mimetypes"
    module = "mimetypes"
    words = ("add_type", "mimetypes", "types_map", "encodings_map", "suffix_map", "guess_type")
    blind = "instances of mimetypes.MimeTypes other than the module's own"

    def __init__(self) -> None:
        self._db: Any = None
        self._copies: list[dict[str, str]] = []
        self._last: dict[str, Any] = {}
        self._fresh: dict[str, Any] = {}  # what the tables hold when they have just been filled

    def read(self) -> dict[str, Any]:
        db = vars(sys.modules["mimetypes"]).get("_db")
        if db is None:
            return self._last
        tables = _tables(db)
        if db is self._db and all(map(is_same, tables, self._copies)):
            return self._last
        if self._db is None:
            mimetypes = sys.modules["mimetypes"]
            files = [file for file in mimetypes.knownfiles if _isfile(file)]
            self._fresh = _flat(_tables(mimetypes.MimeTypes(files)))
        self._db, self._copies = db, [table.copy() for table in tables]
        self._last = _flat(tables)
        return self._last

    def same(self, key: str, before: Any, after: Any) -> bool:
        return super().same(key, before, after) or (before is MISSING and self._fresh.get(key) == after)

    def place(self, key: str) -> str:
        return f"mimetypes.{key}"

    def restore(self, key: str, before: Any, after: Any) -> None:
        name, _, suffix = key.partition("[")
        suffix = suffix[1:-2]
        table = _tables(self._db)[_TABLES.index(name)]
        if after is not MISSING:
            inverse = self._db.types_map_inv[name == "types_map"].get(after, [])
            if name in _TABLES[:2] and suffix in inverse:
                inverse.remove(suffix)
            del table[suffix]
        if before is not MISSING:
            table[suffix] = before
            if name in _TABLES[:2]:
                self._db.types_map_inv[name == "types_map"].setdefault(before, []).append(suffix)


def _tables(db: Any) -> list[dict[str, str]]:
    return [db.types_map[True], db.types_map[False], db.encodings_map, db.suffix_map]


def _flat(tables: list[dict[str, str]]) -> dict[str, Any]:
    named = zip(_TABLES, tables, strict=True)
    return {f"{name}[{suffix!r}]": kind for name, table in named for suffix, kind in table.items()}


class CodecSearch(Probe):
    """The functions that are asked for a codec, in the interpreter's own list."""

    name = "codecs"
    words = ("codecs", "register", "unregister", "register_error")
    blind = "error handlers registered with codecs.register_error()"

    def __init__(self) -> None:
        self._functions: list[Any] | None = None
        self._known: tuple[Any, ...] = ()
        self._last: dict[str, Any] = {}

    def start(self) -> None:
        """Find the list."""
        self._functions = _search_functions()

    def stop(self) -> None:
        self._functions = None
        self._known, self._last = (), {}

    def read(self) -> dict[str, Any]:
        now = self._functions
        if now is not None and not (len(now) == len(self._known) and all(map(is_, now, self._known))):
            self._known = tuple(now)
            self._last = {"": Contents("list", self._known)}
        return self._last

    def place(self, key: str) -> str:
        return "codecs.register()"

    def restore(self, key: str, before: Any, after: Any) -> None:
        codecs = sys.modules["codecs"]
        if self._functions is None or type(before) is not Contents:
            raise CannotRestore("the list of search functions is out of reach")
        for function in list(self._functions):
            if not any(function is kept for kept in before.values):
                codecs.unregister(function)
        for function in before.values:
            if not any(function is kept for kept in self._functions):
                codecs.register(function)


@cache
def _search_functions() -> list[Any] | None:
    """The list itself, one for the life of the interpreter; None: it was not found.

    Among what refers to its first function, it alone begins with that. The look at all objects is slow.
    """
    first = sys.modules["encodings"].search_function
    lists = [held for held in gc.get_referrers(first) if type(held) is list and held and held[0] is first]
    return lists[0] if len(lists) == 1 else None

"""Globs over places: only * and ? are wild, for places have brackets of their own."""

from __future__ import annotations

import re
from collections.abc import Set
from functools import lru_cache


def matches(place: str, glob: str) -> bool:
    """Whether a place is the one named, or matched by the glob."""
    return place == glob or _pattern(glob).fullmatch(place) is not None


def matches_any(places: Set[str], glob: str) -> bool:
    """Whether one of many places is matched: a set is searched only for what is wild."""
    is_wild = "*" in glob or "?" in glob
    return glob in places or (is_wild and any(map(_pattern(glob).fullmatch, places)))


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)

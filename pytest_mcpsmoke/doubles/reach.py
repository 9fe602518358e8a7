"""Whom a patch reaches: the names that are given, everybody who holds the same, or who is told of instead."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pytest_mcpsmoke.doubles.holders import Holder, holders_of, importers_of, is_left_alone, is_test_module
from pytest_mcpsmoke.doubles.patch import Patch
from pytest_mcpsmoke.doubles.substitution import Attribute, Substitution
from pytest_mcpsmoke.errors import PatchWarning
from pytest_mcpsmoke.state.place import MISSING

__tracebackhide__ = True  # pytest shows the line that patches, not these


def reach(
    patch: Patch, places: Iterable[tuple[Attribute, Any]], everywhere: bool | None
) -> Iterator[Substitution]:
    """Yield what puts values into places and, if everywhere, into all who hold the same; note who is left."""
    left: list[tuple[Attribute, list[Holder]]] = []
    for place, value in places:
        before = place.now()
        holders = [] if before is MISSING else holders_of(before, place.target, place.attribute)
        yield Substitution(place, value)
        if everywhere:
            for one in holders:
                if not is_left_alone(one, place.target):
                    yield Substitution(Attribute(one.owner, one.attribute, shown=one.name), value)
        left.append((place, holders))
    patched = set(patch.places)  # what one place leaves alone may be another that is given
    for place, holders in left:
        alone = [one for one in holders if one.name not in patched]
        patch.left_alone += tuple(one.name for one in alone)
        if everywhere is None:
            _warn_of(place, importers_of(alone, place.target, place.attribute))


def holders_of_module(name: str) -> list[Holder]:
    """Who holds the module that is loaded under a name, besides its package."""
    parent, _, last = name.rpartition(".")
    real = sys.modules.get(name)
    return [] if real is None else holders_of(real, sys.modules.get(parent, real), last)


def _warn_of(place: Attribute, importers: list[Holder]) -> None:
    """Tell of the program's modules that imported the name from the place, and keep what they have."""
    names = [
        one.name for one in importers if not (is_test_module(one.module) or is_left_alone(one, place.target))
    ]
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        warn(
            f"{place.name} is patched, but not what was imported from there: "
            f"{', '.join(names[:_SHOWN])}{more}; "
            "everywhere=True patches that, too, everywhere=False says that it is meant"
        )


_SHOWN: Final = 5  # names in a message
_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep


def warn(text: str) -> None:
    """Warn at the line of whoever patches."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, contextlib.__file__)):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, PatchWarning, stacklevel=level)

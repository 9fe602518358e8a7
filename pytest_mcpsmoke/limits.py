"""How far objects are looked into. Apart, for the plugin loads it even where nothing is looked into."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Steps from an attribute of a module or class, items of one container, globs over what is left alone."""

    depth: int = 8
    size: int = 10_000
    unread: tuple[str, ...] = ()

"""Threads of ours that outlive single tests: what they open is nobody's leak."""

from __future__ import annotations

from _thread import get_ident

_threads: set[int] = set()


def claim() -> None:
    """Say that the calling thread is one."""
    _threads.add(get_ident())


def disclaim() -> None:
    """Say that the calling thread is none any more."""
    _threads.discard(get_ident())


def is_ours() -> bool:
    """Whether the calling thread is one."""
    return get_ident() in _threads

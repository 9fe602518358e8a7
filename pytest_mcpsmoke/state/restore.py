"""Putting changes back: in place, the last one first, and only what still is as its owner left it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import _lru_cache_wrapper
from typing import Any

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.diff import same
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.place import MISSING, Namespace
from pytest_mcpsmoke.state.poison import is_empty_cache
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.modules import un_import
from pytest_mcpsmoke.state.stubs import BoundToStubs

_WRITTEN_SINCE = "somebody else has written it since"


def restore(changes: Iterable[Change], may_un_import: bool = False) -> dict[Change, str | None]:
    """Put changes back; returns for each why it could not be, None where it was.

    What fails is tried once more when the rest is back: it may have depended on that. may_un_import: whether
    a module that is bound to a stub may be taken out of sys.modules.
    """
    waiting = sorted(changes, key=lambda change: change.at, reverse=True)
    failed: dict[Change, str | None] = {}
    for _ in range(2):
        for change in waiting:
            failed[change] = _failure(change, may_un_import)
        waiting = [change for change in waiting if failed[change] is not None]
    return failed


def value_now(change: Change) -> Any:
    """What stands at the place of a change; raises what a probe's reading raises."""
    holder, key = change.holder, change.key
    if isinstance(holder, Namespace):
        return (holder.contents or {}).get(key, MISSING)
    if isinstance(holder, Node):
        return holder.value_now(key)
    if isinstance(holder, Probe):
        return holder.value(holder.read().get(key, MISSING))
    if isinstance(holder, BoundToStubs) and holder.is_gone(key):
        return MISSING
    return change.after


def is_back(change: Change) -> bool:
    """Whether a place holds its old value; a cache that was filled need only be empty.

    Raises what a probe's reading raises.
    """
    now = value_now(change)
    if same(now, change.before):
        return True
    is_cache = isinstance(change.holder, Node) and type(change.holder.object) is _lru_cache_wrapper
    return is_cache and is_empty_cache(now) and not is_empty_cache(change.after)


def _failure(change: Change, may_un_import: bool) -> str | None:
    """Put one change back; returns why that failed."""
    put = _way_back(change, may_un_import)
    try:
        now = value_now(change)
        if same(now, change.before):
            return None
        if not _is_as_left(change, now):
            return _WRITTEN_SINCE
        put()
        return None if is_back(change) else "it did not take its old value"
    except CannotRestore as reason:
        return str(reason)
    except Exception as error:  # code of the program's may run here, a __hash__ or a setter
        return f"{type(error).__name__}: {error}"


def _is_as_left(change: Change, now: Any) -> bool:
    if isinstance(change.holder, Probe):
        return change.holder.same(change.key, change.after, now)
    return same(now, change.after)


def _way_back(change: Change, may_un_import: bool) -> Callable[[], None]:
    holder, key, before, after = change.holder, change.key, change.before, change.after
    if isinstance(holder, Namespace):
        return lambda: _put_name(holder, key, before)
    if isinstance(holder, Node):
        return lambda: holder.restore(key, before)
    if isinstance(holder, Probe):
        return lambda: holder.restore(key, before, after)
    if isinstance(holder, BoundToStubs) and may_un_import:
        return lambda: un_import(key, holder.module(key))
    return _not_at_all


def _not_at_all() -> None:
    raise CannotRestore("a module is never un-imported")


def _put_name(namespace: Namespace, key: str, before: Any) -> None:
    """Bind a name again. A class is told, for the interpreter keeps what it looked up."""
    target, contents = namespace.ref(), namespace.contents
    if target is None or contents is None:
        raise CannotRestore("its module or class is gone")
    if namespace.kind == "class":
        type.__delattr__(target, key) if before is MISSING else type.__setattr__(target, key, before)
    elif before is MISSING:
        del contents[key]
    else:
        contents[key] = before

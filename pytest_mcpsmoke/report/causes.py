"""Which leaks of one owner have one cause: told by evidence, never by likeness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import MethodDescriptorType
from typing import Any, Final

from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.nodes import Library, Node
from pytest_mcpsmoke.state.place import (
    Contents,
    Namespace,
    dict_of_class,
    is_class,
    is_module,
    module_dict,
    mro_of,
    plain_contents,
    text_of,
)
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.registrations import STARTED

_PATCHED: Final = "a patch started and never stopped"
_LOOP: Final = "an event loop left open"
_IMPORTED: Final = "modules imported anew"
REMEDIES: Final = {_PATCHED: "start it in a with statement, or stop it in a fixture's teardown"}
_MANY: Final = 3  # places that one statement changed

Groups = Iterator[tuple[str, list[Change]]]


def causes(leaks: Iterable[Change], relative: Callable[[str], str]) -> dict[Change, str]:
    """Return what leaks of one owner come from, for those that share it with others; see entries().

    A cause is found in the changes themselves: the patch that names the place, the loop that holds the
    descriptor, the module or class that stands in several places, the one statement that wrote them all.
    """
    rest = list(leaks)
    found: dict[Change, str] = {}
    for rule in (_acts, _patches, _loops, _imported_anew, _classes, partial(_statements, relative=relative)):
        for cause, group in rule(rest):
            if len(group) > 1:
                found.update(dict.fromkeys(group, cause))
        rest = [change for change in rest if change not in found]
    return found


def _acts(leaks: list[Change]) -> Groups:
    return _by(leaks, lambda change: change.act)


def _by(leaks: list[Change], cause_of: Callable[[Change], str | None]) -> Groups:
    groups: dict[str, list[Change]] = {}
    for change in leaks:
        cause = cause_of(change)
        if cause is not None:
            groups.setdefault(cause, []).append(change)
    yield from groups.items()


def _patches(leaks: list[Change]) -> Groups:
    """The patches of unittest.mock that were started, and what they stand in for."""
    for listed in leaks:
        if listed.key == STARTED and type(listed.after) is Contents:
            known = {id(patch) for patch in _items(listed.before)}
            patched = [
                each for patch in _items(listed.after) if id(patch) not in known for each in _of(patch)
            ]
            yield _PATCHED, [change for change in leaks if _is_patched(change, patched)] + [listed]


def _of(patch: Any) -> Iterator[tuple[Any, Any]]:
    """What a patch, with those that it started along, replaced: an object and the name in it, or a dict."""
    contents = plain_contents(patch) or {}
    yield contents.get("target"), contents.get("attribute")
    yield contents.get("in_dict"), None
    more = contents.get("additional_patchers")
    for each in more if type(more) is list else ():
        yield from _of(each)


def _is_patched(change: Change, patched: list[tuple[Any, Any]]) -> bool:
    holder = change.holder
    if isinstance(holder, Namespace):
        target, name = holder.ref(), change.key
    elif isinstance(holder, Node):
        target, name = holder.object, text_of(holder.touched.get(change.key)) or ""
    else:
        return False
    pairs = [(one, text_of(key)) for one, key in patched if one is not None]
    return any(target is one and (key is None or key == name) for one, key in pairs)


def _loops(leaks: list[Change]) -> Groups:
    """A loop that is current, with the descriptors that it polls and wakes by."""
    for change in leaks:
        loop = plain_contents(change.after) if _probe_of(change) == "event loop" else None
        if loop is not None:
            held = set(_descriptors(loop))
            own = [one for one in leaks if _probe_of(one) == "descriptors" and _number(one) in held]
            yield _LOOP, [change, *own]


def _probe_of(change: Change) -> str | None:
    return change.holder.name if isinstance(change.holder, Probe) else None


def _number(change: Change) -> str:
    return change.key.partition(" ")[0]


def _descriptors(loop: dict[str, Any]) -> Iterator[str]:
    selector = plain_contents(loop.get("_selector")) or {}
    for one in (selector.get("_selector"), loop.get("_ssock"), loop.get("_csock")):
        found = (dict_of_class(cls).get("fileno") for cls in mro_of(type(one)))
        fileno = next((method for method in found if method is not None), None)
        if type(fileno) is MethodDescriptorType:  # compiled: it runs no code of the user's
            yield str(fileno(one))


def _imported_anew(leaks: list[Change]) -> Groups:
    """Modules in the places of modules of the same name: sys.modules was emptied, wholly or in part."""
    yield _IMPORTED, [change for change in leaks if _module_name(change.before) and _is_twin(change)]


def _is_twin(change: Change) -> bool:
    return _module_name(change.before) == _module_name(change.after)


def _module_name(value: object) -> str | None:
    return text_of(module_dict(value).get("__name__")) if is_module(value) else None


def _classes(leaks: list[Change]) -> Groups:
    """A new class, and the registries that took it in."""
    made: dict[int, list[Change]] = {}
    named: dict[int, Any] = {}
    for change in leaks:
        before = {id(value) for value in _items(change.before)}
        for value in _items(change.after):
            if is_class(value) and id(value) not in before:
                named[id(value)] = value
                made.setdefault(id(value), []).append(change)
    taken: set[Change] = set()
    for key, group in made.items():
        free = [change for change in group if change not in taken]
        if any(isinstance(change.holder, Node) for change in free) and len(free) > 1:
            taken.update(free)
            yield f"{describe(named[key])}, and where it is registered", free


def _is_sure(change: Change) -> bool:
    """Whether a write site is more than the last line that mentions something on the way to the place."""
    holder = change.holder
    is_by_word = isinstance(holder, Node) and isinstance(holder.root[0], Library)
    return change.writer.by != "unknown" or is_by_word


def _items(value: object) -> tuple[Any, ...]:
    return value.values if type(value) is Contents else (value,)


def _statements(leaks: list[Change], relative: Callable[[str], str]) -> Groups:
    """What one statement of the owner's changed, where it is known which one that was."""

    def statement(change: Change) -> str | None:
        site = change.writer.site
        if site is None or site == change.owner.start or not _is_sure(change):
            return None
        return f"one statement, {relative(site.path)}:{site.line}"

    yield from ((cause, group) for cause, group in _by(leaks, statement) if len(group) >= _MANY)

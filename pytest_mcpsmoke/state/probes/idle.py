"""Workers that wait for work: a thread whose object stands in a collection that is called idle."""

from __future__ import annotations

import gc
import types
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from pytest_mcpsmoke.state.place import dict_of_class, mro_of, plain_contents

_COLLECTIONS: Final = (dict, list, set, deque)


def waits_for_work(target: object) -> bool:
    """Whether a thread that runs this method works for an object that is kept among idle ones.

    A cache of threads keeps its workers so, until their time is over. Asked of a new thread only: finding
    out who holds an object takes a look at all objects.
    """
    if type(target) is not types.MethodType:
        return False
    worker = target.__self__
    holders = [one for one in gc.get_referrers(worker) if type(one) in _COLLECTIONS]
    return any("idle" in name.lower() for holder in holders for name in _names(holder))


def _names(collection: object) -> Iterator[str]:
    """The attributes under which objects hold a collection."""
    for owner in gc.get_referrers(collection):
        attributes = owner if type(owner) is dict else _attributes(owner)
        for name, value in attributes.items():
            if value is collection and type(name) is str:
                yield name


def _attributes(owner: object) -> dict[Any, Any]:
    """What an instance has in its dict, or else in its slots."""
    contents = plain_contents(owner)
    if contents is not None:
        return contents
    found: dict[Any, Any] = {}
    for cls in mro_of(type(owner)):
        for name, slot in dict_of_class(cls).items():
            if type(slot) is types.MemberDescriptorType:
                try:
                    found[name] = slot.__get__(owner)
                except AttributeError:  # not set
                    continue
    return found

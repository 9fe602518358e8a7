"""What pytest alone still holds of a test: the values of its fixtures go when the test is over."""

from __future__ import annotations

import gc
import sys
from types import FrameType, ModuleType
from typing import Final

from pytest_mcpsmoke.state.place import is_class, is_module, module_dict, module_of, text_of

_ITEMS: Final = frozenset({"_pytest.python", "_pytest.unittest", "_pytest.doctest"})
_MOST: Final = 60  # objects on the way; each level of them takes a look at all objects that there are


def is_held_by_test_alone(value: object) -> bool:
    """Whether all that leads to an object begins at the test that pytest is about to drop.

    Nothing leads to what waits for the garbage collector: that is nobody's to drop.
    """
    level: tuple[object, ...] = (value,)
    seen, is_of_test = {id(value)}, False
    while level:
        outer: list[object] = []
        for holder in gc.get_referrers(*level):  # all of a level in one look
            if holder is level or type(holder) is FrameType or id(holder) in seen:
                continue
            if module_of(type(holder)) in _ITEMS:
                is_of_test = True
                continue
            if len(seen) > _MOST or is_class(holder) or _is_namespace(holder):
                return False
            seen.add(id(holder))
            outer.append(holder)
        level = tuple(outer)
    return is_of_test


def _is_namespace(holder: object) -> bool:
    if type(holder) is not dict:
        return isinstance(holder, ModuleType)
    module = sys.modules.get(text_of(holder.get("__name__")) or "")
    return is_module(module) and module_dict(module) is holder

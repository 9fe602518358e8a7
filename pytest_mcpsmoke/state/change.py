"""A change that an owner left, the form of a rule about it, and the habits that several rules know."""

from __future__ import annotations

import builtins
import gc
import sys
import types
from collections.abc import Callable
from functools import cached_property
from types import CellType, FrameType, FunctionType
from typing import Any, Final, Literal, NamedTuple

from pytest_mcpsmoke.state.ledger import Cause, Owner, Step
from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    Holder,
    Namespace,
    is_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    text_of,
)
from pytest_mcpsmoke.state.writer import Writer

# Dunder names that mean something to Python: what stands there is code, or the state of an object.
_SPECIAL: Final = frozenset(
    {name for kind in vars(types).values() if is_class(kind) for name in dir(kind)}
    | {name for kind in vars(builtins).values() if is_class(kind) for name in dir(kind)}
    | {
        "__getattr__",
        "__enter__",
        "__exit__",
        "__aenter__",
        "__aexit__",
        "__aiter__",
        "__anext__",
        "__slots__",
    }
    | {"__set_name__", "__set__", "__delete__", "__missing__", "__index__", "__bytes__", "__complex__"}
    | {"__fspath__", "__copy__", "__deepcopy__", "__post_init__", "__prepare__", "__all__", "__path__"}
    | {"__file__", "__spec__", "__loader__", "__package__", "__version__", "__matmul__", "__imatmul__"}
)
Kind = Literal["added", "removed", "rebound", "mutated"]
Verdict = Literal["leak", "warm-up", "allowed", "ignored"]


class Change:
    """One place that its owner left changed, with what is needed to judge it.

    puts_back: after is the value that an earlier, reported leak replaced. at numbers the changes of a run.
    act: what one reload changed bears the same words.
    undone_later: places that the runner puts back when a test's protocol ends. is_ours tells by the name of a
    module whether it is the program's, or test code.
    """

    def __init__(
        self,
        holder: Holder,
        key: str,
        before: Any,
        after: Any,
        owner: Owner,
        find_writer: Callable[[], Writer],
        during: str | None = None,
        cause: Cause | None = None,
        puts_back: bool = False,
        at: int = 0,
        undone_later: frozenset[str] = frozenset(),
        act: str | None = None,
        is_ours: Callable[[str], bool] = lambda module: True,
    ) -> None:
        self.act = act
        self.is_ours = is_ours
        self.undone_later = undone_later
        self.at = at
        self.holder = holder
        self.key = key
        self.before = before
        self.after = after
        self.owner = owner
        self.find_writer = find_writer
        self.during = during
        self.cause = cause
        self.puts_back = puts_back

    @cached_property
    def writer(self) -> Writer:
        """Who wrote. Searching for it costs: most rules look at the values first."""
        return self.find_writer()

    @property
    def is_writer_known(self) -> bool:
        """Whether the writer had to be found already."""
        return "writer" in self.__dict__

    @property
    def kind(self) -> Kind:
        if self.before is MISSING:
            return "added"
        if self.after is MISSING:
            return "removed"
        return "mutated" if type(self.after) is Contents or self.key == "" else "rebound"

    @property
    def place(self) -> str:
        return self.holder.place(self.key)

    @property
    def namespace(self) -> Namespace:
        """The holder of a change to a name of a namespace: only the rules about those ask for it."""
        assert isinstance(self.holder, Namespace)
        return self.holder


class Rule(NamedTuple):
    """An exemption: when it applies, what becomes of the change, and why."""

    name: str
    verdict: Literal["ignored", "warm-up"]
    reason: str
    applies: Callable[[Change], bool]


def _is_empty(value: object) -> bool:
    if value is None or value is False or value is MISSING:
        return True
    return kind_of(value) in (str, bytes, tuple, list, dict, set, frozenset) and not value


def is_first_use(change: Change) -> bool:
    """The writing function looks whether there is anything under the name, and fills it if not."""
    return (
        change.writer.by == "program"
        and change.writer.checks
        and _is_empty(change.before)
        and change.after is not MISSING
    )


def is_counter(change: Change) -> bool:
    before, after = change.before, change.after
    if before is MISSING and kind_of(after) is int:
        before = 0 if change.writer.counts else MISSING  # it counts from nothing
    if not {kind_of(before), kind_of(after)} <= {int, float} or not after > before:
        return False
    return change.writer.by == "program" and (change.writer.reads or change.writer.counts)


def is_name_of_metadata(name: object) -> bool:
    """Whether it is a dunder name that means nothing to Python: what the program notes about an object."""
    is_dunder = type(name) is str and name.startswith("__") and name.endswith("__") and len(name) > 4
    return is_dunder and name not in _SPECIAL


def is_none_for_nothing(change: Change) -> bool:
    return change.before is MISSING and change.after is None and change.writer.by in ("program", "unknown")


def is_twin(module: Any) -> bool:
    """Whether somebody still holds a module that was imported anew, or what it defined."""
    contents = module_dict(module)
    name = text_of(contents.get("__name__"))
    defined = {
        id(value)
        for value in list(contents.values())
        if (is_class(value) and module_of(value) == name)
        or (kind_of(value) is FunctionType and value.__globals__ is contents)
    }
    others = [module_dict(one) for one in list(sys.modules.values()) if is_module(one)]
    held = any(id(value) in defined for one in others if one is not contents for value in list(one.values()))
    return held or any(_is_of_program(holder) for holder in gc.get_referrers(module))


def _is_of_program(holder: Any) -> bool:
    """Whether what refers to a module is neither a running function nor one of the detector's own books."""
    if type(holder) in (Change, Step, FrameType, CellType):
        return False
    return not (type(holder) is dict and "find_writer" in holder)  # the attributes of a Change


def added(change: Change) -> list[Any]:
    """What a container holds after a change, and did not before."""
    before = values(change.before)
    return [one for one in values(change.after) if not any(one is other for other in before)]


def values(contents: object) -> tuple[Any, ...]:
    """What a container held; nothing of any other value."""
    return contents.values if type(contents) is Contents else ()

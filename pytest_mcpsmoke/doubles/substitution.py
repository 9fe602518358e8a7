"""One place that holds something else for a while: an attribute, or the item of a mapping or a list.

What an attribute held is kept as pytest.MonkeyPatch keeps it: of a class its own entry, so that a static
method stays one and an inherited attribute is inherited again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, MutableMapping, MutableSequence
from typing import Any, Final, Protocol

from pytest_mcpsmoke.doubles.naming import dotted_name, no_such_name
from pytest_mcpsmoke.state.diff import same
from pytest_mcpsmoke.state.place import MISSING, dict_of_class, is_class, is_module, module_dict, mro_of
from pytest_mcpsmoke.state.readers import subscript

__tracebackhide__ = True  # pytest shows the line that patches, not these


class Place(Protocol):
    """Where a value stands; MISSING stands for none."""

    @property
    def name(self) -> str:
        """How it is written, dotted."""

    @property
    def key(self) -> Hashable:
        """Tells it from all other places, while the object that holds it lives."""

    def now(self) -> Any:
        """What stands there."""

    def put(self, value: Any) -> Any:
        """Put a value there; returns what restore() is to be given."""

    def take(self) -> Any:
        """Remove what stands there; returns what restore() is to be given."""

    def restore(self, before: Any) -> None:
        """Put back what put() or take() has returned."""


class Attribute:
    """An attribute of a module, a class or an instance; with raising, one that is there."""

    def __init__(self, target: Any, attribute: str, raising: bool = True, shown: str = "") -> None:
        self.target = target
        self.attribute = attribute
        self.raising = raising
        self.name = shown or f"{dotted_name(target)}.{attribute}"

    @property
    def key(self) -> Hashable:
        return "attribute", id(self.target), self.attribute

    def now(self) -> Any:
        own = self._own().get(self.attribute, MISSING)
        return getattr(self.target, self.attribute, MISSING) if own is MISSING else own

    def put(self, value: Any) -> Any:
        seen = getattr(self.target, self.attribute, MISSING)
        if seen is MISSING and self.raising:
            raise self._missing("; raising=False adds it")
        own = self._own().get(self.attribute, MISSING)
        setattr(self.target, self.attribute, value)
        return own if self._is_own_entry(value) else seen

    def take(self) -> Any:
        seen = getattr(self.target, self.attribute, MISSING)
        if seen is MISSING:
            if self.raising:
                raise self._missing("; raising=False lets it be")
            return MISSING
        if is_class(self.target):
            seen = self._own().get(self.attribute, MISSING)
        delattr(self.target, self.attribute)
        return seen

    def restore(self, before: Any) -> None:
        if before is not MISSING:
            setattr(self.target, self.attribute, before)
        elif self.now() is not MISSING:
            delattr(self.target, self.attribute)

    def _missing(self, remedy: str) -> AttributeError:
        return no_such_name(self.target, self.attribute, self.name.rpartition(".")[0], remedy)

    def _own(self) -> Mapping[str, Any]:
        """The entries of the target's own, without what it inherits."""
        if is_class(self.target):
            return dict_of_class(self.target)  # type: ignore[no-any-return]
        if is_module(self.target):
            return module_dict(self.target)
        held = getattr(self.target, "__dict__", None)
        return held if isinstance(held, Mapping) else {}

    def _is_own_entry(self, value: Any) -> bool:
        """Whether what was set is an entry of the target's own: not with properties, slots, __setattr__."""
        if is_class(self.target) or is_module(self.target):
            return True
        found = (dict_of_class(cls).get(self.attribute, MISSING) for cls in mro_of(type(self.target)))
        inherited = next((one for one in found if one is not MISSING), MISSING)
        is_routed = hasattr(type(inherited), "__set__") or hasattr(type(inherited), "__delete__")
        return not is_routed and self._own().get(self.attribute, MISSING) is value


class Item:
    """The item of a mapping, under a key, or of a list, at an index."""

    def __init__(self, container: Any, key: Any, raising: bool = True, shown: str = "") -> None:
        self.container = container
        self.item = key
        self.raising = raising
        self._followers: list[Any] = []  # the keys behind it when it was removed
        self.name = shown or f"{dotted_name(container)}{subscript(key)}"

    @property
    def key(self) -> Hashable:
        return "item", id(self.container), self.item

    def now(self) -> Any:
        if isinstance(self.container, MutableSequence) or self.item in self.container:
            return self.container[self.item]
        return MISSING

    def put(self, value: Any) -> Any:
        before = self.now()
        self.container[self.item] = value
        return before

    def take(self) -> Any:
        if isinstance(self.container, MutableSequence):
            raise TypeError("an item of a list is replaced, not removed: those behind it would move")
        if self.item not in self.container:
            if self.raising:
                raise KeyError(self.item)
            return MISSING
        before = self.container[self.item]
        if type(self.container) in _ORDERED:
            keys = list(self.container)
            self._followers = keys[keys.index(self.item) + 1 :]
        del self.container[self.item]
        return before

    def restore(self, before: Any) -> None:
        if before is not MISSING:
            is_back = self.item not in self.container if self._followers else False
            self.container[self.item] = before
            if is_back:  # at the end, while it was not
                _to_end(self.container, self._followers)
        elif isinstance(self.container, MutableMapping):
            self.container.pop(self.item, None)
        elif self.item in self.container:
            del self.container[self.item]


_ORDERED: Final = (dict, OrderedDict)


def _to_end(container: dict[Any, Any], keys: list[Any]) -> None:
    """Move these keys behind all others, in the order that they have now."""
    behind = frozenset(keys)
    for key in [key for key in container if key in behind]:
        container[key] = container.pop(key)


_standing: Final[dict[Hashable, list[Substitution]]] = {}  # by place, the last one on top
_lock: Final = threading.RLock()


class Substitution:
    """Puts a value into a place, MISSING to empty it, and can put back what stood there.

    Those of one place may be undone in any order, as tasks that overlap do: when the last of them is undone,
    the place holds what it held before the first.
    """

    def __init__(self, place: Place, value: Any) -> None:
        self.place = place
        self.value = value
        self.before: Any = MISSING
        self._stands = False
        self._is_passed = False

    def apply(self) -> None:
        """Put the value there; raises what the place raises, and has changed nothing then."""
        with _lock:
            self.before = self.place.take() if self.value is MISSING else self.place.put(self.value)
            _standing.setdefault(self.place.key, []).append(self)
            self._stands = True

    def undo(self) -> None:
        """Put back what stood there, whatever the program has put there since; undoing twice is fine."""
        with _lock:
            if not self._stands:
                return
            self._stands = False
            stack = _standing[self.place.key]
            at = next(at for at, one in enumerate(stack) if one is self)
            del stack[at]
            if not stack:
                del _standing[self.place.key]
            if at < len(stack):
                stack[at].before = self.before  # another stands above it, and is to put this back
            elif not self._is_passed or self._is_there():
                self.place.restore(self.before)

    def passed(self) -> None:
        """Be told that another stack of patches has undone what it put here later, and goes on.

        Where that has brought the value back, it goes once more; and a value that does not stand there any
        more when this is undone has been taken out by that stack.
        """
        with _lock:
            if self._stands:
                self._is_passed = True
            elif self._is_there():
                self.place.restore(self.before)

    def _is_there(self) -> bool:
        try:
            return same(self.place.now(), self.value)
        except (
            Exception
        ):  # a property that raises, a list that is shorter now: what cannot be read is not ours
            return False

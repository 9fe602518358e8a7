"""Namespaces and places: what a piece of state is called."""

from __future__ import annotations

import gc
import importlib
import types
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal, Protocol


class Missing:
    """The value of a name that is not there."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Final = Missing()

# Read through the descriptors of the built-in types, never through the object: a subclass may define
# __getattribute__, __class__ or __dict__ of its own, and asking it would run its code.
_dict_of_module: Any = vars(types.ModuleType)["__dict__"].__get__
dict_of_class: Any = type.__dict__["__dict__"].__get__
qualname_of: Any = type.__dict__["__qualname__"].__get__
_module_of_class: Any = type.__dict__["__module__"].__get__
mro_of: Any = type.__dict__["__mro__"].__get__
flags_of_class: Any = type.__dict__["__flags__"].__get__

IMMUTABLE_TYPE: Final = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def compiled(name: str, otherwise: Callable[..., Any], part: str = "_watch") -> Callable[..., Any]:
    """Return a function of a compiled part; the other one where that is not installed.

    engines.open_engine says so there.
    """
    try:
        module = importlib.import_module(f"pytest_mcpsmoke.state.{part}")
    except ImportError:
        return otherwise
    function: Callable[..., Any] = getattr(module, name)
    return function


def kind_of(value: object) -> type:
    """Return the class of value, for looking it up in a table of plain classes.

    Where the class has a metaclass, whose __hash__ and __eq__ a look-up would run, it is object instead.
    """
    cls = type(value)
    return cls if type(cls) is type else object


def is_module(value: object) -> bool:
    """Whether value really is a module, whatever its __class__ pretends."""
    return issubclass(type(value), types.ModuleType)


def is_class(value: object) -> bool:
    """Whether value really is a class, whatever its __class__ pretends."""
    return issubclass(type(value), type)


def module_dict(module: object) -> dict[str, Any]:
    """Return the namespace of a module without triggering lazy loading."""
    found: dict[str, Any] = _dict_of_module(module)
    return found


def class_dict(cls: object) -> dict[str, Any] | None:
    """Return the namespace of a class, or None when the interpreter does not hand it out."""
    for referent in gc.get_referents(dict_of_class(cls)):
        if type(referent) is dict:
            return referent
    return None


def is_open_class(value: object) -> bool:
    """Whether value is a class whose attributes can be written (built-in types are closed)."""
    return is_class(value) and not flags_of_class(value) & IMMUTABLE_TYPE


def _open_classes(contents: dict[str, Any]) -> list[tuple[type, dict[str, Any]]]:
    """Return the open classes among the values of a namespace, each with its own namespace."""
    classes = [value for value in list(contents.values()) if is_open_class(value)]
    return [(cls, attributes) for cls in classes if (attributes := class_dict(cls)) is not None]


# tens of thousands of values are looked at when a run starts
open_classes: Callable[[dict[str, Any]], list[tuple[type, dict[str, Any]]]] = compiled(
    "open_classes", _open_classes
)


def module_of(cls: object) -> str | None:
    """Return the name of the module that a class says it belongs to."""
    try:
        return text_of(_module_of_class(cls))
    except AttributeError:  # a class made without one
        return None


def plain_contents(value: object) -> dict[str, Any] | None:
    """Return the attributes of an instance whose whole state they are; None for any other object.

    Not plain: classes over a built-in type with data of its own, and classes with __slots__.
    """
    getter = None
    for cls in mro_of(type(value)):
        if cls is object:
            break
        attributes = dict_of_class(cls)
        kinds = {kind_of(attribute) for attribute in attributes.values()}
        if flags_of_class(cls) & IMMUTABLE_TYPE or types.MemberDescriptorType in kinds:
            return None
        found = attributes.get("__dict__")
        getter = found if type(found) is types.GetSetDescriptorType else getter
    contents = None if getter is None else getter.__get__(value)
    return contents if type(contents) is dict else None


def text_of(value: object) -> str | None:
    """Return value if it is exactly a str: names found in namespaces are user data too."""
    return value if type(value) is str else None


class Contents:
    """What a container held at one moment; kind: "list", "set", "deque", "order" (of keys), …"""

    __slots__ = ("kind", "values")

    def __init__(self, kind: str, values: tuple[Any, ...]) -> None:
        self.kind = kind
        self.values = values


class Holder(Protocol):
    """What holds state under keys: a namespace, an object that the program holds, or a probe."""

    @property
    def probe(self) -> str:
        """The "probe" of findings about it."""

    @property
    def is_one_act(self) -> bool:
        """Whether what one owner does to a key counts as one change, imports in between included."""

    def place(self, key: str) -> str:
        """The dotted name of one key."""


class Namespace:
    """One watched dict: the globals of a module or the attributes of a class.

    ref points weakly at the module or class, so that watching keeps nothing alive. key is the name in
    sys.modules under which it, or the module it was found in, was found. born is the owner in whose time
    it first appeared; None: it was there before.
    """

    __slots__ = ("__weakref__", "born", "key", "kind", "ref")
    probe: ClassVar[str] = "namespaces"
    is_one_act: ClassVar[bool] = False

    def __init__(
        self, kind: Literal["module", "class"], ref: weakref.ref[Any], key: str, born: object = None
    ) -> None:
        self.kind = kind
        self.ref = ref
        self.key = key
        self.born = born

    @property
    def contents(self) -> dict[str, Any] | None:
        """The dict itself, or None when the module or class is gone."""
        target = self.ref()
        if target is None:
            return None
        return module_dict(target) if self.kind == "module" else class_dict(target)

    @property
    def module(self) -> str:
        """The name of the module that this namespace belongs to."""
        target = self.ref()
        if self.kind == "class" and target is not None:
            return module_of(target) or self.key
        return self.key

    @property
    def name(self) -> str:
        """The dotted name: module, or module and qualified name of the class."""
        target = self.ref()
        if self.kind == "class":
            return f"{self.module}.{'<gone>' if target is None else qualname_of(target)}"
        return self.key

    def place(self, key: str) -> str:
        """The dotted name of one key."""
        return f"{self.name}.{key}"

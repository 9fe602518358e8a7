"""Objects that note, or refuse, each time their own code is run."""

from __future__ import annotations

import types
from typing import Any, NoReturn

ASKED: list[str] = []


def _asks(name: str) -> Any:
    def method(self: object, *args: object) -> NoReturn:
        ASKED.append(name)
        raise AssertionError(f"{name} was run")

    return method


_METHODS = """
    eq ne lt gt hash bool repr str len iter contains getattr getattribute getitem call format
    instancecheck subclasscheck dir reduce_ex copy deepcopy index int float
    """
_BODY = {f"__{name}__": _asks(f"__{name}__") for name in _METHODS.split()}
_CLASS = {"__class__": property(_asks("__class__")), "__dict__": property(_asks("__dict__"))}

HostileMeta = type(
    "HostileMeta", (type,), {**_BODY, "__dict__": property(_asks("__dict__")), "__slots__": ()}
)


def hostile_class(name: str = "Hostile", *bases: type) -> Any:
    """A class whose metaclass and instances refuse to be asked anything."""
    return type.__new__(HostileMeta, name, bases, {**_BODY, **_CLASS, "__slots__": ()})


def hostile_kinds() -> dict[str, Any]:
    """One value of each kind, all of them hostile."""
    made: dict[str, Any] = {"an instance": object.__new__(hostile_class()), "a class": hostile_class()}
    for base in (str, int, bytes, list, dict, tuple, set, frozenset, float):
        made[f"a {base.__name__}"] = base.__new__(hostile_class(f"Hostile{base.__name__}", base))
    module_class = hostile_class("HostileModule", types.ModuleType)
    made["a module"] = types.ModuleType.__new__(module_class)
    return made


class Pretender:
    """A proxy whose __class__ says that it is something else."""

    def __init__(self, pretended: type) -> None:
        object.__setattr__(self, "pretended", pretended)

    @property
    def __class__(self) -> Any:  # type: ignore[misc]
        ASKED.append("__class__")
        return object.__getattribute__(self, "pretended")

    def __getattr__(self, name: str) -> NoReturn:
        ASKED.append(name)
        raise AttributeError(name)

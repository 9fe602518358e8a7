"""Stands in for the module httpx or httpx2, so that clients which the code under test makes are recorded."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_mcpsmoke.doubles._http import Library

Made = Callable[[Any], None]


class StandIn(ModuleType):
    """Has every name of the library as it is; but its clients, and get(), post() …, are recorded.

    made: is given each client when it has been made.
    defaults: gives the arguments of a client that is made without a transport.
    """

    def __init__(self, library: Library, made: Made, defaults: Callable[[], dict[str, Any]]) -> None:
        super().__init__(library.name, f"{library.name}, with clients that are recorded.")
        self._real = library.module
        self.Client = _recorded(library.module.Client, made, defaults)
        self.AsyncClient = _recorded(library.module.AsyncClient, made, defaults)
        vars(self).update(library.functions(self.Client))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __dir__(self) -> list[str]:
        return dir(self._real)


def stood_for(value: object) -> object:
    """What a stand-in, or a class of clients of one, stands for; any other value itself."""
    if isinstance(value, StandIn):
        return value._real
    return (
        vars(value)["_stands_for"]
        if isinstance(value, _KindOfClient) and "_stands_for" in vars(value)
        else value
    )


class _KindOfClient(type):
    """Its classes take every client of the library for one of theirs, as those do that they stand for."""

    def __instancecheck__(cls, instance: object) -> bool:
        real = vars(cls).get("_stands_for")  # a subclass of it, which the code under test makes, has none
        return super().__instancecheck__(instance) if real is None else isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = vars(cls).get("_stands_for")
        return super().__subclasscheck__(subclass) if real is None else issubclass(subclass, real)


def _recorded(real: Any, made: Made, defaults: Callable[[], dict[str, Any]]) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = {} if kwargs.get("transport") is not None else defaults()
        real.__init__(self, *args, **kwargs | given)
        made(self)

    __init__.__wrapped__ = real.__init__  # type: ignore[attr-defined]  # its signature is the true one
    named = {"__module__": real.__module__, "__qualname__": real.__qualname__, "__doc__": real.__doc__}
    return _KindOfClient(real.__name__, (real,), {"__init__": __init__, "_stands_for": real, **named})

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
    defaults: gives the arguments that a client gets which its maker left out, for a sync or an async one.
    """

    def __init__(self, library: Library, made: Made, defaults: Callable[[bool], dict[str, Any]]) -> None:
        super().__init__(library.name, f"{library.name}, with clients that are recorded.")
        self._real = library.module
        self.Client = _recorded(library.module.Client, made, lambda: defaults(False))
        self.AsyncClient = _recorded(library.module.AsyncClient, made, lambda: defaults(True))
        vars(self).update(library.functions(self.Client))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __dir__(self) -> list[str]:
        return dir(self._real)


class _KindOfClient(type):
    """Its classes take every client of the library for one of theirs, as those do that they stand for."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__bases__[0])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__bases__[0])


def _recorded(real: Any, made: Made, defaults: Callable[[], dict[str, Any]]) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = {} if kwargs.get("transport") is not None else defaults()
        real.__init__(self, *args, **given | kwargs)
        made(self)

    __init__.__wrapped__ = real.__init__  # type: ignore[attr-defined]  # its signature is the true one
    named = {"__module__": real.__module__, "__qualname__": real.__qualname__, "__doc__": real.__doc__}
    return _KindOfClient(real.__name__, (real,), {"__init__": __init__, **named})

"""A class that stands in for an invoker's class: its signature, its arguments kept, a fake behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_mcpsmoke.doubles.wording import call_text

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.invoker import FakeInvoker

_CLOSERS: Final = ("close", "aclose", "__enter__", "__exit__", "__aenter__", "__aexit__")


@dataclass
class Instance:
    """One object that the code under test made of the class that the fake stands in for.

    Attributes:
        arguments: What the constructor was given, by parameter name, defaults included.
        closed: Whether it was closed, or left as a context manager.
    """

    arguments: dict[str, Any]
    closed: bool = False

    @property
    def base_url(self) -> Any:
        """The argument `base_url`; None where there was none."""
        return self.arguments.get("base_url")

    @property
    def headers(self) -> dict[str, str]:
        """The argument `headers`, exactly as given; empty where there were none."""
        return dict(self.arguments.get("headers") or {})

    def __repr__(self) -> str:
        return call_text("Instance", self.arguments)


def _by_default(base_url: str, headers: dict[str, str] | None = None) -> None:
    """The signature of an invoker's constructor where no class is given."""


def stand_in(fake: FakeInvoker, real: type | None) -> type:
    """A class with the signature of the real one, whose objects ask the fake."""
    signature = inspect.signature(_by_default if real is None else real)

    class StandIn:
        """Stands in for an invoker's class; see FakeInvoker.factory."""

        __signature__ = signature

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self._instance = Instance(dict(bound.arguments))
            self.__dict__.update(bound.arguments)
            fake.instances.append(self._instance)

        async def list_openai_tools(self) -> list[dict[str, Any]]:
            return await fake.list_openai_tools()

        async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> str:
            __tracebackhide__ = True
            return await fake.ask(openai_tool, self._instance)

    if real is not None:
        StandIn.__name__ = StandIn.__qualname__ = real.__name__
        StandIn.__module__ = real.__module__
        for name in _CLOSERS:
            if hasattr(real, name):
                setattr(StandIn, name, _closer(name))
    return StandIn


def _closer(name: str) -> Callable[..., Any]:
    """A method that only notes that the object was closed."""

    def close(self: Any, *_: Any) -> Any:
        entering = name.endswith("enter__")
        self._instance.closed = not entering
        return self if entering else None

    async def aclose(self: Any, *args: Any) -> Any:
        return close(self, *args)

    return aclose if name.startswith(("a", "__a")) else close

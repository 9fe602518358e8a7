"""The only module that imports httpx and httpx2, and what has to be built anew for each of them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any, Final

from pytest_mcpsmoke.doubles.extras import need
from pytest_mcpsmoke.errors import UsageProblem

FLAVOURS: Final = ("httpx", "httpx2")
Snapshot = list[Any]  # of headers, cheap to make; Library.pairs() reads it
FUNCTIONS: Final = (  # that make a client of their own
    *("delete", "get", "head", "options", "patch", "post", "put", "query", "request", "stream", "websocket"),
)
_OURS: Final = __name__.partition(".")[0] + "."


class Library:
    """httpx or httpx2.

    Attributes:
        name: "httpx" or "httpx2".
        module: The library itself.
        defaults: The headers that a client of it sends when nobody asks for any, as byte pairs.
        snapshot: Copies what a headers object holds, fast; `pairs` makes byte pairs of the copy, when asked.
    """

    snapshot: Callable[[Any], Snapshot]
    pairs: Callable[[Snapshot], list[tuple[bytes, bytes]]]

    def __init__(self, module: Any) -> None:
        self.name: str = module.__name__
        self.module = module
        with module.Client(transport=module.MockTransport(lambda _: None), trust_env=False) as client:
            self.defaults = tuple(client.headers.raw)
            self.snapshot, self.pairs = _ways_to_read(client.headers)
        self.Stream, self.KeptStream = _streams(module)
        self.is_plain = (module.ByteStream,)
        self._in_process = tuple(
            getattr(module, name)
            for name in ("MockTransport", "ASGITransport", "WSGITransport")
            if hasattr(module, name)
        )

    def is_outlet(self, transport: Any) -> bool:
        """Whether a transport may open connections: all but those that run an app or a function in here."""
        is_ours = type(transport).__module__.startswith(_OURS)
        in_process = is_ours or isinstance(transport, self._in_process)
        return not in_process and not callable(getattr(transport, "app", None))

    def is_transport(self, thing: object) -> bool:
        """Whether this is a transport of a class of the library."""
        return isinstance(thing, (self.module.BaseTransport, self.module.AsyncBaseTransport))

    def holds_connections(self, client: Any) -> bool:
        """Whether the pools of a client hold connections, idle ones among them."""
        pools = [getattr(one, "_pool", None) for one in (client._transport, *client._mounts.values())]
        return any(getattr(pool, "connections", None) for pool in pools)

    def is_client(self, thing: object) -> bool:
        """Whether this is a client of the library, sync or async."""
        return issubclass(type(thing), (self.module.Client, self.module.AsyncClient))  # asks no proxy

    def is_async(self, client: object) -> bool:
        """Whether a client of the library is an async one."""
        return isinstance(client, self.module.AsyncClient)

    def functions(self, client: type) -> dict[str, Any]:
        """The library's get(), post(), stream() …, made to use another class of clients."""
        found: dict[str, Any] = dict(self.module.request.__globals__)
        originals = {name: found[name] for name in FUNCTIONS if hasattr(self.module, name) and name in found}
        found["Client"] = client
        for name, function in originals.items():
            inner = getattr(function, "__wrapped__", None)  # of a context manager: stream()
            copied = _copied(function if inner is None else inner, found)
            found[name] = copied if inner is None else contextmanager(copied)
        return {name: found[name] for name in originals}


def _copied(function: Any, namespace: dict[str, Any]) -> Any:
    copy = FunctionType(
        function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = function.__annotations__
    copy.__doc__ = function.__doc__
    return copy


def _streams(module: Any) -> tuple[Any, Any]:
    """Two classes of bodies, for requests and responses of the library."""

    class Stream(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
        """A body that passes everything on."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.inner)

        def __aiter__(self) -> AsyncIterator[bytes]:
            stream: AsyncIterator[bytes] = self.inner.__aiter__()
            return stream

        def close(self) -> None:
            self.inner.close()

        async def aclose(self) -> None:
            await self.inner.aclose()

    class KeptStream(Stream):
        """A body that keeps what is taken of it, too."""

        def __init__(self, inner: Any, taken: list[bytes]) -> None:
            super().__init__(inner)
            self.taken = taken

        def __iter__(self) -> Iterator[bytes]:
            for chunk in self.inner:
                self.taken.append(chunk)
                yield chunk

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in self.inner:
                self.taken.append(chunk)
                yield chunk

    return Stream, KeptStream


def _ways_to_read(
    headers: Any,
) -> tuple[Callable[[Any], Snapshot], Callable[[Snapshot], list[tuple[bytes, bytes]]]]:
    """How to copy headers, and to make pairs of the copy.

    `raw` builds a list anew each time, which takes four times as long as copying what it is built from. That
    is internal, so it is used only where it is seen to hold the same.
    """
    lines = getattr(headers, "_list", None)
    if not isinstance(lines, list) or {len(line) for line in lines} != {3} or _pairs(lines) != headers.raw:
        return lambda of: of.raw, lambda kept: kept
    return lambda of: of._list[:], _pairs


def _pairs(lines: Snapshot) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, _, value in lines]


@cache
def _library(module: Any) -> Library:
    return Library(module)


def library(flavour: str, who: str) -> Library:
    """The library of this name, imported on behalf of `who`.

    Raises UsageProblem for another name, and MissingExtra when it is not installed.
    """
    if flavour not in FLAVOURS:
        raise UsageProblem(f'{who}: flavour={flavour!r}: expected "httpx" or "httpx2"')
    return _library(need(flavour, "http", who))


def loaded() -> list[Library]:
    """Those of both libraries that this process has imported; a stub in the place of one is none."""
    modules = [sys.modules.get(name) for name in FLAVOURS]
    return [_library(module) for module in modules if isinstance(getattr(module, "AsyncClient", None), type)]


def library_of(is_its: Callable[[Library], bool]) -> Library | None:
    """The first of the loaded libraries that something belongs to."""
    return next((one for one in loaded() if is_its(one)), None)

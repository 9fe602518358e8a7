"""httpx and httpx2, sync and async, driven by one test body."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest


class Stack:
    """One library in one of its two modes."""

    def __init__(self, flavour: str, is_async: bool) -> None:
        self.flavour = flavour
        self.is_async = is_async
        self.module: Any = importlib.import_module(flavour)
        self.Client: Any = self.module.AsyncClient if is_async else self.module.Client

    def make(self, recorder: Any, **options: Any) -> Any:
        """A recorded client."""
        return (recorder.async_client if self.is_async else recorder.client)(self.flavour, **options)

    def run(self, client: Any, body: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run an async body over the client, closed at its end; a sync client's methods are awaited, too."""

        async def main() -> Any:
            if self.is_async:
                async with client:
                    return await body(client)
            with client:
                return await body(_Awaited(client))

        return asyncio.run(main())

    def send(self, client: Any, method: str, url: str, **options: Any) -> Any:
        """Send one request, and close the client."""
        return self.run(client, lambda one: one.request(method, url, **options))

    def hook(self, function: Callable[[Any], None]) -> Any:
        """An event hook of the right kind."""
        if not self.is_async:
            return function

        async def hook(message: Any) -> None:
            function(message)

        return hook

    def chunks(self, *parts: bytes) -> Any:
        """A generator, as a body that can be taken once."""

        async def async_parts() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        return async_parts() if self.is_async else (part for part in parts)


class _Awaited:
    """A sync client with the look of an async one."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        async def method(*args: Any, **options: Any) -> Any:
            return getattr(self.client, name)(*args, **options)

        return method

    def build_request(self, *args: Any, **options: Any) -> Any:
        return self.client.build_request(*args, **options)

    @asynccontextmanager
    async def stream(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        with self.client.stream(*args, **options) as response:
            yield _AwaitedResponse(response)


class _AwaitedResponse:
    def __init__(self, response: Any) -> None:
        self.response = response

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for chunk in self.response.iter_bytes():
            yield chunk

    async def aread(self) -> bytes:
        body: bytes = self.response.read()
        return body

    def __getattr__(self, name: str) -> Any:
        return getattr(self.response, name)


STACKS = [Stack(flavour, is_async) for flavour in ("httpx", "httpx2") for is_async in (False, True)]
each_stack = pytest.mark.parametrize(
    "stack", STACKS, ids=lambda stack: f"{stack.flavour}-{'async' if stack.is_async else 'sync'}"
)

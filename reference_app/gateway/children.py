"""The child processes of stdio upstreams: one for each server, shared by all who call it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CONNECTION_CLOSED

from reference_app.gateway.settings import McpServer

logger = logging.getLogger(__name__)


class StdioChild:
    """Starts the child at the first call, and anew at the first call after its end."""

    def __init__(self, name: str, settings: McpServer, mode: str) -> None:
        self._name = name
        self._settings = settings
        self._mode = mode
        self._life: _Life | None = None

    async def client(self) -> Client:
        """Returns the client of a child that runs; who comes while it starts waits for the same one.

        Raises:
            Exception: Whatever kept it from starting.
        """
        if self._life is None or self._life.is_over:
            self._life = _Life(self._name, self._settings, self._mode, self._life)
        return await self._life.client()

    async def close(self) -> None:
        """Ends the child: its input first, then, where that is not enough, the process."""
        if self._life is not None:
            await self._life.end()


class _Life:
    """One child, from its start to its end.

    The SDK starts, greets and ends the process; here one task holds it, for who opens the SDK's client must
    close it.
    """

    def __init__(self, name: str, settings: McpServer, mode: str, before: _Life | None) -> None:
        self._name = name
        self._settings = settings
        self._mode = mode
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._is_ended = False  # by us
        # Not a time-out of asyncio's: that would cut short how the SDK ends the process.
        self._starting = anyio.CancelScope()
        self._holder = asyncio.create_task(self._hold(before))

    @property
    def is_over(self) -> bool:
        """Whether no call can be made any more; the process itself may still be ending."""
        return self._over.is_set()

    async def client(self) -> Client:
        """Returns the client, once it is there."""
        # Neither does who leaves end it for the others, nor does anybody wait for the end of one that hangs.
        async with asyncio.timeout(self._settings.timeout_seconds):
            return await asyncio.shield(self._client)

    async def end(self) -> None:
        """Ends the child."""
        self._is_ended = True
        self._over.set()
        if not self._client.done():
            self._starting.cancel()
        await asyncio.wait([self._holder])

    async def _hold(self, before: _Life | None) -> None:
        try:
            with self._starting:
                await self._run(before)
            if not self._client.done():
                self._client.set_exception(self._why_not_started())
        except Exception as error:
            if not self._client.done():
                self._client.set_exception(error)
            elif not self._is_ended:
                logger.warning("the child of %s ended badly: %s", self._name, type(error).__name__)
        finally:
            self._over.set()

    async def _run(self, before: _Life | None) -> None:
        if before is not None:
            await asyncio.wait([before._holder])
        self._starting.deadline = anyio.current_time() + self._settings.timeout_seconds
        async with self._new_client() as client:
            self._starting.deadline = math.inf
            self._client.set_result(client)
            await self._over.wait()
            if not self._is_ended:
                logger.warning("the child of %s has ended; the next call starts another", self._name)

    def _why_not_started(self) -> Exception:
        return MCPError(CONNECTION_CLOSED, "Connection closed") if self._is_ended else TimeoutError()

    def _new_client(self) -> Client:
        return Client(
            _noticing_the_end(stdio_client(_parameters(self._settings)), self._over),
            mode=self._mode,
            read_timeout_seconds=self._settings.timeout_seconds,
            cache=None,
        )


@asynccontextmanager
async def _noticing_the_end(
    transport: AbstractAsyncContextManager[Any], over: asyncio.Event
) -> AsyncIterator[Any]:
    """Relays what a child says, to hear when it says no more: calls that wait are told by the SDK."""
    async with transport as (reads, writes):
        passed_on, heard = anyio.create_memory_object_stream[Any](0)

        async def listen() -> None:
            try:
                async with passed_on:
                    async for message in reads:
                        await passed_on.send(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the client has left first
            over.set()

        async with heard, anyio.create_task_group() as group:
            group.start_soon(listen)
            yield heard, writes
            group.cancel_scope.cancel()


def _parameters(settings: McpServer) -> StdioServerParameters:
    passed = {name: os.environ[name] for name in settings.env_from if name in os.environ}
    return StdioServerParameters(
        command=settings.command or "",
        args=list(settings.args),
        env={**passed, **settings.env},
        cwd=settings.cwd,
        encoding_error_handler="replace",  # after bytes that are no UTF-8 the SDK's client would hear no more
    )

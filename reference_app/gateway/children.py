"""The child processes of stdio upstreams: one for each server, shared by all who call it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from reference_app.gateway.settings import McpServer

logger = logging.getLogger(__name__)


class StdioChild:
    """Starts the child at the first call, and anew at the first call after its end.

    The SDK starts, greets and ends the process; here one task holds it, for who opens the SDK's client must
    close it.
    """

    def __init__(self, name: str, settings: McpServer, mode: str) -> None:
        self._name = name
        self._settings = settings
        self._mode = mode
        self._starting = asyncio.Lock()
        self._client: Client | None = None
        self._over = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None

    async def client(self) -> Client:
        """Returns the client of a child that runs.

        Raises:
            Exception: Whatever kept it from starting.
        """
        async with self._starting:
            if self._client is None:
                await self.close()  # of the one before
                await self._start()
            assert self._client is not None
            return self._client

    async def close(self) -> None:
        """Ends the child: its input first, then, where that is not enough, the process."""
        holder, self._holder = self._holder, None
        if holder is None:
            return
        self._over.set()
        if self._client is None:
            holder.cancel()  # it is still starting, and may never have started
        self._client = None
        await asyncio.wait([holder])

    async def _start(self) -> None:
        self._over = asyncio.Event()
        started: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(started, self._over))
        try:
            self._client = await started
        except BaseException:
            await self.close()
            raise

    async def _hold(self, started: asyncio.Future[Client], over: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_seconds) as starting, self._new_client(over) as client:
                starting.reschedule(None)
                started.set_result(client)
                await over.wait()
                self._forget(client)
        except asyncio.CancelledError:
            started.cancel()
            raise
        except Exception as error:
            if started.done():
                logger.warning("the child of %s ended badly: %s", self._name, type(error).__name__)
            else:
                started.set_exception(error)

    def _forget(self, client: Client) -> None:
        if self._client is client:
            logger.warning("the child of %s has ended; the next call starts another", self._name)
            self._client = None

    def _new_client(self, over: asyncio.Event) -> Client:
        return Client(
            _noticing_the_end(stdio_client(_parameters(self._settings)), over),
            mode=self._mode,
            read_timeout_seconds=self._settings.timeout_seconds,
            cache=None,
        )


@asynccontextmanager
async def _noticing_the_end(transport: AbstractAsyncContextManager[Any], over: asyncio.Event) -> AsyncIterator[Any]:
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
    passed: dict[str, Any] = {name: os.environ[name] for name in settings.env_from if name in os.environ}
    return StdioServerParameters(
        command=settings.command or "",
        args=list(settings.args),
        env={**passed, **(settings.env or {})},
        cwd=settings.cwd,
    )

"""Ends what was begun with a server in good order when the client gives its request up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from mcp import Client, MCPError
from mcp.types import CONNECTION_CLOSED

T = TypeVar("T")
FAREWELL_SECONDS = 1.0

Work = Callable[[Client], Awaitable[T]]


async def in_good_order(ask: Callable[[Work[T]], Awaitable[T]], work: Work[T]) -> T:
    """Returns what `ask` returns for some work with a server's client.

    Who gives a request up cancels all that runs within, also the tasks of the SDK's client by which the
    server would hear of it. So the connection is shielded, and the work is cancelled in its place; what is
    then not over in time is cut off.
    """
    connection, working, is_over = anyio.CancelScope(shield=True), anyio.CancelScope(), anyio.Event()
    failure: Exception | None = None

    async def watch() -> None:
        try:
            await is_over.wait()
        finally:
            working.cancel()
            connection.deadline = anyio.current_time() + FAREWELL_SECONDS

    async def cancellable(client: Client) -> T:
        with working:
            return await work(client)
        raise MCPError(CONNECTION_CLOSED, "the client has given up")  # which nobody is told any more

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        with connection:
            try:
                result = await ask(cancellable)
            except Exception as error:  # out there the group would wrap it
                failure = error
        is_over.set()
    if failure is not None:
        raise failure
    return result

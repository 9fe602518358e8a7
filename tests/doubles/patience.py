"""Waits of tests that begin when something has happened, not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import waiting

from pytest_mcpsmoke.doubles.faults import Fault

SECONDS = 60.0  # only what hangs takes so long
wait_until = partial(waiting.wait_until, seconds=SECONDS)


@asynccontextmanager
async def no_longer_than(fault: Fault) -> AsyncIterator[None]:
    """Raises TimeoutError in the block when a fault was met, and nothing else has ended the block since."""

    async def wait() -> None:
        while not fault.met:
            await asyncio.sleep(0.005)
        patience.reschedule(asyncio.get_running_loop().time() + 0.3)

    async with asyncio.timeout(SECONDS) as patience:
        waiting = asyncio.create_task(wait())
        try:
            yield
        finally:
            waiting.cancel()

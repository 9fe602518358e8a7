"""A clock that is put forward when something has happened: time runs out then, and never before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import anyio

T = TypeVar("T")
LONG: Final = 30.0  # seconds: where running out of time is not the point


class _Loop(asyncio.SelectorEventLoop):
    ahead = 0.0  # seconds

    def time(self) -> float:
        return super().time() + self.ahead


def run(work: Callable[[], Awaitable[T]], is_late: Callable[[], object]) -> T:
    """Run a coroutine; as soon as `is_late()` holds, LONG has passed for it, and for nobody else."""

    async def put_forward() -> None:
        while not is_late():
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _Loop)
        loop.ahead = LONG

    async def main() -> T:
        clock = asyncio.create_task(put_forward())
        try:
            return await work()
        finally:
            clock.cancel()
            with suppress(asyncio.CancelledError):
                await clock

    return anyio.run(main, backend_options={"loop_factory": _Loop})

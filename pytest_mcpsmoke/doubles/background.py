"""An event loop in a thread of its own: what a double serves must not wait for the test's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

T = TypeVar("T")

_FAREWELL: Final = 1.0  # seconds for a worker thread; one that is stuck in a function is left to itself


class BackgroundLoop:
    """Runs coroutines beside the caller; once closed, it leaves neither a thread nor a descriptor.

    Attributes:
        at_end: What the thread itself awaits when the loop is closed, last in first out, so that it is
            done also when the caller is interrupted. Whoever was done before may take itself out.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._is_told = False  # to end
        self._error: BaseException | None = None
        self.at_end: list[Callable[[], Awaitable[None]]] = []

    def start(self) -> None:
        """Start the thread. Starting twice is fine."""
        if self._loop is not None:
            return
        # Made here, so that close() can stop it whatever the thread has come to. Never the policy's: a suite
        # that runs on another kind of loop gets the same server.
        self._loop = asyncio.SelectorEventLoop()
        # A daemon: a run that is killed half-way does not wait for it.
        self._thread = threading.Thread(target=self._run, args=[self._loop], name=self._name, daemon=True)
        self._ended.clear()
        self._is_told = False
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop; wait for what it returns or raises."""
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            work.close()
            raise RuntimeError(f"{self._name} is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Wait for what is to be done at the end, cancel what still runs, and end the thread.

        Closing twice is fine. Raises what went wrong at the end.
        """
        if self._loop is None:
            return
        if self._thread is None or self._thread.ident is None:  # interrupted before it began
            self._loop.close()
        else:
            try:
                self._loop.call_soon_threadsafe(self._stop, self._loop)
            except RuntimeError:
                pass  # closed already: an earlier close() was interrupted while it waited
            self._ended.wait()  # a join that is interrupted takes the thread for ended, before Python 3.13
            self._thread.join()
        self._loop = self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the loop, once: after an interrupted close() another would stop what is done at the end."""
        if not self._is_told:
            self._is_told = True
            loop.stop()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(self._end())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        except BaseException as error:
            self._error = error
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            _join_workers(loop)
            self._ended.set()

    async def _end(self) -> None:
        try:
            while self.at_end:
                await self.at_end.pop()()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)


def _join_workers(loop: asyncio.AbstractEventLoop) -> None:
    """Wait for anyio's worker threads of a loop: they were told to end, and nobody else waits for them."""
    for thread in threading.enumerate():
        if getattr(thread, "loop", None) is loop:
            thread.join(_FAREWELL)


class Held:
    """Keeps an async context manager open in a task of its own: a cancel scope ends where it began."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self._release = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Enter it; raises what entering raises."""
        entered = asyncio.Event()
        self._task = asyncio.create_task(self._hold(entered))
        waiting = asyncio.create_task(entered.wait())
        try:
            await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Leave it; raises what leaving raises."""
        self._release.set()
        if self._task is not None:
            await self._task

    async def _hold(self, entered: asyncio.Event) -> None:
        async with self._manager:
            entered.set()
            await self._release.wait()

"""The current event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.loops import EventLoop

PLACE = "asyncio.get_event_loop()"


async def sleep() -> None:
    await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_loop() -> Iterator[None]:
    asyncio.set_event_loop(None)
    yield
    asyncio.set_event_loop(None)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_loop_that_stays_set_is_found_and_unset(loop: asyncio.AbstractEventLoop) -> None:
    with watching(EventLoop()) as watch:
        asyncio.set_event_loop(loop)
        writes = watch.writes()
        assert [(watch.probe.place(write.key), write.old, write.new) for write in writes] == [
            (PLACE, None, loop)
        ]
        watch.restore(writes)
    with pytest.raises(RuntimeError, match="no current event loop"):
        asyncio.get_event_loop()


def test_a_closed_loop_that_stays_set_is_found(loop: asyncio.AbstractEventLoop) -> None:
    def leak() -> None:
        asyncio.set_event_loop(loop)
        loop.close()

    assert found_around(EventLoop(), leak) == [(PLACE, None, loop)]


def test_a_loop_that_asyncio_run_unset_is_found_and_set(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    with watching(EventLoop()) as watch:
        asyncio.run(sleep())
        (write,) = watch.writes()
        watch.restore([write])
    assert (write.old, write.new) == (loop, None)
    assert asyncio.get_event_loop() is loop


def test_running_and_undoing_are_no_change(loop: asyncio.AbstractEventLoop) -> None:
    def lend() -> None:
        asyncio.set_event_loop(loop)
        asyncio.set_event_loop(None)

    def elsewhere() -> None:
        thread = threading.Thread(target=asyncio.set_event_loop, args=(loop,))
        thread.start()
        thread.join()

    assert found_around(EventLoop(), lambda: asyncio.run(sleep()), lend, elsewhere) == []
    assert found_around(EventLoop(), lambda: loop.run_until_complete(sleep())) == []
    assert is_quiet(EventLoop())


def test_a_policy_of_a_stranger_is_not_asked() -> None:
    class Strange(asyncio.AbstractEventLoopPolicy):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    before = asyncio.get_event_loop_policy()
    strange = object.__new__(Strange)
    try:
        with watching(EventLoop()) as watch:
            asyncio.set_event_loop_policy(strange)
            assert watch.writes() == []
            with pytest.raises(CannotRestore, match="replaced"):
                watch.probe.restore(PLACE, before, None)
    finally:
        asyncio.set_event_loop_policy(before)


def test_a_policy_derived_from_asyncios_is_read(loop: asyncio.AbstractEventLoop) -> None:
    class Derived(asyncio.DefaultEventLoopPolicy):
        pass

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Derived())
    try:
        assert found_around(EventLoop(), lambda: asyncio.set_event_loop(loop)) == [(PLACE, None, loop)]
    finally:
        asyncio.set_event_loop(None)
        asyncio.set_event_loop_policy(before)


def test_asyncio_that_is_first_loaded_by_a_test_is_read() -> None:
    code = """
import sys
from pytest_mcpsmoke.state.probes.readings import Readings
from pytest_mcpsmoke.state.probes.loops import EventLoop
readings = Readings([EventLoop()])
readings.start()
assert "asyncio" not in sys.modules
import asyncio
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
print([write.new is loop for write in readings.drain()], readings.broken())
loop.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[True] []", "")

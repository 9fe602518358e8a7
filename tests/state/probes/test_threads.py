"""Threads left running."""

from __future__ import annotations

import _thread
import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as pools
from functools import partial
from types import CodeType
from typing import Any

import pytest
import waiting
from boundary import Boundary

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes import threads
from pytest_mcpsmoke.state.probes.threads import Threads

until = partial(waiting.wait_until, seconds=60.0)


@pytest.fixture
def run() -> Iterator[Boundary]:
    with Boundary(Threads()) as boundary:
        yield boundary


@pytest.fixture
def end() -> Iterator[threading.Event]:
    """Set at the end; all threads have ended then."""
    event = threading.Event()
    before = set(threading.enumerate())
    yield event
    event.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


def stands_in(thread: threading.Thread, code: CodeType) -> bool:
    """Whether a thread runs this function, or waits in C code that the function called."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code is code


def rest(pool: ThreadPoolExecutor) -> None:
    """Wait until the only worker of a pool waits for its next job: a result is there before."""
    (worker,) = pool._threads
    idle: Any = pool._idle_semaphore  # type: ignore[attr-defined]
    until(lambda: idle._value == 1 and stands_in(worker, pools._worker.__code__))


@pytest.mark.parametrize("daemon", [True, False])
def test_a_thread_that_still_runs(run: Boundary, end: threading.Event, daemon: bool) -> None:
    thread = threading.Thread(target=end.wait, name="my service", daemon=daemon)
    thread.start()
    assert run.leaks() == [("thread 'my service'", None, f"Thread, {'daemon' if daemon else 'not daemon'}")]
    if sys.version_info >= (3, 12):
        assert run.line(__file__) == "thread.start()"
    with pytest.raises(CannotRestore, match="cannot be stopped from outside"):
        run.restore()
    assert run.drain() == []
    end.set()
    thread.join()
    assert run.drain() == [("thread 'my service'", f"Thread, {'daemon' if daemon else 'not daemon'}", None)]


def test_two_of_one_name_are_two(run: Boundary, end: threading.Event) -> None:
    for _ in range(2):
        threading.Thread(target=end.wait, name="same").start()
    assert [place for place, _, _ in run.leaks()] == ["thread 'same'"] * 2


def test_a_timer_is_cancelled(run: Boundary) -> None:
    timer = threading.Timer(60, int)
    timer.start()
    assert [after for _, _, after in run.leaks()] == ["Timer, not daemon"]
    run.restore()
    assert not timer.is_alive()
    assert run.leaks() == []


def test_a_subclass_runs_none_of_its_code(run: Boundary, end: threading.Event) -> None:
    class Hostile(threading.Thread):
        hostile = False

        def __getattribute__(self, name: str) -> object:
            if type(self).hostile:
                raise AssertionError(name)
            return super().__getattribute__(name)

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __hash__(self) -> int:
            return id(self)

    thread = Hostile(target=end.wait, name="hostile")
    thread.start()
    Hostile.hostile = True
    try:
        found = run.leaks()
    finally:
        Hostile.hostile = False
    end.set()
    thread.join()
    assert found == [("thread 'hostile'", None, f"{Hostile.__qualname__}, not daemon")]


def test_a_bare_thread(run: Boundary, end: threading.Event) -> None:
    began, before = threading.Event(), _thread._count()

    def bare() -> None:
        began.set()
        end.wait()

    _thread.start_new_thread(bare, ())
    began.wait()
    assert run.leaks() == [("thread 'bare'", None, "started by _thread")]
    end.set()
    until(lambda: _thread._count() <= before)  # nobody can join it, and the next test would meet it


def test_a_thread_that_is_about_to_end_is_awaited(
    run: Boundary, end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = threading.Thread(target=end.wait)
    thread.start()

    def sleep(seconds: float) -> None:
        end.set()
        thread.join()

    monkeypatch.setattr(threads, "_sleep", sleep)
    assert run.drain() == []
    assert not thread.is_alive()


def test_waiting_has_a_budget(run: Boundary, end: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(threads, "_sleep", slept.append)
    for _ in range(60):
        threading.Thread(target=end.wait).start()
        run.drain()
    assert 1.9 < sum(slept) < 2.1


def test_a_thread_that_was_there_before_is_nothing(end: threading.Event) -> None:
    threading.Thread(target=end.wait).start()
    with Boundary(Threads()) as run:
        assert run.drain() == []


def test_mere_use_is_nothing(run: Boundary) -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(int).result()
    asyncio.run(asyncio.to_thread(int))  # type: ignore[arg-type]
    assert run.drain() == []


def test_idle_workers_of_a_pool_in_use_are_set_up(run: Boundary) -> None:
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(int).result()
        rest(pool)
        ((place, _, _),) = run.drain()
        assert place.startswith("thread 'ThreadPoolExecutor-")
        ((probe, key, before, after, *_),) = run.writes
        assert probe.warm_up(key, before, after) == "idle worker of a pool that is still referenced"
    finally:
        pool.shutdown()
    assert run.leaks() == []


def test_busy_workers_are_not(run: Boundary, end: threading.Event) -> None:
    pool = ThreadPoolExecutor(1)
    pool.submit(end.wait)
    assert len(run.leaks()) == 1
    end.set()
    pool.shutdown()


def test_a_worker_that_has_not_begun_its_job_is_not_idle(run: Boundary, end: threading.Event) -> None:
    """On a busy machine it stands where it waited for one, long after the job was handed over."""
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    rest(pool)
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)  # it gets its turn when the probe sleeps
    try:
        pool.submit(end.wait)
        found = run.leaks()
    finally:
        sys.setswitchinterval(before)
        end.set()
        pool.shutdown()
    assert len(found) == 1


def test_workers_of_a_pool_that_was_dropped_end(run: Boundary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_STEPS", (0.001,) * 60_000)  # as long as it takes
    monkeypatch.setattr(run.probe, "_budget", 60.0)
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    del pool
    assert run.drain() == []


def test_idle_workers_of_a_pool_that_is_over_are_about_to_end(
    run: Boundary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine it takes them longer than they are waited for."""
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    rest(pool)
    with monkeypatch.context() as patch:
        patch.setattr(pool, "_shutdown", True)
        assert run.leaks() == []
        ((probe, key, before, after, *_),) = run.writes
        assert probe.warm_up(key, before, after) == "idle worker of a pool that is over, about to end"
    pool.shutdown()


def test_patched_functions_are_not_used(
    run: Boundary, end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    threading.Thread(target=end.wait, name="left").start()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "_active", {})
        patch.setattr(time, "sleep", lambda seconds: 1 / 0)
        patch.setattr(sys, "_current_frames", lambda: 1 / 0)
        assert len(run.leaks()) == 1


def test_a_failure_is_told(run: Boundary, end: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    threading.Thread(target=end.wait).start()
    monkeypatch.setattr(threads, "_running", lambda active: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.drain()


POOL = """
import threading

class Pool:
    def __init__(self):
        self.idle = {}

class Worker:
    def __init__(self):
        self.job = threading.Lock()
        self.job.acquire()

    def work(self):
        self.job.acquire(timeout=60)

    def busy(self):
        self.wait()

    def wait(self):
        self.job.acquire(timeout=60)

POOL = Pool()
"""


@pytest.mark.parametrize(
    ("folder", "method", "stands", "is_kept", "leaks"),
    [
        ("site-packages", "work", "work", True, 0),
        ("site-packages", "work", "work", False, 1),
        ("site-packages", "busy", "wait", True, 1),
        ("program", "work", "work", True, 1),
    ],
    ids=["idle", "nobody's", "busy", "program's"],
)
def test_an_idle_worker_that_a_library_keeps_may_stay(
    run: Boundary, folder: str, method: str, stands: str, is_kept: bool, leaks: int
) -> None:
    names: dict[str, Any] = {"__name__": "pool", "__file__": f"/somewhere/{folder}/pool.py"}
    exec(compile(POOL, names["__file__"], "exec"), names)
    worker = names["Worker"]()
    if is_kept:
        names["POOL"].idle[worker] = None
    thread = threading.Thread(target=getattr(worker, method), name="worker", daemon=True)
    thread.start()
    try:
        until(lambda: stands_in(thread, vars(names["Worker"])[stands].__code__))
        assert len(run.leaks()) == leaks
    finally:
        worker.job.release()
        thread.join()

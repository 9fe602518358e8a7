"""Threads that still run."""

from __future__ import annotations

import _thread
import gc
import sys
import threading
import time
import types
import weakref
from collections import deque
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.audit import Ear, stack_here
from pytest_mcpsmoke.state.engines import is_same
from pytest_mcpsmoke.state.place import MISSING, is_module, module_dict, qualname_of, text_of
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.program import is_library_file

# Bound early: a test may patch them.
_active: Final[dict[int, threading.Thread]] = threading._active  # type: ignore[attr-defined]
_Dummy: Final[type] = threading._DummyThread
_Timer, _main_thread = threading.Timer, threading.main_thread
_Semaphore: Final[type] = threading.Semaphore
_cancel, _join = threading.Timer.cancel, threading.Thread.join
_count_threads, _current_frames, _sleep = _thread._count, sys._current_frames, time.sleep
# Through the descriptor of the class: a subclass may define __getattribute__ of its own.
_bootstrap: Final = vars(threading.Thread)["_bootstrap"].__code__
_contents_of: Final[Any] = vars(threading.Thread)["__dict__"].__get__

_STEPS: Final = (0.0, 0.001, 0.002, 0.004, 0.008, 0.015, 0.02)  # seconds; a clock may stand still in a test
_BUDGET: Final = 2.0  # seconds of a whole run
_JOIN: Final = 1.0
_ENDING: Final = "idle worker of a pool that is over, about to end"
_STACKS: Final = 1_000  # remembered between two readings


class Threads(Probe):
    """Compares the threads that `threading` knows, and the interpreter's count of all, with the last ones.

    A thread that is new is given a moment to end before it counts.
    """

    name = "threads"
    words = (
        *("Thread", "Timer", "start", "start_new_thread", "submit", "run_in_executor"),
        *("ThreadPoolExecutor", "to_thread"),
    )
    blind = (
        "threads of C libraries that never ran Python; threads that end within 50 ms after the test; on 3.11 "
        "a thread of _thread.start_new_thread() that has not begun yet"
    )

    def __init__(self) -> None:
        self._ear = Ear(
            {
                "_thread.start_new_thread": self._on_start,
                "_thread.start_joinable_thread": self._on_start,  # 3.13
            }
        )
        self._forget()

    def _forget(self) -> None:
        self._now: dict[str, str] = {}
        self._copy: dict[int, threading.Thread] | None = None  # None: nothing was read so far
        self._count = -1
        self._serial = 0
        self._known: dict[int, tuple[Any, str]] = {}  # by identity (of bare ones): the thread, its key
        self._threads: dict[str, threading.Thread] = {}
        self._starts: dict[int | str, tuple[Any, ...]] = {}  # by identity, of bare threads by function
        self._stacks: dict[str, tuple[Any, ...]] = {}
        self._budget = _BUDGET

    def start(self) -> None:
        self._forget()
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        self._forget()

    def read(self) -> dict[str, Any]:
        self._ear.check()
        if self._starts:
            self._await_bare()
        if self._copy is None or self._count != _count_threads() or not is_same(_active, self._copy):
            self._now = self._reread()
        if self._starts:
            self._starts = {}
        return self._now

    def place(self, key: str) -> str:
        return f"thread {key.partition(' ')[2]!r}"

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        if after is MISSING:
            return "it has ended"
        thread = self._threads.get(key)
        return None if thread is None else _reason(thread)

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stacks.get(key, ())

    def restore(self, key: str, before: Any, after: Any) -> None:
        if after is MISSING:
            raise CannotRestore("a thread that has ended cannot be started again")
        thread = self._threads.get(key)
        if thread is None or type(thread) is not _Timer:
            raise CannotRestore("a thread cannot be stopped from outside")
        _cancel(thread)
        _join(thread, _JOIN)
        if any(other is thread for other in _active.copy().values()):
            raise CannotRestore("the timer's function runs already")

    def _reread(self) -> dict[str, str]:
        if self._copy is not None:
            self._wait()
        self._count, self._copy = _count_threads(), _active.copy()
        running = _running(self._copy)
        known, stacks = self._known, self._stacks
        self._known, self._threads, self._stacks = {}, {}, {}
        now: dict[str, str] = {}
        for identity, (name, thread, text) in running.items():
            key = known[identity][1] if identity in known else self._new_key(name)
            self._known[identity] = thread, key
            start = self._starts.get(name if thread is None else identity, ())
            self._stacks[key] = stacks.get(key, start)
            if thread is not None:
                self._threads[key] = thread
            now[key] = text
        return now

    def _on_start(self, args: tuple[Any, ...]) -> None:
        function = args[0]
        if len(self._starts) >= _STACKS:
            return
        if type(function) is types.MethodType:
            self._starts[id(function.__self__)] = stack_here()
        elif type(function) is types.FunctionType:
            self._starts[function.__code__.co_name] = stack_here()

    def _new_key(self, name: str) -> str:
        self._serial += 1
        return f"{self._serial} {name}"  # names need not be unique

    def _await_bare(self) -> None:
        """Let bare threads begin: only then they are counted; one that has ended costs all the time."""
        for seconds in _STEPS if any(type(started) is str for started in self._starts) else ():
            if self._budget <= 0 or self._count != _count_threads():
                return
            _sleep(seconds)
            self._budget -= seconds

    def _wait(self) -> None:
        """Let new threads that are about to end do so."""
        for seconds in _STEPS:
            new = [
                thread
                for identity, (_, thread, _) in _running(_active.copy()).items()
                if identity not in self._known
            ]
            if self._budget <= 0 or all(_reason(thread) not in (None, _ENDING) for thread in new):
                return
            _sleep(seconds)
            self._budget -= seconds


def _running(active: dict[int, threading.Thread]) -> dict[int, tuple[str, Any, str]]:
    """Name, thread and description of all that runs, by identity; bare threads by their number."""
    found: dict[int, tuple[str, Any, str]] = {}
    started = 0
    for ident, thread in active.items():
        if type(thread) is _Dummy and ident not in _current_frames():
            continue  # threading met it once and never hears of its end
        contents = _contents_of(thread)
        daemon = "daemon" if contents.get("_daemonic") is True else "not daemon"
        found[id(thread)] = (
            text_of(contents.get("_name")) or "?",
            thread,
            f"{qualname_of(type(thread))}, {daemon}",
        )
        started += type(thread) is not _Dummy and thread is not _main_thread()
    if _count_threads() > started:
        for ident in _current_frames().keys() - active.keys():
            code = _outermost_code(ident)
            if code is not None and code is not _bootstrap:  # else: threading will know it, or has forgotten
                found[-ident] = code.co_name, None, "started by _thread"
    return found


def _outermost_code(ident: int) -> types.CodeType | None:
    frame = _current_frames().get(ident)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return None if frame is None else frame.f_code


def _reason(thread: threading.Thread | None) -> str | None:
    """Why an idle worker may stay; None: it is no such worker."""
    if thread is None:
        return None
    contents = _contents_of(thread)
    workers = contents.get("idle_workers")  # anyio's: they end with the loop
    if type(workers) is deque and any(worker is thread for worker in workers.copy()):
        return "idle worker of an event loop that still runs"
    if _is_kept_idle(contents):
        return "idle worker that a library keeps for its next use"
    pools = sys.modules.get("concurrent.futures.thread")
    worker = module_dict(pools).get("_worker") if is_module(pools) else None
    if type(worker) is not types.FunctionType or contents.get("_target") is not worker:
        return None
    ident = contents.get("_ident")
    frames: dict[Any, types.FrameType] = _current_frames()
    if ident not in frames or frames[ident].f_code is not worker.__code__:
        return None
    reference = (contents.get("_args") or (None,))[0]
    pool = reference() if type(reference) is weakref.ref else None
    held = {} if pool is None else object.__getattribute__(pool, "__dict__")
    if pool is None or held.get("_shutdown"):
        return _ENDING
    # One that has a job and has not begun it stands in the same place, and the pool does not count on it.
    idle = held.get("_idle_semaphore")
    if type(idle) is _Semaphore and not vars(idle)["_value"]:
        return None
    return "idle worker of a pool that is still referenced"


def _is_kept_idle(contents: dict[str, Any]) -> bool:
    """Whether a thread waits in the method it was started with, and a library keeps the object of that."""
    target = contents.get("_target")
    if type(target) is not types.MethodType or type(target.__func__) is not types.FunctionType:
        return False
    frame: types.FrameType | None = _current_frames().get(contents.get("_ident", 0))
    if frame is None or frame.f_code is not target.__func__.__code__:
        return False
    names = target.__func__.__globals__
    return is_library_file(text_of(names.get("__file__")) or "") and _holds(names, target.__self__)


def _holds(names: dict[str, Any], value: object) -> bool:
    """Whether a module's globals lead to an object in three steps: by way of a pool, and its container."""
    level: list[Any] = [names]
    for _ in range(3):
        level = [
            one
            for one in gc.get_referents(*level)
            if not isinstance(one, types.ModuleType | types.FunctionType | type)
        ]
        if any(one is value for one in level):
            return True
    return False

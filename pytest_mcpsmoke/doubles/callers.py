"""Who opens a connection: the library that a user called, and the user's line, whichever thread does it."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from types import CodeType, FrameType
from typing import Any, Final

from pytest_mcpsmoke.state.program import is_library_file

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB: Final = sysconfig.get_path("stdlib") + os.sep
_GENERATED: Final = "<"  # of file names that are none: <string>, <frozen importlib._bootstrap>
_PAUSES: Final = (0.001, 0.004, 0.015, 0.05, 0.2, 0.5)  # seconds; a busy machine may take them all
_sleep = time.sleep  # bound early: a test may stop the clock
_RUNNER: Final = os.sep + "pluggy" + os.sep  # what called its hooks is no user

Line = tuple[str, int, str]  # file, line, function


def who() -> tuple[str, str]:
    """The library that a user called, and the nearest line of a user's: "file:line in function".

    Either is "" where there is none. A loop looks names up in a thread of its pool: then the line is that of
    a task which waits for a name, else the one at which the main thread is. A task that is suspended just
    now takes its stack out of the thread's while that is gone through: it is looked at again.
    """
    if threading.current_thread() is threading.main_thread():
        return _found(_up(sys._getframe(1)))
    is_turning = False
    for number, pause in enumerate(_PAUSES):
        is_turning = is_turning or next(_turning_loops(), None) is not None
        found = _found(chain(_up(sys._getframe(1)), _who_wait_for_names()))
        if found[1]:
            return found
        if number and not is_turning:  # a stack that changes while it is gone through may hide its loop, once
            break
        _sleep(pause)
    main = sys._current_frames().get(threading.main_thread().ident or 0)
    return _found(chain(_up(sys._getframe(1)), _who_wait_for_names(), _up(main)))


def _found(lines: Iterable[Line]) -> tuple[str, str]:
    libraries: list[str] = []
    for path, line, function in lines:
        if path.startswith((_OURS, _GENERATED)):
            continue
        if not is_library_file(path):
            return (libraries[-1] if libraries else ""), f"{_relative(path)}:{line} in {function}"
        libraries.append(_package(path))
    return (libraries[0] if libraries else ""), ""


def _up(frame: FrameType | None) -> Iterator[Line]:
    """A stack up to the runner's; between a task and its loop, the task's parent."""
    asyncio = sys.modules.get("asyncio")
    step = None if asyncio is None else asyncio.Handle._run.__code__  # a loop's call of a task's next step
    while frame is not None and _RUNNER not in frame.f_code.co_filename:
        if frame.f_code is step:
            yield from _parent(asyncio)
        yield _told(frame.f_code, frame.f_lineno)
        frame = frame.f_back


def _parent(asyncio: Any) -> Iterator[Line]:
    """The stack of the task that started this one, where anyio knows it: it connects in tasks of its own."""
    anyio = sys.modules.get("anyio")
    try:
        if anyio is None or asyncio.current_task() is None:
            return
    except RuntimeError:  # no loop runs in this thread: the stack is another's
        return
    parent = anyio.get_current_task().parent_id
    for task in asyncio.all_tasks():
        if id(task) == parent:
            yield from (_told(code, line) for code, line in _awaiting(task))


def _who_wait_for_names() -> Iterator[Line]:
    """The stacks of the tasks that wait for their loop to look a name up."""
    for loop in _turning_loops():
        asyncio = sys.modules["asyncio"]
        look_up = asyncio.base_events.BaseEventLoop.getaddrinfo.__code__
        for task in asyncio.all_tasks(loop):
            stack = _awaiting(task)
            if any(code is look_up for code, _ in stack):
                yield from (_told(code, line) for code, line in stack)


def _turning_loops() -> Iterator[Any]:
    """The asyncio loops that run in any thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return
    turn = asyncio.base_events.BaseEventLoop._run_once.__code__
    for frame in sys._current_frames().values():
        outer: FrameType | None = frame
        while outer is not None and outer.f_code is not turn:
            outer = outer.f_back
        if outer is not None:
            yield outer.f_locals["self"]


def _awaiting(task: Any) -> list[tuple[CodeType, int | None]]:
    """Where a suspended task is, innermost first; it may go on while it is looked at from another thread."""
    stack: list[tuple[CodeType, int | None]] = []
    waiting = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        stack.insert(0, (frame.f_code, frame.f_lineno))
        waiting = waiting.cr_await
    return stack


def _told(code: CodeType, line: int | None) -> Line:
    return code.co_filename, line or 0, code.co_name


def _package(path: str) -> str:
    """The top-level package or module of an installed file, or of one of the standard library."""
    parts = path.removeprefix(_STDLIB).split(os.sep)
    at = [i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages")]
    return (parts[at[-1] + 1] if at else parts[0]).removesuffix(".py")


def _relative(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the working directory is gone, or on another drive
        return path
    return path if relative.startswith("..") else relative

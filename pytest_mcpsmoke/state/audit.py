"""Audit events for whoever listens: one hook per process, which no exception leaves but a refusal."""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

# Gets the arguments of the event; an exception that it returns is raised in the place of the act.
Callback = Callable[[tuple[Any, ...]], object]

_FRAMES: Final = 32  # of a stack, at most
_HOOK_CALLER: Final = os.sep + "pluggy" + os.sep
_HELLO: Final = "pytest_mcpsmoke.hello"

_listeners: dict[str, tuple[Callback, ...]] = {}
_failures: dict[Callback, Exception] = {}  # the first of each callback, until it is raised
_busy: set[int] = set()  # threads that are inside a callback: what they do there is not told
_get_frame = sys._getframe
_is_installed = False


def _hook(
    event: str, args: tuple[Any, ...], *, find: Callable[[str], Any] = _listeners.get, here: Any = get_ident
) -> None:
    callbacks = find(event)
    if callbacks is None:
        return
    thread = here()
    if thread in _busy:
        return
    _busy.add(thread)
    refusal = None
    try:
        for callback in callbacks:
            try:
                answer = callback(args)
                if answer is not None and isinstance(answer, BaseException):
                    refusal = answer
                    break  # what does not happen is nobody's to hear of
            except Exception as error:  # it must not reach the program; raise_failure tells it
                _failures.setdefault(callback, error.with_traceback(None))
    finally:
        _busy.discard(thread)
    if refusal is not None:
        __tracebackhide__ = True
        raise refusal


_HOOK_CODE: Final = _hook.__code__


def _install() -> None:
    """Add the hook, which cannot be taken away again; raise RuntimeError when another hook refuses it."""
    global _is_installed
    if _is_installed:
        return
    sys.addaudithook(_hook)  # a refusal is silent
    heard: list[tuple[Any, ...]] = []
    _listeners[_HELLO] = (heard.append,)
    sys.audit(_HELLO)
    del _listeners[_HELLO]
    if not heard:
        raise RuntimeError("another audit hook of this process refuses ours")
    _is_installed = True


def listen(event: str, callback: Callback) -> None:
    """Call callback with the arguments of every such event, on the thread that raises it, before the act.

    What it raises is kept for raise_failure(); what it returns is raised in the place of the act, if it is an
    exception. Who began to listen last is called first, and after a refusal nobody is.
    Raises RuntimeError when no hook can be installed.
    """
    _install()
    _listeners[event] = (callback, *_listeners.get(event, ()))


def unlisten(event: str, callback: Callback) -> None:
    """Stop calling it. Stopping twice is fine."""
    left = tuple(other for other in _listeners.get(event, ()) if other != callback)
    if left:
        _listeners[event] = left
    else:
        _listeners.pop(event, None)
    _failures.pop(callback, None)


def raise_failure(callback: Callback) -> None:
    """Raise the first exception that a callback raised since it was last asked for."""
    if callback in _failures:
        raise _failures.pop(callback)


class Ear:
    """Listens to several events at once, for a probe."""

    def __init__(self, callbacks: Mapping[str, Callback]) -> None:
        self._callbacks = dict(callbacks)
        self._refusal: RuntimeError | None = None

    def open(self) -> None:
        """Listen from now on; what prevents it is raised by check()."""
        self.close()
        try:
            for event, callback in self._callbacks.items():
                listen(event, callback)
        except RuntimeError as refusal:
            self._refusal = refusal

    @property
    def is_open(self) -> bool:
        """Whether nothing prevented it from listening."""
        return self._refusal is None

    def close(self) -> None:
        """Listen no more. Closing twice is fine."""
        for event, callback in self._callbacks.items():
            unlisten(event, callback)

    def check(self) -> None:
        """Raise what went wrong since the last check."""
        if self._refusal is not None:
            raise self._refusal
        if _failures:
            for callback in self._callbacks.values():
                raise_failure(callback)


def _caller() -> FrameType | None:
    """Inside a callback: the frame that called the audited function; None where there is none."""
    frame = _get_frame(1)
    while frame.f_code is not _HOOK_CODE and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_back


def code_here() -> Any:
    """Inside a callback: the code that called the audited function; None where there is none."""
    caller = _caller()
    return None if caller is None else caller.f_code


def stack_here(frames: int = _FRAMES) -> tuple[Any, ...]:
    """Inside a callback: code, line, code, line, … of who called the audited function, innermost first.

    It ends where a hook of the runner was called: what lies outside is the same for every test. Looking at
    a frame is an audited event itself, so each one more costs.
    """
    found: list[Any] = []
    caller = _caller()
    while caller is not None and len(found) < 2 * frames:
        code = caller.f_code
        found += (code, caller.f_lineno or 0)
        caller = None if _HOOK_CALLER in code.co_filename else caller.f_back
    return tuple(found)

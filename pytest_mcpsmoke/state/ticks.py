"""Calls back as lines begin and functions are left, in all threads.

CPython 3.12+: sys.monitoring, beside whatever else traces or measures. 3.11: sys.settrace, for which what was
set before has to wait.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, Protocol

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.state.audit import listen, unlisten

_TOOLS: Final = (3, 4, 2, 5, 1, 0)  # ids of sys.monitoring: those first that nothing is reserved for
_SETTRACE: Final = "sys.settrace"
_get_frame = sys._getframe


class Hearer(Protocol):
    """Whom it is told, in the thread that runs."""

    def at_line(self, frame: FrameType, line: int) -> None:
        """A line of a frame is about to run, or to go on."""

    def leaving(self, frame: FrameType) -> None:
        """A frame is left, for good or until it is resumed."""

    def is_blind(self, thread: int) -> None:
        """From now on not all is seen of a thread, until sees_all()."""


class Ticks(Protocol):
    """Prepared with open(), which raises UsageProblem where that cannot be; told of from begin() to end()."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...
    def sees_all(self) -> bool: ...


def ticks(hearer: Hearer, is_skipped: Callable[[str], bool]) -> Ticks:
    """Return what this Python has. is_skipped tells by a file's name whether its lines are not told of."""
    return (_Monitoring if sys.version_info >= (3, 12) else _Tracing)(hearer, is_skipped)


class _Monitoring:
    """CPython 3.12+."""

    def __init__(self, hearer: Hearer, is_skipped: Callable[[str], bool]) -> None:
        self._hearer = hearer
        self._is_skipped = is_skipped
        self._tool: int | None = None
        self._monitoring: Any = getattr(sys, "monitoring", None)

    def open(self) -> None:
        monitoring = self._monitoring
        self._tool = next((number for number in _TOOLS if monitoring.get_tool(number) is None), None)
        if self._tool is None:
            raise UsageProblem(
                "sys.monitoring has no tool id left: run without a debugger, coverage or profiler"
            )
        monitoring.use_tool_id(self._tool, "mcpsmoke")
        events = monitoring.events
        self._callbacks: dict[int, Callable[..., Any]] = {
            events.LINE: self._line,
            events.PY_START: self._goes_on,  # 3.13 tells no line of what stands beside its def
            events.PY_RESUME: self._goes_on,
            events.PY_THROW: self._goes_on,
            events.PY_RETURN: self._left,
            events.PY_YIELD: self._left,
            events.PY_UNWIND: self._left,
        }
        for event, callback in self._callbacks.items():
            monitoring.register_callback(self._tool, event, callback)

    def close(self) -> None:
        if self._tool is None:
            return
        self.end()
        for event in self._callbacks:
            self._monitoring.register_callback(self._tool, event, None)
        self._monitoring.free_tool_id(self._tool)
        self._tool = None

    def begin(self) -> None:
        self._monitoring.set_events(self._tool, sum(self._callbacks))

    def end(self) -> None:
        self._monitoring.set_events(self._tool, 0)

    def sees_all(self) -> bool:
        return True

    def _line(self, code: CodeType, line: int) -> Any:
        if self._is_skipped(code.co_filename):
            return self._monitoring.DISABLE
        self._hearer.at_line(_get_frame(1), line)
        return None

    def _goes_on(self, code: CodeType, *_: object) -> None:
        if not self._is_skipped(code.co_filename):
            frame = _get_frame(1)
            self._hearer.at_line(frame, frame.f_lineno)

    def _left(self, code: CodeType, *_: object) -> None:
        self._hearer.leaving(_get_frame(1))


class _Tracing:
    """CPython 3.11. In threads that were begun before open(), nothing is seen."""

    def __init__(self, hearer: Hearer, is_skipped: Callable[[str], bool]) -> None:
        self._hearer = hearer
        self._is_skipped = is_skipped
        self._is_on = False
        self._is_open = False
        self._before: Any = None
        self._before_in_threads: Any = None
        self._trace: Any = self._event  # one object: what gettrace() gives is compared with it

    def open(self) -> None:
        self._before_in_threads = threading.gettrace()
        threading.settrace(self._trace)
        listen(_SETTRACE, self._others_trace)
        self._is_open = True

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self.end()
        unlisten(_SETTRACE, self._others_trace)
        if threading.gettrace() is self._trace:
            threading.settrace(self._before_in_threads)

    def begin(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        self._is_on = True  # after settrace(), which is heard

    def end(self) -> None:
        if not self._is_on:
            return
        self._is_on = False
        if sys.gettrace() is self._trace:  # else the test has left another one: that is its doing
            sys.settrace(self._before)
        self._before = None

    def sees_all(self) -> bool:
        """Whether functions that this thread calls are seen."""
        return sys.gettrace() is self._trace

    def _others_trace(self, arguments: tuple[Any, ...]) -> None:
        if self._is_on:
            self._hearer.is_blind(get_ident())

    def _event(self, frame: FrameType, event: str, argument: object) -> Any:
        if not self._is_on or self._is_skipped(frame.f_code.co_filename):
            return None
        if event == "return":
            self._hearer.leaving(frame)
        elif event != "exception":
            self._hearer.at_line(frame, frame.f_lineno)
        return self._trace

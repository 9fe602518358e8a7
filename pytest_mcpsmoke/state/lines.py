"""Which line changed a place: it is read again after every line that runs, in every thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.state.live import LivePlace, Reading

_RUNNER: Final = ("_pytest", "pluggy", "pytest_mcpsmoke")
_IMPORTS: Final = "<frozen importlib"
_DEEPEST: Final = 60
_SWITCH: Final = 0.5  # seconds: threads change places where they wait, not in the middle of a line
_get_ident = threading.get_ident

Step = tuple[CodeType, int]


class Write(NamedTuple):
    """One change of the place. chain: code and line, outermost first, that of the writing statement last."""

    before: Reading
    after: Reading
    thread: str
    chain: tuple[Step, ...]


class LineWatch:
    """Collects the writes of one place while lines run."""

    def __init__(self, place: LivePlace) -> None:
        self._place = place
        self._before = place.read()
        self._last: dict[int, tuple[tuple[Step, ...], bool]] = {}  # by thread
        self._latest: int | None = None
        self.writes: list[Write] = []

    def line(self, frame: FrameType) -> None:
        """A line begins: what has changed since, the line before did."""
        thread = _get_ident()
        self._compare(thread)
        if _top_of(frame) not in _RUNNER:
            self._last[thread] = self._chain(frame)
            self._latest = thread

    def end(self) -> None:
        """The last line is over, too."""
        self._compare(_get_ident())

    def _compare(self, thread: int) -> None:
        now = self._place.read()
        before, self._before = self._before, now
        if now.is_like(before):
            return
        # Another thread that ran last has waited since, or ended; this one went on in the middle of its line,
        # and whoever wakes up and then writes is the likelier. A thread without a line has only begun.
        who = thread if thread in self._last else self._latest
        if who is None:
            return
        chain, is_body = self._last[who]
        if not (is_body or self._is_import(chain)):  # a module gives its names their first values
            name = next((each.name for each in threading.enumerate() if each.ident == who), "?")
            self.writes.append(Write(before, now, name, chain))

    def _is_import(self, chain: tuple[Step, ...]) -> bool:
        """Whether the import system brought a module, or took it out and in again, with all that it holds."""
        file = chain[-1][0].co_filename
        return file.startswith(_IMPORTS) and not self._place.name.startswith("sys.modules")

    def _chain(self, frame: FrameType) -> tuple[tuple[Step, ...], bool]:
        """The way to a line, from the first frame below pytest; and whether the place's module is set up."""
        steps: list[Step] = []
        is_body = False
        each: FrameType | None = frame
        while each is not None and len(steps) < _DEEPEST:
            top = _top_of(each)
            if top == "pluggy":
                break
            is_body |= each.f_code.co_name == "<module>" and self._place.is_in(each.f_globals)
            is_way = top not in _RUNNER and not each.f_code.co_filename.startswith(_IMPORTS)
            if is_way or not steps:
                steps.append((each.f_code, each.f_lineno))
            each = each.f_back
        return tuple(reversed(steps)), is_body


def _top_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


@contextmanager
def watching(place: LivePlace) -> Iterator[LineWatch]:
    """Watch a place while a block runs, all threads included. Raises UsageProblem where nothing can watch."""
    watch = LineWatch(place)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    start, stop = (_monitor, _unmonitor) if sys.version_info >= (3, 12) else (_trace, _untrace)
    before = start(watch)
    try:
        yield watch
    finally:
        stop(before)
        sys.setswitchinterval(interval)
        watch.end()


def _monitor(watch: LineWatch) -> Any:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool = next((number for number in range(6) if monitoring.get_tool(number) is None), None)
    if tool is None:
        raise UsageProblem("--leaks-where: all tools of sys.monitoring are in use; run without coverage")
    monitoring.use_tool_id(tool, "mcpsmoke")
    monitoring.register_callback(
        tool, monitoring.events.LINE, lambda code, line: watch.line(sys._getframe(1))
    )
    monitoring.set_events(tool, monitoring.events.LINE)
    return tool


def _unmonitor(tool: Any) -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    monitoring.set_events(tool, 0)
    monitoring.register_callback(tool, monitoring.events.LINE, None)
    monitoring.free_tool_id(tool)


def _trace(watch: LineWatch) -> Any:
    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if event in ("line", "return"):
            watch.line(frame)
        return trace

    before = sys.gettrace(), threading.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    return before


def _untrace(before: Any) -> None:
    mine, others = before
    sys.settrace(mine)
    threading.settrace(others)

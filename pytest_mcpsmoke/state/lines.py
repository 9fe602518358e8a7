"""Which line changed a place: the place is looked at whenever a line begins or a function is left."""

from __future__ import annotations

import linecache
import os
import re
import sys
import threading
from _thread import get_ident
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.state.diff import same
from pytest_mcpsmoke.state.live import Difference, Live
from pytest_mcpsmoke.state.program import is_program_file
from pytest_mcpsmoke.state.readers import attributes_of
from pytest_mcpsmoke.state.ticks import ticks
from pytest_mcpsmoke.state.writer import Files

# Seconds: long enough that a thread gives way to another one only where it waits for something.
_SWITCH: Final = 0.5
_MOST_FRAMES: Final = 2_000
_IMPORTS: Final = "<frozen importlib"
_HOOK_CALLER: Final = os.sep + "pluggy" + os.sep
_MOST_TOLD: Final = 50  # frames of a chain

Stack = list[tuple[CodeType, int]]  # code and line, innermost first


class Written(NamedTuple):
    """One change of the place: how it differs, and who ran.

    is_sure: the last line of the stack is the one that wrote. False: two threads had run since the last look,
    or what the test traces by itself ran unseen. times: how often in a row, by the same way.
    """

    difference: Difference
    stack: Stack
    thread: str
    is_sure: bool
    times: int = 1

    def is_like(self, other: Written) -> bool:
        """Whether it came about in the same way."""
        return (self.stack, self.thread, self.is_sure) == (other.stack, other.thread, other.is_sure)

    def followed_by(self, other: Written) -> Written:
        """The two as one."""
        return self._replace(difference=self.difference.followed_by(other.difference), times=self.times + 1)


def lasting(writes: Sequence[Written]) -> list[bool]:
    """Return for each of several changes, in their order, whether it was the last of a part that stays other.

    One that a later one puts back does not count, nor does that.
    """
    first: dict[str, Any] = {}
    last: dict[str, tuple[int, Any]] = {}
    for at, written in enumerate(writes):
        for part in written.difference.parts:
            first.setdefault(part.label, part.before)
            last[part.label] = at, part.after
    stay = {at for label, (at, after) in last.items() if not same(first[label], after)}
    return [at in stay for at in range(len(writes))]


class _Now(NamedTuple):
    """What a thread is about to run."""

    frame: FrameType
    line: int


class Lines:
    """Watches one place while code runs, from begin() to end(), in all threads.

    is_skipped tells by a file's name whether its lines cannot be of interest.
    """

    def __init__(self, live: Live, is_skipped: Callable[[str], bool] = lambda path: False) -> None:
        self._live = live
        self._now: dict[int, _Now] = {}  # by thread
        self._last = 0  # the thread of the last event
        self._found: list[Written] = []
        self._unseen: set[int] = set()  # threads in which something else traces
        self._set_up: FrameType | None = None  # the body that gives the place's module its first names
        self._popped: Written | None = None  # a module that was taken out of sys.modules for a moment
        self._is_looking = False
        self._interval = 0.0
        self._ticks = ticks(self, is_skipped)

    def open(self) -> None:
        """Prepare for a run. Raises UsageProblem where lines cannot be watched."""
        self._ticks.open()
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH)

    def close(self) -> None:
        """Leave the interpreter as it was. Closing twice is fine."""
        if self._interval and sys.getswitchinterval() == _SWITCH:
            sys.setswitchinterval(self._interval)
        self._interval = 0.0
        self._ticks.close()

    def begin(self) -> None:
        """What the place is now is the state of things; from here on whoever changes it is told."""
        self._live.refresh()
        self._now, self._last, self._found = {}, get_ident(), []
        self._unseen, self._set_up, self._popped = set(), None, None
        self._ticks.begin()

    def end(self) -> list[Written]:
        """Return the changes since begin(), in their order."""
        self._ticks.end()
        self._look(get_ident())
        found, self._found = self._found, []
        found += [] if self._popped is None else [self._popped]  # its import has failed
        self._now, self._set_up = {}, None
        return found

    # events

    def at_line(self, frame: FrameType, line: int) -> None:
        """A line of a frame is about to run, or to go on."""
        thread = get_ident()
        self._look(thread)
        self._now[thread] = _Now(frame, line)
        self._last = thread

    def leaving(self, frame: FrameType) -> None:
        """A frame is left, for good or until it is resumed: the line that called it goes on."""
        thread = get_ident()
        self._look(thread)
        caller = frame.f_back
        if caller is None:
            self._now.pop(thread, None)  # nothing of its own is kept alive by this
        else:
            self._now[thread] = _Now(caller, caller.f_lineno)
        self._last = thread

    def is_blind(self, thread: int) -> None:
        """From now on not all is seen of a thread, until its ticks see all again."""
        self._unseen.add(thread)

    def _look(self, thread: int) -> None:
        """Whatever has changed since the last event was written by the line that began there."""
        if self._is_looking or not self._is_at_home(thread):
            return
        self._is_looking = True
        try:
            difference = self._live.look()
            if difference is not None:
                self._note(difference, thread)
            if self._unseen and self._ticks.sees_all():
                self._unseen.discard(thread)
        finally:
            self._is_looking = False

    def _is_at_home(self, thread: int) -> bool:
        """Whether what depends on thread, or on task, is what tests find: in the main thread, in no task."""
        if self._live.is_of_task and _is_in_task():
            return False
        return not self._live.is_of_thread or thread == threading.main_thread().ident

    def _note(self, difference: Difference, thread: int) -> None:
        writer, is_sure = self._writer(thread)
        now = self._now.get(writer)
        if now is None or self._is_setting_up(difference, now.frame):
            return
        stack = stack_of(now.frame, now.line)
        written = Written(difference, stack, _name_of(writer), is_sure and writer not in self._unseen)
        if now.frame.f_code.co_filename.startswith(_IMPORTS):
            self._note_import(written)
        elif self._found and self._found[-1].is_like(written):
            self._found[-1] = self._found[-1].followed_by(written)
        else:
            self._found.append(written)

    def _note_import(self, written: Written) -> None:
        """The import system takes each module that it has loaded out of sys.modules, and puts it in again."""
        popped, self._popped = self._popped, None
        if written.difference.change == "removed":
            self._popped = written
        elif popped is None:
            self._found.append(written)

    def _is_setting_up(self, difference: Difference, frame: FrameType) -> bool:
        """Whether a module is being imported that the place stands in: its names get their first values.

        A body that runs once more (a reload) changes what was there.
        """
        if frame.f_code.co_filename.startswith(_IMPORTS):
            return not self._live.place.startswith("sys.modules[")
        body = next((one for one in _frames(frame) if self._is_body(one)), None)
        if body is not None and difference.change == "added":
            self._set_up = body
        return body is not None and body is self._set_up

    def _is_body(self, frame: FrameType) -> bool:
        return frame.f_code.co_name == "<module>" and self._live.is_in(frame.f_globals)

    def _writer(self, thread: int) -> tuple[int, bool]:
        """The thread whose last line has written, noticed at an event of this one; whether that is sure.

        Nearly always they are one. When the last event was another thread's, that one went on after it until
        it waited; then this one's line went on, to this event. Each may have written. What waits is mostly a
        function of the standard library (queue.get, Thread.join), whose own lines make events as soon as the
        waiting is over: so it was the other thread. Unless this thread's line waits in compiled code and
        writes what it was given (`MODE = simple_queue.get()`): it names the place, and the other does not.
        """
        here, there = self._now.get(thread), self._now.get(self._last)
        if thread == self._last or there is None:
            return thread, True
        if here is None:
            return self._last, True  # it has begun just now
        if self._is_named(here) and not self._is_named(there):
            return thread, False
        return self._last, not self._is_named(here)

    def _is_named(self, now: _Now) -> bool:
        """Whether a line mentions what the place ends with."""
        text = linecache.getline(now.frame.f_code.co_filename, now.line)
        names = re.findall(r"\w+", self._live.place)
        return bool(names) and names[-1] in re.findall(r"\w+", text)


def stack_of(frame: FrameType, line: int) -> Stack:
    """The frame at its line, and whoever called it, at most 2,000 of them."""
    callers = islice(_frames(frame), 1, _MOST_FRAMES)
    return [(frame.f_code, line), *((caller.f_code, caller.f_lineno) for caller in callers)]


def _frames(frame: FrameType) -> Iterator[FrameType]:
    """A frame and its callers."""
    each: FrameType | None = frame
    while each is not None:
        yield each
        each = each.f_back


class Step(NamedTuple):
    """One line of a chain of calls: absolute path, 1-based line, function."""

    path: str
    line: int
    function: str


def chain_of(stack: Stack, files: Files) -> list[Step]:
    """The calls from the test's own line (or its fixture's, or its module's) to the one that wrote.

    What lies outside, the runner's frames and those of the import system are left out, but for the one that
    wrote. Of a chain of more than 50 the ends are kept.
    """
    roles = [files.role(code.co_filename) for code, _ in stack]
    inside = next((at for at, role in enumerate(roles) if role not in ("runner", "import")), len(stack))
    hooks = (at for at, (code, _) in enumerate(stack) if at > inside and _HOOK_CALLER in code.co_filename)
    end = next(hooks, len(stack))
    kept = [at for at in range(end) if at == 0 or roles[at] not in ("runner", "import")]
    while len(kept) > 1 and any(map(_is_of_project, (stack[at] for at in kept))):
        if _is_of_project(stack[kept[-1]]):
            break
        del kept[-1]
    if inside == len(stack):
        kept = kept[:1]
    steps = [
        Step(*files.located(code.co_filename, line), code.co_name)
        for code, line in map(stack.__getitem__, kept)
    ]
    half = _MOST_TOLD // 2
    return (steps if len(steps) <= _MOST_TOLD else [*steps[:half], *steps[-half:]])[::-1]


def _is_of_project(entry: tuple[CodeType, int]) -> bool:
    return is_program_file(entry[0].co_filename)


def _name_of(thread: int) -> str:
    """The name of a thread, without waiting for the lock that looks them up: the thread may hold it."""
    found = attributes_of(vars(threading)["_active"].get(thread)).get("_name")
    return found if type(found) is str else ""


def _is_in_task() -> bool:
    events = sys.modules.get("asyncio.events")
    return events is not None and vars(events)["_get_running_loop"]() is not None

"""File descriptors that stay open."""

from __future__ import annotations

import _io
import _socket
import gc
import os
import socket
import sys
import weakref
from collections.abc import Callable
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.audit import Ear, stack_here
from pytest_mcpsmoke.state.ours import is_ours
from pytest_mcpsmoke.state.place import MISSING, module_dict, plain_contents
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.children import own_list
from pytest_mcpsmoke.state.probes.files import absolute
from pytest_mcpsmoke.state.probes.infrastructure import infrastructure

# Bound early: a test may patch them.
_open, _close, _dup, _fstat, _listdir, _readlink = (
    *(os.open, os.close, os.dup, os.fstat),
    *(os.listdir, os.readlink),
)
_FileIO, _Socket = _io.FileIO, _socket.socket
_make_socket: Final = vars(socket.socket)["__init__"].__code__

_PROC: Final = "/proc/self/fd"
_FOLDERS: Final = (_PROC, "/dev/fd")
_STANDARD: Final = {0: "standard input", 1: "standard output", 2: "standard error"}
_PLAIN_NUMBERS: Final = ("pipe", "eventfd", "timerfd", "pidfd", "memfd")  # os hands these out as bare numbers
_STACKS: Final = 1_000  # remembered between two readings
_FRAMES: Final = 12  # of each: files are opened often, and are seldom left open


def _label(target: str) -> str:
    """What a link of /proc/self/fd points at, in a word: a path, socket, pipe, epoll, …"""
    if target.startswith("/memfd:"):
        return "memfd"
    if target.startswith("/"):
        return target
    name = target.removeprefix("anon_inode:").strip("[]").partition(":")[0]
    return "epoll" if name == "eventpoll" else name


def _key(descriptor: int, target: str) -> str:
    return f"{descriptor} ({_STANDARD.get(descriptor) or _label(target)})"


class Descriptors(Probe):
    """Counts the open descriptors; only when the count moved, or something was opened, lists them all.

    The kernel tells the count as the size of the folder that lists them, through a descriptor of our own;
    one that does not (Linux before 6.2) tells the lowest free number instead. The garbage collector is never
    run: it would run finalisers of the program at a place of our choice, and a descriptor that only
    it can close is one that nobody closed.
    """

    name = "descriptors"
    words = (
        *("open", "socket", "create_connection", "create_server", "socketpair", "pipe", "dup", "dup2"),
        *("epoll", "eventfd", "memfd_create", "pidfd_open", "new_event_loop", "mkstemp", "connect", "fdopen"),
    )
    blind = (
        "systems that list no descriptors (Windows); one closed and another one duplicated in the same test; "
        "what closed a descriptor; descriptors that only the garbage collector would close count as open"
    )

    def __init__(self, exempt: Callable[[str], bool]) -> None:
        self._exempt = exempt
        self._ear = Ear({"open": self._on_open, "socket.__new__": self._on_socket})
        self._folder = ""  # that lists the descriptors; "": none does
        self._own = -1
        self._identity = (0, 0)
        self._is_counted = False
        self._forget()

    def _forget(self) -> None:
        self._now: dict[str, str] = {}
        self._known: dict[str, str] = {}  # by link, what it points at
        self._mark = -1
        self._listed = 0
        self._is_fresh = True
        self._opens: dict[str, tuple[bool, tuple[Any, ...]]] = {}  # by path: a bare number?, who
        self._sockets: list[tuple[weakref.ref[Any], tuple[Any, ...]]] = []
        self._ours: list[weakref.ref[Any]] = []  # sockets
        self._stacks: dict[str, tuple[Any, ...]] = {}
        self._bare: set[str] = set()  # keys of what os.open() returned

    def start(self) -> None:
        self.stop()
        self._folder = next((folder for folder in _FOLDERS if os.path.isdir(folder)), "")
        if self._folder:
            self._acquire()
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        if self._is_own_open():
            _close(self._own)
        self._own = -1
        self._folder = ""
        self._forget()

    def read(self) -> dict[str, Any]:
        self._ear.check()
        if not self._folder:
            return self._now
        mark = self._measure()
        if self._is_fresh or mark != self._mark:
            if mark != self._mark or not self._is_as_known():
                self._now = self._reread()
            self._is_fresh, self._mark = False, mark
            self._opens, self._sockets = {}, []
        return self._now

    def place(self, key: str) -> str:
        return f"file descriptor {key}"

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        if type(after) is str and after.startswith("/dev/shm/pym-"):
            return "the heap that multiprocessing shares, made on first use"
        return "it was closed" if after is MISSING and _number(key) not in _STANDARD else None

    def holder(self, key: str) -> object:
        """The Python object that would close what is under a key when it dies; None: there is none."""
        return _holder(_number(key))

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stacks.get(key, ())

    def restore(self, key: str, before: Any, after: Any) -> None:
        if after is MISSING or before is not MISSING:
            raise CannotRestore("what it referred to is closed")
        descriptor = _number(key)
        target = self._target(descriptor)
        if target is None:
            return
        if target != after:
            raise CannotRestore("it refers to something else by now")
        holder = _holder(descriptor)
        if holder is not None:
            _release(holder)
        elif self._may_close(key, target):
            _close(descriptor)
        else:
            raise CannotRestore("what opened it may still use it: close that")

    # Measuring

    def _acquire(self) -> None:
        self._own = _open(self._folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        status = _fstat(self._own)
        self._identity = status.st_dev, status.st_ino

    def _is_own_open(self) -> bool:
        try:
            status = _fstat(self._own)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _measure(self) -> int:
        """A number that moves when a descriptor comes or goes; what it misses, the audit events tell."""
        try:
            status = _fstat(self._own)
        except OSError:  # a test closed everything that was open
            status = None
        if status is None or status.st_ino != self._identity[1] or status.st_dev != self._identity[0]:
            self._acquire()
            self._is_fresh = True
            return -1
        self._is_counted = status.st_size > 0 and self._folder == _PROC
        if self._is_counted:
            return status.st_size
        lowest = _dup(self._own)
        _close(lowest)
        return lowest

    # Listing

    def _is_as_known(self) -> bool:
        """Whether none of as many descriptors as before was closed and its number taken by another one.

        A thread that waits in accept() or open() has reserved a number, which the kernel counts and does not
        list. It becomes a descriptor without moving the count: where there are such, only a listing tells.
        """
        if not self._is_counted or self._listed != self._mark:
            return False
        try:
            return all(_readlink(link) == target for link, target in self._known.items())
        except OSError:
            return False

    def _reread(self) -> dict[str, str]:
        numbers = self._numbers()
        self._listed = len(numbers) - 1  # what lists them is one of them
        targets = self._targets(numbers)
        self._known = {f"{_PROC}/{descriptor}": target for descriptor, target in targets.items()}
        self._follow_capture(targets)
        now = {_key(descriptor, target): target for descriptor, target in targets.items()}
        for key in self._stacks.keys() - now.keys():
            del self._stacks[key]
            self._bare.discard(key)
        creators = {_fileno(socket): stack for ref, stack in self._sockets if (socket := ref()) is not None}
        for key, target in now.items():
            if self._now.get(key) != target:
                is_bare, stack = self._opens.get(target, (False, creators.get(_number(key), ())))
                self._stacks[key] = stack
                if is_bare:
                    self._bare.add(key)
        return now

    def _numbers(self) -> list[int]:
        return [int(name) for name in _listdir(self._folder)]

    def _targets(self, numbers: list[int]) -> dict[int, str]:
        hidden = {self._own, *infrastructure("_fd", "_forkserver_fd", "_forkserver_alive_fd")}
        self._ours = [ref for ref in self._ours if ref() is not None]
        hidden |= {_fileno(socket) for ref in self._ours if (socket := ref()) is not None}
        found: dict[int, str] = {}
        ours = own_list()
        for descriptor in numbers:
            target = None if descriptor in hidden else self._target(descriptor)
            if target is not None and target != ours and not self._exempt(target):
                found[descriptor] = target
        return found

    def _target(self, descriptor: int) -> str | None:
        """What a descriptor refers to; None: nothing any more, such as that of the listing itself."""
        try:
            if self._folder == _PROC:
                return _readlink(f"{_PROC}/{descriptor}")
            status = _fstat(descriptor)
        except OSError:
            return None
        kinds = {0o140000: "socket", 0o010000: "pipe", 0o040000: "folder", 0o020000: "device"}
        return f"{kinds.get(status.st_mode & 0o170000, 'file')}:[{status.st_ino}]"

    def _follow_capture(self, targets: dict[int, str]) -> None:
        """Let pass that a runner turns the standard streams to and fro.

        What they now refer to, another descriptor has referred to all the time.
        """
        known = set(self._now.values())
        for descriptor in _STANDARD:
            target = targets.get(descriptor)
            key = _key(descriptor, "")
            if target in known and key in self._now and target is not None:
                self._now[key] = target

    # What events tell

    def _on_open(self, args: tuple[Any, ...]) -> None:
        self._is_fresh = True
        path = args[0]
        if len(self._opens) < _STACKS and not (type(path) is str and path.endswith(".pyc")):
            where = path if type(path) is str and path.startswith(os.sep) else absolute(path)
            if where is not None:
                self._opens[where] = (args[1] is None, stack_here(_FRAMES))

    def _on_socket(self, args: tuple[Any, ...]) -> None:
        self._is_fresh = True
        if len(self._sockets) < _STACKS:
            try:
                ref = weakref.ref(args[0])
            except TypeError:  # a bare _socket.socket
                return
            if is_ours():
                self._ours.append(ref)
                return
            stack = stack_here()
            self._sockets.append((ref, stack[2:] if stack[0] is _make_socket else stack))

    def _may_close(self, key: str, target: str) -> bool:
        """Whether nothing can be expected to close this number a second time, when it means another file."""
        bare = key in self._bare or _label(target).startswith(_PLAIN_NUMBERS)
        if target.startswith("anon_inode:"):  # all of a kind have one target
            return bare
        return bare or sum(target == other for other in self._targets(self._numbers()).values()) > 1


def _number(key: str) -> int:
    return int(key.partition(" ")[0])


def _fileno(value: Any) -> int:
    """The descriptor of a file or socket of the standard library, -1 without one; runs no user code."""
    try:
        if issubclass(type(value), _Socket):
            return int(_Socket.fileno(value))
        while type(value) in (_io.TextIOWrapper, _io.BufferedReader, _io.BufferedWriter, _io.BufferedRandom):
            value = value.buffer if type(value) is _io.TextIOWrapper else value.raw
        return _FileIO.fileno(value) if issubclass(type(value), _FileIO) else -1
    except ValueError:  # closed or detached
        return -1


def _holder(descriptor: int) -> Any:
    """The outermost Python object that holds a descriptor and would close it when it dies."""
    found: dict[int, Any] = {}
    for value in gc.get_objects():
        rank = _RANKS.get(type(value)) if type(type(value)) is type else None
        if rank is None and issubclass(type(value), _FileIO | _Socket):
            rank = 3
        if rank is not None and _fileno(value) == descriptor:
            found[rank] = value
    return found[min(found)] if found else None


_RANKS: Final[dict[type, int]] = {
    _io.TextIOWrapper: 1,
    _io.BufferedReader: 2,
    _io.BufferedWriter: 2,
    _io.BufferedRandom: 2,
}


def _release(holder: Any) -> None:
    """Close what a Python object holds, so that the object knows."""
    if issubclass(type(holder), _Socket):
        if _is_of_loop(holder):
            raise CannotRestore("an event loop uses it: close the loop")
        _close(_Socket.detach(holder))
    elif issubclass(type(holder), _FileIO):
        _FileIO.close(holder)
    else:
        holder.close()


def _is_of_loop(socket: Any) -> bool:
    """Whether an event loop that is not closed wakes itself up through a socket."""
    events = sys.modules.get("asyncio.selector_events")
    base = None if events is None else module_dict(events).get("BaseSelectorEventLoop")
    if base is None:
        return False
    loops = [value for value in gc.get_objects() if issubclass(type(value), base)]
    states = [plain_contents(loop) or {} for loop in loops]
    return any(state.get("_ssock") is socket or state.get("_csock") is socket for state in states)

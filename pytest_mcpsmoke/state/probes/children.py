"""Child processes that still run, or have ended and were never waited for."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.audit import Ear, stack_here
from pytest_mcpsmoke.state.describe import redact
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.files import text_of_path
from pytest_mcpsmoke.state.probes.infrastructure import infrastructure

# Bound early: a test may patch them.
_open, _read, _close, _listdir, _kill = os.open, os.read, os.close, os.listdir, os.kill
_pread, _readlink, _getpid = getattr(os, "pread", None), os.readlink, os.getpid
_sleep, _basename = time.sleep, os.path.basename
_waitid = getattr(os, "waitid", None)

_TASKS: Final = "/proc/self/task"
_GLANCE: Final = 1 << 16
_NAME: Final = 15  # bytes of a program's name that the kernel keeps
_STACKS: Final = 1_000  # remembered between two readings
_RENAMING: Final = (0.001,) * 1_000  # seconds
_MAYBE_RENAMING: Final = 5  # of these
_STEPS: Final = (0.01,) * 100  # seconds; not by a clock, which may stand still
if _waitid is not None:
    _P_ALL, _P_PID = os.P_ALL, os.P_PID
    _LOOK, _REAP = os.WEXITED | os.WNOHANG | os.WNOWAIT, os.WEXITED | os.WNOHANG


def own_list() -> str:
    """The file that lists the main thread's children; the probe keeps it open, and Descriptors hides it."""
    return f"/proc/{_getpid()}/task/{_getpid()}/children"


class Children(Probe):
    """Asks the kernel whether there are children at all, and then whether those of the main thread changed.

    Only if they did, or a process was started, or other threads have children, it lists those of all threads.
    """

    name = "children"
    words = (
        *("Popen", "Process", "fork", "posix_spawn", "spawnl", "spawnlp", "spawnv", "spawnvp", "forkpty"),
        *("create_subprocess_exec", "create_subprocess_shell", "ProcessPoolExecutor", "Pool", "start"),
    )
    blind = (
        "systems other than Linux, and Linux without /proc/*/task/*/children; children of children, those of "
        "multiprocessing's fork server for example; what a child that was there before became"
    )

    def __init__(self) -> None:
        self._list = -1  # descriptor of own_list(), from when the first child is seen
        self._ear = Ear(
            {
                "subprocess.Popen": self._on_popen,
                "os.posix_spawn": self._on_popen,
                "os.fork": self._on_fork,
                "os.forkpty": self._on_fork,
            }
        )
        self._forget()

    def _forget(self) -> None:
        self._mark = b""  # what the file said when all were listed
        self._is_partial = True  # other threads have children, too
        self._now: dict[str, str] = {}
        self._keys: dict[int, str] = {}
        self._starts: list[tuple[str, tuple[Any, ...]]] = []  # program and who, since the last reading
        self._stacks: dict[str, tuple[Any, ...]] = {}

    def start(self) -> None:
        self._forget()
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        if self._is_list_open():
            _close(self._list)
        self._list = -1
        self._forget()

    def read(self) -> dict[str, Any]:
        self._ear.check()
        if _has_children():
            if self._starts or self._is_partial or self._glance() != self._mark:
                self._now = self._reread()
        elif self._now:
            self._now, self._keys, self._stacks = {}, {}, {}
        if self._starts:
            self._starts = []
        return self._now

    def place(self, key: str) -> str:
        return f"child process {key}"

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        return "it has ended" if after is MISSING else None

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stacks.get(key, ())

    def restore(self, key: str, before: Any, after: Any) -> None:
        if after is MISSING:
            raise CannotRestore("a process that has ended cannot be started again")
        pid = int(key.partition(" ")[0])
        for number in (signal.SIGTERM, signal.SIGKILL):
            if _is_reaped(pid):
                return
            _kill(pid, number)
            for seconds in _STEPS:
                if _is_reaped(pid):
                    return
                _sleep(seconds)
        raise CannotRestore("it does not end")

    def _glance(self) -> bytes:
        """The numbers of the main thread's children; something else when a test closed our file."""
        try:
            return _pread(self._list, _GLANCE, 0) if _pread is not None else b""
        except OSError:
            return b""

    def _is_list_open(self) -> bool:
        try:
            return _readlink(f"/proc/self/fd/{self._list}") == own_list()
        except OSError:
            return False

    def _look_closely(self) -> set[int]:
        """The children of all threads; remembers what is enough to glance at from now on."""
        if not self._is_list_open():
            path = own_list()
            self._list = _open(path, os.O_RDONLY | os.O_CLOEXEC) if os.path.exists(path) else -1
        self._mark = self._glance()
        found = _pids()
        self._is_partial = found != {*map(int, self._mark.split())}
        return found

    def _reread(self) -> dict[str, str]:
        pids = self._look_closely() - infrastructure("_pid", "_forkserver_pid")
        if pids == self._keys.keys():
            return self._now
        self._keys = {pid: key for pid, key in self._keys.items() if pid in pids}
        now = {key: self._now[key] for key in self._keys.values()}  # running or ended: as first seen
        self._stacks = {key: self._stacks[key] for key in now}
        for pid in sorted(pids - self._keys.keys()):
            name = self._program(pid)
            if name is None:
                continue
            key = f"{pid} ({redact(name)})"
            self._keys[pid] = key
            self._stacks[key] = self._starter(name)
            now[key] = "zombie" if _has_ended(pid) else "running"
        return now

    def _program(self, pid: int) -> str | None:
        """The name of the program that a process runs, never its arguments; None: it is gone."""
        name = _text(f"/proc/{pid}/comm")
        for seconds in self._renaming():
            if name != _text("/proc/self/comm"):
                break
            _sleep(seconds)
            name = _text(f"/proc/{pid}/comm")
        return None if name is None else name.strip()

    def _renaming(self) -> tuple[float, ...]:
        """How long to wait for a child that is still called as we are.

        Popen returns a moment before the kernel has changed the name, on a busy machine long before. A fork
        keeps ours, and so does a program that is called as we are: then it may be that nothing changes.
        """
        programs = {program for program, _ in self._starts}
        if programs <= {""}:
            return ()
        may_keep = programs & {"", (_text("/proc/self/comm") or "").strip()}
        return _RENAMING[:_MAYBE_RENAMING] if may_keep else _RENAMING

    def _starter(self, name: str) -> tuple[Any, ...]:
        """Who started a program: the last that started one of this name, or did so alone."""
        stacks = [stack for program, stack in self._starts if program == name]
        if not stacks and len(self._starts) == 1:
            stacks = [self._starts[0][1]]
        return stacks[-1] if stacks else ()

    def _on_popen(self, args: tuple[Any, ...]) -> None:
        self._note(_basename(text_of_path(args[0]) or "")[:_NAME])

    def _on_fork(self, args: tuple[Any, ...]) -> None:
        self._note("")

    def _note(self, program: str) -> None:
        if len(self._starts) < _STACKS:
            self._starts.append((program, stack_here()))


def _has_children() -> bool:
    if _waitid is None:
        return False
    try:
        _waitid(_P_ALL, 0, _LOOK)
    except ChildProcessError:
        return False
    return True


def _has_ended(pid: int) -> bool:
    try:
        return _waitid is not None and _waitid(_P_PID, pid, _LOOK) is not None
    except ChildProcessError:
        return True


def _is_reaped(pid: int) -> bool:
    """Reap a child if it has ended; whether it is gone, through us or somebody else."""
    try:
        return _waitid is not None and _waitid(_P_PID, pid, _REAP) is not None
    except ChildProcessError:
        return True


def _pids() -> set[int]:
    """The children of all threads."""
    found: set[int] = set()
    for task in _listdir(_TASKS) if os.path.isdir(_TASKS) else ():
        found.update(map(int, (_text(f"{_TASKS}/{task}/children") or "").split()))
    return found


def _text(path: str) -> str | None:
    """The text of a file of /proc; None: what it tells of is gone, or the kernel does not tell."""
    try:
        descriptor = _open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    try:
        parts = []
        while part := _read(descriptor, 65536):
            parts.append(part)
    except ProcessLookupError:
        return None
    finally:
        _close(descriptor)
    return b"".join(parts).decode("utf-8", "replace")

"""Processes as Linux tells of them: who descends from whom, and who is left."""

from __future__ import annotations

import ctypes
import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Process:
    """A process that runs; with the tick it was started at, a pid that is given out again is another's."""

    pid: int
    parent: int
    group: int
    started: int
    command: str


def running() -> list[Process]:
    """Every process that has not ended; a zombie has."""
    found = (_read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [process for process in found if process is not None]


def descendants(pid: int) -> list[Process]:
    """The children of a process, theirs, and so on."""
    everyone = running()
    known = {pid}
    found: list[Process] = []
    while fresh := [one for one in everyone if one.parent in known and one.pid not in known]:
        found += fresh
        known.update(one.pid for one in fresh)
    return found


def adopt_orphans() -> None:
    """Makes this process the parent of descendants that lose theirs: nobody slips away from `descendants`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _read(pid: int) -> Process | None:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        # Behind the name of the program, which may hold anything, a parenthesis included.
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended meanwhile
    if stat[0] in "ZX":
        return None
    return Process(pid, int(stat[1]), int(stat[2]), int(stat[19]), command.strip())


class Started:
    """What the tests started: every process that was seen, their groups, and the ports they listened on."""

    def __init__(self) -> None:
        adopt_orphans()
        self._before = set(descendants(os.getpid()))
        self._seen: set[Process] = set()
        self._ports: set[int] = set()

    def look(self, *ports: int) -> None:
        """Notes who runs now, and ports that were opened."""
        self._seen.update(set(descendants(os.getpid())) - self._before)
        self._ports.update(ports)

    def left(self) -> list[str]:
        """What is still there of it, in words; []: nothing."""
        self.look()
        groups = {process.group for process in self._seen} - {os.getpgrp()}
        seen = {(process.pid, process.started) for process in self._seen}
        processes = [
            f"process {one.pid}: {one.command}"
            for one in running()
            if (one.pid, one.started) in seen or one.group in groups
        ]
        return processes + [f"port {port} is open" for port in sorted(self._ports) if is_open(port)]


def is_open(port: int) -> bool:
    """Whether a port of loopback takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

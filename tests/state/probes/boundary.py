"""What the tests of the resource probes share: one probe, read at boundaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.readings import Readings


class Boundary:
    """Reads one probe as a run does; a context manager that starts and stops it."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.readings = Readings([probe])
        self.writes: list[Any] = []

    def __enter__(self) -> Boundary:
        self.readings.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.readings.stop()

    def drain(self) -> list[tuple[str, Any, Any]]:
        """Place, before and after of what changed since the last call; (nothing) is None."""
        self.writes = self.readings.drain()
        for _, error in self.readings.broken():
            raise error
        return [
            (self.probe.place(key), *(None if value is MISSING else value for value in (before, after)))
            for _, key, before, after, *_ in self.writes
        ]

    def leaks(self) -> list[tuple[str, Any, Any]]:
        """The changes that are not one-way set-up of the program."""
        changes = self.drain()
        return [
            change
            for change, (_, key, before, after, *_) in zip(changes, self.writes, strict=True)
            if self.probe.warm_up(key, before, after) is None
        ]

    def restore(self) -> None:
        """Put back what the last drain found."""
        for _, key, before, after, *_ in self.writes:
            self.probe.restore(key, before, after)

    def line(self, file: str) -> str:
        """The source line of this file that wrote the first change."""
        stack = self.writes[0][4]
        at = next(
            line for code, line in zip(stack[::2], stack[1::2], strict=True) if code.co_filename == file
        )
        return Path(file).read_text(encoding="utf-8").splitlines()[at - 1].strip()

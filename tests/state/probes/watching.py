"""How the tests of probes look: at one probe, around one act."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.readings import Readings

Found = tuple[str, Any, Any]  # place, before, after


class Watch:
    """A probe that has taken its baseline."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._readings = Readings([probe])

    @contextmanager
    def running(self) -> Iterator[Watch]:
        self._readings.start()
        yield self
        self._readings.stop()
        self._readings.stop()

    def writes(self) -> list[Write]:
        """What has changed since the last look; a probe that failed fails the test."""
        writes = self._readings.drain()
        for _, error in self._readings.broken():
            raise error
        return writes

    def found(self) -> list[Found]:
        return [(self.probe.place(write.key), write.old, write.new) for write in self.writes()]

    def restore(self, writes: list[Write]) -> None:
        for write in writes:
            self.probe.restore(write.key, write.old, write.new)


@contextmanager
def watching(probe: Probe) -> Iterator[Watch]:
    """Watch with a probe from here on."""
    with Watch(probe).running() as watch:
        yield watch


def found_around(probe: Probe, *acts: Callable[[], object]) -> list[Found]:
    """What a probe finds between before and after some acts."""
    with watching(probe) as watch:
        for act in acts:
            act()
        return watch.found()


def is_quiet(probe: Probe) -> bool:
    """Whether two readings of unchanged state are one object, so that nothing is compared."""
    probe.start()
    try:
        return probe.read() is probe.read()
    finally:
        probe.stop()

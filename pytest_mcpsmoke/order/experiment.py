"""An experiment: one run of pytest that asks whether a test passes after others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from pytest_mcpsmoke.order.suspects import Suspect


class Experiment(NamedTuple):
    """What runs before the victim, in this order, and what of it is put back.

    before: node ids. imports: test modules that are imported, and none of whose tests run for it. put_back:
    places that are put back as soon as who changed them is over; undo: warm-ups, too; spared: tests that may
    change them. turn: which repetition.
    """

    before: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    undo: bool = False
    spared: tuple[str, ...] = ()
    turn: int = 1


class Seen(NamedTuple):
    """What came of it. left: what the others left changed. failure: how the victim failed, as it is told."""

    is_passed: bool
    left: tuple[Suspect, ...] = ()
    failure: Any = None


class Lab(Protocol):
    """Runs experiments. Raises what ends an investigation: its budget, Ctrl-C, a suite that cannot run."""

    def run(self, experiment: Experiment) -> Seen:
        """Run one, or remember what came of it."""

    def like(self, suspects: Sequence[Suspect]) -> list[Suspect]:
        """Sort suspects, the likeliest first."""


class Recorded(NamedTuple):
    """The run that is asked about: who ran before the victim and after it, and how it ended there.

    is_passed is None where that is not known yet. left: what everybody left changed, the victim too.
    """

    victim: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    is_passed: bool | None
    left: tuple[Suspect, ...] = ()

"""What an investigation comes to."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from pytest_mcpsmoke.order.experiment import Experiment
from pytest_mcpsmoke.order.suspects import Suspect


class Kind(StrEnum):
    """How a test depends on the order, in the glossary's words."""

    VICTIM = "victim"
    BRITTLE = "brittle"
    BOTH_WAYS = "order-dependent both ways"
    NON_DETERMINISTIC = "non-deterministic"
    NOT_REPRODUCIBLE = "not reproducible"
    FAILS_ALWAYS = "fails in every order"


class Conclusion(NamedTuple):
    """The verdict and its proof.

    polluters, setters, cleaners: node ids, or the test modules whose import it is. places: the smallest set
    whose restoration turns the verdict; empty: unknown. reproduce and turn are the experiments that show it:
    the failure (of a brittle test: that it passes after its setter), and the same with the places put back.
    ruled_out: what was tried in vain.
    """

    kind: Kind
    premises: tuple[str, ...] = ()
    polluters: tuple[str, ...] = ()
    setters: tuple[str, ...] = ()
    cleaners: tuple[str, ...] = ()
    places: tuple[Suspect, ...] = ()
    reproduce: Experiment | None = None
    turned: Experiment | None = None
    failure: Any = None
    ruled_out: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether somebody else is shown to make the difference."""
        return bool(self.polluters or self.setters)

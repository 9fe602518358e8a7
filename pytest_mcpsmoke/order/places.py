"""Which of the places that others left changed makes the difference: the smallest set that does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pytest_mcpsmoke.order.ddmin import smallest
from pytest_mcpsmoke.order.experiment import Experiment, Lab
from pytest_mcpsmoke.order.suspects import Suspect


class Cause(NamedTuple):
    """The places, the experiment that shows them, and what was tried in vain."""

    places: tuple[Suspect, ...]
    turned: Experiment | None
    ruled_out: tuple[str, ...]


class Places:
    """Puts back, in throw-away runs, what others left changed, until the victim's verdict turns.

    shown is the experiment whose verdict is to turn. but: tests whose doing is to stay.
    """

    def __init__(self, lab: Lab, shown: Experiment, but: Sequence[str] = ()) -> None:
        self._lab = lab
        self._shown = shown
        self._but = tuple(but)
        self._wanted = not lab.run(shown).is_passed

    def find(self) -> Cause:
        """Try leaks, then warm-ups; where several are needed, of each."""
        left = _once(one for one in self._lab.run(self._shown).left if one.test not in self._but)
        leaks = [suspect for suspect in left if suspect.is_leak]
        needed = [name for name in (*self._shown.imports, *self._shown.before) if name not in self._but]
        if len(needed) > 1:
            found = [self._search([leak for leak in leaks if leak.test == name], False) for name in needed]
            places = [place for some in found for place in some]
        else:
            places = self._search(leaks, undo=False)
        if places:
            return self._cause(places, False, ())
        return self._warm_ups(leaks)

    def _warm_ups(self, leaks: Sequence[Suspect]) -> Cause:
        """Undo everything, warm-ups too: it helps, or the place is unknown."""
        ruled_out = (
            [f"{_places(leaks)} put back that {_they(leaks)} left changed: no difference"] if leaks else []
        )
        everything = self._with(("*",), undo=True)
        seen = self._lab.run(everything)
        others = _once(seen.left)
        if seen.is_passed is self._wanted:
            return self._cause(self._search(others, True, is_known=True), True, tuple(ruled_out))
        warm = [suspect for suspect in others if not suspect.is_leak]
        number = f"{len(warm):,} warm-up{'' if len(warm) == 1 else 's'}"
        tried = f"{number} undone, too (first imports, caches, first uses): no difference"
        ruled_out.append(tried if warm else "no warm-ups to undo")
        return Cause((), None, tuple(ruled_out))

    def _search(self, left: Sequence[Suspect], undo: bool, is_known: bool = False) -> list[Suspect]:
        """The likeliest one; else all, and then the smallest set. is_known: that all will do."""
        ranked = self._lab.like(left)
        if not ranked:
            return []
        if self._turns(ranked[:1], undo):
            return ranked[:1]
        if len(ranked) == 1 or not (is_known or self._turns(ranked, undo)):
            return ranked if is_known else []
        return smallest(ranked[::-1], lambda some: self._turns(some, undo))

    def _turns(self, some: Sequence[Suspect], undo: bool) -> bool:
        return self._lab.run(self._with(_named(some), undo)).is_passed is self._wanted

    def _with(self, places: tuple[str, ...], undo: bool) -> Experiment:
        return self._shown._replace(put_back=places, undo=undo, spared=self._but)

    def _cause(self, places: Sequence[Suspect], undo: bool, ruled_out: tuple[str, ...]) -> Cause:
        return Cause(tuple(places), self._with(_named(places), undo), ruled_out)


def _named(some: Sequence[Suspect]) -> tuple[str, ...]:
    return tuple(sorted({suspect.place for suspect in some}))


def _once(left: Iterable[Suspect]) -> list[Suspect]:
    """Each place once, as who left it last."""
    return list({suspect.place: suspect for suspect in left}.values())


def _places(left: Sequence[Suspect]) -> str:
    return "the one place" if len(left) == 1 else f"all {len(left):,} places"


def _they(left: Sequence[Suspect]) -> str:
    return "it" if len({suspect.owner for suspect in left}) == 1 else "they"

"""From a red test to its cause: which experiments are made, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pytest_mcpsmoke.order.conclusion import Conclusion, Kind
from pytest_mcpsmoke.order.ddmin import smallest
from pytest_mcpsmoke.order.experiment import Experiment, Lab, Recorded, Seen
from pytest_mcpsmoke.order.places import Cause, Places
from pytest_mcpsmoke.order.suspects import Suspect

_TRIED: Final = 3  # suspects that are tried one by one
_AGAIN: Final = 2  # repetitions that decide whether a test is non-deterministic


class Contradiction(Exception):
    """One and the same experiment came out differently; its text says which."""


class Investigation:
    """Explains the verdict of one test in one recorded run.

    confirm: how often alone, reproduction and restoration are repeated even where nothing is in doubt.
    is_reached says whether the victim's code is known to meet a place. All that ends the lab's work passes.
    """

    def __init__(
        self, lab: Lab, recorded: Recorded, is_reached: Callable[[str], bool], confirm: int = 0
    ) -> None:
        self._lab = lab
        self._recorded = recorded
        self._is_reached = is_reached
        self._confirm = confirm
        self._premises: list[str] = []

    def conclude(self) -> Conclusion:
        """Make the experiments that it takes."""
        try:
            found = self._from_alone()
        except Contradiction as found_out:
            found = Conclusion(Kind.NON_DETERMINISTIC, ruled_out=(str(found_out),))
        return found._replace(premises=tuple(self._premises))

    def _from_alone(self) -> Conclusion:
        alone = self._run(Experiment())
        self._premises.append(f"alone it {_told(alone)}")
        is_passed = self._is_passed_as_recorded()
        if alone.is_passed:
            return self._passes_alone_and_there() if is_passed else self._victim()
        if is_passed:
            return self._brittle(self._recorded.before, "in the recorded order")
        return self._fails_alone_and_there()

    def _is_passed_as_recorded(self) -> bool:
        recorded = self._recorded
        is_passed = recorded.is_passed
        if is_passed is None:
            is_passed = self._run(Experiment(recorded.before)).is_passed
        self._premises.append(f"in the recorded order it {'passed' if is_passed else 'failed'}")
        return is_passed

    # passes alone, fails there

    def _victim(self) -> Conclusion:
        shown = self._by_suspects(self._recorded.left, wanted=False) or self._by_all()
        if shown is None:
            return self._not_there(Experiment(self._recorded.before))
        is_sure = len(shown.before) + len(shown.imports) == 1 and self._is_suspected(shown)
        return self._proven(Kind.VICTIM, shown, () if is_sure else (Experiment(),))

    def _by_suspects(self, left: Iterable[Suspect], wanted: bool) -> Experiment | None:
        """The best suspect alone, then the next, then all of them."""
        ranked = self._lab.like([suspect for suspect in left if suspect.is_leak or not wanted])
        asked = list(dict.fromkeys(_by(suspect) for suspect in ranked))
        likely = list(dict.fromkeys(_by(one) for one in ranked if self._is_reached(one.place))) or asked[:1]
        for experiment in likely[:_TRIED]:
            if self._run(experiment).is_passed is wanted:
                return self._without_running(experiment)
        tests = self._in_order(test for one in asked for test in one.before)
        imports = tuple(dict.fromkeys(path for one in asked for path in one.imports))
        if len(asked) < 2 or len(tests) >= len(self._recorded.before):
            return None
        together = Experiment(tests, imports)
        if self._run(together).is_passed is not wanted:
            return None
        return self._least(together, wanted)

    def _by_all(self) -> Experiment | None:
        """All that ran before; then with the modules imported of all that ran after it."""
        everybody = Experiment(self._recorded.before)
        if not self._run(everybody).is_passed:
            return self._least(everybody, wanted=False)
        ran = {_file(test) for test in (*self._recorded.before, self._recorded.victim)}
        others = tuple(dict.fromkeys(_file(test) for test in self._recorded.after if _file(test) not in ran))
        wider = everybody._replace(imports=others)
        if others and not self._run(wider).is_passed:
            return self._least(wider, wanted=False)
        return None

    def _least(self, shown: Experiment, wanted: bool) -> Experiment:
        """The smallest part of an experiment that shows the same."""
        items = [*((path, True) for path in shown.imports), *((test, False) for test in shown.before)]

        def of(some: Sequence[tuple[str, bool]]) -> Experiment:
            tests = tuple(name for name, is_import in some if not is_import)
            return shown._replace(before=tests, imports=tuple(name for name, is_import in some if is_import))

        least = of(smallest(items, lambda some: self._run(of(some)).is_passed is wanted))
        return self._without_running(least)

    def _without_running(self, shown: Experiment) -> Experiment:
        """If there is one test, it may be the import of its module: where that left something, try."""
        if len(shown.before) != 1 or shown.imports or self._is_suspected(shown):
            return shown
        path = _file(shown.before[0])
        if path == _file(self._recorded.victim):
            return shown
        imported = shown._replace(before=(), imports=(path,))
        wanted = self._run(shown).is_passed
        return imported if self._run(imported).is_passed is wanted else shown

    def _is_suspected(self, shown: Experiment) -> bool:
        """Whether those that run here, or are imported, leave something that the victim is known to meet."""
        is_import = bool(shown.imports)
        left = self._run(shown).left
        return any(one.is_leak and one.is_import is is_import and self._is_reached(one.place) for one in left)

    # passes alone and there

    def _passes_alone_and_there(self) -> Conclusion:
        """A polluter may have run, and somebody cleaned up before the victim came."""
        leaks = [one for one in self._recorded.left if one.is_leak and self._is_reached(one.place)]
        for suspect in self._lab.like(leaks)[:_TRIED]:
            shown = _by(suspect)
            if not self._run(shown).is_passed:
                found = self._proven(Kind.VICTIM, self._without_running(shown), ())
                return found._replace(cleaners=self._cleaners(shown))
        return self._not_there(None)

    def _cleaners(self, shown: Experiment) -> tuple[str, ...]:
        before = self._recorded.before
        start = before.index(shown.before[0]) + 1 if shown.before else 0
        between = before[start:]

        def is_clean(some: Sequence[str]) -> bool:
            return self._run(shown._replace(before=(*shown.before, *some))).is_passed

        return tuple(smallest(between, is_clean)) if between and is_clean(between) else ()

    # fails alone

    def _brittle(self, order: tuple[str, ...], where: str) -> Conclusion:
        """It passes after others, in the order given: find those."""
        recorded = order == self._recorded.before
        shown = self._by_suspects(self._recorded.left, wanted=True) if recorded else None
        if shown is None:
            everybody = Experiment(order)
            if not self._run(everybody).is_passed:
                return self._not_there(everybody)
            shown = self._least(everybody, wanted=True)
        self._premises.append(f"it passes {where}")
        return self._proven(Kind.BRITTLE, shown, (Experiment(),))

    def _fails_alone_and_there(self) -> Conclusion:
        """Others may bring what it lacks: all that ran after it, or the same in the reverse order."""
        recorded = self._recorded
        everybody = (*recorded.before, *recorded.after)
        for order, where in ((everybody, "after all others"), (everybody[::-1], "in the reverse order")):
            if order and self._run(Experiment(order)).is_passed:
                found = self._brittle(order, where)
                is_there = set(found.setters) <= set(recorded.before)
                return self._both_ways(found) if found.setters and is_there else found
        for turn in range(2, 2 + _AGAIN):
            self._same(Experiment(), turn)
        return Conclusion(Kind.FAILS_ALWAYS, failure=self._run(Experiment()).failure)

    def _both_ways(self, brittle: Conclusion) -> Conclusion:
        """Its setter ran, and it failed: somebody has spoilt that again."""
        setters = brittle.setters
        rest = [test for test in self._recorded.before if test not in setters]

        def of(some: Sequence[str]) -> Experiment:
            return Experiment(self._in_order([*setters, *some]))

        if self._run(of(())).is_passed is False or self._run(of(rest)).is_passed:
            return brittle
        polluters = smallest(rest, lambda some: not self._run(of(some)).is_passed)
        found = self._proven(Kind.BOTH_WAYS, of(polluters), ())
        return found._replace(
            setters=setters, polluters=tuple(test for test in found.polluters if test not in setters)
        )

    # proof

    def _proven(self, kind: Kind, shown: Experiment, controls: tuple[Experiment, ...]) -> Conclusion:
        """Find the places; repeat what could have come by chance."""
        repeated = [*controls, *([shown] if controls else [])]
        for experiment in repeated:
            self._same(experiment, 2)
        cause = Places(self._lab, shown).find()
        for turn in range(2, 2 + self._confirm):
            for experiment in filter(None, (Experiment(), shown, cause.turned)):
                self._same(experiment, turn + 1)
        return self._concluded(kind, shown, cause)

    def _concluded(self, kind: Kind, shown: Experiment, cause: Cause) -> Conclusion:
        who = (*shown.imports, *shown.before)
        is_setter = kind is Kind.BRITTLE
        failed = Experiment() if is_setter else shown
        return Conclusion(
            kind,
            polluters=() if is_setter else who,
            setters=who if is_setter else (),
            places=cause.places,
            reproduce=shown,
            turned=cause.turned,
            failure=self._run(failed).failure,
            ruled_out=cause.ruled_out,
        )

    def _not_there(self, order: Experiment | None) -> Conclusion:
        """The recorded verdict does not come again: by chance, or never."""
        if order is not None:
            for turn in range(2, 2 + _AGAIN):
                self._same(order, turn)
            for turn in range(2, 2 + _AGAIN):
                self._same(Experiment(), turn)
            now = "passed" if self._run(order).is_passed else "failed"
            self._premises.append(f"in the recorded order it now {now}, {1 + _AGAIN} times")
        return Conclusion(Kind.NOT_REPRODUCIBLE)

    def _same(self, experiment: Experiment, turn: int) -> None:
        """Repeat an experiment. Raises Contradiction if it comes out differently."""
        first = self._run(experiment)
        again = self._run(experiment._replace(turn=turn))
        if first.is_passed is not again.is_passed:
            what = "alone" if not (experiment.before or experiment.imports) else "in one and the same order"
            raise Contradiction(f"{what} it once {_told(first)} and once {_told(again)}")

    def _run(self, experiment: Experiment) -> Seen:
        return self._lab.run(experiment)

    def _in_order(self, tests: Iterable[str]) -> tuple[str, ...]:
        """Tests in the recorded order."""
        wanted = set(tests)
        return tuple(test for test in (*self._recorded.before, *self._recorded.after) if test in wanted)


def _by(suspect: Suspect) -> Experiment:
    """What it takes to have a suspect's doing."""
    return Experiment(imports=(suspect.test,)) if suspect.is_import else Experiment((suspect.test,))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _told(seen: Seen) -> str:
    return "passes" if seen.is_passed else "fails"

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
            return self._brittle(self._recorded.before)
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
        shown = self._by_suspects(self._recorded.before, wanted=False) or self._by_all()
        if shown is None:
            return self._not_there(Experiment(self._recorded.before))
        return self._proven(Kind.VICTIM, shown)

    def _by_suspects(self, who: Iterable[str], wanted: bool) -> Experiment | None:
        """The best suspect alone, then the next, then all of them. who: the tests that are asked about."""
        names = {*who, *(one.test for one in self._recorded.left if one.is_import)}
        names -= {self._recorded.victim, _file(self._recorded.victim)}
        ranked = self._lab.like([one for one in self._recorded.left if one.is_leak and one.test in names])
        asked = list(dict.fromkeys(_by(suspect) for suspect in ranked))
        likely = list(dict.fromkeys(_by(one) for one in ranked if self._is_reached(one.place))) or asked[:1]
        for experiment in likely[:_TRIED]:
            if self._run(experiment).is_passed is wanted:
                return experiment
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

        return of(smallest(items, lambda some: self._run(of(some)).is_passed is wanted))

    def _is_sure(self, shown: Experiment, setters: tuple[str, ...]) -> bool:
        """Whether it is one who leaves something that the victim is known to meet: no chance hit."""
        who = {*shown.before, *shown.imports}.difference(setters)
        left = (one for one in self._run(shown).left if one.is_leak and one.test not in setters)
        return len(who) == 1 and any(self._is_reached(one.place) for one in left)

    # passes alone and there

    def _passes_alone_and_there(self) -> Conclusion:
        """A polluter may have run, and somebody cleaned up before the victim came."""
        before = {*self._recorded.before, *(one.test for one in self._recorded.left if one.is_import)}
        known = [one for one in self._recorded.left if one.is_leak and one.test in before]
        leaks = [one for one in known if self._is_reached(one.place)]
        for suspect in self._lab.like(leaks)[:_TRIED]:
            shown = _by(suspect)
            if not self._run(shown).is_passed:
                found = self._proven(Kind.VICTIM, shown)
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

    def _brittle(self, order: tuple[str, ...], where: str = "") -> Conclusion:
        """It passes after others, in the order given: find those."""
        everybody = Experiment(order)
        shown = None if where else self._by_suspects(order, wanted=True)
        if shown is None:
            if not self._run(everybody).is_passed:
                return self._not_there(everybody)
            shown = self._least(everybody, wanted=True)
        self._premises += [f"it passes {where}"] if where else []
        return self._proven(Kind.BRITTLE, shown)

    def _fails_alone_and_there(self) -> Conclusion:
        """Others may bring what it lacks: those that left something, all, or a part of them."""
        for turn in range(2, 2 + _AGAIN):
            self._same(Experiment(), turn)
        recorded = self._recorded
        everybody = (*recorded.before, *recorded.after)
        shown = self._by_suspects(everybody, wanted=True)
        found = None if shown is None else self._proven(Kind.BRITTLE, shown)
        for order, where in () if found else _orders(everybody):
            if self._run(Experiment(order)).is_passed:
                found = self._brittle(order, where)
                break
        if found is None:
            return Conclusion(Kind.FAILS_ALWAYS, failure=self._run(Experiment()).failure)
        is_there = bool(found.setters) and set(found.setters) <= set(recorded.before)
        return self._both_ways(found) if is_there else found

    def _both_ways(self, brittle: Conclusion) -> Conclusion:
        """Its setter ran, and it failed: somebody has spoilt that again."""
        setters = brittle.setters
        rest = [test for test in self._recorded.before if test not in setters]

        def of(some: Sequence[str]) -> Experiment:
            return Experiment(self._in_order([*setters, *some]))

        if self._run(of(())).is_passed is False or self._run(of(rest)).is_passed:
            return brittle
        polluters = smallest(rest, lambda some: not self._run(of(some)).is_passed)
        found = self._proven(Kind.BOTH_WAYS, of(polluters), setters)
        return found._replace(
            setters=setters, polluters=tuple(test for test in found.polluters if test not in setters)
        )

    # proof

    def _proven(self, kind: Kind, shown: Experiment, setters: tuple[str, ...] = ()) -> Conclusion:
        """Find the places; repeat what could have come by chance."""
        if not self._is_sure(shown, setters):
            self._same(shown, 2)
            self._same(shown, 3)  # twice on end: what alternates differs here
        cause = Places(self._lab, shown, setters).find()
        imported = self._imported(shown, cause)
        if imported is not None:
            shown, cause = imported, Places(self._lab, imported).find()
        for turn in range(4, 4 + self._confirm):
            for experiment in filter(None, (Experiment(), shown, cause.turned)):
                self._same(experiment, turn)
        return self._concluded(kind, shown, cause)

    def _imported(self, shown: Experiment, cause: Cause) -> Experiment | None:
        """Where the import of a test's module is to blame, not the test: the experiment that shows it."""
        if len(shown.before) != 1 or shown.imports or not all(one.is_import for one in cause.places):
            return None
        path = _file(shown.before[0])
        if path == _file(self._recorded.victim) or (
            cause.places and {path} != {one.test for one in cause.places}
        ):
            return None
        imported = shown._replace(before=(), imports=(path,))
        return imported if self._run(imported).is_passed is self._run(shown).is_passed else None

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


def _orders(tests: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    """All tests, in both directions, then both halves: a setter and a polluter come apart."""
    if tests:
        yield tests, "after all others"
        yield tests[::-1], "after all others in the reverse order"
    if len(tests) > 1:
        for half in (tests[: len(tests) // 2], tests[len(tests) // 2 :]):
            yield half, "after half of the others"


def _by(suspect: Suspect) -> Experiment:
    """What it takes to have a suspect's doing."""
    return Experiment(imports=(suspect.test,)) if suspect.is_import else Experiment((suspect.test,))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _told(seen: Seen) -> str:
    return "passes" if seen.is_passed else "fails"

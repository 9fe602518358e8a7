"""What follows from experiments, on suites that exist only as rules: nothing runs, so many can be tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.order.conclusion import Conclusion, Kind
from pytest_mcpsmoke.order.experiment import Experiment, Recorded, Seen
from pytest_mcpsmoke.order.investigation import Investigation
from pytest_mcpsmoke.order.suspects import Suspect

VICTIM = "test_v.py::test_victim"


@dataclass
class RuleLab:
    """A suite of which is known what makes its victim pass: is_passed(who ran, which places are changed)."""

    leaves: dict[str, Suspect]  # what each test leaves changed
    is_passed: Callable[[list[str], set[str], int], bool]
    likely: str = ""  # places that begin so are told first
    made: list[Experiment] = field(default_factory=list)
    known: dict[Experiment, Seen] = field(default_factory=dict)

    def run(self, experiment: Experiment) -> Seen:
        if experiment not in self.known:
            self.made.append(experiment)
            self.known[experiment] = self._seen(experiment)
        return self.known[experiment]

    def _seen(self, experiment: Experiment) -> Seen:
        ran = [*experiment.imports, *experiment.before]
        left = [self.leaves[name] for name in ran if name in self.leaves]
        if not experiment.undo:
            told = [one for one in left if one.is_leak]
            back = {one.place for one in told if one.place in experiment.put_back}
        else:
            told = left
            back = {
                one.place for one in left if experiment.put_back == ("*",) or one.place in experiment.put_back
            }
        changed = {one.place for one in left} - back
        return Seen(self.is_passed(ran, changed, len(self.made)), tuple(told), f"failure {len(ran)}")

    def like(self, suspects: Sequence[Suspect]) -> list[Suspect]:
        return sorted(
            suspects, key=lambda one: (not one.is_leak, not one.place.startswith(self.likely), -one.at)
        )


def name(number: int) -> str:
    return f"test_{number % 3}.py::test_{number}"


def leak(test: str, place: str, is_leak: bool = True, at: int = 1) -> Suspect:
    return Suspect(place, test, test, "::" not in test, is_leak, at)


def conclude(
    lab: RuleLab,
    before: Sequence[str],
    after: Sequence[str] = (),
    is_passed: bool | None = False,
    reached: str = "app.",
) -> Conclusion:
    left = tuple(one for one in lab.leaves.values() if one.is_leak)
    recorded = Recorded(VICTIM, tuple(before), tuple(after), is_passed, left)
    return Investigation(lab, recorded, lambda place: place.startswith(reached)).conclude()


def test_a_visible_place_takes_three_processes_at_any_size() -> None:
    before = [name(at) for at in range(5000)]
    leaves = {test: leak(test, f"other.x{at}", at=at) for at, test in enumerate(before) if at % 7 == 0}
    leaves[before[40]] = leak(before[40], "app.MODE", at=41)
    lab = RuleLab(leaves, lambda ran, changed, turn: "app.MODE" not in changed, likely="app.")
    found = conclude(lab, before)
    assert found.kind is Kind.VICTIM
    assert found.polluters == (before[40],)
    assert [place.place for place in found.places] == ["app.MODE"]
    assert lab.made == [
        Experiment(),
        Experiment((before[40],)),
        Experiment((before[40],), put_back=("app.MODE",)),
    ]
    assert (found.reproduce, found.turned) == (lab.made[1], lab.made[2])
    assert found.premises == ("alone it passes", "in the recorded order it failed")


def test_an_invisible_place_is_unknown_and_what_was_tried_is_said() -> None:
    before = [name(at) for at in range(64)]
    leaves = {before[3]: leak(before[3], "other.x", at=4)}
    lab = RuleLab(leaves, lambda ran, changed, turn: before[20] not in ran)
    found = conclude(lab, before)
    assert (found.kind, found.polluters, found.places) == (Kind.VICTIM, (before[20],), ())
    assert found.ruled_out == ("no warm-ups to undo",)
    assert len(lab.made) <= 2 * math.log2(64) + 8


def test_a_warm_up_is_the_cause_when_no_leak_is() -> None:
    leaves = {"a.py::a": leak("a.py::a", "app.cache", is_leak=False)}
    lab = RuleLab(leaves, lambda ran, changed, turn: "app.cache" not in changed)
    found = conclude(lab, ["a.py::a"])
    assert [place.place for place in found.places] == ["app.cache"]
    assert found.turned == Experiment(("a.py::a",), put_back=("app.cache",), undo=True)


def test_the_import_of_a_module_is_told_from_its_tests() -> None:
    leaves = {"a.py": leak("a.py", "app.MODE", at=0)}

    def is_passed(ran: list[str], changed: set[str], turn: int) -> bool:
        return not any(test.startswith("a.py") for test in ran)

    found = conclude(RuleLab(leaves, is_passed), ["a.py::a", "b.py::b"])
    assert (found.kind, found.polluters) == (Kind.VICTIM, ("a.py",))


def test_who_is_imported_only_after_the_victim_ran_can_pollute_too() -> None:
    lab = RuleLab({}, lambda ran, changed, turn: "z.py" not in ran)
    found = conclude(lab, ["b.py::b"], ["c.py::c", "z.py::z"])
    assert (found.kind, found.polluters) == (Kind.VICTIM, ("z.py",))


def test_a_brittle_test_finds_its_setter_before_or_after_it() -> None:
    tests = [name(at) for at in range(20)]
    lab = RuleLab({}, lambda ran, changed, turn: tests[13] in ran)
    found = conclude(lab, tests[:16], tests[16:], is_passed=True)
    assert (found.kind, found.setters, found.polluters) == (Kind.BRITTLE, (tests[13],), ())
    assert found.failure == "failure 0"
    later = conclude(RuleLab({}, lambda ran, changed, turn: tests[18] in ran), tests[:16], tests[16:])
    assert (later.kind, later.setters) == (Kind.BRITTLE, (tests[18],))
    assert "it passes after all others" in later.premises


def test_both_ways() -> None:
    tests = [name(at) for at in range(12)]
    setter, polluter = tests[2], tests[7]
    leaves = {setter: leak(setter, "app.ready", at=3), polluter: leak(polluter, "app.hidden", at=8)}
    lab = RuleLab(leaves, lambda ran, changed, turn: setter in ran and "app.hidden" not in changed)
    found = conclude(lab, tests)
    assert (found.kind, found.setters, found.polluters) == (Kind.BOTH_WAYS, (setter,), (polluter,))
    assert [place.place for place in found.places] == ["app.hidden"]


def test_a_cleaner_is_named_where_the_recorded_order_was_green() -> None:
    tests = [name(at) for at in range(9)]
    leaves = {tests[1]: leak(tests[1], "app.MODE", at=2)}

    def is_passed(ran: list[str], changed: set[str], turn: int) -> bool:
        return "app.MODE" not in changed or tests[5] in ran

    found = conclude(RuleLab(leaves, is_passed), tests, is_passed=True)
    assert (found.kind, found.polluters, found.cleaners) == (Kind.VICTIM, (tests[1],), (tests[5],))


def test_red_in_every_order_and_green_in_every_order() -> None:
    tests = [name(at) for at in range(6)]
    red = conclude(RuleLab({}, lambda ran, changed, turn: False), tests)
    assert (red.kind, red.is_proven, red.failure) == (Kind.FAILS_ALWAYS, False, "failure 0")
    green = conclude(RuleLab({}, lambda ran, changed, turn: True), tests)
    assert (green.kind, green.is_proven) == (Kind.NOT_REPRODUCIBLE, False)
    assert green.premises[-1] == "in the recorded order it now passed, 3 times"
    fine = conclude(RuleLab({}, lambda ran, changed, turn: True), tests, is_passed=True)
    assert fine.kind is Kind.NOT_REPRODUCIBLE


@pytest.mark.parametrize("is_first", [True, False])
def test_what_alternates_is_non_deterministic(is_first: bool) -> None:
    tests = [name(at) for at in range(5)]
    found = conclude(RuleLab({}, lambda ran, changed, turn: (turn % 2 == 1) is is_first), tests)
    assert found.kind is Kind.NON_DETERMINISTIC
    assert not found.is_proven
    assert found.ruled_out[0].endswith("it once passes and once fails") or "once fails" in found.ruled_out[0]


def test_confirm_finds_out_what_three_processes_took_for_a_proof() -> None:
    leaves = {"a.py::a": leak("a.py::a", "app.x")}

    def lab() -> RuleLab:
        return RuleLab(leaves, lambda ran, changed, turn: turn % 2 == 1)

    left = tuple(leaves.values())
    recorded = Recorded(VICTIM, ("a.py::a",), (), False, left)
    assert Investigation(lab(), recorded, lambda place: True).conclude().kind is Kind.VICTIM
    sure = Investigation(lab(), recorded, lambda place: True, confirm=1).conclude()
    assert sure.kind is Kind.NON_DETERMINISTIC


@given(st.data())
def test_any_set_of_polluters_is_found_whole_and_nobody_else(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 40), "tests")
    tests = [name(at) for at in range(number)]
    guilty = data.draw(st.sets(st.sampled_from(tests), min_size=1, max_size=3), "polluters")
    seen = data.draw(st.sets(st.sampled_from(tests)), "visible")
    leaves = {test: leak(test, f"app.{test}", at=at) for at, test in enumerate(tests) if test in seen}

    def is_passed(ran: list[str], changed: set[str], turn: int) -> bool:
        return not all(test in ran and (test not in leaves or f"app.{test}" in changed) for test in guilty)

    found = conclude(RuleLab(leaves, is_passed), tests)
    assert found.kind is Kind.VICTIM
    assert found.polluters == tuple(test for test in tests if test in guilty)
    assert {place.test for place in found.places} == guilty & seen
    assert found.turned is None or found.turned.put_back == tuple(
        sorted(f"app.{test}" for test in guilty & seen)
    )

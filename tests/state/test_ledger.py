"""Outstanding changes: random histories against the simplest model there is."""

from __future__ import annotations

import types
import weakref
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.ledger import Ledger, Owner
from pytest_mcpsmoke.state.place import MISSING, Namespace

MODULE = types.ModuleType("shop")
SPACE = Namespace("module", weakref.ref(MODULE), "shop")
NAMES = ("a", "b", "c")
VALUES: list[Any] = [MISSING, None, object(), object(), [1], [1], 1, True, "x"]

one_write = st.tuples(st.sampled_from(NAMES), st.integers(0, len(VALUES) - 1))
boundary = st.lists(one_write, max_size=4)  # what happens between two boundaries
acts = st.lists(boundary, max_size=4)  # what one owner does
histories = st.lists(acts, min_size=1, max_size=6)


class World:
    """The real values of some names, and a ledger that is told what an engine would tell."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = dict.fromkeys(NAMES, VALUES[2])
        self.ledger = Ledger()

    def run(self, owner: Owner, does: Iterable[list[tuple[str, int]]]) -> None:
        for writes in does:
            before = dict(self.values)
            for name, number in writes:
                self.values[name] = VALUES[number]
            told = [
                Write(SPACE, name, before[name], self.values[name], ())
                for name in NAMES
                if before[name] is not self.values[name]
            ]
            self.ledger.book(told, owner, None)

    def end(self, owner: Owner) -> dict[str, tuple[Any, Any]]:
        return {key: (step.before, step.after) for _, key, step in self.ledger.end(owner)}


def differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The naive model: compare two photographs."""
    return {name: (before[name], after[name]) for name in NAMES if before[name] is not after[name]}


@given(histories)
def test_what_an_owner_leaves_is_exactly_what_differs(history: list[Any]) -> None:
    world = World()
    for number, does in enumerate(history):
        owner, before = Owner(str(number), "test"), dict(world.values)
        world.run(owner, does)
        assert world.end(owner) == differing(before, world.values)
        assert world.end(owner) == {}
        assert world.ledger.owners() == []


@given(acts, histories)
def test_a_fixture_that_puts_back_what_it_changed_leaves_nothing(sets: Any, tests: list[Any]) -> None:
    world, fixture = World(), Owner("fixture", "fixture", "module")
    original = dict(world.values)
    world.run(fixture, sets)
    changed, reported = differing(original, world.values), set()
    for number, does in enumerate(tests):
        test = Owner(str(number), "test")
        world.run(test, does)
        reported |= set(world.end(test))
    # by place in the list: == would ask whether 1 is True
    numbers = {name: next(n for n, v in enumerate(VALUES) if v is original[name]) for name in changed}
    world.run(fixture, [[*numbers.items()]])
    left = world.end(fixture)
    assert set(left) <= reported  # a leak of a test that came between is put back: policy knows that
    assert all(after is original[name] for name, (_, after) in left.items())


@given(acts, histories)
def test_every_difference_in_the_end_was_reported_and_no_untouched_name_was(
    sets: Any, tests: list[Any]
) -> None:
    world, fixture = World(), Owner("fixture", "fixture", "module")
    original, reported = dict(world.values), set()
    world.run(fixture, sets)
    for number, does in enumerate(tests):
        test = Owner(str(number), "test")
        world.run(test, does)
        reported |= set(world.end(test))
    reported |= set(world.end(fixture))
    written = {name for does in (sets, *tests) for writes in does for name, _ in writes}
    assert set(differing(original, world.values)) <= reported <= written


@given(acts, acts)
def test_a_test_is_not_blamed_for_what_a_fixture_left_alone(sets: Any, does: Any) -> None:
    world, fixture, test = World(), Owner("fixture", "fixture", "module"), Owner("test", "test")
    world.run(fixture, sets)
    before = dict(world.values)
    world.run(test, does)
    assert set(world.end(test)) <= set(differing(before, world.values))


@given(histories)
def test_everybody_who_leaves_something_is_named_once_until_it_is_settled(history: list[Any]) -> None:
    world = World()
    owners = [Owner(str(number), "test") for number in range(len(history))]
    for owner, does in zip(owners, history, strict=True):
        world.run(owner, does)
    named = world.ledger.owners()
    assert len(set(named)) == len(named)
    assert all(owner in named for owner in owners if world.end(owner))
    assert world.ledger.owners() == []


def change(before: Any, after: Any) -> list[Write]:
    return [Write(SPACE, "a", before, after, ())]


def test_a_test_that_undoes_what_a_fixture_did_and_does_it_again_leaves_nothing() -> None:
    ledger, fixture, test = Ledger(), Owner("fixture", "fixture", "session"), Owner("test", "test")
    ledger.book(change("prod", "test"), fixture, None)
    ledger.book(change("test", "prod"), test, None)
    ledger.book(change("prod", "test"), test, None)
    assert ledger.end(test) == []
    assert [(step.before, step.after) for _, _, step in ledger.end(fixture)] == [("prod", "test")]


def test_a_test_that_undoes_what_a_fixture_did_settles_it() -> None:
    ledger, fixture, test = Ledger(), Owner("fixture", "fixture", "session"), Owner("test", "test")
    ledger.book(change("prod", "test"), fixture, None)
    ledger.book(change("test", "prod"), test, None)
    assert ledger.end(test) == []
    assert ledger.end(fixture) == []


def test_an_equal_value_of_an_immutable_type_counts_as_back() -> None:
    ledger, owner = Ledger(), Owner("test", "test")
    ledger.book(change(("a", 1), None), owner, None)
    ledger.book(change(None, tuple(["a", 1])), owner, None)
    assert ledger.end(owner) == []


def test_who_puts_back_a_reported_leak_is_recognised_once() -> None:
    ledger, first, second = Ledger(), Owner("first", "test"), Owner("second", "test")
    ledger.book(change(1, 2), first, None)
    ledger.end(first)
    ledger.remember(SPACE, "a", 1)
    for expected in (True, False):
        ledger.book(change(2, 1), second, None)
        ((_, _, step),) = ledger.end(second)
        assert step.puts_back is expected
        ledger.book(change(1, 2), first, None)
        ledger.end(first)


def test_what_was_written_before_a_leak_was_reported_puts_nothing_back() -> None:
    ledger, fixture, test = Ledger(), Owner("fixture", "fixture", "module"), Owner("test", "test")
    ledger.book(change("shop", "fixture"), fixture, None)
    ledger.book(change("fixture", "test"), test, None)
    ledger.end(test)
    ledger.remember(SPACE, "a", "fixture")
    ((_, _, step),) = ledger.end(fixture)
    assert step.puts_back is False


def test_the_last_writer_and_the_first_value_of_an_owner_stay() -> None:
    ledger, owner = Ledger(), Owner("fixture", "fixture", "module")
    ledger.book([Write(SPACE, "a", 1, 2, ("first",))], owner, "one")
    ledger.book([Write(SPACE, "a", 2, 3, ("second",))], owner, "two")
    ((_, key, step),) = ledger.end(owner)
    assert (key, step.before, step.after, step.stack, step.during) == ("a", 1, 3, ("second",), "two")


def test_a_reload_is_kept_apart_from_what_its_owner_wrote_before() -> None:
    ledger, owner = Ledger(), Owner("test", "test")
    ledger.book(change(1, 2), owner, None)
    ledger.book(change(2, 3), owner, None, cause="reload")
    assert [(step.before, step.after, step.cause) for _, _, step in ledger.end(owner)] == [
        (1, 2, None),
        (2, 3, "reload"),
    ]

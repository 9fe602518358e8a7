"""The smallest part that keeps a property."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.order.ddmin import smallest

NUMBERS = st.lists(st.integers(), min_size=1, max_size=40, unique=True)


@given(st.data(), NUMBERS)
def test_the_guilty_are_found_in_their_order(data: st.DataObject, items: list[int]) -> None:
    guilty = data.draw(st.sets(st.sampled_from(items), min_size=1))
    found = smallest(items, lambda some: guilty <= set(some))
    assert found == [item for item in items if item in guilty]


@given(st.data(), NUMBERS, st.integers(0, 2**32))
def test_whatever_the_property_is_no_single_item_can_be_left_out(
    data: st.DataObject, items: list[int], salt: int
) -> None:
    def holds(some: Sequence[int]) -> bool:
        return len(some) == len(items) or hash((salt, tuple(some))) % 3 == 0

    found = smallest(items, holds)
    assert holds(found)
    assert found == [item for item in items if item in found]
    assert len(found) == 1 or not any(holds(found[:at] + found[at + 1 :]) for at in range(len(found)))


@given(st.integers(2, 5000), st.data())
def test_one_among_many_takes_few_questions(number: int, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(0, number - 1))
    asked = []

    def holds(some: Sequence[int]) -> bool:
        asked.append(len(some))
        return guilty in some

    assert smallest(range(number), holds) == [guilty]
    assert len(asked) <= 2 * math.ceil(math.log2(number)) + 2


@given(number=st.integers(1, 60), data=st.data())
def test_the_worst_case_is_quadratic(number: int, data: st.DataObject) -> None:
    """Zeller & Hildebrandt: at most n² + 3n questions."""
    guilty = data.draw(st.sets(st.integers(0, number - 1), min_size=1))
    asked = 0

    def holds(some: Sequence[int]) -> bool:
        nonlocal asked
        asked += 1
        return guilty <= set(some)

    assert smallest(range(number), holds) == sorted(guilty)
    assert asked <= number**2 + 3 * number


@given(number=st.integers(1, 40), data=st.data())
def test_of_several_reasons_one_is_found(number: int, data: st.DataObject) -> None:
    sets = st.sets(st.integers(0, number - 1), min_size=1, max_size=4)
    reasons = data.draw(st.lists(sets, min_size=1, max_size=4))
    assert (
        set(smallest(range(number), lambda some: any(reason <= set(some) for reason in reasons))) in reasons
    )


@given(number=st.integers(1, 9), data=st.data())
def test_larger_parts_of_what_holds_need_not_hold(number: int, data: st.DataObject) -> None:
    """As where a cleaner comes in between. Asked is about parts in their order, neither none nor all."""
    items = tuple(range(number))
    parts = [part for size in range(1, number) for part in combinations(items, size)]
    holding = {*data.draw(st.lists(st.sampled_from(parts), max_size=40) if parts else st.just([])), items}
    asked: list[tuple[int, ...]] = []

    def holds(some: Sequence[int]) -> bool:
        asked.append(tuple(some))
        return tuple(some) in holding

    found = tuple(smallest(items, holds))
    assert found in holding
    assert not holding.intersection(combinations(found, len(found) - 1)) or len(found) == 1
    assert set(asked) <= set(parts)


@given(st.lists(st.integers(), min_size=1, max_size=30), st.lists(st.booleans(), max_size=200))
def test_answers_by_chance_end_it_too(items: list[int], answers: list[bool]) -> None:
    rest = iter(answers)
    found = smallest(items, lambda some: next(rest, False))
    whole = iter(items)
    assert found
    assert all(item in whole for item in found)  # in their order


def test_who_ran_last_is_tried_first() -> None:
    asked: list[list[int]] = []

    def holds(some: Sequence[int]) -> bool:
        asked.append([*some])
        return 1023 in some

    assert smallest(range(1024), holds) == [1023]
    assert (asked[0], len(asked)) == ([*range(512, 1024)], 10)  # each question halves


def test_equal_items_are_items_of_their_own() -> None:
    assert smallest("abab", lambda some: list(some).count("a") == 2) == ["a", "a"]


def test_nothing_and_one_are_not_asked_about() -> None:
    def holds(some: Sequence[int]) -> bool:
        raise AssertionError(some)

    assert smallest([], holds) == []
    assert smallest([7], holds) == [7]

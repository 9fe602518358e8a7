"""The smallest part that keeps a property."""

from __future__ import annotations

import math
from collections.abc import Sequence

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

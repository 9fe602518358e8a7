"""Comparing values: what counts as the same, and that nobody's code is run for it."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict, defaultdict, deque
from typing import Any

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.state.diff import equal_structure, redefinition, same

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(),
    st.just(...),
)
IMMUTABLE = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=10)
FROZEN = st.frozensets(st.integers() | st.text(), max_size=5)
VALUES = st.recursive(
    ATOMS | FROZEN | st.sets(st.integers() | st.text(), max_size=5),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(deque),
        st.dictionaries(st.text(), inner, max_size=4),
        st.dictionaries(st.integers(), inner, max_size=4).map(OrderedDict),
        st.dictionaries(st.text(), inner, max_size=4).map(lambda items: defaultdict(list, items)),
    ),
    max_leaves=15,
)


@given(IMMUTABLE | FROZEN)
def test_immutable_values_are_the_same_as_their_rebuilt_twins(value: Any) -> None:
    assert same(value, rebuilt(value))


def rebuilt(value: Any) -> Any:
    """An equal value of other identity, as far as Python makes one."""
    if type(value) is tuple:
        return tuple([rebuilt(item) for item in value])
    if type(value) is frozenset:
        return frozenset([*value])
    if type(value) in (str, bytes):
        return value[:1] + value[1:]
    if type(value) is float:
        return float.fromhex(value.hex()) if math.isfinite(value) else value * 1.0
    if type(value) is int:
        return int(str(value))
    return value


@given(VALUES)
def test_a_deep_copy_has_the_same_structure(value: Any) -> None:
    assert equal_structure(value, copy.deepcopy(value))


@given(VALUES, VALUES)
def test_both_comparisons_are_symmetric(one: Any, other: Any) -> None:
    assert same(one, other) == same(other, one)
    assert equal_structure(one, other) == equal_structure(other, one)


@given(VALUES, VALUES)
def test_what_is_the_same_has_the_same_structure_and_is_equal(one: Any, other: Any) -> None:
    if same(one, other):
        assert equal_structure(one, other)
    if equal_structure(one, other):
        assert type(one) is type(other)
        assert "nan" in repr(one) or one == other


@given(VALUES, VALUES)
def test_a_container_that_got_one_more_is_another(value: Any, more: Any) -> None:
    grown = [value, more]
    assert not equal_structure([value], grown)
    assert not equal_structure({"a": value}, {"a": value, "b": more})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (math.nan, float("nan")),
        ((1, float("nan")), (1, -float("nan"))),
        ("", ""),
        (range(3), range(3)),
    ],
)
def test_nan_and_other_atoms_equal_themselves(one: Any, other: Any) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, 0),
        ("a", b"a"),
        ((1,), [1]),
        ((1, 2), (1,)),
        ((1, True), (1, 1)),
        (None, False),
        (frozenset({1}), frozenset({2})),
        ([1], [1]),
        ({}, {}),
        (set(), set()),
    ],
)
def test_values_of_other_types_and_mutable_ones_are_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [True]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: "a"}, {True: "a"}),
        ([[1]], [[2]]),
        ({1, 2}, {1, 3}),
        (deque([1]), [1]),
        ({"a": 1}, OrderedDict(a=1)),
        ([object()], [object()]),
        ({object()}, {object()}),
        ({(1, object()): 1}, {(1, object()): 1}),
    ],
)
def test_structures_that_differ(one: Any, other: Any) -> None:
    assert not equal_structure(one, other)


def test_cycles_end() -> None:
    def knot() -> list[Any]:
        outer: list[Any] = [1]
        outer.append({"outer": outer, "pair": (outer, 2)})
        return outer

    assert equal_structure(knot(), knot())
    other = knot()
    other[1]["pair"] = (other, 3)
    assert not equal_structure(knot(), other)


def test_a_comparison_that_would_take_too_long_says_unequal() -> None:
    small: list[Any] = [[] for _ in range(1_000)]
    big: list[Any] = [[] for _ in range(20_000)]
    assert equal_structure(small, copy.deepcopy(small))
    assert not equal_structure(big, copy.deepcopy(big))


def test_a_deep_structure_is_no_recursion() -> None:
    def nest() -> list[Any]:
        value: list[Any] = []
        for _ in range(5_000):
            value = [value]
        return value

    def nest_tuples() -> tuple[Any, ...]:
        value: tuple[Any, ...] = ()
        for _ in range(5_000):
            value = (value,)
        return value

    assert equal_structure(nest(), nest())
    assert same(nest_tuples(), nest_tuples())


def test_what_is_shared_is_compared_once() -> None:
    def share() -> tuple[Any, ...]:
        value: tuple[Any, ...] = (1,)
        for _ in range(200):
            value = (value, value)
        return value

    assert same(share(), share())


@pytest.mark.parametrize("kind", hostile.hostile_kinds())
def test_nobody_is_asked(kind: str) -> None:
    one, other = hostile.hostile_kinds()[kind], hostile.hostile_kinds()[kind]
    pairs: list[tuple[Any, Any]] = [(one, other), (one, 1), (1, one), ((one,), (other,)), ([one], [other])]
    pairs += [({"a": one}, {"a": other}), (None, one), ((1, one), (1, one))]
    hostile.ASKED.clear()
    for compare in (same, equal_structure, redefinition):
        assert [compare(a, b) for a, b in pairs][-1] is True
    assert hostile.ASKED == []


def test_a_redefinition_is_what_the_same_source_gives() -> None:
    def define() -> tuple[Any, ...]:
        class Config:
            def load(self) -> int:
                return 1

        def greet() -> int:
            return 1

        return Config, greet, Config(), [1], ("a", 1)

    assert [redefinition(a, b) for a, b in zip(define(), define(), strict=True)] == [True] * 5


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, 2),
        ("a", "b"),
        ([1], [2]),
        (len, None),
        (int, str),
        (lambda: 1, lambda: 2),
        (None, object()),
        ({}, None),
    ],
)
def test_another_value_is_no_redefinition(before: Any, after: Any) -> None:
    assert not redefinition(before, after)

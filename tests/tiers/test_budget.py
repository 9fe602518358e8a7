"""A budget refuses what is beyond it, and says what was used."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.tiers.budget import Account, Budget, Usage
from pytest_mcpsmoke.tiers.prices import Price, Prices


class Clock:
    """Stands still until it is told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"max_calls": 0}, "max_calls=0: expected a whole number above zero"),
        ({"max_calls": 1.0}, "max_calls=1.0: expected a whole number above zero"),
        ({"max_tokens": True}, "max_tokens=True: expected a whole number above zero"),
        ({"max_wall_s": "9"}, "max_wall_s='9': expected a number above zero"),
        ({"max_wall_s": math.inf}, "max_wall_s=inf: expected a number above zero"),
        ({"max_cost": math.nan}, "max_cost=nan: expected a number above zero"),
    ],
)
def test_a_limit_is_a_number_above_zero(limits: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageProblem) as told:
        Budget(**limits)
    assert str(told.value) == problem


def test_without_limits_everything_is_let_through() -> None:
    account = Account(Budget())
    assert [account.admit() for _ in range(100)] == [None] * 100
    account.book(10**9, 10**9, 1e9, 1.0)
    assert (account.exhausted, account.spent, account.left_s) == (None, None, None)


@pytest.mark.parametrize(
    ("limits", "used", "told"),
    [
        ({"max_tokens": 12}, (7, 5, None, 1.0), "max_tokens=12: 12 tokens were used"),
        ({"max_cost": 0.5}, (None, None, 0.5, 1.0), "max_cost=0.5: 0.5 was spent"),
        ({"max_calls": 1}, (None, None, None, None), "max_calls=1: 1 calls were made"),
    ],
)
def test_what_is_used_up_refuses_the_next_call(
    limits: dict[str, Any], used: tuple[Any, ...], told: str
) -> None:
    account = Account(Budget(**limits))
    assert account.admit() is None
    account.book(*used)
    name = next(iter(limits))
    assert (account.exhausted, account.spent) == (name, None)  # nothing was refused so far
    assert account.admit() == name
    assert (account.spent, account.usage.calls, account.told(name)) == (name, 1, told)


def test_less_than_the_limit_is_let_through() -> None:
    account = Account(Budget(max_tokens=13, max_cost=0.5001, max_calls=2))
    account.admit()
    account.book(7, 5, 0.5, 1.0)
    assert account.admit() is None


def test_time_runs_from_the_opening() -> None:
    clock = Clock()
    account = Account(Budget(max_wall_s=10), clock)
    clock.now += 9.5
    assert (account.admit(), account.left_s) == (None, 0.5)
    clock.now += 2
    assert (account.left_s, account.admit(), account.spent) == (0.0, "max_wall_s", "max_wall_s")
    assert account.told("max_wall_s") == "max_wall_s=10: 11.5 s have passed"


def test_the_first_limit_that_refused_is_the_one_that_is_told() -> None:
    account = Account(Budget(max_calls=1, max_tokens=1))
    account.spend("max_calls")
    account.spend("max_tokens")
    assert account.spent == "max_calls"


def test_a_copy_grows_no_more() -> None:
    account = Account(Budget())
    account.book(1, 2, None, 0.5)
    copy = account.usage.copy()
    account.book(1, 2, 3.0, 0.5)
    assert copy == Usage(0, 1, 2, None, [0.5])
    assert (account.usage, account.usage.tokens) == (Usage(0, 2, 4, 3.0, [0.5, 0.5]), 6)


@given(st.integers(1, 20), st.integers(0, 40))
def test_never_more_calls_than_the_limit(limit: int, asked: int) -> None:
    account = Account(Budget(max_calls=limit))
    admitted = [account.admit() for _ in range(asked)].count(None)
    assert admitted == account.usage.calls == min(limit, asked)


LIST = """
# model        prompt  completion
gpt-4o-mini    0.15    0.60
gpt-4o*        2.50    10      # whatever else it is called
*/free         0       0
"""


def test_the_first_line_that_fits_a_model_counts() -> None:
    prices = Prices.of(LIST.splitlines(), "mcpsmoke_nd_prices")
    assert prices.lines[0] == Price("gpt-4o-mini", 0.15, 0.6)
    assert prices.cost("gpt-4o-mini", 1_000_000, 1_000_000) == 0.75
    assert prices.cost("gpt-4o-2024", 100, 10) == 0.00035
    assert prices.cost("x/free", 100, 10) == 0.0
    assert prices.cost("GPT-4o", 100, 10) is None
    assert prices.cost(None, 100, 10) is prices.cost("gpt-4o", None, 10) is None
    assert Prices().cost("gpt-4o", 1, 1) is None


@pytest.mark.parametrize("line", ["m", "m 1", "m 1 2 3", "m one 2", "m -1 2", "m nan 1", "m 1 inf"])
def test_a_line_that_is_no_price_is_told(line: str) -> None:
    with pytest.raises(UsageProblem) as told:
        Prices.of(["ok 1 2", f"  {line}"], "pyproject.toml: mcpsmoke_nd_prices")
    assert str(told.value) == (
        f"pyproject.toml: mcpsmoke_nd_prices: '{line}': expected MODEL PROMPT COMPLETION, the prices of a"
        " million tokens: 'gpt-4o* 2.50 10'"
    )

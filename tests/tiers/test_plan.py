"""A sampling plan: what it refuses, what it decides, and that stopping early decides the same."""

from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.order.rates import Method, fewest_samples, lower_bound, upper_bound
from pytest_mcpsmoke.report.nd import Verdict
from pytest_mcpsmoke.tiers.plan import MOST, Plan

ROOT = Path(__file__).resolve().parents[2]
RANK = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan of moderate size that can pass."""
    rate = draw(st.sampled_from([0.3, 0.5, 0.8, 0.9, 0.95]))
    confidence = draw(st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
    method: Method = draw(st.sampled_from(get_args(Method)))
    least = fewest_samples(rate, confidence, method)
    samples = draw(st.integers(least, least + 60))
    return Plan(samples=samples, min_pass_rate=rate, confidence=confidence, method=method)


def tails(plan: Plan, passes: int, samples: int) -> tuple[Fraction, Fraction]:
    """P(X >= passes) and P(X <= passes) at the rate that is asked for, without any rounding."""
    rate = Fraction(str(plan.min_pass_rate))
    chance = [math.comb(samples, k) * rate**k * (1 - rate) ** (samples - k) for k in range(samples + 1)]
    return sum(chance[passes:], Fraction(0)), sum(chance[: passes + 1], Fraction(0))


class TestRefused:
    """One line: the thing, and what to write instead."""

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (
                {"samples": 20},
                "samples=20 cannot prove a pass rate of 0.9 at 95 % confidence even if all pass"
                " (exact bound); the smallest number that can is 29",
            ),
            (
                {"samples": 24, "method": "wilson"},
                "samples=24 cannot prove a pass rate of 0.9 at 95 % confidence even if all pass"
                " (Wilson bound); the smallest number that can is 25",
            ),
            (
                {"min_pass_rate": 0.9999999, "confidence": 0.999},
                "samples=30 cannot prove a pass rate of 0.9999999 at 99.9 % confidence even if all pass"
                " (exact bound); the smallest number that can is 69077550, and a plan has at most 100,000:"
                " ask for a lower rate",
            ),
            (
                {"min_pass_rate": 1.0},
                "min_pass_rate=1.0 can never be proven by sampling; give a rate below it, for example"
                " min_pass_rate=0.99 with samples=299",
            ),
            (
                {"min_pass_rate": 1, "method": "wilson"},
                "min_pass_rate=1 can never be proven by sampling; give a rate below it, for example"
                " min_pass_rate=0.99 with samples=268",
            ),
            (
                {"min_pass_rate": 90},
                "min_pass_rate=90 is not a number between 0 and 1; give for example 0.9",
            ),
            (
                {"confidence": 0.4},
                "confidence=0.4 is not a number from 0.5 to below 1; give for example 0.95",
            ),
            ({"samples": 0}, "samples=0 is not a whole number from 1 to 100,000; give for example 30"),
            ({"method": "wald"}, "method='wald' is unknown; it is 'exact' or 'wilson'"),
            (
                {"max_replaced": -1},
                "max_replaced=-1 is not a whole number >= 0; leave it out for a fifth of the samples,"
                " at least 3",
            ),
            (
                {"max_calls": 0},
                "max_calls=0 is not a whole number above 0; leave it out for no limit",
            ),
            (
                {"max_wall_s": -2.5},
                "max_wall_s=-2.5 is not a number above 0; leave it out for no limit",
            ),
        ],
    )
    def test_what_is_said(self, given: dict[str, Any], text: str) -> None:
        with pytest.raises(UsageProblem) as raised:
            Plan(**given)
        assert str(raised.value) == text

    @pytest.mark.parametrize("field", [one.name for one in dataclasses.fields(Plan)])
    @pytest.mark.parametrize("value", [True, "30", math.nan, math.inf, -1, [30], object()])
    def test_no_field_takes_anything(self, field: str, value: Any) -> None:
        if (field, value) == ("real", "30"):
            value = " "  # any other text will do
        with pytest.raises(UsageProblem, match=f"^{field}=[^\n]+; [^\n]+$"):
            Plan(**{field: value})

    @pytest.mark.parametrize("field", ["samples", "max_calls", "max_tokens", "max_replaced"])
    def test_what_is_counted_is_whole(self, field: str) -> None:
        with pytest.raises(UsageProblem, match=rf"^{field}=50\.0 is not a whole number"):
            Plan(**{field: 50.0})  # type: ignore[arg-type]

    def test_too_many_samples(self) -> None:
        with pytest.raises(UsageProblem, match=r"^samples=100001 is not a whole number from 1 to 100,000;"):
            Plan(samples=MOST + 1)

    def test_no_code_of_the_value_runs(self) -> None:
        class Hostile:
            def __repr__(self) -> str:
                raise AssertionError

        with pytest.raises(UsageProblem, match=r"^samples=Hostile object is not"):
            Plan(samples=Hostile())  # type: ignore[arg-type]

    def test_a_misspelt_keyword_is_pythons_own_error(self) -> None:
        with pytest.raises(TypeError, match="unexpected keyword argument 'sample'"):
            Plan(sample=30)  # type: ignore[call-arg]

    def test_a_number_without_its_name_is_pythons_own_error(self) -> None:
        with pytest.raises(TypeError, match="positional"):
            Plan(30)  # type: ignore[misc]

    @given(plans())
    def test_the_smallest_number_that_can_is_the_smallest(self, plan: Plan) -> None:
        least = fewest_samples(plan.min_pass_rate, plan.confidence, plan.method)
        assert dataclasses.replace(plan, samples=least).verdict(least, least) == "PASS"
        if least > 1:
            with pytest.raises(UsageProblem, match=f"the smallest number that can is {least}$"):
                dataclasses.replace(plan, samples=least - 1)


class TestVerdict:
    """PASS, FAIL and INCONCLUSIVE."""

    @pytest.mark.parametrize(
        ("plan", "fewest_to_pass", "most_to_fail"),
        [
            (Plan(), 30, 23),
            (Plan(samples=29), 29, 22),
            (Plan(samples=60), 59, 49),
            (Plan(samples=100), 96, 84),
            (Plan(samples=60, method="wilson"), 58, 50),
            (Plan(samples=100, min_pass_rate=0.95), 99, 90),
        ],
    )
    def test_the_numbers_of_the_docs(self, plan: Plan, fewest_to_pass: int, most_to_fail: int) -> None:
        verdicts = [plan.verdict(passes, plan.samples) for passes in range(plan.samples + 1)]
        assert verdicts.index("PASS") == fewest_to_pass
        assert verdicts.index("INCONCLUSIVE") == most_to_fail + 1

    @given(plans(), st.data())
    def test_it_is_what_the_bounds_say(self, plan: Plan, data: st.DataObject) -> None:
        samples = data.draw(st.integers(1, plan.samples))
        passes = data.draw(st.integers(0, samples))
        low = lower_bound(passes, samples, plan.confidence, plan.method)
        high = upper_bound(passes, samples, plan.confidence, plan.method)
        assert plan.interval(passes, samples) == (low, high)
        expected = "INCONCLUSIVE"
        if low >= plan.min_pass_rate - 1e-9:
            expected = "PASS"
        elif high < plan.min_pass_rate - 1e-9:
            expected = "FAIL"
        assert plan.verdict(passes, samples) == expected

    @given(plans().filter(lambda plan: plan.method == "exact"), st.data())
    def test_it_is_what_fractions_say(self, plan: Plan, data: st.DataObject) -> None:
        """Exactly: the decimals as they are written, nothing rounded."""
        passes = data.draw(st.integers(0, plan.samples))
        level = 1 - Fraction(str(plan.confidence))
        above, below = tails(plan, passes, plan.samples)
        expected = "PASS" if above <= level else "FAIL" if below < level else "INCONCLUSIVE"
        assert plan.verdict(passes, plan.samples) == expected

    @given(plans())
    def test_it_rises_with_the_passes(self, plan: Plan) -> None:
        ranks = [RANK[plan.verdict(passes, plan.samples)] for passes in range(plan.samples + 1)]
        assert ranks == sorted(ranks)
        assert ranks[-1] == RANK["PASS"]

    def test_no_sample_no_proof(self) -> None:
        assert Plan().verdict(0, 0) == "INCONCLUSIVE"
        assert Plan().interval(0, 0) == (0.0, 1.0)

    @pytest.mark.parametrize(("passes", "samples"), [(-1, 5), (6, 5), (31, 31)])
    def test_impossible_results(self, passes: int, samples: int) -> None:
        with pytest.raises(ValueError, match="where 30 are planned"):
            Plan().verdict(passes, samples)

    @pytest.mark.parametrize(("given", "cap"), [({}, 6), ({"samples": 100}, 20), ({"max_replaced": 0}, 0)])
    def test_cap(self, given: dict[str, Any], cap: int) -> None:
        assert Plan(**given).cap == cap

    def test_a_small_plan_may_replace_three(self) -> None:
        assert Plan(samples=5, min_pass_rate=0.5).cap == 3


class TestEarlyStop:
    """Only when no remaining result could change the verdict."""

    @given(plans(), st.data())
    def test_settled_is_when_every_completion_says_the_same(self, plan: Plan, data: st.DataObject) -> None:
        passes = data.draw(st.integers(0, plan.samples))
        failures = data.draw(st.integers(0, plan.samples - passes))
        ends = range(passes, plan.samples - failures + 1)
        verdicts = {plan.verdict(end, plan.samples) for end in ends}
        assert plan.is_settled(passes, failures) == (len(verdicts) == 1)
        assert plan.settled_verdict(passes, failures) == (verdicts.pop() if len(verdicts) == 1 else None)

    @given(plans(), st.data())
    def test_a_settled_verdict_is_that_of_what_ran(self, plan: Plan, data: st.DataObject) -> None:
        passes = data.draw(st.integers(0, plan.samples))
        failures = data.draw(st.integers(0, plan.samples - passes))
        settled = plan.settled_verdict(passes, failures)
        assert settled in (None, plan.verdict(passes, passes + failures))

    @given(plans(), st.integers(0, 2**32), st.floats(0, 1))
    def test_the_early_verdict_is_the_full_one(self, plan: Plan, seed: int, rate: float) -> None:
        chance = random.Random(seed)
        results = [chance.random() < rate for _ in range(plan.samples)]
        early, ran = first_settled(plan, iter(results))
        assert early == plan.verdict(sum(results), plan.samples)
        assert ran <= plan.samples

    def test_the_default_plan(self) -> None:
        plan = Plan()
        assert first_settled(plan, iter([True] * 30)) == ("PASS", 30)
        assert first_settled(plan, iter([False] * 30)) == ("FAIL", 7)
        assert first_settled(plan, iter([False] + [True] * 29)) == ("INCONCLUSIVE", 25)

    def test_more_results_than_planned(self) -> None:
        with pytest.raises(ValueError, match=r"^31 results, where 30 are planned$"):
            Plan().is_settled(30, 1)


class TestDecidesAt:
    """The number of samples that would decide."""

    @pytest.mark.parametrize(
        ("passes", "samples", "expected"),
        [(29, 30, 61), (28, 30, 215), (27, 30, None), (29, 29, 30), (0, 0, None), (1, 1, 29), (0, 1, 2)],
    )
    def test_the_numbers_of_the_docs(self, passes: int, samples: int, expected: int | None) -> None:
        assert Plan().decides_at(passes, samples) == expected

    @given(plans(), st.data())
    def test_it_is_the_first_that_does(self, plan: Plan, data: st.DataObject) -> None:
        samples = data.draw(st.integers(1, plan.samples))
        passes = data.draw(st.integers(0, samples))
        bigger = dataclasses.replace(plan, samples=1_000)

        def decides(more: int) -> bool:
            expected = math.floor(Fraction(passes * more, samples) + Fraction(1, 2))
            return bigger.verdict(expected, more) != "INCONCLUSIVE"

        first = next((more for more in range(samples + 1, 1_001) if decides(more)), None)
        found = plan.decides_at(passes, samples)
        assert found == first or (first is None and found is not None and found > 1_000)

    def test_a_rate_that_is_nearly_the_one_asked_for_takes_many(self) -> None:
        plan = Plan(samples=1_000)
        found = plan.decides_at(897, 1_000)
        assert found == 27_238
        assert upper_bound(round(0.897 * found), found, 0.95) < 0.9
        assert upper_bound(round(0.897 * (found - 1)), found - 1, 0.95) >= 0.9
        assert plan.decides_at(899, 1_000) is None


class TestOperatingCharacteristic:
    """How often a program gets PASS."""

    def test_the_numbers_of_the_docs(self) -> None:
        shares = [round(100 * Plan().pass_probability(rate), 1) for rate in (0.9, 0.95, 0.98, 0.99)]
        assert shares == [4.2, 21.5, 54.5, 74.0]
        assert Plan().pass_probability(0.99) == pytest.approx(0.99**30, abs=1e-14)

    def test_the_table_of_the_docs(self) -> None:
        page = (ROOT / "docs" / "explanation" / "nd-real-statistics.md").read_text("utf-8")
        heads, _, *rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line[:1] == "|"]
        assert len(rows) == 5
        for samples, needed, *shares in rows:
            plan = Plan(samples=int(samples))
            rates = [float(head.rpartition(" ")[2]) for head in heads[2:]]
            assert shares == [f"{100 * plan.pass_probability(rate):.1f} %" for rate in rates]
            verdicts = [plan.verdict(passes, plan.samples) for passes in range(plan.samples + 1)]
            assert verdicts.index("PASS") == int(needed)

    @given(plans())
    def test_no_exact_plan_passes_a_program_below_more_often_than_it_says(self, plan: Plan) -> None:
        exact = dataclasses.replace(plan, method="exact", samples=plan.samples + 60)
        for rate in (exact.min_pass_rate, exact.min_pass_rate - 0.05):
            assert exact.pass_probability(rate) <= 1 - exact.confidence + 1e-9

    @given(plans(), st.floats(0, 1))
    def test_it_is_the_chance_of_the_outcomes_that_pass(self, plan: Plan, rate: float) -> None:
        chances = (
            math.comb(plan.samples, k) * rate**k * (1 - rate) ** (plan.samples - k)
            for k in range(plan.samples + 1)
            if plan.verdict(k, plan.samples) == "PASS"
        )
        assert plan.pass_probability(rate) == pytest.approx(math.fsum(chances), abs=1e-11)

    @pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
    def test_impossible_rates(self, rate: float) -> None:
        with pytest.raises(ValueError):
            Plan().pass_probability(rate)

    def test_simulated(self) -> None:
        """With a fixed seed: within four standard errors of the formula, at the rate and above it."""
        chance, runs = random.Random(6), 2_000
        for rate in (0.9, 0.98):
            plan = Plan(samples=46)
            share = sum(passes_once(plan, rate, chance) for _ in range(runs)) / runs
            expected = plan.pass_probability(rate)
            assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / runs)
            assert rate > 0.9 or share <= 0.05


def test_the_simulation_counts_runs(tmp_path: Path) -> None:
    """The whole table is compared with the one in the docs by tests/docs/test_docs_examples.py."""
    command = [sys.executable, "-m", "benchmarks.plans", "--runs", "40", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    first, heads, *rows, last = done.stdout.splitlines()
    assert first.startswith("40 runs a row at 95 %")
    assert last == "early stopping changed 0 of 1,200 verdicts"
    assert len(rows) == 30
    for row in rows:
        shares = dict(zip(heads.replace("true rate", "true").split(), row.split(), strict=True))
        told = sum(float(shares[verdict]) for verdict in get_args(Verdict))
        assert told == pytest.approx(100, abs=0.2)


def first_settled(plan: Plan, results: Iterator[bool]) -> tuple[Verdict | None, int]:
    """Draw results until the plan is settled; return its verdict and how many ran."""
    passes = ran = 0
    while (verdict := plan.settled_verdict(passes, ran - passes)) is None:
        passes += next(results)
        ran += 1
    return verdict, ran


def passes_once(plan: Plan, rate: float, chance: random.Random) -> bool:
    """Whether a simulated program of this rate gets PASS."""
    passes = sum(chance.random() < rate for _ in range(plan.samples))
    return plan.verdict(passes, plan.samples) == "PASS"

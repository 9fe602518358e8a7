"""Bounds of a pass rate against scipy, against the literature, and against what they promise."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.order.rates import (
    Method,
    at_least,
    fewest_failures,
    fewest_passes,
    fewest_samples,
    lower_bound,
    percentile,
    two_proportions,
    upper_bound,
)

METHODS: tuple[Method, ...] = ("exact", "wilson")
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
RATES = (0.05, 0.5, 0.8, 0.9, 0.95, 0.99)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.floats(0.5, 0.9999)
methods = st.sampled_from(METHODS)


class TestAgainstScipy:
    """The oracle: quantiles of the beta and binomial distributions, computed by others."""

    @pytest.mark.parametrize("samples", [1, 2, 3, 10, 29, 30, 100, 1_000, 7_000])
    def test_the_exact_bounds(self, samples: int) -> None:
        beta = pytest.importorskip("scipy.stats").beta
        for passes in {1, 2, samples // 3, samples // 2, samples * 9 // 10, samples - 1, samples} - {0}:
            for confidence in CONFIDENCES:
                if passes <= samples:
                    expected = beta.ppf(1 - confidence, passes, samples - passes + 1)
                    assert lower_bound(passes, samples, confidence) == pytest.approx(expected, abs=1e-11)
                if passes < samples:
                    expected = beta.ppf(confidence, passes + 1, samples - passes)
                    assert upper_bound(passes, samples, confidence) == pytest.approx(expected, abs=1e-11)

    @given(counts, confidences)
    def test_any_exact_bound(self, count: tuple[int, int], confidence: float) -> None:
        beta = pytest.importorskip("scipy.stats").beta
        passes, samples = count
        expected = beta.ppf(1 - confidence, passes, samples - passes + 1) if passes else 0
        assert lower_bound(passes, samples, confidence) == pytest.approx(expected, abs=1e-10)

    @pytest.mark.parametrize("passes", range(11))
    def test_the_wilson_bounds(self, passes: int) -> None:
        """A two-sided interval at 90 % is made of two one-sided bounds at 95 %."""
        binomtest = pytest.importorskip("scipy.stats").binomtest
        expected = binomtest(passes, 10).proportion_ci(0.9, method="wilson")
        assert lower_bound(passes, 10, 0.95, "wilson") == pytest.approx(expected.low, abs=1e-12)
        assert upper_bound(passes, 10, 0.95, "wilson") == pytest.approx(expected.high, abs=1e-12)

    @given(counts, st.floats(0, 1))
    def test_the_tail(self, count: tuple[int, int], rate: float) -> None:
        binom = pytest.importorskip("scipy.stats").binom
        passes, samples = count
        expected = binom.sf(passes - 1, samples, rate)
        assert at_least(passes, samples, rate) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    @pytest.mark.parametrize("rate", RATES)
    def test_the_fewest_passes_far_out(self, rate: float) -> None:
        """The walk from n to n + 1 adds up 20,000 steps, and is still right."""
        binom = pytest.importorskip("scipy.stats").binom
        for samples, fewest in islice(enumerate(fewest_passes(rate, 0.95), 1), 0, 20_000, 199):
            assert fewest == 1 + binom.isf(0.05, samples, rate), samples

    @pytest.mark.parametrize("counts", [(30, 30, 27, 30), (95, 100, 88, 100), (7, 10, 1, 12), (5, 9, 5, 9)])
    def test_two_proportions(self, counts: tuple[int, int, int, int]) -> None:
        """The square of z is the chi-square of the table of fours, without correction."""
        passes_a, samples_a, passes_b, samples_b = counts
        table = [[passes_a, samples_a - passes_a], [passes_b, samples_b - passes_b]]
        expected = pytest.importorskip("scipy.stats").chi2_contingency(table, correction=False).pvalue
        assert two_proportions(*counts) == pytest.approx(expected, abs=1e-12)


class TestByHand:
    """What can be computed without a program, or is printed in the literature."""

    @pytest.mark.parametrize("samples", [1, 2, 20, 29, 3_000])
    def test_passes_alone(self, samples: int) -> None:
        """The rule of three's exact form: all pass, and the bound is the n-th root of 5 %."""
        assert lower_bound(samples, samples, 0.95) == pytest.approx(0.05 ** (1 / samples), abs=1e-12)

    def test_twenty_cannot_prove_nine_tenths_and_twenty_nine_can(self) -> None:
        assert lower_bound(20, 20, 0.95) < lower_bound(28, 28, 0.95) < 0.9 <= lower_bound(29, 29, 0.95)
        assert lower_bound(24, 24, 0.95, "wilson") < 0.9 <= lower_bound(25, 25, 0.95, "wilson")

    def test_the_example_of_newcombe(self) -> None:
        """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, two-sided at 95 %."""
        both = 0.975
        assert round(lower_bound(81, 263, both), 4) == 0.2527
        assert round(upper_bound(81, 263, both), 4) == 0.3676
        assert round(lower_bound(81, 263, both, "wilson"), 4) == 0.2553
        assert round(upper_bound(81, 263, both, "wilson"), 4) == 0.3662

    def test_a_bound_with_a_closed_form(self) -> None:
        """One pass of n: P(X >= 1) = 1 - (1-p)ⁿ."""
        assert lower_bound(1, 10, 0.95) == pytest.approx(1 - 0.95**0.1, abs=1e-14)

    def test_two_proportions_by_hand(self) -> None:
        """30 of 30 and 27 of 30: p = 0.95, z = 0.1 / √(0.95·0.05/15) = 1.77705."""
        assert two_proportions(30, 30, 27, 30) == pytest.approx(math.erfc(1.7770466 / math.sqrt(2)), abs=1e-8)
        assert two_proportions(30, 30, 27, 30) == two_proportions(27, 30, 30, 30)

    @pytest.mark.parametrize("passes", [0, 1])
    def test_two_runs_that_agree_altogether_do_not_differ(self, passes: int) -> None:
        assert two_proportions(5 * passes, 5, 90 * passes, 90) == 1.0

    @pytest.mark.parametrize(
        ("share", "expected"), [(0.05, 15), (0.3, 20), (0.4, 20), (0.5, 35), (0.95, 50), (1, 50)]
    )
    def test_percentile(self, share: float, expected: float) -> None:
        """The textbook's example of the nearest rank."""
        assert percentile([40, 15, 50, 20, 35], share) == expected

    def test_a_rank_is_not_rounded_up_by_binary_fractions(self) -> None:
        assert 0.07 * 100 > 7
        assert percentile(range(1, 101), 0.07) == 7


class TestProperties:
    """What holds whatever the numbers."""

    @given(counts, confidences, methods)
    def test_the_bounds_enclose_the_observed_rate(
        self, count: tuple[int, int], confidence: float, method: Method
    ) -> None:
        passes, samples = count
        low, high = (bound(passes, samples, confidence, method) for bound in (lower_bound, upper_bound))
        assert 0 <= low <= passes / samples + 1e-12
        assert passes / samples - 1e-12 <= high <= 1

    @given(counts, confidences, methods)
    def test_another_pass_raises_the_bound_and_another_failure_lowers_it(
        self, count: tuple[int, int], confidence: float, method: Method
    ) -> None:
        passes, samples = count
        bound = lower_bound(passes, samples, confidence, method)
        assert lower_bound(passes + 1, samples + 1, confidence, method) > bound - 1e-12
        assert lower_bound(passes, samples + 1, confidence, method) <= bound + 1e-12

    @given(counts, st.tuples(confidences, confidences).map(sorted), methods)
    def test_more_confidence_is_a_wider_bound(
        self, count: tuple[int, int], pair: list[float], method: Method
    ) -> None:
        assert lower_bound(*count, pair[1], method) <= lower_bound(*count, pair[0], method) + 1e-12

    @pytest.mark.parametrize("method", METHODS)
    def test_nothing_proves_nothing(self, method: Method) -> None:
        assert lower_bound(0, 9, 0.95, method) == 0.0
        assert upper_bound(9, 9, 0.95, method) == 1.0
        assert (lower_bound(0, 0, 0.95, method), upper_bound(0, 0, 0.95, method)) == (0.0, 1.0)

    @pytest.mark.parametrize("samples", [1, 10, 29, 60])
    @pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
    def test_the_exact_bound_is_above_the_truth_as_seldom_as_it_says(
        self, samples: int, confidence: float
    ) -> None:
        """The coverage itself, summed over all outcomes, for a grid of true rates."""
        bounds = [lower_bound(passes, samples, confidence) for passes in range(samples + 1)]
        for rate in (at / 97 for at in range(1, 97)):
            wrong = sum(_chance(at, samples, rate) for at, bound in enumerate(bounds) if bound > rate)
            assert wrong <= 1 - confidence + 1e-12

    def test_wilsons_bound_is_above_the_truth_a_little_more_often(self) -> None:
        """Which is why it is not the default: 25 of 25 proves 0.9 in 7.2 % of runs at a true 0.9."""
        assert lower_bound(25, 25, 0.95, "wilson") >= 0.9
        assert _chance(25, 25, 0.9) == pytest.approx(0.0718, abs=5e-5)


class TestTheFewest:
    """The criteria are the bounds, turned around."""

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("confidence", [0.8, 0.95])
    def test_they_are_where_the_bounds_reach_the_rate(
        self, rate: float, confidence: float, method: Method
    ) -> None:
        passes = fewest_passes(rate, confidence, method)
        failures = fewest_failures(rate, confidence, method)
        for samples, enough, too_many in zip(range(1, 120), passes, failures, strict=False):
            proven = [
                k <= samples and lower_bound(k, samples, confidence, method) >= rate - 1e-9
                for k in (enough - 1, enough)
            ]
            assert proven == [False, enough <= samples]
            refuted = [
                k <= samples and upper_bound(samples - k, samples, confidence, method) < rate - 1e-9
                for k in (too_many - 1, too_many)
            ]
            assert refuted == [False, too_many <= samples]

    @given(st.floats(0.01, 0.995), confidences, methods)
    def test_the_fewest_samples_are_the_first_that_passes_alone_prove(
        self, rate: float, confidence: float, method: Method
    ) -> None:
        walk = enumerate(fewest_passes(rate, confidence, method), 1)
        assert fewest_samples(rate, confidence, method) == next(n for n, fewest in walk if fewest <= n)

    def test_the_numbers_of_the_issue(self) -> None:
        assert (fewest_samples(0.9, 0.95), fewest_samples(0.9, 0.95, "wilson")) == (29, 25)
        assert [fewest_samples(rate, 0.95) for rate in (0.95, 0.99)] == [59, 299]

    @pytest.mark.parametrize(
        ("rate", "confidence", "samples"), [(0.5, 0.5, 1), (0.5, 0.75, 2), (0.2, 0.8, 1), (0.1, 0.99, 2)]
    )
    def test_a_bound_that_equals_the_rate_reaches_it(
        self, rate: float, confidence: float, samples: int
    ) -> None:
        """rateⁿ = 1 - confidence in decimals, and not in binary: 1 - 0.8 is less than 0.2."""
        assert fewest_samples(rate, confidence) == samples
        assert list(islice(fewest_passes(rate, confidence), samples))[-1] == samples

    def test_a_bound_that_equals_the_rate_does_not_lie_below_it(self) -> None:
        assert upper_bound(0, 2, 0.75) == 0.5
        assert list(islice(fewest_failures(0.5, 0.75), 3)) == [2, 3, 3]

    @pytest.mark.parametrize(("rate", "passes", "samples"), [(0.9, 27, 30), (0.9, 63, 70), (0.55, 55, 100)])
    def test_a_score_that_equals_the_rate_reaches_it(self, rate: float, passes: int, samples: int) -> None:
        """At 50 % the score bound is the observed rate. In binary 0.55·100 is more than 55."""
        assert list(islice(fewest_passes(rate, 0.5, "wilson"), samples))[-1] == passes
        assert list(islice(fewest_failures(rate, 0.5, "wilson"), samples))[-1] == samples - passes + 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: lower_bound(-1, 5, 0.95),
        lambda: lower_bound(6, 5, 0.95),
        lambda: upper_bound(6, 5, 0.95),
        lambda: lower_bound(1, 5, 0.4),
        lambda: lower_bound(1, 5, 1.0),
        lambda: lower_bound(1, 5, math.nan),
        lambda: lower_bound(1, 5, 0.95, "wald"),  # type: ignore[arg-type]
        lambda: at_least(1, 5, 1.5),
        lambda: at_least(1, -5, 0.5),
        lambda: fewest_passes(1.0, 0.95),
        lambda: fewest_failures(0.0, 0.95),
        lambda: fewest_samples(math.nan, 0.95),
        lambda: two_proportions(1, 0, 1, 2),
        lambda: two_proportions(1, 2, 3, 2),
        lambda: percentile([], 0.5),
        lambda: percentile([1.0], 0.0),
        lambda: percentile([1.0], 1.1),
    ],
)
def test_impossible_arguments(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]


def _chance(passes: int, samples: int, rate: float) -> float:
    """P(X = passes), by the formula and not by the code under test."""
    return math.comb(samples, passes) * rate**passes * (1 - rate) ** (samples - passes)

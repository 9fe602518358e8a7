"""Pass rates: one-sided confidence bounds, the passes that prove a rate, and the comparison of two runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import count
from statistics import NormalDist
from typing import Final, Literal

Method = Literal["exact", "wilson"]

_ROUNDING: Final = 1e-9  # what equals a limit in decimals may miss it by less than this in binary
_NEGLIGIBLE: Final = 1e-18  # of a sum: terms below it cannot change it


def lower_bound(passes: int, samples: int, confidence: float, method: Method = "exact") -> float:
    """Return the one-sided lower confidence bound of a pass rate, from 0.0 to passes / samples.

    exact: the rate p at which P(X >= passes) = 1 - confidence, for X binomial in (samples, p).
    Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934). Whatever the true rate, it lies below the bound in at most
    1 - confidence of all runs.

    wilson: (r + z²/2n - z·√(r(1-r)/n + z²/4n²)) / (1 + z²/n), with r = passes / samples, n = samples and
    z the normal quantile of confidence. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22 (1927). Nearer on average, and for some rates not quite safe.

    Raises ValueError unless 0 <= passes <= samples and 0.5 <= confidence < 1.
    """
    _check(passes, samples, confidence, method)
    if passes == 0:
        return 0.0
    if method == "wilson":
        return _wilson(passes, samples, confidence)
    level = 1 - confidence
    low, high = 0.0, passes / samples  # the median is the mean where that is whole: P >= 1/2 up here
    while low < (middle := (low + high) / 2) < high:
        if at_least(passes, samples, middle) > level:
            high = middle
        else:
            low = middle
    return low


def upper_bound(passes: int, samples: int, confidence: float, method: Method = "exact") -> float:
    """Return the one-sided upper confidence bound of a pass rate, from passes / samples to 1.0.

    It is 1 less the lower bound of the rate of failures; methods, sources and errors as for lower_bound.
    """
    return 1 - lower_bound(samples - passes, samples, confidence, method)


def at_least(passes: int, samples: int, rate: float) -> float:
    """Return P(X >= passes) for X binomial in (samples, rate): how often such a program passes so often.

    The sum of C(n, i)·pⁱ·(1-p)ⁿ⁻ⁱ over i >= passes, for the shorter tail; for the other one 1 less it.
    Raises ValueError unless 0 <= rate <= 1 and samples >= 0.
    """
    if samples < 0 or not 0 <= rate <= 1:
        raise ValueError(f"no such binomial distribution: {samples} samples, rate {rate}")
    if passes <= samples * rate:
        return 1 - at_least(samples - passes + 1, samples, 1 - rate)
    if passes > samples or rate == 0:
        return 0.0
    term = math.exp(
        math.lgamma(samples + 1)
        - math.lgamma(passes + 1)
        - math.lgamma(samples - passes + 1)
        + passes * math.log(rate)
        + (samples - passes) * math.log1p(-rate)
    )
    total, odds = 0.0, rate / (1 - rate)
    for at in range(passes, samples + 1):  # beyond the mean, so that terms only fall
        total += term
        term *= (samples - at) / (at + 1) * odds
        if term <= total * _NEGLIGIBLE:
            break
    return total


def fewest_passes(rate: float, confidence: float, method: Method = "exact") -> Iterator[int]:
    """Yield for 1, 2, 3 … samples the fewest passes whose lower bound reaches the rate.

    More than there are samples where none does. A bound that equals the rate, but for rounding, reaches it.
    Raises ValueError unless 0 < rate < 1 and 0.5 <= confidence < 1.
    """
    _check_rate(rate, confidence, method)
    if method == "wilson":
        return _by_score(rate, confidence, -_ROUNDING)
    return _by_tail(rate, (1 - confidence) * (1 + _ROUNDING))


def fewest_failures(rate: float, confidence: float, method: Method = "exact") -> Iterator[int]:
    """Yield for 1, 2, 3 … samples the fewest failures whose upper bound lies below the rate.

    More than there are samples where none does. A bound that equals the rate, but for rounding, does not
    lie below it. Raises ValueError as fewest_passes does.
    """
    _check_rate(rate, confidence, method)
    if method == "wilson":
        return _by_score(1 - rate, confidence, _ROUNDING)
    return _by_tail(1 - rate, (1 - confidence) * (1 - _ROUNDING))


def fewest_samples(rate: float, confidence: float, method: Method = "exact") -> int:
    """Return the smallest number of samples that proves a rate if all pass.

    exact: the lower bound is (1 - confidence)^(1/n), so n >= log(1 - confidence) / log(rate).
    wilson: it is n / (n + z²), so n >= z²·rate / (1 - rate). Raises ValueError as fewest_passes does.
    """
    _check_rate(rate, confidence, method)
    if method == "wilson":
        needed = _quantile(confidence) ** 2 * rate / (1 - rate)
    else:
        needed = math.log(1 - confidence) / math.log(rate)
    return max(1, math.ceil(needed - _ROUNDING))


def two_proportions(passes_a: int, samples_a: int, passes_b: int, samples_b: int) -> float:
    """Return the two-sided p-value of the pooled two-proportion z-test: how surprising the change is.

    z = (a - b) / √(p(1-p)(1/n_a + 1/n_b)), with a and b the two pass rates and p that of both together; the
    p-value is 2·(1 - Φ(|z|)). Fleiss, Levin & Paik, "Statistical Methods for Rates and Proportions", 3rd
    ed. (2003), 3.1, without continuity correction. 1.0 where all samples passed, or none.
    Raises ValueError unless 0 <= passes <= samples and samples >= 1, on both sides.
    """
    for passes, samples in ((passes_a, samples_a), (passes_b, samples_b)):
        if not 0 <= passes <= samples or samples == 0:
            raise ValueError(f"{passes} passes of {samples} samples cannot be compared")
    pooled = (passes_a + passes_b) / (samples_a + samples_b)
    if pooled in (0, 1):
        return 1.0
    error = math.sqrt(pooled * (1 - pooled) * (1 / samples_a + 1 / samples_b))
    return math.erfc(abs(passes_a / samples_a - passes_b / samples_b) / error / math.sqrt(2))


def percentile(values: Collection[float], share: float) -> float:
    """Return the smallest of the values that at least this share of them does not exceed (nearest rank).

    share is above 0 and at most 1: 0.95 is the 95th percentile. Definition 1 of Hyndman & Fan, "Sample
    quantiles in statistical packages", The American Statistician 50 (1996).
    Raises ValueError for another share, and where there are no values.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[math.ceil(share * len(values) - _ROUNDING) - 1]


def _check(passes: int, samples: int, confidence: float, method: Method) -> None:
    if not 0 <= passes <= samples:
        raise ValueError(f"impossible: {passes} passes of {samples} samples")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence is at least 0.5 and below 1, not {confidence}")
    if method not in ("exact", "wilson"):
        raise ValueError(f"the method is 'exact' or 'wilson', not {method!r}")


def _check_rate(rate: float, confidence: float, method: Method) -> None:
    _check(0, 0, confidence, method)
    if not 0 < rate < 1:
        raise ValueError(f"only a rate between 0 and 1 can be proven, not {rate}")


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)


def _wilson(passes: int, samples: int, confidence: float) -> float:
    rate, share = passes / samples, _quantile(confidence) ** 2 / samples
    spread = math.sqrt(share * (rate * (1 - rate) + share / 4))
    return (rate + share / 2 - spread) / (1 + share)


def _by_score(rate: float, confidence: float, slack: float) -> Iterator[int]:
    """Wilson's bound reaches a rate exactly where the score test of that rate does."""
    spread = _quantile(confidence) * math.sqrt(rate * (1 - rate))
    return (math.ceil(n * rate + spread * math.sqrt(n) + slack) for n in count(1))


def _by_tail(rate: float, level: float) -> Iterator[int]:
    """The exact bound reaches a rate exactly where the tail at that rate is at most the level.

    Goes from n to n + 1 samples by P(X' >= k) = P(X >= k) + p·P(X = k-1); the fewest grow by one at most.
    """
    fewest, tail, below = 1, 0.0, 1.0  # for no samples; below is P(X = fewest - 1)
    for samples in count(1):
        tail += rate * below
        below *= samples * (1 - rate) / (samples + 1 - fewest)
        if tail > level:
            below *= (samples + 1 - fewest) / fewest * rate / (1 - rate)
            tail -= below
            fewest += 1
        yield fewest

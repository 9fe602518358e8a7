"""A sampling plan: how often an nd_real test runs, what it has to prove, and what its samples have proven."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.order import rates
from pytest_mcpsmoke.order.rates import Method
from pytest_mcpsmoke.report.nd import Verdict
from pytest_mcpsmoke.state.describe import describe

MOST: Final = 100_000  # samples of one plan
_COUNTS: Final = ("max_calls", "max_tokens")
_AMOUNTS: Final = ("max_wall_s", "max_cost", "max_latency_p95_s")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the marker nd_real takes, and the decisions that follow from it.

    PASS: the one-sided lower confidence bound of the pass rate at `samples` samples reaches `min_pass_rate`.
    FAIL: the upper one lies below it. INCONCLUSIVE: neither. Budgets: max_wall_s and max_latency_p95_s in
    seconds, max_calls and max_tokens counted, max_cost in the unit of the model's price. real: what the test
    talks to, where that is no model of nd_model, and so nothing can show it.
    Raises UsageProblem, one line, for a value that cannot be obeyed and for a plan that can never PASS.
    """

    samples: int = 30
    min_pass_rate: float = 0.9
    confidence: float = 0.95
    method: Method = "exact"
    max_replaced: int | None = None
    max_wall_s: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    max_latency_p95_s: float | None = None
    real: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be obeyed."""
        self._check_method()
        self._check_rates()
        self._check_samples()
        self._check_limits()
        self._check_real()
        self._check_possible()

    @property
    def cap(self) -> int:
        """How many samples may be replaced because they met a fault of the infrastructure."""
        return max(3, self.samples // 5) if self.max_replaced is None else self.max_replaced

    def verdict(self, passes: int, samples: int) -> Verdict:
        """Return what so many passes of so many samples prove; it only rises with the passes.

        Raises ValueError unless 0 <= passes <= samples <= the planned number.
        """
        if not 0 <= passes <= samples <= self.samples:
            raise ValueError(f"{passes} passes of {samples} samples, where {self.samples} are planned")
        if samples == 0:
            return "INCONCLUSIVE"
        enough, too_many = self._needed(samples)
        if passes >= enough:
            return "PASS"
        return "FAIL" if samples - passes >= too_many else "INCONCLUSIVE"

    def settled_verdict(self, passes: int, failures: int) -> Verdict | None:
        """Return the verdict at the planned number if no remaining result can change it any more, else None.

        After an early stop the verdict of what ran, verdict(passes, passes + failures), is the same one: the
        passes that are needed, and the failures that are allowed, never fall with the number of samples.
        Raises ValueError where there are more results than planned.
        """
        if passes + failures > self.samples:
            raise ValueError(f"{passes + failures} results, where {self.samples} are planned")
        worst = self.verdict(passes, self.samples)
        best = self.verdict(self.samples - failures, self.samples)
        return worst if worst == best else None

    def is_settled(self, passes: int, failures: int) -> bool:
        """Whether no remaining result up to the planned number could change the verdict."""
        return self.settled_verdict(passes, failures) is not None

    def interval(self, passes: int, samples: int) -> tuple[float, float]:
        """Return the lower and the upper bound of the pass rate, each one-sided at `confidence`."""
        return (
            rates.lower_bound(passes, samples, self.confidence, self.method),
            rates.upper_bound(passes, samples, self.confidence, self.method),
        )

    def decides_at(self, passes: int, samples: int) -> int | None:
        """Return the smallest number of samples, beyond these, that gives PASS or FAIL at the same rate.

        The same rate is the nearest whole number of passes. None where that takes more than 100,000
        samples, and where there is no rate yet.
        """
        if samples == 0:
            return None
        walk = _walk(self.min_pass_rate, self.confidence, self.method)
        for more, (enough, too_many) in islice(enumerate(walk, 1), samples, MOST):
            expected = (2 * passes * more + samples) // (2 * samples)
            if expected >= enough or more - expected >= too_many:
                return more
        return None

    def pass_probability(self, true_rate: float) -> float:
        """Return how often a program of this true pass rate gets PASS: the plan's operating characteristic.

        P(X >= the fewest passes that give PASS) for X binomial in (samples, true_rate).
        Raises ValueError unless 0 <= true_rate <= 1.
        """
        enough, _ = self._needed(self.samples)
        return rates.at_least(enough, self.samples, true_rate)

    def _needed(self, samples: int) -> tuple[int, int]:
        """The fewest passes that give PASS, and the fewest failures that give FAIL."""
        return _criteria(self.min_pass_rate, self.confidence, self.method, self.samples)[samples - 1]

    def _check_method(self) -> None:
        if self.method not in ("exact", "wilson"):
            raise UsageProblem(f"method={describe(self.method)} is unknown; it is 'exact' or 'wilson'")

    def _check_rates(self) -> None:
        if not _is_number(self.confidence) or not 0.5 <= self.confidence < 1:
            given = f"confidence={describe(self.confidence)}"
            raise UsageProblem(f"{given} is not a number from 0.5 to below 1; give for example 0.95")
        if not _is_number(self.min_pass_rate) or not 0 < self.min_pass_rate <= 1:
            given = f"min_pass_rate={describe(self.min_pass_rate)}"
            raise UsageProblem(f"{given} is not a number between 0 and 1; give for example 0.9")
        if self.min_pass_rate == 1:
            enough = rates.fewest_samples(0.99, self.confidence, self.method)
            raise UsageProblem(
                f"min_pass_rate={describe(self.min_pass_rate)} can never be proven by sampling;"
                f" give a rate below it, for example min_pass_rate=0.99 with samples={enough}"
            )

    def _check_samples(self) -> None:
        if not _is_whole(self.samples) or not 1 <= self.samples <= MOST:
            given = f"samples={describe(self.samples)}"
            raise UsageProblem(f"{given} is not a whole number from 1 to {MOST:,}; give for example 30")

    def _check_limits(self) -> None:
        replaced = self.max_replaced
        if replaced is not None and (not _is_whole(replaced) or replaced < 0):
            given = f"max_replaced={describe(replaced)}"
            raise UsageProblem(
                f"{given} is not a whole number >= 0; leave it out for a fifth of the samples, at least 3"
            )
        for name in (*_COUNTS, *_AMOUNTS):
            limit = getattr(self, name)
            if limit is None:
                continue
            if not (_is_whole(limit) if name in _COUNTS else _is_number(limit)) or limit <= 0:
                kind = "whole number above 0" if name in _COUNTS else "number above 0"
                raise UsageProblem(f"{name}={describe(limit)} is not a {kind}; leave it out for no limit")

    def _check_real(self) -> None:
        if self.real is not None and not (isinstance(self.real, str) and self.real.strip()):
            raise UsageProblem(f"real={describe(self.real)} is not a text; say what the test talks to")

    def _check_possible(self) -> None:
        enough = rates.fewest_samples(self.min_pass_rate, self.confidence, self.method)
        if self.samples >= enough:
            return
        bound = "exact" if self.method == "exact" else "Wilson"
        remedy = "" if enough <= MOST else f", and a plan has at most {MOST:,}: ask for a lower rate"
        raise UsageProblem(
            f"samples={self.samples} cannot prove a pass rate of {self.min_pass_rate}"
            f" at {self.confidence * 100:.12g} % confidence even if all pass ({bound} bound);"
            f" the smallest number that can is {enough}{remedy}"
        )


def _walk(rate: float, confidence: float, method: Method) -> Iterator[tuple[int, int]]:
    """For 1, 2, 3 … samples the fewest passes that give PASS, and the fewest failures that give FAIL."""
    passes = rates.fewest_passes(rate, confidence, method)
    return zip(passes, rates.fewest_failures(rate, confidence, method), strict=True)


@lru_cache(maxsize=64)
def _criteria(rate: float, confidence: float, method: Method, samples: int) -> tuple[tuple[int, int], ...]:
    """The walk up to a planned number of samples."""
    return tuple(islice(_walk(rate, confidence, method), samples))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))

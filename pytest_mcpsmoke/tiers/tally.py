"""The samples of one nd_real test as they come in: when to stop, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pytest_mcpsmoke.order.rates import percentile
from pytest_mcpsmoke.report.nd import Cluster, NdResult, Verdict
from pytest_mcpsmoke.state.describe import redact_value
from pytest_mcpsmoke.tiers.clusters import Failure, clusters
from pytest_mcpsmoke.tiers.plan import Plan

NEUTERED = "neutered: no request reached the model"
UNPROVEN = (
    "nothing shows that it met anything real: let it ask nd_model,"
    ' or say what it talks to, nd_real(real="the staging gateway")'
)


class Sample(NamedTuple):
    """One run of the test.

    message: one line, of a sample that did not pass. fault: what went wrong on the way to the model, which is
    no failure of the program. tools: what the model called, in order. latencies: seconds of each answer.
    """

    passed: bool
    message: str = ""
    fault: str | None = None
    tools: tuple[str, ...] = ()
    latencies: tuple[float, ...] = ()


class Spent(NamedTuple):
    """What all samples took together; None: not known, or no model was asked."""

    wall_s: float
    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    model: str | None = None


class Tally:
    """Counts samples against a plan.

    A sample that met a fault is replaced whether it passed or not: to drop only those that failed would
    raise the rate.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._counted: list[tuple[int, Sample]] = []  # with the number under which it was run
        self._passes = 0
        self._faults: list[str] = []
        self._leaky: Counter[str] = Counter()  # how many samples left a place changed
        self._runs = 0
        self._cut: str | None = None

    @property
    def runs(self) -> int:
        """How many samples were run."""
        return self._runs

    @property
    def is_over(self) -> bool:
        """Whether no further sample is wanted: nothing that could still come would change the verdict."""
        if self._cut is not None or self._is_over_cap or len(self._counted) == self.plan.samples:
            return True
        settled = self.plan.settled_verdict(self._passes, len(self._counted) - self._passes)
        # Slow answers would still turn any other verdict into FAIL.
        return settled is not None and (settled == "FAIL" or self.plan.max_latency_p95_s is None)

    def add(self, sample: Sample) -> None:
        """Count a sample, or note that it has to be replaced."""
        self._runs += 1
        if sample.fault is not None:
            self._faults.append(sample.fault)
        else:
            self._counted.append((self._runs, sample))
            self._passes += sample.passed

    def left(self, places: Iterable[str]) -> None:
        """Note what the last sample left changed for the next one."""
        self._leaky.update(list(dict.fromkeys(places)))

    def cut(self, reason: str, is_run: bool = True) -> None:
        """End the sampling; a sample that was under way (is_run) counts for nothing."""
        self._runs += is_run
        self._cut = reason

    def result(self, nodeid: str, spent: Spent, is_strict: bool = False) -> NdResult:
        """Return the verdict on what was counted. is_strict: nothing passes that met nothing real."""
        passes, samples, plan = self._passes, len(self._counted), self.plan
        latencies = [seconds for _, sample in self._counted for seconds in sample.latencies]
        p95 = percentile(latencies, 0.95) if latencies else None
        verdict: Verdict = self._verdict()
        decides_at = plan.decides_at(passes, samples) if verdict == "INCONCLUSIVE" and samples else None
        reason = self._reason(verdict, decides_at)
        limit = plan.max_latency_p95_s
        if p95 is not None and limit is not None and p95 > limit:
            slow = f"the latency's p95 is {p95:.3f} s, max_latency_p95_s={limit:g}"
            reason = slow if verdict == "PASS" else f"{slow}; {reason}"
            verdict = "FAIL"
        if verdict == "PASS" and is_strict and not _is_real(plan, spent):
            verdict, reason = "INCONCLUSIVE", UNPROVEN
        lower, upper = plan.interval(passes, samples) if samples else (0.0, 1.0)
        return NdResult(
            nodeid=nodeid,
            verdict=verdict,
            passes=passes,
            samples=samples,
            planned=plan.samples,
            replaced=len(self._faults),
            rate=passes / samples if samples else None,
            lower=lower,
            upper=upper,
            confidence=plan.confidence,
            min_pass_rate=plan.min_pass_rate,
            method=plan.method,
            reason=reason,
            decides_at=decides_at,
            latency_p50_s=percentile(latencies, 0.5) if latencies else None,
            latency_p95_s=p95,
            calls=spent.calls,
            tokens=spent.tokens,
            cost=spent.cost,
            model=spent.model,
            clusters=self._clusters(),
            change=None,
            wall_s=spent.wall_s,
            notes=tuple(self._notes()),
            is_real=_is_real(plan, spent),
        )

    def _verdict(self) -> Verdict:
        if not self._counted or (self._cut is None and self._is_over_cap):
            return "INCONCLUSIVE"
        # Where it was settled early, what is missing could not change the verdict of the whole plan.
        samples = self.plan.samples if self._cut is None else len(self._counted)
        return self.plan.verdict(self._passes, samples)

    @property
    def _is_over_cap(self) -> bool:
        return len(self._faults) > self.plan.cap

    def _reason(self, verdict: Verdict, decides_at: int | None) -> str | None:
        plan = self.plan
        if verdict == "PASS":
            return None
        if verdict == "FAIL":
            return f"the pass rate is below {plan.min_pass_rate:g}, at {plan.confidence * 100:g} % confidence"
        if self._cut is None and self._is_over_cap:
            many = f"{len(self._faults)} samples met a fault of the provider, {plan.cap} may be replaced"
            return f"{many}: {_counts(self._faults)}"
        if not self._counted:
            return f"no sample counts: {self._cut}"
        enough = "no number of samples" if decides_at is None else f"{decides_at:,} samples"
        tried = plan.samples if self._cut is None else len(self._counted)
        return f"{tried} samples do not decide; {enough} would, at this rate"

    def _clusters(self) -> tuple[Cluster, ...]:
        failures = [
            Failure(number, sample.message, sample.tools)
            for number, sample in self._counted
            if not sample.passed
        ]
        return tuple(clusters(failures))

    def _notes(self) -> Iterator[str]:
        counted, planned = len(self._counted), self.plan.samples
        if self._cut is not None:
            yield f"cut after {counted} of {planned} samples: {self._cut}"
        elif counted < planned and not self._is_over_cap:
            yield f"stopped after {counted} of {planned} samples: no further one could change the verdict"
        if self._faults and not self._is_over_cap:
            yield f"{len(self._faults)} replaced for faults of the provider: {_counts(self._faults)}"
        for place, times in self._leaky.items():
            yield f"samples are not independent: {times} of {self._runs} left {place} changed for the next"
        if self.plan.real is not None:
            yield f"it talks to {redact_value(self.plan.real)}, says its marker"


def _is_real(plan: Plan, spent: Spent) -> bool:
    """Whether a test met a model on the way that is watched, or says what else it meets."""
    return spent.calls is not None or plan.real is not None


def _counts(texts: list[str]) -> str:
    return ", ".join(f"{text} ({times})" for text, times in Counter(texts).most_common())

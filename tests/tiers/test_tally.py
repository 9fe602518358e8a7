"""The samples of a test as they come in: when to stop, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.report.nd import NdResult
from pytest_mcpsmoke.tiers.plan import Plan
from pytest_mcpsmoke.tiers.tally import Sample, Spent, Tally

GOOD, BAD, FAULTY = Sample(True), Sample(False, "boom"), Sample(True, fault="HTTP 503")
SPENT = Spent(1.5)


def tallied(came: list[Sample], /, **plan: Any) -> Tally:
    """A tally that took samples until it was over."""
    tally = Tally(Plan(**plan))
    for sample in came:
        if tally.is_over:
            break
        tally.add(sample)
    return tally


def result(tally: Tally) -> NdResult:
    return tally.result("test_a.py::test_a", SPENT)


def test_it_is_over_when_the_plan_is_done() -> None:
    tally = tallied([GOOD] * 100, samples=29)
    assert (tally.runs, result(tally).verdict, result(tally).reason) == (29, "PASS", None)


def test_it_is_over_when_nothing_could_change_the_verdict() -> None:
    tally = tallied([BAD] * 100, samples=30)
    told = result(tally)
    assert (tally.runs, told.verdict) == (7, "FAIL")
    assert told.notes == ("stopped after 7 of 30 samples: no further one could change the verdict",)


def test_slow_answers_could_still_change_any_verdict_but_fail() -> None:
    almost = [GOOD] * 12 + [BAD] + [GOOD] * 100
    assert tallied(almost, samples=30).runs == 25
    assert tallied(almost, samples=30, max_latency_p95_s=1.0).runs == 30
    assert tallied([BAD] * 100, samples=30, max_latency_p95_s=1.0).runs == 7


def test_a_fault_is_replaced_whatever_the_sample_came_to() -> None:
    tally = tallied([FAULTY, FAULTY._replace(passed=False, fault="refused"), *[GOOD] * 100], samples=29)
    told = result(tally)
    assert (tally.runs, told.samples, told.replaced, told.verdict) == (31, 29, 2, "PASS")
    assert told.notes == ("2 replaced for faults of the provider: HTTP 503 (1), refused (1)",)


def test_beyond_the_cap_it_is_inconclusive() -> None:
    tally = tallied([GOOD] * 28 + [FAULTY] * 100, samples=30, max_replaced=4)
    told = result(tally)
    assert (tally.runs, told.samples, told.replaced, told.verdict) == (33, 28, 5, "INCONCLUSIVE")
    assert told.reason == "5 samples met a fault of the provider, 4 may be replaced: HTTP 503 (5)"
    assert told.notes == ()


def test_no_fault_may_be_replaced_where_the_cap_is_zero() -> None:
    assert tallied([FAULTY] * 100, samples=30, max_replaced=0).runs == 1


def test_at_a_cut_the_verdict_comes_from_what_ran() -> None:
    tally = tallied([GOOD] * 29, samples=100)
    tally.cut("max_calls=29: 29 calls were made")
    told = result(tally)
    assert (tally.runs, told.samples, told.verdict) == (30, 29, "PASS")
    assert told.notes == ("cut after 29 of 100 samples: max_calls=29: 29 calls were made",)
    fewer = tallied([GOOD] * 28, samples=100)
    fewer.cut("stop", is_run=False)
    assert (fewer.runs, result(fewer).verdict) == (28, "INCONCLUSIVE")
    assert result(fewer).reason == "28 samples do not decide; 29 samples would, at this rate"


def test_without_a_sample_there_is_no_rate() -> None:
    tally = Tally(Plan())
    tally.cut("max_wall_s=1: 1.0 s have passed")
    told = result(tally)
    assert (told.verdict, told.rate, told.lower, told.upper) == ("INCONCLUSIVE", None, 0.0, 1.0)
    assert told.reason == "no sample counts: max_wall_s=1: 1.0 s have passed"


def test_latencies_are_those_of_samples_that_count() -> None:
    slow = GOOD._replace(latencies=(9.0,), fault="timed out")
    quick = [GOOD._replace(latencies=(0.1, 0.2))] * 19 + [GOOD._replace(latencies=(0.3, 0.4))] * 10
    told = result(tallied([slow, *quick], samples=29))
    assert (told.latency_p50_s, told.latency_p95_s) == (0.2, 0.4)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (GOOD, "the latency's p95 is 0.500 s, max_latency_p95_s=0.4"),
        (
            BAD,
            "the latency's p95 is 0.500 s, max_latency_p95_s=0.4;"
            " the pass rate is below 0.9, at 95 % confidence",
        ),
    ],
)
def test_slow_answers_fail(sample: Sample, reason: str) -> None:
    told = result(tallied([sample._replace(latencies=(0.5,))] * 100, samples=29, max_latency_p95_s=0.4))
    assert (told.verdict, told.reason) == ("FAIL", reason)


def test_a_place_left_by_several_samples_is_counted() -> None:
    tally = Tally(Plan(samples=29))
    for number in range(29):
        tally.add(GOOD)
        tally.left(["app.MODE", "app.MODE", *(["app.LEVEL"] if number < 3 else [])])
    assert result(tally).notes == (
        "samples are not independent: 29 of 29 left app.MODE changed for the next",
        "samples are not independent: 3 of 29 left app.LEVEL changed for the next",
    )


def test_a_result_survives_the_report() -> None:
    failing = Sample(False, "ValueError: 1", tools=("search", "fetch"))
    told = result(tallied([failing, *[GOOD] * 30], samples=30))
    assert [cluster.path for cluster in told.clusters] == ["search > fetch"]
    assert NdResult.of_record(told.record()) == told


@given(st.lists(st.sampled_from([GOOD, BAD, FAULTY]), max_size=80), st.integers(29, 40))
def test_an_early_stop_never_changes_the_verdict(samples: list[Sample], planned: int) -> None:
    plan = Plan(samples=planned, max_replaced=1000)
    tally = Tally(plan)
    for sample in [*samples, *[GOOD] * planned]:
        if tally.is_over:
            break
        tally.add(sample)
    counted = [sample.passed for sample in [*samples, *[GOOD] * planned] if sample.fault is None][:planned]
    assert result(tally).verdict == plan.verdict(sum(counted), planned)


def test_nothing_passes_strictly_that_met_nothing_real() -> None:
    tally, told = tallied([GOOD] * 29, samples=29), tallied([GOOD] * 29, samples=29, real="the gateway")
    asked = SPENT._replace(calls=29)
    assert [each.verdict for each in (result(tally), tally.result("a", asked, is_strict=True))] == [
        "PASS"
    ] * 2
    assert tally.result("a", SPENT, is_strict=True).verdict == "INCONCLUSIVE"
    assert told.result("a", SPENT, is_strict=True).verdict == "PASS"
    assert [each.is_real for each in (result(tally), result(told), tally.result("a", asked))] == [
        False,
        True,
        True,
    ]

"""Sampling plans on trial: what verdicts nd_real gives programs whose true pass rate is known.

    python -m benchmarks.plans [--runs 10000] [--seed 1]

Simulates programs that pass independently, at the rate that a plan demands, well above and well below it, and
counts the verdicts after all samples, and those that early stopping would have changed. Beside the simulated
share of PASS stands the one that Plan.pass_probability computes. The same seed prints the same table.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from pytest_mcpsmoke.order.rates import Method
from pytest_mcpsmoke.report.nd import Verdict
from pytest_mcpsmoke.tiers.plan import Plan

PLANS: Final = ((29, 0.9), (30, 0.9), (60, 0.9), (100, 0.9), (100, 0.95))  # samples, min_pass_rate
METHODS: Final[tuple[Method, ...]] = ("exact", "wilson")
ABOVE: Final = 0.99  # true rates
BELOW: Final = 0.7


class Row(NamedTuple):
    """What many runs of one plan with one program gave."""

    verdicts: Counter[Verdict]
    samples: int  # that ran with early stopping
    changed: int  # verdicts that early stopping changed


def simulate(plan: Plan, rate: float, runs: int, chance: random.Random) -> Row:
    """Run a plan many times with a program that passes at a rate; every run to its end, to compare."""
    settled = cache(plan.settled_verdict)
    verdicts: Counter[Verdict] = Counter()
    ran = changed = 0
    for _ in range(runs):
        passes = 0
        early: Verdict | None = None
        for done in range(1, plan.samples + 1):
            passes += chance.random() < rate
            if early is None:
                early = settled(passes, done - passes)
                ran += 1
        verdict = plan.verdict(passes, plan.samples)
        verdicts[verdict] += 1
        changed += early != verdict
    return Row(verdicts, ran, changed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="of each plan with each program")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    changed = total = 0
    print(f"{options.runs:,} runs a row at 95 %: percent of runs, and of samples saved by stopping early")
    print("method  samples  rate  true rate   PASS  formula   FAIL  INCONCLUSIVE  saved")
    for true_rate in (None, ABOVE, BELOW):
        for method in METHODS:
            for samples, required in PLANS:
                plan = Plan(samples=samples, min_pass_rate=required, method=method)
                rate = required if true_rate is None else true_rate
                row = simulate(plan, rate, options.runs, chance)
                print(_line(plan, rate, row, options.runs))
                changed, total = changed + row.changed, total + options.runs
    print(f"early stopping changed {changed} of {total:,} verdicts")


def _line(plan: Plan, rate: float, row: Row, runs: int) -> str:
    passed, failed, open_ = (
        100 * row.verdicts[verdict] / runs for verdict in ("PASS", "FAIL", "INCONCLUSIVE")
    )
    saved = 100 * (1 - row.samples / (runs * plan.samples))
    return (
        f"{plan.method:<6}  {plan.samples:>7}  {plan.min_pass_rate:>4}  {rate:>9}  {passed:>5.1f}"
        f"  {100 * plan.pass_probability(rate):>7.1f}  {failed:>5.1f}  {open_:>12.1f}  {saved:>5.1f}"
    )


if __name__ == "__main__":
    main()

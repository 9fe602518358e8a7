"""Whether requests were in flight at the same time, by the journals of those they arrived at."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.errors import UsageProblem


def assert_overlap(requests: Mapping[str, Entry]) -> None:
    """Raise AssertionError unless there was a moment at which all these requests were in flight.

    A request is in flight from its first byte until its answer's last, or until its connection was lost. How
    long anything took does not matter; let each be answered late (`upstream.fault.slow(0.5)`), so that they
    have time to overlap.

    Args:
        requests: What arrived, by what the failure calls it: the names of the upstreams, say.

    Raises:
        UsageProblem: There are less than two.
    """
    __tracebackhide__ = True
    if len(requests) < 2:
        raise UsageProblem(
            f"assert_overlap() compares two requests or more; give it {2 - len(requests)} more"
        )
    last = max(requests, key=lambda name: requests[name].at)
    over = [name for name, entry in requests.items() if _end(entry) <= requests[last].at]
    if over:
        raise AssertionError(
            f"not at the same time: when {last} was asked, {', '.join(over)} had been answered\n"
            + "\n".join(_lines(requests))
        )


def _end(entry: Entry) -> float:
    ends = [end for end in (entry.answered, entry.lost) if end is not None]
    return min(ends, default=math.inf)


def _lines(requests: Mapping[str, Entry]) -> list[str]:
    """Tell when each came and was answered, in seconds from the first byte of the first."""
    start = min(entry.at for entry in requests.values())
    told = []
    for name, entry in sorted(requests.items(), key=lambda item: item[1].at):
        until = "still open" if _end(entry) == math.inf else f"to {_end(entry) - start:.3f} s"
        told.append(f"  {name}: {entry.method} {entry.route}, from {entry.at - start:.3f} {until}")
    return told

"""Whether requests were in flight at the same time, told by their journals and by no clock of the test."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke import assert_overlap
from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.errors import UsageProblem

TIMES = st.integers(0, 9)


def request(at: float, answered: float | None = None, lost: float | None = None) -> Entry:
    return Entry("POST", "/mcp?x=1", [], at=at, answered=answered, lost=lost)


def test_requests_that_are_open_together_overlap() -> None:
    assert_overlap({"docs": request(1, 3), "files": request(2.9, 5), "mail": request(2)})


def test_one_after_another_is_told_with_the_times() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_overlap(
            {
                "mail": request(11.25),
                "docs": request(10, 10.5),
                "files": request(10.75, 11.25),
                "wiki": request(10, lost=11),
            }
        )
    assert str(failed.value) == (
        "not at the same time: when mail was asked, docs, files, wiki had been answered\n"
        "  docs: POST /mcp, from 0.000 to 0.500 s\n"
        "  wiki: POST /mcp, from 0.000 to 1.000 s\n"
        "  files: POST /mcp, from 0.750 to 1.250 s\n"
        "  mail: POST /mcp, from 1.250 still open"
    )


@given(st.lists(st.tuples(TIMES, TIMES).map(sorted), min_size=2, max_size=5))
def test_they_overlap_when_some_moment_is_in_all(spans: list[list[int]]) -> None:
    requests = {str(number): request(*span) for number, span in enumerate(spans)}
    moments = sorted({moment for span in spans for moment in span})
    middles = [(one + other) / 2 for one, other in pairwise(moments)]
    overlap = any(all(at < middle < end for at, end in spans) for middle in middles)
    try:
        assert_overlap(requests)
    except AssertionError:
        assert not overlap
    else:
        assert overlap


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_cannot_overlap(count: int) -> None:
    with pytest.raises(UsageProblem, match=f"give it {2 - count} more"):
        assert_overlap({str(number): request(1) for number in range(count)})

"""Known failures: what is not listed is a difference, and what is listed has to fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import expected
from conformance.expected import judge, read
from conformance.results import EXTENSION, FAILED, GROUPS, PASSED, VERSIONS, WAYS, Check, Run
from pytest_mcpsmoke.errors import UsageProblem

SCENARIOS = st.sampled_from(["ping", "caching", "tasks"])
IDS = st.sampled_from(["a", "b"])
STATUSES = st.sampled_from([PASSED, FAILED, "WARNING", "SKIPPED"])
CHECKS = st.lists(
    st.builds(
        Check,
        SCENARIOS,
        IDS,
        st.sampled_from([PASSED, FAILED, "WARNING", "SKIPPED"]),
        st.sampled_from(GROUPS),
    ),
    max_size=12,
)
ENTRIES = st.dictionaries(SCENARIOS | st.builds("{}:{}".format, SCENARIOS, IDS), st.just("known"))


@given(CHECKS, ENTRIES, st.sampled_from(VERSIONS), st.sampled_from(WAYS))
def test_every_failure_and_every_entry_is_accounted_for(
    checks: list[Check], entries: dict[str, str], version: str, way: str
) -> None:
    run = Run(version, way, tuple(checks))
    verdict = judge(run, {(version, way): entries})

    named = {name for check in run.of(FAILED) for name in (check.scenario, f"{check.scenario}:{check.id}")}
    assert set(verdict.stale) == set(entries) - named
    for check in run.of(FAILED):
        is_known = bool({check.scenario, f"{check.scenario}:{check.id}"} & set(entries))
        assert (check in [one for one, _ in verdict.expected]) == is_known
        assert (check in verdict.unexpected) == (not is_known and check.counts)
    assert verdict.is_good == (not verdict.unexpected and not verdict.stale)


@given(CHECKS)
def test_what_failed_once_may_fail_again_when_it_is_listed(checks: list[Check]) -> None:
    run = Run(VERSIONS[0], WAYS[0], tuple(checks))
    entries = {f"{check.scenario}:{check.id}": "seen" for check in run.of(FAILED) if check.counts}
    assert judge(run, {(VERSIONS[0], WAYS[0]): entries}).is_good


def test_an_entry_excuses_nothing_of_another_version_or_way() -> None:
    run = Run("2026-07-28", "direct", (Check("ping", "ping", FAILED),))
    for elsewhere in (("2025-11-25", "direct"), ("2026-07-28", "gateway")):
        verdict = judge(run, {elsewhere: {"ping": "known"}})
        assert verdict.unexpected == list(run.checks)
        assert verdict.stale == []


def test_a_failing_extension_is_no_difference_and_needs_no_entry() -> None:
    run = Run("2026-07-28", "direct", (Check("tasks", "tasks", FAILED, EXTENSION),))
    assert judge(run, {}).is_good


def test_the_file_is_read_with_its_reasons(known: Callable[[str], Path]) -> None:
    path = known(
        """
        2025-11-25:
        2026-07-28:
          direct:
            ping: because
            caching:sep-2549-ttl: >-
              it takes
              two lines
        """
    )
    assert read(path) == {
        ("2026-07-28", "direct"): {"ping": "because", "caching:sep-2549-ttl": "it takes two lines"}
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "cannot be read: while parsing"),
        ("7", "the file: expected 2025-11-25 and 2026-07-28, found 7"),
        ("2024-11-05: {}", "the file: '2024-11-05' is not known; write 2025-11-25 or 2026-07-28"),
        ("2026-07-28: {relay: {}}", "2026-07-28: 'relay' is not known; write direct or gateway"),
        ("2026-07-28: {direct: [ping]}", "2026-07-28, direct: expected 'scenario: reason' or"),
        ("2026-07-28: {direct: {ping: }}", "2026-07-28, direct: 'ping' needs a reason, in words"),
        ("2026-07-28: {direct: {ping: ' '}}", "2026-07-28, direct: 'ping' needs a reason, in words"),
        (
            "2026-07-28: {direct: {ping: a, 'ping:b': c}}",
            "'ping:b' stands beside its whole scenario",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(known: Callable[[str], Path], text: str, says: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        read(known(text))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_our_own_file_can_be_read() -> None:
    assert set(read(expected.FILE)) <= {(version, way) for version in VERSIONS for way in WAYS}

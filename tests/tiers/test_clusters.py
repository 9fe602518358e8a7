"""Failures that are alike fall together, others do not, and what is shown is short and holds no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.report.nd import Cluster
from pytest_mcpsmoke.tiers.clusters import LONGEST, Failure, clusters, normalised

ANSWERS = (
    "AssertionError: assert 'Paris' in 'It is the capital of France.'",
    "AssertionError: assert 'Paris' in 'I think you mean Lyon, do you?'",
)


def test_the_biggest_first_then_the_first_seen() -> None:
    found = clusters(
        [
            Failure(2, "AssertionError: assert 41 == 42", ("search", "fetch")),
            Failure(3, "KeyError: 'city'", ("search",)),
            Failure(5, "AssertionError: assert 41 == 42", ("search",)),
            Failure(8, "KeyError: 'city'", ("search",)),
            Failure(9, "AssertionError: assert -7.5 == 42", ("search", "fetch")),
            Failure(12, "KeyError: 'city'", ("search",)),
        ]
    )
    assert found == [
        Cluster("KeyError: 'city'", ("search",), (3, 8, 12)),
        Cluster("AssertionError: assert 41 == 42", ("search", "fetch"), (2, 9)),
        Cluster("AssertionError: assert 41 == 42", ("search",), (5,)),
    ]
    assert [cluster.path for cluster in found] == ["search", "search > fetch", "search"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assert 41 == 42", "assert 7 == 42"),
        ("assert -1.5e-9 < 0", "assert 3 < 0"),
        ("took 1,234.5ms", "took 9ms"),
        ("no call_42", "no call_7"),
        ("12345678 > 0", "1.2345678901e-05 > 0"),
        ("<Answer object at 0x7f3055>", "<Answer object at 0x10AB>"),
        ("http://127.0.0.1:43211/v1 refused", "http://127.0.0.1:8080/v1 refused"),
        ("run 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "run 00000000-0000-4000-8000-000000000000"),
        ("digest d41d8cd98f00b204", "digest 9e107d9d372bb682"),
        ("no reply to call_8Zk20Qp1aX", "no reply to call_x81Lw0Q33b"),
        ("at 2026-01-02T03:04:05.678Z", "at 2025-11-30 23:59:59+01:00"),
        ANSWERS,
        ('expected "a text of more than 20"', 'expected "another text of some length'),
        ("boom\n  where 1 = f()", "\n\nboom\n  where 2 = g()"),
        ("boom   twice", "\x1b[31mboom\x1b[0m\ttwice"),
    ],
)
def test_alike(one: str, other: str) -> None:
    assert len(clusters([Failure(1, one), Failure(2, other)])) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: 41", "KeyError: 41"),
        ("KeyError: 'city'", "KeyError: 'country'"),
        ("gpt4 refused", "gpt3 refused"),
        ("it isn't the one that we want, don't ask", "it isn't the other that we want, don't ask"),
        ("assert 'Paris' in 'x'", "assert 'Paris' not in 'x'"),
        ("deadbeat", "feedface"),  # words, as long as they hold no digit
    ],
)
def test_not_alike(one: str, other: str) -> None:
    assert len(clusters([Failure(1, one), Failure(2, other)])) == 2


def test_the_same_message_on_another_path_is_another_failure() -> None:
    paths = [("search",), ("search", "search"), ("search > search",), ()]
    assert len(clusters([Failure(at, "boom", path) for at, path in enumerate(paths)])) == 4


def test_what_is_shown_is_the_first_ones_own_words() -> None:
    (cluster,) = clusters([Failure(4, ANSWERS[0]), Failure(6, ANSWERS[1])])
    assert cluster == Cluster(ANSWERS[0], (), (4, 6))
    assert cluster.path == ""


@pytest.mark.parametrize("message", ["", " \n\t"])
def test_an_exception_may_say_nothing(message: str) -> None:
    assert clusters([Failure(1, message)]) == [Cluster("(no message)", (), (1,))]


@pytest.mark.parametrize(
    "message",
    [
        "401 for Authorization: Bearer hunter2hunter2",
        "GET http://127.0.0.1/v1?api_key=hunter2hunter2",
        "url http://user:hunter2hunter2@localhost/",
        "key sk-hunter2hunter2",
    ],
)
def test_no_secret_is_shown(message: str) -> None:
    (cluster,) = clusters([Failure(1, message, ("fetch", "with sk-hunter2hunter2"))])
    assert "hunter2" not in cluster.message + normalised(message) + cluster.path
    assert cluster.path == "fetch > with ***"


def test_no_failures() -> None:
    assert clusters([]) == []


@given(st.lists(st.tuples(st.text(), st.lists(st.text(), max_size=3))))
def test_every_failure_is_in_one_cluster(texts: list[tuple[str, list[str]]]) -> None:
    failures = [Failure(at, message, tuple(tools)) for at, (message, tools) in enumerate(texts)]
    found = clusters(failures)
    assert sorted(at for cluster in found for at in cluster.samples) == list(range(len(texts)))
    sizes = [len(cluster.samples) for cluster in found]
    assert sizes == sorted(sizes, reverse=True)


@given(st.text() | st.text("ab1'\"x0-.:_ ", min_size=500, max_size=1_500))
def test_what_is_shown_is_one_short_line(text: str) -> None:
    (cluster,) = clusters([Failure(1, text, (text, text))])
    for shown in (cluster.message, cluster.path):
        assert len(shown) <= LONGEST
        assert not shown or shown.isprintable()


@pytest.mark.parametrize("piece", ["a", "1", "a1", "'", '"', "a_", "0x", "-1.", "f"])
def test_a_long_message_is_normalised_at_once(piece: str) -> None:
    """A million characters are cut first, and no pattern goes back and forth over the rest."""
    assert len(normalised(piece * 1_000_000)) <= 1_010


@given(st.integers(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_never_tell_failures_apart(one: int, other: int, third: float) -> None:
    texts = [f"ValueError: {number} is too much" for number in (one, other, third)]
    assert {normalised(text) for text in texts} == {"ValueError: # is too much"}

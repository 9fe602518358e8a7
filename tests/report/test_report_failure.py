"""The failure of a test, as a record: short, redacted, and read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.report.failure import Failure


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("AssertionError: no", "AssertionError: no"),
        ("\n\n  a  \n\n b\n\tc\nd", "  a\n b\n\tc"),
        ("", ""),
        ("token = 'sk-live-0123456789abcdef'", "token = '***'"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 299 + "…"),
    ],
)
def test_the_beginning_of_the_message_is_kept(message: str, text: str) -> None:
    assert Failure.of("tests/test_a.py", 3, message) == ("tests/test_a.py", 3, text)


@given(st.text(), st.integers(), st.text())
def test_it_is_read_back_as_it_was(path: str, line: int, message: str) -> None:
    failure = Failure.of(path, line, message)
    assert Failure.of_record(failure._asdict()) == failure
    assert len(failure.text) <= 300
    assert len(failure.text.split("\n")) <= 3


@pytest.mark.parametrize(
    "fields",
    [
        None,
        "text",
        [],
        {},
        {"path": "a.py", "line": 1},
        {"path": "a.py", "line": "1", "text": "no"},
        {"path": None, "line": 1, "text": "no"},
        {"path": "a.py", "line": 1, "text": 2},
    ],
)
def test_what_is_no_failure_is_none(fields: Any) -> None:
    assert Failure.of_record(fields) is None


def test_fields_of_a_later_version_do_not_matter() -> None:
    assert Failure.of_record({"path": "a.py", "line": 1, "text": "no", "column": 4}) == ("a.py", 1, "no")

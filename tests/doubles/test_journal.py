"""The journal: what arrived, found by method and path, and told without secrets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.doubles.journal import Entry, Journal
from pytest_mcpsmoke.errors import UsageProblem


def entry(method: str = "POST", path: str = "/invoke", *headers: tuple[str, str], body: bytes = b"") -> Entry:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return Entry(method, path, raw, body, connection=1, at=1.0, ended=2.0)


def journal(*entries: Entry) -> Journal:
    made = Journal()
    for one in entries:
        made.note(one)
    return made


def test_headers_are_found_in_any_casing_and_kept_as_they_came() -> None:
    came = entry("GET", "/", ("X-Env", "B"), ("x-env", "A"), ("Accept", "*/*"))
    assert came.header("X-ENV") == ["B", "A"]
    assert came.header("x-none") == []
    assert came.header_names == ["X-Env", "x-env", "Accept"]


def test_a_body_is_bytes_text_and_json() -> None:
    came = entry(body=b'{"name": "add"}')
    assert (came.text, came.json) == ('{"name": "add"}', {"name": "add"})
    with pytest.raises(ValueError):
        _ = entry(body=b"{").json


def test_a_path_without_query_matches_with_any() -> None:
    noted = journal(entry("GET", "/tools?page=1&page=2"), entry("GET", "/tools"), entry("POST", "/tools"))
    assert len(noted.requests(path="/tools")) == 3
    assert [one.path for one in noted.gets("/tools?page=1&page=2")] == ["/tools?page=1&page=2"]
    assert noted[0].query == {"page": ["1", "2"]}
    assert noted.posts("/tools") == noted.requests("post", "/tools") == [noted[2]]
    assert noted.assert_one("POST") is noted[2]


def test_a_path_that_can_never_match_is_refused() -> None:
    with pytest.raises(UsageProblem, match=r'"/", without scheme and host'):
        Journal().assert_no_requests(path="http://127.0.0.1/mcp")


def test_what_arrived_is_listed_without_its_secrets() -> None:
    noted = journal(
        entry("GET", "/tools?api_key=abc", ("X-Env", "B")),
        entry(
            "POST",
            "/invoke",
            ("Authorization", "Bearer s3cret"),
            ("Cookie", "id=s3cret"),
            ("X-Auth", "s3cret"),
            body=b'{"name": "login", "arguments": {"password": "s3cret", "user": "ann"}}',
        ),
    )
    with pytest.raises(AssertionError) as failed:
        noted.assert_no_requests()
    assert str(failed.value) == (
        "no request expected, 2 arrived:\n"
        "  1. GET /tools?api_key=*** (connection 1)\n"
        "     X-Env: B\n"
        "  2. POST /invoke (connection 1)\n"
        "     Authorization: Bearer ***\n"
        "     Cookie: ***\n"
        "     X-Auth: ***\n"
        '     {"name": "login", "arguments": {"password": "***", "user": "ann"}}'
    )
    assert "s3cret" not in repr(list(noted))


def test_another_number_tells_what_came_instead() -> None:
    noted = journal(entry("GET", "/tools"))
    with pytest.raises(AssertionError) as failed:
        noted.assert_requests(2, "POST", "/invoke")
    assert str(failed.value) == (
        "2 POST /invoke requests expected, 0 arrived; what did:\n  1. GET /tools (connection 1)"
    )
    with pytest.raises(AssertionError) as failed:
        journal(entry("GET", "/tools"), entry()).assert_requests(2, "POST")
    assert str(failed.value) == (
        "2 POST requests expected, 1 arrived:\n  1. POST /invoke (connection 1)\n"
        "besides these:\n  1. GET /tools (connection 1)"
    )
    with pytest.raises(AssertionError, match=r"^1 request expected, 0 arrived: nothing at all did$"):
        Journal().assert_one()


def test_a_header_is_looked_for_in_every_request_that_is_meant() -> None:
    noted = journal(
        entry("POST", "/invoke", ("X-Env", "B"), ("Accept", "a"), ("accept", "b")),
        entry("POST", "/invoke?page=2", ("x-env", "B")),
        entry("GET", "/tools", ("X-Env", "C")),
    )
    noted.assert_header("X-ENV")
    noted.assert_header("x-env", "B", path="/invoke")
    noted.assert_header("X-Env", "C", casing="X-Env", method="get")
    noted.assert_no_header("Authorization")
    noted.assert_no_header("Accept", path="/invoke?page=2")
    with pytest.raises(AssertionError, match=r"^GET /tools arrived with X-Env: C; X-Env: B once expected"):
        noted.assert_header("X-Env", "B")


@pytest.mark.parametrize(
    ("sent", "wanted", "says"),
    [
        ([], {}, "without X-Env"),
        ([], {"value": "B"}, "without X-Env; X-Env: B once expected"),
        ([("x-env", "A")], {"value": "B"}, "with x-env: A; X-Env: B once expected"),
        (
            [("x-env", "A"), ("X-Env", "B")],
            {"value": "B"},
            "with x-env: A, X-Env: B; X-Env: B once expected",
        ),
        (
            [("X-Env", "B"), ("X-Env", "A")],
            {"value": ["A", "B"]},
            "with X-Env: B, X-Env: A; X-Env: A, X-Env: B expected",
        ),
        (
            [("x-env", "B"), ("X-Env", "B")],
            {"casing": "X-Env"},
            "with x-env; written X-Env expected",
        ),
        (
            [("x-env", "A")],
            {"value": "B", "casing": "X-ENV"},
            "with x-env: A; X-ENV: B once expected",
        ),
    ],
)
def test_a_header_that_is_not_as_expected_is_told(
    sent: list[tuple[str, str]], wanted: dict[str, Any], says: str
) -> None:
    with pytest.raises(AssertionError) as failed:
        journal(entry("POST", "/mcp", *sent)).assert_header("X-Env", **wanted)
    assert str(failed.value).splitlines()[:2] == [
        f"POST /mcp arrived {says}:",
        "  1. POST /mcp (connection 1)",
    ]


def test_a_header_that_should_not_be_there_is_told() -> None:
    with pytest.raises(AssertionError) as failed:
        journal(entry("POST", "/mcp", ("X-Env", "A")), entry("GET", "/mcp")).assert_no_header("x-env")
    assert str(failed.value) == (
        "POST /mcp arrived with X-Env: A; none expected:\n"
        "  1. POST /mcp (connection 1)\n     X-Env: A\n"
        "besides these:\n  1. GET /mcp (connection 1)"
    )


def test_secrets_that_differ_are_not_shown_but_said_to() -> None:
    with pytest.raises(AssertionError) as failed:
        journal(entry("POST", "/mcp", ("Authorization", "Bearer s3cret-1"))).assert_header(
            "authorization", "Bearer s3cret-2", method="POST", path="/mcp"
        )
    told = str(failed.value)
    assert told.splitlines()[0] == (
        "POST /mcp request arrived with Authorization: Bearer ***; "
        "authorization: Bearer *** once expected, with another value:"
    )
    assert "s3cret" not in told


@pytest.mark.parametrize("check", [Journal.assert_header, Journal.assert_no_header])
def test_headers_of_no_request_are_not_as_expected(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError, match=r"^no GET /tools request arrived; what did:\n  1. POST"):
        check(journal(entry()), "X-Env", method="GET", path="/tools")
    with pytest.raises(AssertionError, match=r"^no request arrived: nothing at all did$"):
        check(Journal(), "X-Env")


def test_whose_journal_it_is_is_told_first() -> None:
    noted = Journal(of="files")
    for check in (noted.assert_one, lambda: noted.assert_header("X-Env"), lambda: noted.wait_for(timeout=0)):
        with pytest.raises(AssertionError, match=r"^files: "):
            check()


def test_many_are_cut_short() -> None:
    with pytest.raises(AssertionError) as failed:
        journal(*[entry()] * 25).assert_no_requests()
    assert str(failed.value).splitlines()[-1] == "  … and 5 more"


def test_one_can_wait_for_what_comes_from_another_thread() -> None:
    noted = Journal()
    thread = threading.Thread(target=lambda: (time.sleep(0.01), noted.note(entry())))
    thread.start()
    assert len(noted.wait_for(1, "POST")) == 1
    thread.join()
    with pytest.raises(AssertionError, match=r"^2 POST requests expected within 0.01 s, 1 arrived"):
        noted.wait_for(2, "POST", timeout=0.01)


_SECRETS = st.text("abcdefgh", min_size=8, max_size=12)
_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_JSON = st.recursive(
    _LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
)


@given(_SECRETS, _JSON, st.sampled_from(["password", "API-Key", "access_token", "Authorization"]))
def test_no_secret_of_a_body_is_shown(secret: str, other: object, name: str) -> None:
    for body in (
        {name: secret},
        [other, {name: [secret]}],
        {"x": {name: {"y": secret}}, "z": other},
        [[name, secret]],
        [{"name": name, "value": secret}],
    ):
        assert secret not in str(entry(body=json.dumps(body).encode()))

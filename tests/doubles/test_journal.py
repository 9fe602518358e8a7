"""The journal: what arrived, found by method and path, and told without secrets."""

from __future__ import annotations

import json
import threading
import time

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

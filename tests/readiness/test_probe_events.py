"""What is kept of what travelled: bounded, in order, and without secrets; and event streams in pieces."""

from __future__ import annotations

import json
from itertools import pairwise

import anyio
import pytest
from endpoints import answering, served
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.readiness.events import Event, Evidence, secrets_of_url, show_url
from pytest_mcpsmoke.readiness.probing import probe
from pytest_mcpsmoke.readiness.streams import LARGEST, Came, EventReader, TooLarge, tools_of
from pytest_mcpsmoke.readiness.telling import evidence_lines


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host:1/mcp", "http://host:1/mcp"),
        ("http://me:word@host/mcp#a", "http://***@host/mcp#a"),
        ("http://token@host/", "http://***@host/"),
        (
            "http://h/?api_key=abc&team=blue&key=1&x-api-key=2",
            "http://h/?api_key=***&team=blue&key=***&x-api-key=***",
        ),
        ("http://h/?session_id=abcd&flag&empty=", "http://h/?session_id=***&flag&empty="),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert show_url(url) == shown


@pytest.mark.parametrize("user", ["", "me:user-word@"])
def test_secrets_never_reach_an_event_even_when_the_server_repeats_them(user: str) -> None:
    words = ["user-word", "query-word", "header word+1", "key-word-1", "header%20word%2B1"]
    app = answering(
        500, json.dumps({"bad": words}).encode(), content_type="application/json", x_echo=words[3]
    )
    headers = {"Authorization": f"Bearer {words[2]}", "x-litellm-api-key": words[3], "X-Team": "blue"}
    with served(app) as url:
        url = url.replace("http://", f"http://{user}") + "?api_key=query-word"
        found = anyio.run(lambda: probe(url, headers=headers))
    told = repr(found)
    assert [word for word in words if word in told] == ([] if user else ["user-word"])
    assert "x-team: blue" in told.lower()
    assert f"authorization: {'Basic' if user else 'Bearer'} ***" in told.replace(
        "Authorization", "authorization"
    )


def test_a_secret_is_known_as_it_stands_and_decoded() -> None:
    found = secrets_of_url("http://me:a%20word@host/?token=x%2By&team=blue")
    assert {"a%20word", "a word", "x%2By", "x+y"} <= set(found)
    assert "blue" not in found


def test_the_number_of_events_is_bounded() -> None:
    evidence = Evidence()
    for number in range(2_000):
        evidence.note("comment", str(number))
    assert len(evidence.events) == 1_001
    assert evidence.events[-1][1:3] == ("note", "more than 1,000 events: the rest is not kept")


def test_the_length_of_an_event_is_bounded() -> None:
    evidence = Evidence()
    evidence.note("event", "x" * 1_000_000)
    assert len(evidence.events[0].text) < 700


def test_equal_neighbours_are_folded() -> None:
    events = [
        Event(0.0, "request", "GET http://h"),
        *[Event(0.5, "comment", "ping")] * 9,
        Event(1.0, "body", ""),
    ]
    assert evidence_lines(events) == ["0.00 s  request   GET http://h", "0.50 s  comment   ping  (9 times)"]


STREAM = b": hi\r\n\r\nevent: tools\ndata: [1,\ndata: 2]\nid: 7\n\nretry: 5\n\n"
STREAM += b"data: \xc3\xa4\r\rdata:x\n\nevent: ping\n\n"
CAME = [
    Came(None, "hi"),
    Came("tools", "[1,\n2]"),
    Came("message", "ä"),
    Came("message", "x"),
    Came("ping", ""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_reads_the_same_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    reader, edges = EventReader(), [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    assert [came for piece in pieces for came in reader.feed(piece)] == CAME


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_whatever_comes_is_read(pieces: list[bytes]) -> None:
    reader = EventReader()
    for piece in pieces:
        list(reader.feed(piece))


@pytest.mark.parametrize("line", [b"data: " + b"x" * 30_000, b"x" * 30_000 + b"\n", b"data: xxxxxxxx\n"])
def test_an_event_that_is_too_large_is_not_kept(line: bytes) -> None:
    def read() -> None:
        reader = EventReader()
        for _ in range(LARGEST // 8):
            list(reader.feed(line))

    with pytest.raises(TooLarge, match="one event of more than 1,048,576 bytes"):
        read()


@pytest.mark.parametrize(
    ("came", "is_ping"),
    [
        (Came(None, "anything"), True),
        (Came("ping", "2025-09-19"), True),
        (Came("heartbeat", "{}"), True),
        (Came("message", ""), True),
        (Came("message", "ping"), True),
        (Came("message", '{"jsonrpc": "2.0", "id": 1, "method": "ping"}'), True),
        (Came("message", '{"jsonrpc": "2.0", "id": 1, "result": {}}'), False),
        (Came("tools", "[]"), False),
    ],
)
def test_signs_of_life(came: Came, is_ping: bool) -> None:
    assert came.is_ping is is_ping


@pytest.mark.parametrize(
    ("came", "tools"),
    [
        (Came("tools", '[{"name": "a"}, {"name": "b"}]'), ("a", "b")),
        (Came("tools", '{"tools": []}'), ()),
        (Came("message", '{"tools": [{"name": "a"}]}'), ("a",)),
        (Came("message", '[{"name": "a"}]'), None),
        (Came("message", '{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}'), None),
        (Came("tools", '[{"name": 1}]'), None),
        (Came("tools", '["a"]'), None),
        (Came("tools", "no JSON"), None),
        (Came(None, "[]"), None),
    ],
)
def test_a_catalogue_without_mcp(came: Came, tools: tuple[str, ...] | None) -> None:
    assert tools_of(came) == tools

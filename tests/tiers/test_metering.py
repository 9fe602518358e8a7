"""What an answer tells of itself is read whatever its shape, and wherever its chunks are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.tiers.metering import Events, Meter, Reading, amount, asked_model

SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"


def read(body: bytes, kind: str = JSON, cuts: list[int] | None = None) -> Reading:
    meter = Meter(kind)
    edges = [0, *sorted(cuts or []), len(body)]
    for start, end in pairwise(edges):
        meter.feed(body[start:end])
    meter.end()
    return meter.reading()


def whole(told: Any) -> Reading:
    return read(json.dumps(told).encode())


def streamed(*told: Any) -> Reading:
    return read(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in told), SSE)


def calls(*names: str) -> list[dict[str, Any]]:
    return [{"id": f"c{at}", "type": "function", "function": {"name": n}} for at, n in enumerate(names)]


USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


@pytest.mark.parametrize(
    ("told", "reading"),
    [
        (
            {"model": "m", "choices": [{"message": {"tool_calls": calls("a", "b", "a")}}], "usage": USAGE},
            Reading("m", 7, 5, None, ("a", "b", "a")),
        ),
        (
            {"model": "m", "choices": [{"message": {"content": "x"}}], "usage": {**USAGE, "cost": 0.25}},
            Reading("m", 7, 5, 0.25),
        ),
        (
            {"choices": [{"message": {"function_call": {"name": "old"}}}]},
            Reading(tools=("old",)),
        ),
        (
            {"choices": [{"message": {"tool_calls": [{"type": "custom", "custom": {"name": "own"}}]}}]},
            Reading(tools=("own",)),
        ),
        (
            {"model": "e", "data": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}},
            Reading("e", 9, 0),
        ),
        (  # responses
            {
                "model": "r",
                "error": None,
                "output": [{"type": "message"}, {"type": "function_call", "id": "f", "name": "a"}],
                "usage": {"input_tokens": 3, "output_tokens": 2},
            },
            Reading("r", 3, 2, None, ("a",)),
        ),
        (  # messages
            {
                "model": "c",
                "content": [{"type": "text"}, {"type": "tool_use", "id": "t", "name": "a"}],
                "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 2},
            },
            Reading("c", 13, 2, None, ("a",)),
        ),
        (
            {"error": {"code": 502, "message": "down"}},
            Reading(error="HTTP 502"),
        ),
        (
            {"error": {"code": "server_error"}},
            Reading(error="error in the answer"),
        ),
        ({"choices": [{"message": {"tool_calls": "x"}}, 1], "usage": [], "model": 3}, Reading()),
        ({"usage": {"prompt_tokens": True, "completion_tokens": -1, "cost": "much"}}, Reading()),
        ([1], Reading()),
    ],
)
def test_a_whole_answer(told: Any, reading: Reading) -> None:
    assert whole(told) == reading


def delta(*pieces: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": index, "delta": {"tool_calls": list(pieces)}}]}


@pytest.mark.parametrize(
    ("told", "reading"),
    [
        (  # OpenAI: the name once, then the arguments; usage in a chunk of its own
            [
                delta({"index": 0, "id": "c", "function": {"name": "weather", "arguments": ""}}),
                delta({"index": 0, "function": {"arguments": "{}"}}),
                delta({"index": 1, "id": "d", "function": {"name": "weather", "arguments": "{}"}}),
                {"choices": [], "usage": USAGE},
            ],
            Reading("m", 7, 5, None, ("weather", "weather")),
        ),
        (  # the name in pieces, and again with each piece
            [
                delta({"index": 0, "function": {"name": "wea"}}, {"index": 1, "function": {"name": "t"}}),
                delta({"index": 0, "function": {"name": "ther"}}, {"index": 1, "function": {"name": "t"}}),
            ],
            Reading("m", tools=("weather", "t")),
        ),
        (  # several choices; no index
            [
                delta({"id": "a", "function": {"name": "x"}}, {"id": "b", "function": {"name": "y"}}),
                delta({"id": "a", "function": {"name": "x"}}, index=1),
            ],
            Reading("m", tools=("x", "y", "x")),
        ),
        (  # usage of the answer so far in every chunk
            [{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": n}} for n in range(4)],
            Reading(None, 7, 3),
        ),
        (  # responses
            [
                {
                    "type": "response.output_item.added",
                    "item": {"type": "function_call", "id": "f", "name": "a"},
                },
                {
                    "type": "response.completed",
                    "response": {
                        "model": "r",
                        "error": None,
                        "output": [{"type": "function_call", "id": "f", "name": "a"}],
                        "usage": {"input_tokens": 3, "output_tokens": 2},
                    },
                },
            ],
            Reading("r", 3, 2, None, ("a",)),
        ),
        (  # messages
            [
                {
                    "type": "message_start",
                    "message": {"model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}},
                },
                {
                    "type": "content_block_start",
                    "content_block": {"type": "tool_use", "id": "t", "name": "a"},
                },
                {"type": "message_delta", "usage": {"output_tokens": 9}},
            ],
            Reading("c", 3, 9, None, ("a",)),
        ),
        (  # OpenRouter, when the provider behind it breaks down half-way
            [delta(), {"error": {"code": 429, "message": "slow down"}, "choices": [{"delta": {}}]}],
            Reading("m", error="HTTP 429"),
        ),
    ],
)
def test_a_stream(told: list[Any], reading: Reading) -> None:
    assert streamed(*told) == reading


@pytest.mark.parametrize("kind", ["audio/mpeg", "text/html", ""])
def test_what_is_neither_json_nor_a_stream_is_not_read(kind: str) -> None:
    assert read(json.dumps({"usage": USAGE}).encode(), kind) == Reading()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_broken_tells_nothing(body: bytes) -> None:
    assert read(body) == read(b"data: " + body, SSE) == Reading()


def test_a_stream_that_broke_off_tells_what_came() -> None:
    assert read(b'data: {"usage": {"prompt_tokens": 7, "completion_tokens": 5}}', SSE) == Reading(None, 7, 5)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
END = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(TEXT, END)), st.lists(st.integers(0, 200), max_size=12))
def test_events_are_the_same_wherever_the_stream_is_cut(
    events: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    stream = b": hello\n\n" + b"".join(
        b"id: 1" + end + b"data: " + text.encode() + end + b"data:x" + end + end for text, end in events
    )
    reader = Events()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    seen = [data for a, b in pairwise(edges) for data in reader.feed(stream[a:b])]
    seen += reader.end()
    assert seen == [text.encode() + b"\nx" for text, _ in events]


@given(st.lists(st.integers(0, 400), max_size=30))
def test_a_reading_is_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    told = [
        delta({"index": 0, "function": {"name": "wetter_für_zürich", "arguments": ""}}),
        delta({"index": 0, "function": {"arguments": '{"city": "Zürich"}'}}),
        {"choices": [], "usage": USAGE},
    ]
    stream = b"".join(b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\r\n\r\n" for one in told)
    stream += b"data: [DONE]\r\n\r\n"
    assert read(stream, SSE, cuts) == Reading("m", 7, 5, None, ("wetter_für_zürich",))


def test_a_stream_tells_as_soon_as_it_knows_and_an_answer_at_its_end() -> None:
    told = json.dumps({"usage": USAGE}).encode()
    stream, answer = Meter(SSE), Meter(JSON)
    stream.feed(b"data: " + told + b"\n\n")
    answer.feed(told)
    assert (stream.tells_at_end, stream.reading()) == (False, Reading(None, 7, 5))
    assert (answer.tells_at_end, answer.reading()) == (True, Reading())
    for meter in (stream, answer):
        meter.end()
        meter.end()
        assert meter.reading() == Reading(None, 7, 5)


@pytest.mark.parametrize(
    ("data", "is_over"),
    [
        (b"[DONE]", True),
        (b'{"type": "message_stop"}', True),
        (b'{"type": "response.completed"}', True),
        (b'{"type": "message_delta"}', False),
    ],
)
def test_a_stream_says_that_it_is_over(data: bytes, is_over: bool) -> None:
    meter = Meter(SSE)
    meter.feed(b"data: {}\n\n")
    assert not meter.is_over
    meter.feed(b"data: " + data + b"\n\n")
    assert meter.is_over is is_over


def test_an_event_is_seen_when_it_ends_and_not_later() -> None:
    reader = Events()
    assert list(reader.feed(b"data: 1\n")) == []
    assert list(reader.feed(b"\ndata: 2")) == [b"1"]
    assert list(reader.feed(b"\n\n")) == [b"2"]
    assert list(reader.end()) == []


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0.5, 0.5),
        ("0.5", 0.5),
        (True, None),
        ("nan", None),
        (-1, None),
        ("", None),
        (10**400, None),
    ],
)
def test_a_cost_is_a_number_from_zero_on(value: object, number: float | None) -> None:
    assert amount(value) == number


def test_the_model_that_was_asked() -> None:
    bodies = (b'{"model": "m"}', b'{"model": 3}', b"[]", b"", b"--boundary\r\n")
    assert [asked_model(body) for body in bodies] == ["m", None, None, None, None]

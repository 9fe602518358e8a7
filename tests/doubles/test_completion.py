"""Completions and their chunks: a stream is the whole, in pieces."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.doubles.completion import answer_of, chunks, completion

CALLS = st.lists(st.tuples(st.text(), st.text()), max_size=3)


def message_of(text: str | None, calls: list[tuple[str, str]]) -> dict[str, Any]:
    made = [
        {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": text, **({"tool_calls": made} if made else {})}


@given(st.one_of(st.none(), st.text()), CALLS)
def test_the_chunks_put_together_are_the_message(text: str | None, calls: list[tuple[str, str]]) -> None:
    whole = completion(1, "m", message_of(text, calls), [])
    content, made = "", []
    pieces = list(chunks(whole))
    for delta in (piece["choices"][0]["delta"] for piece in pieces):
        content += delta.get("content", "")
        for part in delta.get("tool_calls", []):
            if "id" in part:
                assert part["index"] == len(made)
                made.append([part["id"], part["function"]["name"], ""])
            made[part["index"]][2] += part["function"]["arguments"]
    assert content == (text or "")
    assert made == [[f"c{at}", *call] for at, call in enumerate(calls)]
    assert {piece["id"] for piece in pieces} == {"chatcmpl-1"}
    finish = [piece["choices"][0]["finish_reason"] for piece in pieces]
    assert finish[-1] == ("tool_calls" if calls else "stop")
    assert set(finish[:-1]) <= {None}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_an_answer_is_equal_to_the_value_it_copies(value: Any) -> None:
    assert answer_of(value) == value


def test_an_answer_has_its_keys_as_attributes_and_no_others() -> None:
    answer = answer_of({"choices": [{"message": {"content": "x"}}]})
    assert answer.choices[0].message.content == "x"
    assert getattr(answer, "usage", "none") == "none"

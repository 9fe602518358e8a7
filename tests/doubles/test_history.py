"""Chat histories: those that a model's server takes, and what is wrong with the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.doubles.history import fault_of, lines_of

USER = {"role": "user", "content": "hi"}


def call(call_id: str, name: str = "t", **arguments: Any) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def calling(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def reply(call_id: str, content: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [{"role": "system", "content": "be brief"}, USER, {"role": "assistant", "content": "yes"}],
        [USER, calling(call("a")), reply("a")],
        [USER, calling(call("a"), call("b")), reply("b"), reply("a"), USER],
        [USER, calling(call("a")), reply("a"), calling(call("a")), reply("a")],  # an id may come again later
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        (USER,),
    ],
    ids=lambda messages: "-".join(message["role"] for message in messages),
)
def test_a_well_formed_history_has_no_fault(messages: Any) -> None:
    assert fault_of(messages) is None


ROLES = "it must be one of system, developer, user, assistant, tool"
CONTENT = "it must be a text or a list of parts"
UNCALLED = "which no message before it calls"
BAD_CALL = {"id": "a", "type": "function", "function": {"name": "t", "arguments": {}}}


@pytest.mark.parametrize(
    ("messages", "fault", "at"),
    [
        ([], "the history is empty", 0),
        ("hi", "the history is 'hi', not a list of messages", 0),
        (None, "the history is None, not a list of messages", 0),
        ([USER, "hi"], "a message is 'hi', not an object", 1),
        (
            [{"content": "x"}],
            f"the role is None; {ROLES}",
            0,
        ),
        ([{"role": "user"}], f"the content is None; {CONTENT}", 0),
        ([{"role": "user", "content": 3}], f"the content is 3; {CONTENT}", 0),
        (
            [{"role": "assistant", "content": None}],
            f"the content is None; {CONTENT}",
            0,
        ),
        (
            [{**USER, "tool_calls": [call("a")]}],
            "tool_calls must be a list that is not empty, of an assistant message",
            0,
        ),
        ([calling()], "tool_calls must be a list that is not empty, of an assistant message", 0),
        ([calling({**call("a"), "id": ""})], "tool call t() as  has no id", 0),
        ([calling({**call("a"), "type": "x"})], "tool call a is not of type function", 0),
        ([calling({"id": "a", "type": "function", "function": {}})], "tool call a has no function.name", 0),
        ([calling(BAD_CALL)], "tool call a: the arguments are {}, not JSON text", 0),
        ([USER, {"role": "tool", "content": "x"}], "a reply of a tool has no tool_call_id", 1),
        ([USER, reply("a")], f"a reply to a, {UNCALLED}", 1),
        ([USER, calling(call("a", "clock")), USER], "no reply to tool call a (clock)", 2),
        ([USER, calling(call("a", "x"), call("b", "y"))], "no reply to tool call a (x), tool call b (y)", 1),
        ([USER, calling(call("a"), call("b")), reply("a")], "no reply to tool call b (t)", 2),
        ([USER, calling(call("a")), reply("a"), reply("a")], "tool call a has two replies", 3),
        ([USER, calling(call("a"), call("a")), reply("a")], "two tool calls of one message have the id a", 1),
        (
            [USER, calling(call("a")), reply("b"), reply("a")],
            "a reply to b, which no message before it calls",
            2,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_fault_is_told_with_its_message(messages: Any, fault: str, at: int) -> None:
    assert fault_of(messages) == (fault, at)


def test_a_history_is_shown_line_by_line_without_secrets() -> None:
    messages = [USER, calling(call("a", "login", password="hunter22")), reply("a", "token=hunter22"), 3]
    assert lines_of(messages, 2) == [
        "  0 user      'hi'",
        "  1 assistant calls login(password=str ***) as a",
        "> 2 tool      a: 'token=***'",
        "  3 3",
    ]


GROUPS = st.lists(
    st.one_of(
        st.just([USER]),
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True).flatmap(
            lambda ids: st.permutations(ids).map(lambda order: [calling(*map(call, ids)), *map(reply, order)])
        ),
    ),
    min_size=1,
    max_size=5,
)


@given(GROUPS, st.data())
def test_whole_groups_are_well_formed_and_a_missing_reply_is_not(groups: Any, data: Any) -> None:
    messages = [message for group in groups for message in group]
    assert fault_of(messages) is None
    replies = [at for at, message in enumerate(messages) if message["role"] == "tool"]
    if replies:
        lost = data.draw(st.sampled_from(replies))
        fault = fault_of(messages[:lost] + messages[lost + 1 :])
        assert fault is not None
        assert fault[0].startswith("no reply to")

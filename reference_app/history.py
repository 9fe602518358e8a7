"""Keeps the history that a model is sent within bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]


def prune(
    messages: Sequence[Message], *, max_messages: int, max_chars: int, question: int | None = None
) -> list[Message]:
    """Returns the newest messages that fit, in their order.

    A tool call and its replies stay or go together. System messages, the question and the newest group
    always stay, even where they alone exceed a bound: without them the model could not answer.

    Args:
        messages: The whole history, oldest first.
        max_messages: How many messages to keep.
        max_chars: How many characters of content and tool calls to keep.
        question: The index of the user's message that the run is about.
    """
    groups = _groups(messages)
    kept = {i for i, group in enumerate(groups) if _is_pinned(messages, group, question)}
    if groups:
        kept.add(len(groups) - 1)
    room = max_messages - sum(len(groups[i]) for i in kept)
    chars = max_chars - sum(_chars(messages, groups[i]) for i in kept)
    for i in range(len(groups) - 1, -1, -1):
        if i in kept:
            continue
        room -= len(groups[i])
        chars -= _chars(messages, groups[i])
        # Stop at the first group that does not fit: a history with a hole in it misleads the model.
        if room < 0 or chars < 0:
            break
        kept.add(i)
    return [messages[j] for i in sorted(kept) for j in groups[i]]


def _groups(messages: Sequence[Message]) -> list[range]:
    """Returns ranges of indices: a message with tool calls, its replies, and whatever stands between."""
    groups: list[range] = []
    asked: dict[str, int] = {}  # call id -> the message that asks for it
    for index, message in enumerate(messages):
        start = index
        if message.get("role") == "tool":
            above = groups[-1].start if groups and messages[groups[-1].start].get("tool_calls") else index
            start = asked.get(str(message.get("tool_call_id")), above)
        while groups and groups[-1].stop > start:
            start = min(start, groups.pop().start)
        groups.append(range(start, index + 1))
        asked.update((call_id, index) for call_id in _call_ids(message))
    return groups


def _call_ids(message: Message) -> list[str]:
    calls = message.get("tool_calls")
    return (
        [str(call.get("id")) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )


def _is_pinned(messages: Sequence[Message], group: range, question: int | None) -> bool:
    instructions = any(messages[index].get("role") in ("system", "developer") for index in group)
    return instructions or question in group


def _chars(messages: Sequence[Message], group: range) -> int:
    return sum(_length(messages[i].get("content")) + _length(messages[i].get("tool_calls")) for i in group)


def _length(value: object) -> int:
    if not value:
        return 0
    return len(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

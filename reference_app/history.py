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
    """Returns ranges of indices; a message with tool calls and the replies after it share one."""
    groups: list[range] = []
    for index, message in enumerate(messages):
        if message.get("role") == "tool" and groups and messages[groups[-1].start].get("tool_calls"):
            groups[-1] = range(groups[-1].start, index + 1)
        else:
            groups.append(range(index, index + 1))
    return groups


def _is_pinned(messages: Sequence[Message], group: range, question: int | None) -> bool:
    return messages[group.start].get("role") == "system" or group.start == question


def _chars(messages: Sequence[Message], group: range) -> int:
    return sum(_length(messages[i].get("content")) + _length(messages[i].get("tool_calls")) for i in group)


def _length(value: object) -> int:
    if not value:
        return 0
    return len(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

"""Whether a chat history is one that a model's server would take: every tool call has its reply, in place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pytest_mcpsmoke.doubles.wording import call_text
from pytest_mcpsmoke.state.describe import describe

_ROLES: Final = ("system", "developer", "user", "assistant", "tool")


def fault_of(messages: object) -> tuple[str, int] | None:
    """What is wrong first, and with which message (its index, from 0); None for a well-formed history.

    Source of the rules: OpenAI's API reference, "Create chat completion", `messages`.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return f"the history is {describe(messages)}, not a list of messages", 0
    if not messages:
        return "the history is empty", 0
    for at, message in enumerate(messages):
        fault = _message_fault(message)
        if fault:
            return fault, at
    return _pairing_fault(messages)


def lines_of(messages: object, marked: int | None = None) -> list[str]:
    """A history line by line: index, role and what the message holds; `>` before the marked one."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return [f"  {describe(messages)}"]
    return [
        f"{'>' if at == marked else ' '} {at} {message_text(message, role_width=9)}"
        for at, message in enumerate(messages)
    ]


def message_text(message: object, role_width: int = 0) -> str:
    """One message on one line, its role first, without secrets."""
    if not isinstance(message, Mapping):
        return describe(message)
    role = str(message.get("role"))
    if role == "tool":
        replied = describe(message.get("content"), "content")
        return f"{role:{role_width}} {message.get('tool_call_id')}: {replied}"
    parts = []
    if message.get("content") or not message.get("tool_calls"):
        parts.append(describe(message.get("content"), "content"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, Sequence) else []:
        parts.append(f"calls {_call_text(call)}")
    return f"{role:{role_width}} {', '.join(parts)}"


def _call_text(call: object) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        return describe(call)
    arguments = _arguments(function.get("arguments"))
    return f"{call_text(str(function.get('name')), arguments)} as {call.get('id')}"


def _arguments(text: object) -> dict[str, Any] | None:
    try:
        arguments = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _message_fault(message: object) -> str | None:
    if not isinstance(message, Mapping):
        return f"a message is {describe(message)}, not an object"
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if role not in _ROLES:
        return f"the role is {describe(role)}; it must be one of {', '.join(_ROLES)}"
    if "tool_calls" in message and (role != "assistant" or not isinstance(calls, list) or not calls):
        return "tool_calls must be a list that is not empty, of an assistant message"
    if not isinstance(content, str | list) and not (content is None and calls):
        return f"the content is {describe(content)}; it must be a text or a list of parts"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return "a reply of a tool has no tool_call_id"
    return next((fault for call in calls or [] if (fault := _call_fault(call))), None)


def _call_fault(call: object) -> str | None:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str) or not call["id"]:
        return f"tool call {_call_text(call)} has no id"
    if call.get("type") != "function" or not isinstance(function, Mapping):
        return f"tool call {call['id']} is not of type function"
    if not isinstance(function.get("name"), str) or not function["name"]:
        return f"tool call {call['id']} has no function.name"
    if not isinstance(function.get("arguments"), str):
        return (
            f"tool call {call['id']}: the arguments are {describe(function.get('arguments'))}, not JSON text"
        )
    return None


def _pairing_fault(messages: Sequence[Mapping[str, Any]]) -> tuple[str, int] | None:
    waiting: dict[str, str] = {}  # id of a call that has no reply yet -> its tool
    answered: set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            fault = _reply_fault(message["tool_call_id"], waiting, answered)
            if fault:
                return fault, at
            continue
        if waiting:
            return _unanswered(waiting), at
        answered.clear()
        for call_id, name in _ids(message):
            if call_id in waiting:
                return f"two tool calls of one message have the id {call_id}", at
            waiting[call_id] = name
    return (_unanswered(waiting), len(messages) - 1) if waiting else None


def _reply_fault(call_id: str, waiting: dict[str, str], answered: set[str]) -> str | None:
    if call_id in answered:
        return f"tool call {call_id} has two replies"
    if call_id not in waiting:
        return f"a reply to {call_id}, which no message before it calls"
    del waiting[call_id]
    answered.add(call_id)
    return None


def _unanswered(waiting: dict[str, str]) -> str:
    return "no reply to " + ", ".join(f"tool call {call_id} ({name})" for call_id, name in waiting.items())


def _ids(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for call in message.get("tool_calls") or []:
        yield call["id"], call["function"]["name"]

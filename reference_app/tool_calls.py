"""Runs the tool calls of one model answer, so that every call gets a reply."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reference_app.tools import MCPInvoker, decode_arguments

NAMELESS = "unnamed"  # a model's server refuses a history in which a call names no tool


@dataclass(frozen=True)
class ToolCall:
    """One call a model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str

    def as_openai(self) -> dict[str, Any]:
        """Returns the call as it stands in an assistant message."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True)
class ToolInvocation:
    """What became of one call: whether the invoker was asked, with what success, and the reply's text."""

    id: str
    name: str
    arguments: str
    ran: bool
    ok: bool
    text: str
    ms: float

    def as_message(self) -> dict[str, Any]:
        """Returns the reply as it stands in the history."""
        return {"role": "tool", "tool_call_id": self.id, "content": self.text}


def wire_text(text: str) -> str:
    """Returns the text with lone surrogates replaced: JSON may carry them, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def describe(error: BaseException) -> str:
    """Returns what an exception says, or its type when it says nothing."""
    return wire_text(str(error)) or type(error).__name__


def parse_calls(raw: object, step: int) -> list[ToolCall]:
    """Returns the calls in a model's `tool_calls`, however badly formed; one without an id gets one."""
    entries = raw if isinstance(raw, list) else []
    return [_parse_call(entry, f"call_{step}_{index}") for index, entry in enumerate(entries)]


def _parse_call(entry: object, default_id: str) -> ToolCall:
    call = entry if isinstance(entry, dict) else {}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = _json_text(arguments)
    call_id = wire_text(str(call.get("id") or default_id))
    return ToolCall(call_id, wire_text(str(function.get("name") or NAMELESS)), wire_text(arguments))


def _json_text(value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(type(value))  # no JSON object: the call is refused with it


def refuse(calls: Sequence[ToolCall], why: str) -> list[ToolInvocation]:
    """Returns a reply for each call that is not run."""
    return [_failed(call, why, ran=False, ms=0.0) for call in calls]


async def run_calls(
    calls: Sequence[ToolCall], mcp: MCPInvoker, *, limit: int, concurrency: int
) -> list[ToolInvocation]:
    """Runs the first `limit` calls, at most `concurrency` at a time; returns one reply per call, in order."""
    slots = asyncio.Semaphore(concurrency)

    async def in_a_slot(call: ToolCall) -> ToolInvocation:
        async with slots:
            return await _run(call, mcp)

    async with asyncio.TaskGroup() as group:  # whatever ends the run, none of its tasks outlives it
        tasks = [group.create_task(in_a_slot(call)) for call in calls[:limit]]
    over = f"not run: more than {limit} tool calls in one step"
    return [*(task.result() for task in tasks), *refuse(calls[limit:], over)]


async def _run(call: ToolCall, mcp: MCPInvoker) -> ToolInvocation:
    try:
        arguments = decode_arguments(call.arguments)
    except ValueError as error:
        return _failed(call, describe(error), ran=False, ms=0.0)
    openai_tool = call.as_openai()
    openai_tool["function"]["arguments"] = arguments
    start = time.perf_counter()
    try:
        text = _as_text(await mcp.call_openai_tool(openai_tool))
    except Exception as error:  # a tool may fail in any way, and the model has to hear of it
        return _failed(call, describe(error), ran=True, ms=_ms_since(start))
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        return _failed(call, describe(error), ran=True, ms=_ms_since(start))  # the tool cancelled itself
    return ToolInvocation(call.id, call.name, call.arguments, True, True, text, _ms_since(start))


def _as_text(reply: object) -> str:
    """Returns a reply as text; an invoker that breaks its promise and gives a JSON value is forgiven."""
    return wire_text(reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False))


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(call: ToolCall, why: str, *, ran: bool, ms: float) -> ToolInvocation:
    return ToolInvocation(call.id, call.name, call.arguments, ran, False, f"error: {why}", ms)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000.0

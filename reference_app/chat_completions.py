"""Tells a run of the agent in OpenAI's words: a chat completion, whole or streamed, or an error."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import JSONResponse

from reference_app.mini_agent import AgentResult
from reference_app.tool_calls import wire_text

PATHS = ("/v1/chat/completions", "/chat/completions")
PIECE_CHARS = 48  # of text in one chunk of a stream


def completion(result: AgentResult, answer: dict[str, Any], model: str) -> dict[str, Any]:
    """Returns the chat completion for a run.

    Args:
        result: The run.
        answer: What `POST /agent/run` would answer, of which the agent's report is taken.
        model: The model that was asked for; named when no model ran.
    """
    report = ("stopped_reason", "metrics", "last_tool_invocation", "warnings")
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": result.metrics.used_model or model,
        "choices": [_choice(result)],
        "usage": result.usage,
        "agent": {name: answer[name] for name in report if name in answer},
    }


def _choice(result: AgentResult) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": result.final_answer}
    if result.calls_for_caller:
        message["tool_calls"] = [call.as_openai() for call in result.calls_for_caller]
    if result.calls_for_caller:
        finish = "tool_calls"
    else:
        finish = "stop" if result.final_answer is not None else "length"
    return {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}


async def stream(whole: dict[str, Any], include_usage: bool) -> AsyncIterator[str]:
    """Yields a completion as server-sent events: chunks, then `data: [DONE]`.

    A run is over before the first chunk, so that whatever goes wrong has a status of its own.
    """
    choice = whole["choices"][0]
    for delta in _deltas(choice["message"]):
        yield _event(whole, [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}])
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"], "logprobs": None}
    yield _event(whole, [last], **{name: whole[name] for name in ("agent",) if name in whole})
    if include_usage:
        yield _event(whole, [], usage=whole["usage"])
    yield "data: [DONE]\n\n"


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    text = message["content"] or ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[at : at + PIECE_CHARS]} for at in range(0, len(text), PIECE_CHARS)]
    calls = message.get("tool_calls", [])
    deltas += [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(calls)]
    return deltas


def _event(whole: dict[str, Any], choices: list[dict[str, Any]], **more: Any) -> str:
    head = {name: whole[name] for name in ("id", "created", "model")}
    chunk = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
    # ASCII: some readers take U+2028 and U+0085 for the end of a line.
    return f"data: {json.dumps(chunk, ensure_ascii=True)}\n\n"


def error(status: int, message: str, param: str | None = None) -> JSONResponse:
    """Returns an error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "api_error"
    fault = {"message": wire_text(message), "type": kind, "param": param, "code": None}
    # OpenAI's clients repeat a request after a 5xx by themselves; its tools may have run already.
    headers = {"x-should-retry": "false"} if status >= 500 else None
    return JSONResponse({"error": fault}, status_code=status, headers=headers)

"""Chat completions as OpenAI-compatible servers give them: whole, and as the chunks of a stream.

Source of the shapes: OpenAI's API reference, "The chat completion object" and "… chunk object".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

CREATED: Final = 1_700_000_000  # seconds since the epoch; the same in every run
_PIECE: Final = 8  # characters of a tool call's arguments in one chunk
_TOKEN: Final = 4  # characters; a rough count is all that a double can give


class Answer(dict[str, Any]):
    """A JSON object whose keys are attributes, too: routers hand out one or the other."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def answer_of(value: Any) -> Any:
    """A copy of a JSON value in which every object is an Answer."""
    if isinstance(value, Mapping):
        return Answer({key: answer_of(item) for key, item in value.items()})
    return [answer_of(item) for item in value] if isinstance(value, list) else value


def completion(number: int, model: str, message: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    """A whole completion, the number-th of a double, that answers the messages `asked`."""
    message = {"role": "assistant", "content": None, **message}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
            }
        ],
        "usage": _usage(asked, message),
    }


def chunks(whole: Mapping[str, Any], include_usage: bool = False) -> Iterator[dict[str, Any]]:
    """The chunks that a completion is streamed in: words of a text, pieces of a call's arguments."""
    head = {key: whole[key] for key in ("id", "created", "model") if key in whole}
    choice = whole["choices"][0]
    message = choice["message"]

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return {**head, "object": "chat.completion.chunk", "choices": choices}

    yield chunk({"role": "assistant", "content": ""})
    if isinstance(message.get("content"), str):
        for word in _words(message["content"]):
            yield chunk({"content": word})
    for at, call in enumerate(message.get("tool_calls") or []):
        for part in _call_parts(call):
            yield chunk({"tool_calls": [{"index": at, **part}]})
    yield chunk({}, choice.get("finish_reason"))
    if include_usage:
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": whole.get("usage")}


def _words(text: str) -> Iterator[str]:
    start = 0
    for at, char in enumerate(text):
        if char == " ":
            yield text[start : at + 1]
            start = at + 1
    if start < len(text):
        yield text[start:]


def _call_parts(call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or ""
    yield {**call, "function": {**function, "arguments": ""}}
    for at in range(0, len(arguments), _PIECE):
        yield {"function": {"arguments": arguments[at : at + _PIECE]}}


def _usage(asked: Any, message: Mapping[str, Any]) -> dict[str, int]:
    prompt, answer = (max(1, len(json.dumps(part, default=str)) // _TOKEN) for part in (asked, message))
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}

"""What a model's answer tells about itself, read while it passes: tokens, cost, and the tools it called.

Sources of the shapes: the API references of OpenAI (chat completions, responses, embeddings), Anthropic
(messages) and OpenRouter (`usage.cost`, errors inside a stream).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, Final, NamedTuple

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_LAST: Final = ("message_stop", "response.completed", "response.incomplete")
_CACHED: Final = ("cache_creation_input_tokens", "cache_read_input_tokens")  # Anthropic counts them apart


class Reading(NamedTuple):
    """What an answer told; None and () for what it did not."""

    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    tools: tuple[str, ...] = ()  # names, one for each call, in order
    error: str | None = None  # why an answer with status 200 is none, as "HTTP 502" or "error in the answer"


class Meter:
    """Reads one answer, whatever its chunks are."""

    def __init__(self, content_type: str) -> None:
        """content_type: of the answer; one that is neither JSON nor an event stream is not read."""
        kind = content_type.partition(";")[0].strip().lower()
        self._events = Events() if kind == "text/event-stream" else None
        self._is_json = kind.endswith("json")
        self._is_over = False
        self._body: list[bytes] = []
        self._tally = _Tally()

    @property
    def is_stream(self) -> bool:
        """Whether the answer is an event stream."""
        return self._events is not None

    @property
    def tells_at_end(self) -> bool:
        """Whether nothing is known before the last byte was taken."""
        return self._is_json

    @property
    def is_over(self) -> bool:
        """Whether a stream has said that it is over; many programs leave then."""
        return self._is_over

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer."""
        if self._events is not None:
            for data in self._events.feed(chunk):
                told = _object(data)
                self._tally.take(told)
                self._is_over |= data.strip() == b"[DONE]" or told.get("type") in _LAST
        elif self._is_json:
            self._body.append(chunk)

    def end(self) -> None:
        """Say that no more bytes will come, whether the answer has ended or broken off."""
        rest = list(self._events.end()) if self._events is not None else [b"".join(self._body)]
        self._body = []
        for data in rest:
            self._tally.take(_object(data))

    def reading(self) -> Reading:
        """Return what was told so far."""
        return self._tally.reading()


class Events:
    """The data of server-sent events, as the bytes come in (HTML standard, 9.2.6)."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # of a line that has not ended
        self._data: list[bytes] = []  # of an event that has not ended

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each event that ends in these bytes."""
        self._rest.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            return
        lines = _LINE_END.split(b"".join(self._rest))
        rest = lines.pop()
        if not rest and chunk.endswith(b"\r"):  # half of a line's end, perhaps
            rest = lines.pop() + b"\r"
        self._rest = [rest]
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[bytes]:
        """Yield the data of what is left when the stream has ended, broken off or not."""
        rest = b"".join(self._rest).rstrip(b"\r")
        self._rest = []
        yield from self._line(rest)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            yield b"\n".join(self._data)
            self._data = []


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object; {} for what is none, as `[DONE]`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class _Tally:
    """What the objects of one answer tell: one of a whole answer, many of a stream."""

    def __init__(self) -> None:
        self._model: str | None = None
        self._prompt: int | None = None
        self._completion: int | None = None
        self._cost: float | None = None
        self._error: str | None = None
        self._tools: dict[object, str] = {}

    def reading(self) -> Reading:
        completion = self._completion
        if completion is None and self._prompt is not None:
            completion = 0  # embeddings complete nothing
        tools = tuple(name for name in self._tools.values() if name)
        return Reading(self._model, self._prompt, completion, self._cost, tools, self._error)

    def take(self, told: dict[str, Any]) -> None:
        for part in (told, _dict(told.get("message")), _dict(told.get("response"))):
            self._head(part)
            self._usage(_dict(part.get("usage")))
        for at, choice in enumerate(_dicts(told.get("choices"))):
            self._choice(choice.get("index", at), choice)
        self._items(told)

    def _head(self, part: dict[str, Any]) -> None:
        if isinstance(part.get("model"), str):
            self._model = part["model"]
        if isinstance(part.get("error"), dict):
            code = part["error"].get("code")
            self._error = f"HTTP {code}" if type(code) is int else "error in the answer"

    def _usage(self, usage: dict[str, Any]) -> None:
        """A stream may tell it again and again, each time of the whole answer so far."""
        prompt = _count(usage.get("prompt_tokens"))
        if prompt is None and (prompt := _count(usage.get("input_tokens"))) is not None:
            prompt += sum(_count(usage.get(name)) or 0 for name in _CACHED)
        completion = _count(usage.get("completion_tokens"))
        if completion is None:
            completion = _count(usage.get("output_tokens"))
        cost = amount(usage.get("cost"))
        self._prompt = self._prompt if prompt is None else prompt
        self._completion = self._completion if completion is None else completion
        self._cost = self._cost if cost is None else cost

    def _choice(self, index: object, choice: dict[str, Any]) -> None:
        """Chat completions: whole calls of a message, or pieces of calls in deltas."""
        for message, is_whole in ((choice.get("message"), True), (choice.get("delta"), False)):
            calls = _dicts(_dict(message).get("tool_calls"))
            for at, call in enumerate(calls):
                key = at if is_whole else call.get("index", call.get("id"))
                self._call((index, str(key)), _dict(call.get("function") or call.get("custom")).get("name"))
            self._call((index, "function_call"), _dict(_dict(message).get("function_call")).get("name"))

    def _items(self, told: dict[str, Any]) -> None:
        """Responses and messages: items of the answer, whole or announced one by one in a stream."""
        items = [
            *_dicts(told.get("output")),
            *_dicts(told.get("content")),
            *_dicts(_dict(told.get("response")).get("output")),
            _dict(told.get("item")),
            _dict(told.get("content_block")),
        ]
        for item in items:
            if item.get("type") in ("function_call", "custom_tool_call", "tool_use"):
                key = item.get("id") or item.get("call_id") or len(self._tools)
                self._call(("item", str(key)), item.get("name"))

    def _call(self, key: object, name: object) -> None:
        """A name comes at once, in pieces, or again with every piece of the arguments."""
        if isinstance(name, str) and name:
            known = self._tools.get(key, "")
            self._tools[key] = known if known == name else known + name


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def amount(value: object) -> float | None:
    """Return a cost as a number, from a number or its text; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and number >= 0 else None


def asked_model(body: bytes) -> str | None:
    """Return the model that a request's body names; None when it names none."""
    model = _object(body).get("model")
    return model if isinstance(model, str) else None

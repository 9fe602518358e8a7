"""The scripted model as an OpenAI-compatible server: `POST …/chat/completions` and `GET …/models`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_mcpsmoke.doubles.asgi_reply import Exchange
from pytest_mcpsmoke.doubles.completion import CREATED, chunks
from pytest_mcpsmoke.doubles.loopback import Receive, Scope, Send
from pytest_mcpsmoke.doubles.replies import (
    Disconnect,
    Malformed,
    RateLimited,
    Status,
    waited,
    without_exceptions,
)
from pytest_mcpsmoke.errors import UnexpectedCall

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.model import ScriptedModel, Turn

_OWN = ("model", "messages", "tools", "stream")  # fields of the body that a Turn names


class ModelServer:
    """An ASGI application that asks a scripted model."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        if exchange.path.endswith("/models") and exchange.method == "GET":
            await exchange.answer(_models())
        elif exchange.path.endswith("/chat/completions") and exchange.method == "POST":
            await self._complete(exchange)
        else:
            await exchange.answer(_error(404, f"no {exchange.method} {exchange.path} here"))

    async def _complete(self, exchange: Exchange) -> None:
        try:
            asked = json.loads(await exchange.body())
            model, messages = asked["model"], asked["messages"]
        except (ValueError, LookupError, TypeError):
            await exchange.answer(_error(400, "send a JSON object with model and messages"))
            return
        stream = bool(asked.get("stream"))
        options = {key: value for key, value in asked.items() if key not in _OWN}
        try:
            turn, reply = self._model.begin(model, messages, asked.get("tools"), stream, options)
            reply = await self._settled(turn, reply)
        except UnexpectedCall as refused:  # the model has kept it for the test
            reply = _error(501, str(refused))
        if stream and not isinstance(reply, Status | Malformed):
            await _stream(exchange, reply, options)
        else:
            await exchange.answer(reply)

    async def _settled(self, turn: Turn, reply: Any) -> Any:
        """A reply as the server gives it, exceptions and refusals as a status."""
        reply = await waited(reply)
        if isinstance(reply, RateLimited):
            self._model.again(reply.then)
            reply = reply.refusal()
        reply = without_exceptions(reply)
        if isinstance(reply, Status):
            return _error(reply.code, reply.body, reply.headers) if isinstance(reply.body, str) else reply
        if isinstance(reply, Disconnect):
            return Disconnect(await self._model.rendered(turn, reply.then), reply.after)
        return reply if isinstance(reply, Malformed) else await self._model.rendered(turn, reply)


async def _stream(exchange: Exchange, reply: Any, options: Mapping[str, Any]) -> None:
    include_usage = bool((options.get("stream_options") or {}).get("include_usage"))
    if isinstance(reply, Disconnect):
        if reply.after == 0:
            await exchange.answer(reply)
        else:
            await exchange.stream(_events(reply.then, include_usage), cut_after=reply.after)
        return
    await exchange.stream(_events(reply, include_usage))


def _events(whole: Mapping[str, Any], include_usage: bool) -> Iterator[bytes]:
    for chunk in chunks(whole, include_usage):
        yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def _error(code: int, message: str, headers: Mapping[str, str] | None = None) -> Status:
    kind = "rate_limit_error" if code == 429 else "invalid_request_error" if code < 500 else "server_error"
    return Status(
        code, {"error": {"message": message, "type": kind, "code": None, "param": None}}, headers or {}
    )


def _models() -> dict[str, Any]:
    model = {"id": "scripted", "object": "model", "created": CREATED, "owned_by": "mcpsmoke"}
    return {"object": "list", "data": [model]}

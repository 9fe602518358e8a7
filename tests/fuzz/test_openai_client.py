"""OpenAI's own client gets on with the chat completions, over ASGI and with its streams, tools and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
import openai
import pytest

from reference_app import mini_agent
from reference_app.agent_proxy import app

T = TypeVar("T")
USER: Any = {"role": "user", "content": "hi"}
LOOKUP: Any = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


def ask(talk: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
    """Lets a client of the app talk, and closes it."""

    async def run() -> T:
        transport = httpx2.ASGITransport(app)
        http = httpx2.AsyncClient(transport=transport)
        async with openai.AsyncOpenAI(base_url="http://app/v1", api_key="any", http_client=http) as client:
            return await talk(client)

    return asyncio.run(run())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the model was asked; it answers `answer_with`'s messages, at first "Done"."""
    requests: list[dict[str, Any]] = []

    async def model(**request: Any) -> dict[str, Any]:
        requests.append(request)
        if request["model"] == "broken":
            raise mini_agent.ModelError("HTTP 500: boom")
        message: dict[str, Any] = {"role": "assistant", "content": "Done, é \u2028 and more"}
        if request.get("tools") == [LOOKUP]:
            call = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"q": 1}'}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        return {"choices": [{"message": message}], "usage": usage}

    monkeypatch.setattr(mini_agent, "arouter_call", model)
    return requests


def test_a_completion(asked: list[dict[str, Any]]) -> None:
    completion = ask(
        lambda client: client.chat.completions.create(
            model="m", messages=[USER], temperature=0.5, metadata={"a": "b"}, extra_body={"max_iterations": 2}
        )
    )
    assert completion.choices[0].message.content == "Done, é \u2028 and more"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 7
    assert completion.model_extra is not None
    assert completion.model_extra["agent"]["stopped_reason"] == "success"
    assert asked == [{"model": "m", "messages": [USER], "stream": False, "temperature": 0.5}]


@pytest.mark.usefixtures("asked")
def test_a_stream() -> None:
    async def read(client: openai.AsyncOpenAI) -> tuple[str, Any]:
        options: Any = {"include_usage": True}
        text, usage = "", None
        stream = await client.chat.completions.create(
            model="m", messages=[USER], stream=True, stream_options=options
        )
        async for chunk in stream:
            usage = chunk.usage
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
        return text, usage

    text, usage = ask(read)
    assert text == "Done, é \u2028 and more"
    assert usage.prompt_tokens == 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.usefixtures("asked")
def test_calls_of_the_client_s_tools(stream: bool) -> None:
    async def read(client: openai.AsyncOpenAI) -> list[tuple[str | None, str | None]]:
        answer: Any = await client.chat.completions.create(
            model="m", messages=[USER], tools=[LOOKUP], stream=stream
        )
        if not stream:
            calls = answer.choices[0].message.tool_calls
        else:
            calls = [call async for chunk in answer for call in chunk.choices[0].delta.tool_calls or []]
        return [(call.function.name, call.function.arguments) for call in calls]

    assert ask(read) == [("lookup", '{"q": 1}')]


def test_a_failed_run_is_not_repeated(asked: list[dict[str, Any]]) -> None:
    with pytest.raises(openai.InternalServerError, match="model 'broken' failed: HTTP 500: boom"):
        ask(lambda client: client.chat.completions.create(model="broken", messages=[USER]))
    assert len(asked) == 1  # by itself the client repeats what ended in a 5xx, twice


@pytest.mark.usefixtures("asked")
def test_a_refusal_names_its_field() -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(
            lambda client: client.chat.completions.create(
                model="m", messages=[USER], extra_body={"tool_backend": "smtp"}
            )
        )
    assert refused.value.param == "tool_backend"
    assert "unknown tool_backend 'smtp'" in str(refused.value)

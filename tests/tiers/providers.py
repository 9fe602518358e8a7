"""Small providers for the relay to stand before, and the ways in which programs ask them."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest

from pytest_mcpsmoke.doubles.loopback import App
from pytest_mcpsmoke.tiers.relay import ModelRelay

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-2",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
}
JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream")


def event(told: Any) -> bytes:
    return b"data: " + json.dumps(told).encode() + b"\n\n"


async def body_of(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def answering(status: int = 200, told: Any = ANSWER, *headers: tuple[bytes, bytes]) -> App:
    """Answers every request alike. told: bytes, or a JSON value."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        length = (b"content-length", b"%d" % len(body))
        await send(
            {"type": "http.response.start", "status": status, "headers": [*(headers or [JSON]), length]}
        )
        await send({"type": "http.response.body", "body": body})

    return app


class Gated:
    """Streams its first chunk, and the rest when it is told to go on; or is silent until then.

    Attributes:
        asked: Is set when a request has arrived.
        go_on: Set it to let it answer.
        left: Is set when the client has left before the end.
    """

    def __init__(self, first: bytes | None, *rest: bytes) -> None:
        self.first, self.rest = first, rest
        self.asked, self.go_on, self.left = threading.Event(), threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        self.asked.set()
        if self.first is not None:
            await self.begin(send)
            await send({"type": "http.response.body", "body": self.first, "more_body": True})
        leaving = asyncio.create_task(receive())
        while not self.go_on.is_set():
            await asyncio.sleep(0.002)
            if leaving.done():
                self.left.set()
                return
        leaving.cancel()
        if self.first is None:
            await self.begin(send)
        for chunk in self.rest:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def begin(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [SSE]})


async def breaking_off(scope: Any, receive: Any, send: Any) -> None:
    """Closes the connection: on /half within the body, else before the head."""
    await body_of(receive)
    if scope["path"].startswith("/half"):
        headers = [JSON, (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"usage', "more_body": True})
    scope["state"]["cut"]()


# programs: each posts JSON to a path below a base URL, and returns status and body

Answered = tuple[int, bytes]


def by_httpx(base_url: str, key: str, path: str, asked: Any) -> Answered:
    return _by_client(httpx, base_url, key, path, asked)


def by_httpx2(base_url: str, key: str, path: str, asked: Any) -> Answered:
    return _by_client(httpx2, base_url, key, path, asked)


def _by_client(module: Any, base_url: str, key: str, path: str, asked: Any) -> Answered:
    with module.Client(trust_env=False, timeout=30) as client:
        answer = client.post(base_url + path, json=asked, headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.content


def by_async_httpx(base_url: str, key: str, path: str, asked: Any) -> Answered:
    return asyncio.run(_by_async_client(httpx, base_url, key, path, asked))


def by_async_httpx2(base_url: str, key: str, path: str, asked: Any) -> Answered:
    return asyncio.run(_by_async_client(httpx2, base_url, key, path, asked))


async def _by_async_client(module: Any, base_url: str, key: str, path: str, asked: Any) -> Answered:
    async with module.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(base_url + path, json=asked, headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.content


def by_urllib(base_url: str, key: str, path: str, asked: Any) -> Answered:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(base_url + path, json.dumps(asked).encode(), headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def by_http_client(base_url: str, key: str, path: str, asked: Any) -> Answered:
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", parts.path + path, json.dumps(asked), {"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def by_aiohttp(base_url: str, key: str, path: str, asked: Any) -> Answered:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> Answered:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
            session.post(base_url + path, json=asked) as answer,
        ):
            return answer.status, await answer.read()

    return asyncio.run(main())


def by_requests(base_url: str, key: str, path: str, asked: Any) -> Answered:
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(base_url + path, json=asked, headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.content


def by_openai(base_url: str, key: str, path: str, asked: Any) -> Answered:
    openai = pytest.importorskip("openai")
    with httpx.Client(trust_env=False, timeout=30) as client:
        made = openai.OpenAI(base_url=base_url, api_key=key, http_client=client, max_retries=0)
        answer = made.chat.completions.with_raw_response.create(**asked)
        return answer.status_code, answer.content


PROGRAMS: tuple[Callable[[str, str, str, Any], Answered], ...] = (
    *(by_httpx, by_httpx2, by_async_httpx, by_async_httpx2),
    *(by_urllib, by_http_client, by_requests, by_aiohttp, by_openai),
)


def ask(relay: ModelRelay, asked: Any = ASKED, path: str = "/chat/completions") -> Answered:
    """One call of the model, by a library that nothing in these tests patches."""
    return by_http_client(relay.base_url, relay.api_key, path, asked)


def failure(answered: Answered) -> tuple[int, str, str]:
    """Status, code and message of an error of the relay's own."""
    status, body = answered
    error = json.loads(body)["error"]
    assert (error["type"], error["param"]) == ("mcpsmoke", None)
    return status, error["code"], error["message"]

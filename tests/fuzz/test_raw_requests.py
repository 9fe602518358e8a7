"""Requests that no schema describes: broken bytes, absurd numbers and headers, wrong types. None is a 5xx."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_app.agent_proxy import app

PATHS = [
    "/ready",
    "/healthz",
    "/agent/run",
    "/v1/chat/completions",
    "/chat/completions",
    "/openapi.json",
    "/no",
]
POSTS = PATHS[2:5]
GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WORDS = json.dumps(GOOD).encode()
DEEP = b"[" * 100 + b"]" * 100
few = settings(max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


def send(method: str, path: str, content: bytes = b"", headers: Any = ()) -> httpx.Response:
    """Sends one request as it stands, and checks what holds for every answer."""

    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            request = httpx.Request(method, f"http://app{path}", headers=list(headers), content=content)
            return await client.send(request)

    response = asyncio.run(exchange())
    assert response.status_code < 500, response.text
    if response.status_code >= 400 and method != "HEAD":
        error = response.json()
        says = error["error"]["message"] if path in POSTS[1:] else error["detail"]
        assert isinstance(says, str)
        assert says
    return response


def post(path: str, content: bytes, content_type: str = "application/json") -> httpx.Response:
    return send("POST", path, content, [("Content-Type", content_type)])


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"null",
        b"0",
        b'"text"',
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe\xfd",
        b'{"model": "m\xff"}',
        "{}".encode("utf-16"),
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"1" * 10_000,
        b"-1e999",
        b"NaN",
        WORDS[:-1] + b', "max_iterations": ' + b"9" * 5_000 + b"}",
        WORDS[:-1] + b', "max_iterations": ' + b"9" * 4_000 + b"}",
        WORDS[:-1] + b', "max_iterations": 1e400}',
        WORDS[:-1] + b', "max_total_seconds": ' + b"9" * 4_000 + b"}",
        WORDS[:-1] + b', "max_total_seconds": 1e400}',
        WORDS[:-1] + b', "tool_http_headers": {"\\u0000": "\\u0000"}}',
        WORDS[:-1] + b', "tool_http_headers": {"X": ' + DEEP + b"}}",
        WORDS[:-1] + b', "tool_backend": "\\ud800"}',
        WORDS[:-1] + b', "tool_backend": "http"}',
        WORDS[:-1] + b', "tool_backend": "http", "tool_http_base_url": null}',
        WORDS[:-1] + b', "tool_backend": "http", "tool_http_base_url": "http://\\ud800"}',
        WORDS[:-1] + b', "tool_backend": "http", "tool_http_base_url": "http://[::1"}',
        WORDS[:-1] + b', "messages": [' + DEEP + b"]}",
        WORDS[:-1] + b', "messages": [{"role": "user", "content": ' + DEEP + b"}]}",
        WORDS[:-1] + b', "messages": [{"role": "\\ud800"}]}',
    ],
    ids=lambda content: repr(content[-40:]),
)
def test_no_bytes_make_it_fail(path: str, content: bytes) -> None:
    assert 400 <= post(path, content).status_code < 500


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + WORDS,
        WORDS.decode().encode("utf-16"),
        WORDS[:-1] + b', "model": "second", "model": "third"}',
        WORDS[:-1] + b', "messages": [{"role": "user", "content": ' + DEEP[2:-2][:94] + b"]" * 47 + b"}]}",
        WORDS[:-1] + b', "' + b"k" * 100_000 + b'": 1}',
        b" " * 100_000 + WORDS,
    ],
    ids=["a BOM", "UTF-16", "duplicate keys", "deep", "a long key", "blanks"],
)
def test_odd_bytes_are_read_or_refused(path: str, content: bytes) -> None:
    post(path, content)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/json; charset=klingon",
        "a/b/c",
        ";",
    ],
)
def test_another_content_type_is_no_failure(path: str, content_type: str) -> None:
    post(path, WORDS, content_type)


ABSURD: list[list[tuple[bytes, bytes]]] = [
    [(b"X-Long", b"x" * 100_000)],
    [(b"X-Bytes", bytes(range(128, 256)))],
    [(b"Content-Length", b"-1")],
    [(b"Content-Length", b"many")],
    [(b"Host", b"")],
    [(b"Host", b"\xff/../:x")],
    [(b"Accept", b"nothing/at-all")],
    [(b"Authorization", b"Bearer \xff")],
    [(b"Cookie", b"=;=;\xff")],
    [(b"Content-Type", b"application/json"), (b"content-type", b"text/plain")],
    [(f"X-{number}".encode(), b"y") for number in range(2_000)],
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", ABSURD, ids=lambda headers: repr(headers[0])[:40])
def test_no_headers_make_it_fail(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    send("POST" if path in POSTS else "GET", path, WORDS if path in POSTS else b"", headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADE-UP"]
)
def test_no_method_makes_it_fail(method: str, path: str) -> None:
    send(method, path, WORDS)


@few
@given(content=st.binary(max_size=200), path=st.sampled_from(POSTS))
def test_any_bytes(content: bytes, path: str) -> None:
    post(path, content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    *("messages", "model", "tool_backend", "tool_http_base_url", "tool_http_headers", "use_tools"),
    *(
        "max_iterations",
        "max_total_seconds",
        "escalate_on_budget_exceeded",
        "escalate_model",
        "enable_repair",
    ),
    *(
        "auto_run_code_on_code_block",
        "stream",
        "stream_options",
        "n",
        "tools",
        "tool_choice",
        "temperature",
        "stop",
    ),
]


@few
@given(fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), path=st.sampled_from(POSTS))
def test_any_json_in_any_field(fields: dict[str, Any], path: str) -> None:
    post(path, json.dumps({**GOOD, **fields}).encode())


@few
@given(
    messages=st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"])},
            optional={"content": JSON, "tool_calls": JSON, "tool_call_id": JSON, "name": JSON},
        ),
        max_size=6,
    ),
    path=st.sampled_from(POSTS),
)
def test_any_history(messages: list[dict[str, Any]], path: str) -> None:
    body = {**GOOD, "messages": messages, "tool_backend": "echo", "use_tools": True}
    post(path, json.dumps(body).encode())

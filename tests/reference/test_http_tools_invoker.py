"""The invoker for tool servers over HTTP: what it sends, how often, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import respx

from reference_app import http_tools_invoker
from reference_app.http_tools_invoker import HttpToolsInvoker, ToolServerError, retry_delay

pytestmark = pytest.mark.smoke

BASE = "http://tools.test/api"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


@pytest.fixture
def wire() -> Iterator[respx.Router]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records how long the invoker waits, and does not wait."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(http_tools_invoker, "asyncio", SimpleNamespace(sleep=sleep))
    return seconds


def invoke(headers: dict[str, str] | None = None, call: dict[str, Any] = CALL) -> str:
    return asyncio.run(HttpToolsInvoker(BASE + "/", headers).call_openai_tool(call))


def catalogue() -> list[dict[str, Any]]:
    return asyncio.run(HttpToolsInvoker(BASE).list_openai_tools())


def sent(route: respx.Route) -> list[tuple[str, Any, str | None]]:
    requests = [call.request for call in route.calls]
    return [(str(r.url), json.loads(r.content), r.headers.get("X-Key")) for r in requests]


def test_it_gets_the_catalogue_from_tools(wire: respx.Router) -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    route = wire.get("/tools").respond(json=tools)
    assert catalogue() == tools
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (503, "y" * 300, "HTTP 503: " + "y" * 256),
        (400, "", "HTTP 400: "),
        (200, '{"tools": []}', "the tool catalogue is not a JSON list of objects"),
        (200, '["add"]', "the tool catalogue is not a JSON list of objects"),
    ],
)
def test_a_catalogue_that_cannot_be_had_is_an_error(
    wire: respx.Router, status: int, body: str, says: str
) -> None:
    wire.get("/tools").respond(status, text=body)
    with pytest.raises(ToolServerError) as error:
        catalogue()
    assert str(error.value) == says


def test_a_catalogue_that_is_not_json_is_an_error(wire: respx.Router) -> None:
    wire.get("/tools").respond(200, text="<html>")
    with pytest.raises(ToolServerError, match=r"^the tool catalogue is not JSON: "):
        catalogue()


def test_it_posts_name_and_arguments_to_invoke(wire: respx.Router) -> None:
    route = wire.post("/invoke").respond(json={"text": "2"})
    assert invoke({"X-Key": "k"}) == "2"
    assert sent(route) == [(f"{BASE}/invoke", {"name": "add", "arguments": {"a": 1}}, "k")]


def test_arguments_go_out_as_they_are_and_default_to_none_at_all(wire: respx.Router) -> None:
    route = wire.post("/invoke").respond(json={"text": "2"})
    invoke(call={"function": {"name": "add", "arguments": '{"a": 1}'}})
    invoke(call={})
    assert [body for _, body, _ in sent(route)] == [
        {"name": "add", "arguments": '{"a": 1}'},
        {"name": "", "arguments": {}},
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("plain words", "plain words"),
        ("", ""),
        ('{"text": "t", "result": "r", "answer": "a"}', "t"),
        ('{"answer": "a", "result": "r"}', "r"),
        ('{"text": 1, "result": null, "answer": "a"}', "a"),
        ('{"text": "", "answer": "a"}', ""),
        ('{"text": {"é": 1}}', '{"text": {"é": 1}}'),
        ("[1, 2]", "[1, 2]"),
        ('"quoted"', '"quoted"'),
        ("null", "null"),
    ],
)
def test_the_reply_is_the_first_text_of_a_dict_else_the_json_else_the_body(
    wire: respx.Router, body: str, text: str
) -> None:
    wire.post("/invoke").respond(200, text=body)
    assert invoke() == text


@pytest.mark.parametrize("status", [400, 401, 404, 408, 425, 500, 502, 503, 504])
def test_any_error_but_429_is_one_post_and_an_error(
    wire: respx.Router, waits: list[float], status: int
) -> None:
    route = wire.post("/invoke").respond(status, text="x" * 300, headers={"Retry-After": "1"})
    with pytest.raises(ToolServerError) as error:
        invoke()
    assert str(error.value) == f"HTTP {status}: " + "x" * 256
    assert (route.call_count, waits) == (1, [])


@pytest.mark.parametrize("status", [200, 201, 302, 399])
def test_a_status_below_400_is_one_post(wire: respx.Router, waits: list[float], status: int) -> None:
    route = wire.post("/invoke").respond(status, json={"text": "ok"})
    assert invoke() == "ok"
    assert (route.call_count, waits) == (1, [])


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("late")])
def test_a_lost_connection_is_one_post(wire: respx.Router, error: httpx.HTTPError) -> None:
    # The server may have run the tool: only a 429 says that it has not.
    route = wire.post("/invoke").mock(side_effect=error)
    with pytest.raises(type(error), match=str(error)):
        invoke()
    assert route.call_count == 1


def test_after_429_it_waits_and_retries_once_with_the_same_request(
    wire: respx.Router, waits: list[float]
) -> None:
    route = wire.post("/invoke")
    route.side_effect = [
        httpx.Response(429, headers={"Retry-After": "0.25"}),
        httpx.Response(200, json={"text": "ok"}),
    ]
    assert invoke({"X-Key": "k"}) == "ok"
    assert waits == [0.25]
    assert sent(route) == [(f"{BASE}/invoke", {"name": "add", "arguments": {"a": 1}}, "k")] * 2


@pytest.mark.parametrize(("second", "says"), [(429, "HTTP 429: busy"), (500, "HTTP 500: busy")])
def test_it_never_retries_twice(wire: respx.Router, waits: list[float], second: int, says: str) -> None:
    route = wire.post("/invoke")
    route.side_effect = [httpx.Response(429), httpx.Response(second, text="busy")]
    with pytest.raises(ToolServerError) as error:
        invoke()
    assert str(error.value) == says
    assert (route.call_count, waits) == (2, [0.0])


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 0.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("120", 1.0),
        ("-3", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        (format_datetime(NOW + timedelta(hours=1), usegmt=True), 1.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(hours=1)).replace("+0000", "-0000"), 1.0),
        (format_datetime((NOW + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5)))), 1.0),
        ("Fri, 99 Foo 2026 99:99:99 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_capped_at_one_second(
    retry_after: str | None, seconds: float
) -> None:
    assert retry_delay(retry_after, NOW) == seconds


def test_a_date_within_the_second_is_waited_for_to_the_millisecond() -> None:
    now = NOW - timedelta(milliseconds=250)
    assert retry_delay(format_datetime(NOW, usegmt=True), now) == 0.25


def test_headers_keep_their_casing_on_the_wire_and_stand_once(tool_server: Any) -> None:
    invoker = HttpToolsInvoker(tool_server.serve(), {"X-Env": "B", "x-lower": "c"})
    assert asyncio.run(invoker.list_openai_tools()) == []
    assert asyncio.run(invoker.call_openai_tool(CALL)) == "ok"
    assert [(r.method, r.path) for r in tool_server.journal] == [("GET", "/tools"), ("POST", "/invoke")]
    assert [r.sent("x-env", "x-lower") for r in tool_server.journal] == [
        [("X-Env", "B"), ("x-lower", "c")]
    ] * 2


def test_the_caller_s_header_dict_is_not_shared() -> None:
    headers = {"X-Env": "B"}
    invoker = HttpToolsInvoker(BASE, headers)
    headers.clear()
    assert invoker.headers == {"X-Env": "B"}


@pytest.mark.parametrize("body", ["[" * 200_000, "1" * 5_000])
def test_a_reply_that_no_reader_can_read_is_text(wire: respx.Router, body: str) -> None:
    wire.post("/invoke").respond(200, text=body)
    assert invoke() == body


def test_a_catalogue_that_no_reader_can_read_is_an_error(wire: respx.Router) -> None:
    wire.get("/tools").respond(200, text="[" * 200_000)
    with pytest.raises(ToolServerError, match=r"^the tool catalogue is not JSON: "):
        catalogue()


def test_in_a_block_all_requests_share_one_client_and_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[httpx.AsyncClient] = []

    def client(*, headers: dict[str, str], **_: Any) -> httpx.AsyncClient:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"text": "ok"}))
        made.append(httpx.AsyncClient(headers=headers, transport=transport))
        return made[-1]

    async def calls() -> list[str]:
        async with HttpToolsInvoker(BASE) as invoker:
            return await asyncio.gather(*(invoker.call_openai_tool(CALL) for _ in range(5)))

    monkeypatch.setattr(http_tools_invoker, "httpx", SimpleNamespace(AsyncClient=client))
    assert asyncio.run(calls()) == ["ok"] * 5
    assert [one.is_closed for one in made] == [True]
    asyncio.run(HttpToolsInvoker(BASE).call_openai_tool(CALL))
    asyncio.run(HttpToolsInvoker(BASE).call_openai_tool(CALL))
    assert [one.is_closed for one in made] == [True] * 3


def test_a_block_that_needs_no_client_opens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing() -> None:
        async with HttpToolsInvoker(BASE):
            pass

    monkeypatch.setattr(http_tools_invoker, "httpx", SimpleNamespace())
    asyncio.run(nothing())


def test_replacing_the_module_s_httpx_is_felt(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, str]] = []

    def client(*, headers: dict[str, str], **_: Any) -> httpx.AsyncClient:
        made.append(headers)
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"text": "replaced"}))
        return httpx.AsyncClient(headers=headers, transport=transport)

    monkeypatch.setattr(http_tools_invoker, "httpx", SimpleNamespace(AsyncClient=client))
    assert invoke({"X-Env": "B"}) == "replaced"
    assert made == [{"X-Env": "B"}]

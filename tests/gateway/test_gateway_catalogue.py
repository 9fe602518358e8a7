"""The catalogue, as events and over MCP, also when it cannot be had; and the head that waits for the body."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from by_hand import BY_KEY, LEGACY, PROTOCOLS, call, knock
from fastapi import HTTPException
from mcp import Client, MCPError
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from starlette.datastructures import Headers

from pytest_mcpsmoke import McpUpstream
from reference_app.gateway.access import Access, Caller
from reference_app.gateway.exchange import Exchange, HeldHead
from reference_app.gateway.refusal import HttpRefusal
from reference_app.gateway.settings import Key, McpServer

pytestmark = pytest.mark.smoke

Start = Callable[..., Any]
StartUpstream = Callable[[str], McpUpstream]
MODES = ("legacy", "2026-07-28")
ALIVE = ": keep-alive"


@contextmanager
def stream(gateway: Any, **headers: str) -> Iterator[Iterator[str]]:
    """Opens the catalogue's stream, and gives its lines; a line that does not come is an error after 30 s."""
    url = f"{gateway.url}/mcp/tools"
    with httpx2.stream("GET", url, headers={**BY_KEY, **headers}, timeout=30) as response:
        assert (response.status_code, response.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        yield response.iter_lines()


def event_of(lines: Iterator[str]) -> tuple[str, Any]:
    """Returns the next event; only comments may stand before it."""
    for line in lines:
        if line.startswith("event: "):
            data = next(lines)
            assert data.startswith("data: ")
            assert next(lines) == ""
            return line.removeprefix("event: "), json.loads(data.removeprefix("data: "))
        assert line in ("", ALIVE)
    raise AssertionError("the stream ended without an event")


def alive(lines: Iterator[str], times: int) -> list[str]:
    """Returns the next lines that are not empty."""
    return [line for _ in range(times) for line in [next(filter(None, lines))]]


def held_listing(upstream: McpUpstream) -> threading.Event:
    """Lets an upstream answer tools/list only when the event is set: the predicate holds its thread."""
    may_answer = threading.Event()
    upstream.fault.slow(0, on=lambda asked: asked.method == "tools/list" and may_answer.wait(30), times="any")
    return may_answer


# As events


def test_the_catalogue_is_one_event_and_then_there_are_signs_of_life(
    start: Start, start_upstream: StartUpstream
) -> None:
    files, git = start_upstream("files"), start_upstream("git")
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    files.tool("read", result="r", schema=schema, description="reads")
    files.tool("write", result="w")
    git.tool("log", result="l")
    servers = {
        "files": McpServer("http", url=files.http()),
        "git": McpServer("sse", url=git.sse(), prefix="vcs"),
    }
    with stream(start(servers, keep_alive_seconds=0.05)) as lines:
        name, data = event_of(lines)
        assert name == "tools"
        assert data["unavailable"] == {}
        assert [(tool["server"], tool["name"]) for tool in data["tools"]] == [
            ("files", "files-read"),
            ("files", "files-write"),
            ("git", "vcs-log"),
        ]
        first = data["tools"][0]
        assert (first["description"], first["inputSchema"]) == ("reads", schema)
        assert alive(lines, 3) == [ALIVE] * 3


def test_the_stream_shows_what_the_key_and_the_selection_leave(
    start: Start, start_upstream: StartUpstream
) -> None:
    upstreams = {name: start_upstream(name) for name in ("a", "b", "c")}
    for upstream in upstreams.values():
        upstream.tool("read", result="r")
        upstream.tool("write", result="w")
    gateway = start(
        {name: McpServer("http", url=upstream.http()) for name, upstream in upstreams.items()},
        {"some": (BY_KEY["x-litellm-api-key"], {"servers": ("a", "b"), "tools": {"a": ("write",)}})},
    )
    for headers, wanted in (
        ({}, ["a-write", "b-read", "b-write"]),
        ({"x-mcp-servers": "a, c"}, ["a-write"]),
        ({"x-mcp-servers": "nobody"}, []),
    ):
        with stream(gateway, **headers) as lines:
            name, data = event_of(lines)
            assert (name, [tool["name"] for tool in data["tools"]]) == ("tools", wanted)
    assert upstreams["c"].journal.connections == 0


def test_before_the_catalogue_is_there_are_signs_of_life_only(
    start: Start, start_upstream: StartUpstream
) -> None:
    upstream = start_upstream("files")
    upstream.tool("read", result="r")
    may_answer = held_listing(upstream)
    gateway = start({"files": McpServer("http", url=upstream.http())}, keep_alive_seconds=0.05)
    try:
        with stream(gateway) as lines:
            assert alive(lines, 3) == [ALIVE] * 3
            may_answer.set()
            name, data = event_of(lines)
            assert (name, [tool["name"] for tool in data["tools"]]) == ("tools", ["files-read"])
            assert alive(lines, 2) == [ALIVE] * 2
    finally:
        may_answer.set()


TROUBLE: list[tuple[str, dict[str, Any], str]] = [
    # of an upstream's answer, whatever it is asked: what is wrong with it, and what is told
    ("http", {"status": 503}, "files answered HTTP 503"),
    ("http", {"status": 404}, "files answered HTTP 404"),
    ("http", {"status": 401}, "files answered HTTP 401"),
    (
        "http",
        {"status": 307, "headers": {"Location": "http://127.0.0.1:9/?key=secret"}},
        "files answered HTTP 307",
    ),
    ("http", {"status": 200}, "files answered what its protocol does not allow"),
    (
        "http",
        {"status": 200, "body": '{"secret": 1}', "headers": {"content-type": "application/json"}},
        "files answered what its protocol does not allow",
    ),
    ("sse", {"status": 503}, "files answered HTTP 503"),
    ("sse", {"status": 404}, "files answered HTTP 404"),
]


@pytest.mark.parametrize("on", ["everything", "tools/list"])
@pytest.mark.parametrize(("transport", "fault", "told"), TROUBLE)
def test_a_catalogue_that_cannot_be_had_is_an_error_and_the_end(
    start: Start, start_upstream: StartUpstream, transport: str, fault: dict[str, Any], told: str, on: str
) -> None:
    upstream = start_upstream("files")
    upstream.fault(
        **{"body": "secret", **fault}, on=lambda asked: on in ("everything", asked.method), times="any"
    )
    server = McpServer(transport, url=getattr(upstream, transport)())
    with stream(start({"files": server}, keep_alive_seconds=0.05)) as lines:
        assert event_of(lines) == ("error", {"message": told})
        assert set(lines) <= {"", ALIVE}  # which ends


def test_an_upstream_that_only_pings_is_an_error_in_the_end(
    start: Start, start_upstream: StartUpstream
) -> None:
    upstream = start_upstream("files")
    upstream.fault.pings_only(on="tools/list", times="any")
    server = McpServer("http", url=upstream.http(), timeout_seconds=0.3)
    with stream(start({"files": server}, keep_alive_seconds=0.05)) as lines:
        assert alive(lines, 1) == [ALIVE]
        assert event_of(lines) == ("error", {"message": "files did not answer within 0.3 s"})


def test_when_none_of_several_can_be_asked_each_says_why(start: Start, start_upstream: StartUpstream) -> None:
    first, second = start_upstream("first"), start_upstream("second")
    first.fault(status=503, on="tools/list", times="any")
    second.fault(status=500, on="tools/list", times="any")
    gateway = start({each.name: McpServer("http", url=each.http()) for each in (first, second)})
    reasons = "first answered HTTP 503; second answered HTTP 500"
    with stream(gateway) as lines:
        assert event_of(lines) == ("error", {"message": f"no server could be asked: {reasons}"})


def test_what_can_be_had_is_told_with_what_cannot(start: Start, start_upstream: StartUpstream) -> None:
    files, broken = start_upstream("files"), start_upstream("broken")
    files.tool("read", result="r")
    broken.fault(status=503, on="tools/list", times="any")
    gateway = start({each.name: McpServer("http", url=each.http()) for each in (broken, files)})
    with stream(gateway) as lines:
        name, data = event_of(lines)
        assert (name, [tool["name"] for tool in data["tools"]]) == ("tools", ["files-read"])
        assert data["unavailable"] == {"broken": "broken answered HTTP 503"}


# Over MCP


@pytest.mark.parametrize("method", ["tools", "prompts", "resources", "resource_templates"])
@pytest.mark.parametrize("mode", MODES)
def test_a_listing_says_which_servers_are_not_in_it_and_why(
    start: Start, start_upstream: StartUpstream, mode: str, method: str
) -> None:
    files, broken = start_upstream("files"), start_upstream("broken")
    files.tool("read", result="r")
    files.prompt("ask", "asked")
    files.resource("x://a", "text")
    files.resource("x://{name}")(lambda name: name)
    broken.fault(status=503, on=lambda asked: asked.method.endswith("/list"), times="any")
    gateway = start({each.name: McpServer("http", url=each.http()) for each in (broken, files)})

    async def work(client: Client) -> Any:
        return await getattr(client, f"list_{method}")()

    listing = gateway.ask(work, mode=mode)
    assert len(getattr(listing, method)) == 1
    assert listing.meta["reference-app/unavailable"] == {"broken": "broken answered HTTP 503"}


@pytest.mark.parametrize("mode", MODES)
def test_a_listing_that_cannot_be_had_is_an_error(
    start: Start, start_upstream: StartUpstream, mode: str
) -> None:
    upstream = start_upstream("files")
    upstream.fault(status=503, on="tools/list", times="any")
    gateway = start({"files": McpServer("http", url=upstream.http())})

    async def work(client: Client) -> str:
        with pytest.raises(MCPError) as raised:
            await client.list_tools()
        return raised.value.error.message

    assert gateway.ask(work, mode=mode) == "files answered HTTP 503"


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_listing_names_nobody(start: Start, start_upstream: StartUpstream, mode: str) -> None:
    upstream = start_upstream("files")
    upstream.tool("read", result="r")
    gateway = start({"files": McpServer("http", url=upstream.http())})

    async def work(client: Client) -> Any:
        return await client.list_tools()

    assert "reference-app/unavailable" not in (gateway.ask(work, mode=mode).meta or {})


# Errors before the head of a response went out, and after


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"WWW-Authenticate": 'Bearer realm="policy"', "X-Policy": "p"}),
        (418, {"Retry-After": "7"}),
        (503, None),
    ],
)
@pytest.mark.parametrize("how", PROTOCOLS)
def test_an_error_of_a_handler_reaches_the_client_as_its_status_with_its_headers(
    start: Start, start_upstream: StartUpstream, how: str, status: int, headers: dict[str, str] | None
) -> None:
    upstream = start_upstream("files")
    upstream.tool("read", result="r")

    async def hook(_: Any) -> Any:
        raise HTTPException(status, "not now", headers)

    gateway = start({"files": McpServer("http", url=upstream.http())}, hooks=[hook])
    answer = call(gateway.url, how, "files-read", BY_KEY.items())
    assert (answer.status, json.loads(answer.text)) == (status, {"detail": "not now"})
    sent = {name: answer.headers.get_list(name) for name in headers or {}}
    assert sent == {name: [value] for name, value in (headers or {}).items()}
    # No trace of the answer that the SDK had begun.
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert int(answer.headers["content-length"]) == len(answer.text)
    assert "mcp-session-id" not in answer.headers


def test_an_answer_that_has_begun_is_not_replaced(start: Start, start_upstream: StartUpstream) -> None:
    """What goes wrong after the first event is an error of the protocol, under the 200 sent before."""
    upstream = start_upstream("files")

    async def read(ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        raise ToolError("too late")

    upstream.tool(read)

    gateway = start({"files": McpServer("http", url=upstream.http())})
    heard = []

    async def work(client: Client) -> Any:
        async def progress(done: float, total: float | None, message: str | None) -> None:
            heard.append((done, total))

        return await client.call_tool("files-read", {}, progress_callback=progress)

    answer = gateway.ask(work, mode="legacy")
    assert (answer.is_error, "too late" in answer.content[0].text) == (True, True)
    assert heard == [(1, 2)]


HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2")],
}
REFUSAL = HttpRefusal(403, "no", [("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Bearer")])
REFUSED = [
    {
        "type": "http.response.start",
        "status": 403,
        "headers": [
            (b"content-length", b"15"),
            (b"content-type", b"application/json"),
            (b"www-authenticate", b"Basic"),
            (b"www-authenticate", b"Bearer"),
        ],
    },
    {"type": "http.response.body", "body": b'{"detail":"no"}', "more_body": False},
]


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sent_through(*steps: Any) -> list[Any]:
    """Returns what reaches the server of what an app sends; a refusal among it is found at that point.

    `("refuse", refusal)` stands for one that is raised, a bare refusal for one that a handler found.
    """
    access = Access(Caller("k", Key("KEY", servers=())), (), Headers())
    exchange, sent = Exchange(access), []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        head = HeldHead(send, exchange)
        for step in steps:
            if isinstance(step, HttpRefusal):
                exchange.refusal = step
            elif isinstance(step, tuple):
                await head.refuse(step[1])
            else:
                await head.send(step)

    asyncio.run(run())
    return sent


def test_the_head_goes_out_with_the_first_byte_and_duplicate_headers_survive() -> None:
    assert sent_through(HEAD) == []
    assert sent_through(HEAD, body(b"")) == []
    assert sent_through(HEAD, body(b""), body(b"a")) == [HEAD, body(b"a")]
    whole = (HEAD, body(b"a"), body(b"b"), body(b"", more=False))
    assert sent_through(*whole) == list(whole)
    assert [pair for pair in sent_through(*whole)[0]["headers"] if pair[0].lower() == b"set-cookie"] == [
        (b"set-cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
    ]


def test_a_response_without_a_body_has_its_head() -> None:
    assert sent_through(HEAD, body(b"", more=False)) == [HEAD, body(b"", more=False)]
    assert sent_through(HEAD, {"type": "http.response.body"}) == [HEAD, {"type": "http.response.body"}]


@pytest.mark.parametrize(
    "steps",
    [
        [("refuse", REFUSAL)],
        [HEAD, ("refuse", REFUSAL)],
        [HEAD, body(b""), ("refuse", REFUSAL)],
        [REFUSAL, HEAD, body(b"event: error")],
        [HEAD, REFUSAL, body(b"event: error"), body(b"more"), body(b"", more=False)],
        [HEAD, body(b""), REFUSAL, body(b"event: error", more=False)],
        [HEAD, REFUSAL, body(b"", more=False)],
        [HEAD, REFUSAL, body(b"a"), ("refuse", REFUSAL)],
    ],
)
def test_before_the_first_byte_a_refusal_is_the_whole_answer(steps: list[Any]) -> None:
    assert sent_through(*steps) == REFUSED


@pytest.mark.parametrize("more", [[], [body(b"b")], [body(b"", more=False)], [("refuse", REFUSAL)]])
def test_after_it_the_stream_just_ends(more: list[Any]) -> None:
    assert sent_through(HEAD, body(b"a"), ("refuse", REFUSAL), *more) == [
        HEAD,
        body(b"a"),
        body(b"", more=False),
    ]


def test_a_refusal_that_a_handler_finds_too_late_changes_nothing() -> None:
    whole = [HEAD, body(b"a"), body(b"b", more=False)]
    assert sent_through(HEAD, body(b"a"), REFUSAL, body(b"b", more=False)) == whole
    assert sent_through(*whole, ("refuse", REFUSAL)) == whole


def test_duplicate_headers_of_an_answer_of_the_app_survive_on_the_wire(
    start: Start, start_upstream: StartUpstream
) -> None:
    upstream = start_upstream("files")
    challenges = {"WWW-Authenticate": 'Bearer realm="a"', "www-authenticate": "Basic"}
    upstream.fault(status=401, headers=challenges, times="any")
    gateway = start({"files": McpServer("http", url=upstream.http(), extra_headers=("Authorization",))})
    answer = knock(gateway.url, LEGACY, [*BY_KEY.items(), ("Authorization", "Bearer x")])
    raw = [(name, value) for name, value in answer.headers.raw if name.lower() == b"www-authenticate"]
    assert raw == [(b"www-authenticate", b'Bearer realm="a"'), (b"www-authenticate", b"Basic")]

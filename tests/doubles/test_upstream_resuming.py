"""Streams that are resumed, checked hosts, and what else a server of the SDK's can be given."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import EmptyResult, JSONRPCMessage, JSONRPCResponse, SetLevelRequestParams
from patience import wait_until

from pytest_mcpsmoke.doubles.resuming import SentEvents
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.errors import UsageProblem

SECONDS = 20.0
VERSION = "2025-11-25"
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        yield made


def message(method: str, number: int | None = None, **params: Any) -> dict[str, Any]:
    said = {"jsonrpc": "2.0", "method": method, "params": params}
    return said if number is None else {**said, "id": number}


class Session:
    """A client of 2025-11-25 without the SDK, that can lose its stream."""

    def __init__(self, url: str) -> None:
        self._url = url
        client = {"name": "test", "version": "1"}
        hello = message("initialize", 0, protocolVersion=VERSION, capabilities={}, clientInfo=client)
        opened = httpx.post(url, json=hello, headers=ACCEPT, timeout=SECONDS)
        self._headers = {
            **ACCEPT,
            "Mcp-Session-Id": opened.headers["mcp-session-id"],
            "MCP-Protocol-Version": VERSION,
        }
        self.post(message("notifications/initialized"))

    def post(self, said: dict[str, Any]) -> httpx.Response:
        return httpx.post(self._url, json=said, headers=self._headers, timeout=SECONDS)

    def call(self, tool: str, number: int, **arguments: Any) -> list[dict[str, str]]:
        """The events of the answer to a call."""
        return events(self.post(message("tools/call", number, name=tool, arguments=arguments)).text)

    def resume(self, after: str) -> list[dict[str, str]]:
        """The events that come after one, up to the answer of a call; none when the server has none."""
        headers: Any = {**self._headers, "Last-Event-ID": after.encode()}
        until = time.monotonic() + SECONDS
        with httpx.stream("GET", self._url, headers=headers, timeout=SECONDS) as answer:
            text = ""
            for piece in answer.iter_text():
                text += piece
                assert time.monotonic() < until, f"no answer came, only {text!r}"
                if '"result"' in text and text.endswith("\r\n\r\n"):
                    break
        return events(text)


def events(stream: str) -> list[dict[str, str]]:
    blocks = [block for block in stream.replace("\r\n", "\n").split("\n\n") if "id:" in block]
    return [dict(line.split(": ", 1) for line in block.split("\n") if ": " in line) for block in blocks]


def said(event: dict[str, str]) -> str:
    """The text of the result that an event carries; "" when it carries none."""
    told = json.loads(event.get("data") or "{}")
    return str(told["result"]["content"][0]["text"]) if "result" in told else ""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The streams whose calls have been answered: who comes back then gets the answer.

    Who comes back in that very moment may have to come back again: the SDK neither finds the answer among
    what was sent before nor sends it on.
    """
    streams: list[str] = []
    store = SentEvents.store_event

    async def store_event(self: SentEvents, stream_id: str, message: JSONRPCMessage | None) -> str:
        number = await store(self, stream_id, message)
        if isinstance(message, JSONRPCResponse) and "content" in message.result:
            streams.append(stream_id)
        return number

    monkeypatch.setattr(SentEvents, "store_event", store_event)
    return streams


def offer_leaving(up: McpUpstream) -> threading.Event:
    """Offer a tool that closes the stream of its call, and answers when the event is set."""
    may_answer = threading.Event()

    @up.tool
    async def leave(ctx: Context[Any, Any], what: str) -> str:
        await asyncio.sleep(0.05)  # the stream's first event is on its way
        await ctx.close_sse_stream()
        while not may_answer.is_set():
            await asyncio.sleep(0.005)
        return what

    return may_answer


def test_a_client_that_comes_back_gets_the_answer_it_missed(up: McpUpstream, kept: list[str]) -> None:
    may_answer = offer_leaving(up)
    session = Session(up.http(resumable=True, retry_ms=150))
    [first] = session.call("leave", 1, what="here")
    assert first["retry"] == "150"
    assert not said(first)
    may_answer.set()
    wait_until(lambda: kept)
    assert [text for text in map(said, session.resume(first["id"])) if text] == ["here"]


def test_two_sessions_with_the_same_ids_get_each_its_own(up: McpUpstream, kept: list[str]) -> None:
    may_answer = offer_leaving(up)
    url = up.http(resumable=True)
    sessions = [Session(url) for _ in range(3)]
    firsts = [session.call("leave", 1, what=f"of {at}") for at, session in enumerate(sessions)]
    may_answer.set()
    wait_until(lambda: len(kept) == len(sessions))
    for at, (session, [first]) in enumerate(zip(sessions, firsts, strict=True)):
        assert [text for text in map(said, session.resume(first["id"])) if text] == [f"of {at}"]


@pytest.mark.parametrize("after", ["another's", "0", "999", "x", "-1", "²"])
def test_a_number_that_is_not_the_clients_brings_nothing(up: McpUpstream, after: str) -> None:
    up.tool("secret", result="for one only")
    url = up.http(resumable=True)
    owner, other = Session(url), Session(url)
    first, *_ = owner.call("secret", 1)
    assert other.resume(first["id"] if after == "another's" else after) == []


def test_only_a_server_that_can_be_resumed_numbers_its_events(up: McpUpstream) -> None:
    up.tool("x", result="y")
    answer = Session(up.http()).post(message("tools/call", 1, name="x", arguments={}))
    assert "id: " not in answer.text
    assert '"y"' in answer.text


def test_the_sdks_client_comes_back_by_itself(up: McpUpstream) -> None:
    offer_leaving(up).set()

    async def use() -> Any:
        async with Client(up.http(resumable=True, retry_ms=10), mode="legacy") as client:
            return await client.call_tool("leave", {"what": "here"})

    assert asyncio.run(use()).content[0].text == "here"
    assert any(entry.header("last-event-id") for entry in up.journal.gets("/mcp"))


def test_a_time_to_wait_is_for_clients_that_come_back(up: McpUpstream) -> None:
    with pytest.raises(UsageProblem, match=r"^retry_ms= goes with resumable=True"):
        up.http(retry_ms=100)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "evil.example.com"}, 421),
        ({"Origin": "http://evil.example.com"}, 403),
    ],
)
def test_hosts_are_checked_on_request(up: McpUpstream, headers: dict[str, str], status: int) -> None:
    def ask(url: str) -> int:
        return httpx.post(url, json=message("tools/list", 1), headers={**ACCEPT, **headers}).status_code

    assert ask(up.http(stateless=True, check_host=True)) == status
    assert ask(up.http(stateless=True)) == 200


def test_options_go_to_the_sdks_server() -> None:
    with McpUpstream("files", version="7", instructions="Ask first.") as up:
        assert (up.server.name, up.server.version, up.server.instructions) == ("files", "7", "Ask first.")


def test_a_server_of_ones_own_has_its_options() -> None:
    with pytest.raises(UsageProblem, match=r"^version: options of a new server"):
        McpUpstream(server=MCPServer("own"), version="7")


def test_methods_without_a_word_are_handled_by_the_server_below(up: McpUpstream) -> None:
    levels: list[str] = []

    async def set_level(_: Any, params: SetLevelRequestParams) -> EmptyResult:
        levels.append(params.level)
        return EmptyResult()

    up.lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    answer = Session(up.http(json_response=True)).post(message("logging/setLevel", 1, level="error"))
    assert answer.json()["result"] == {}
    assert levels == ["error"]

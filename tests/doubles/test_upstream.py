"""The upstream is a real MCP server: the SDK's own client says so, over each transport and protocol."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.server.mcpserver import MCPServer

from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.errors import UsageProblem

TRANSPORTS: dict[str, Callable[[McpUpstream], Any]] = {
    "streamable-http": lambda up: up.http(),
    "streamable-http, stateless": lambda up: up.http(stateless=True),
    "streamable-http, json": lambda up: up.http(json_response=True),
    "sse": lambda up: sse_client(up.sse()),
    "stdio": lambda up: stdio_client(up.stdio()),
    "memory": lambda up: up.in_memory(),
}
PROTOCOLS = {"legacy": "2025-11-25", "2026-07-28": "2026-07-28", "auto": "2026-07-28"}


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        yield made


@pytest.mark.parametrize("mode", PROTOCOLS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_sdk_s_client_finds_all_that_is_offered(up: McpUpstream, transport: str, mode: str) -> None:
    @up.tool
    def add(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    @up.tool("slowly", description="Wait.")
    async def wait() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    up.tool("read", result={"text": "hello"}, schema=schema, description="Read.")
    up.tool("broken", result=ValueError("no such file"))
    up.resource("file:///a", "hello")
    up.resource("file:///b", b"\x00\x01")
    up.resource("file:///c", lambda: "made")
    up.resource("user://{name}")(lambda name: f"user {name}")
    up.prompt("greet", "Hello", description="Greet.")

    @up.prompt
    def ask(name: str) -> str:
        return f"Who is {name}?"

    async def use() -> None:
        async with Client(TRANSPORTS[transport](up), mode=mode) as client:
            assert client.protocol_version == PROTOCOLS[mode]
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert list(tools) == ["add", "slowly", "read", "broken"]
            assert tools["add"].description == "Add."
            assert tools["add"].input_schema["required"] == ["a"]
            assert tools["read"].input_schema == schema
            assert (await client.call_tool("add", {"a": 1})).structured_content == {"result": 3}
            where = "MainThread" if transport == "memory" else "mcpsmoke mcp_upstream"
            assert (await client.call_tool("slowly")).structured_content == {"result": where}
            assert (await client.call_tool("read", {"path": "a"})).structured_content == {"text": "hello"}
            broken = await client.call_tool("broken")
            assert (broken.is_error, broken.content[0].text) == (True, "no such file")  # type: ignore[union-attr]
            texts = [(await client.read_resource(f"file:///{name}")).contents[0] for name in "abc"]
            assert [getattr(text, "text", None) for text in texts] == ["hello", None, "made"]
            assert (await client.read_resource("user://ann")).contents[0].text == "user ann"  # type: ignore[union-attr]
            assert (await client.get_prompt("greet")).messages[0].content.text == "Hello"  # type: ignore[union-attr]
            asked = await client.get_prompt("ask", {"name": "Ann"})
            assert asked.messages[0].content.text == "Who is Ann?"  # type: ignore[union-attr]

    asyncio.run(use())
    assert {entry.transport for entry in up.journal} == {transport.partition(",")[0]}
    assert [call.name for call in up.tool_calls] == ["add", "slowly", "read", "broken"]
    assert up.tool_calls[0].arguments == {"a": 1}
    assert up.errors == []


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_fifty_calls_at_a_time_get_their_own_answers(up: McpUpstream, transport: str, mode: str) -> None:
    @up.tool
    async def double(n: int) -> int:
        await asyncio.sleep((50 - n) / 10_000)  # the first asked is the last answered
        return 2 * n

    async def use() -> None:
        async with Client(TRANSPORTS[transport](up), mode=mode) as client:
            results = await asyncio.gather(*(client.call_tool("double", {"n": n}) for n in range(50)))
            assert [result.structured_content for result in results] == [{"result": 2 * n} for n in range(50)]

    asyncio.run(use())
    assert sorted(call.arguments["n"] for call in up.journal.assert_called("double", times=50)) == [
        *range(50)
    ]


def test_all_transports_share_one_journal_in_order(up: McpUpstream) -> None:
    up.tool("ping-me", result="pong")

    async def use() -> None:
        for make in TRANSPORTS.values():
            async with Client(make(up), mode="2026-07-28") as client:
                await client.call_tool("ping-me")

    asyncio.run(use())
    carried = [call.entry.transport for call in up.journal.assert_called("ping-me", {}, times=6)]
    assert carried == [*["streamable-http"] * 3, "sse", "stdio", "memory"]
    assert [entry.at for entry in up.journal] == sorted(entry.at for entry in up.journal)


def test_a_session_ends_with_its_client(up: McpUpstream) -> None:
    async def use() -> None:
        async with Client(up.http(), mode="legacy") as client:
            await client.list_tools()

    asyncio.run(use())
    ended = up.journal.assert_one("DELETE", "/mcp")
    session = ended.header("mcp-session-id")
    assert session == up.journal.posts("/mcp")[-1].header("Mcp-Session-Id")
    again = httpx.post(
        up.http(),
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        headers={"Mcp-Session-Id": session[0], "Accept": "application/json, text/event-stream"},
    )
    assert again.status_code == 404


def test_raw_requests_stand_in_the_journal_as_they_arrived(up: McpUpstream) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = [("X-Env", "B"), ("x-env", "A"), ("Accept", "application/json, text/event-stream")]
    httpx.post(f"{up.http()}?q=1", json=body, headers=headers)
    came = up.journal.assert_one("POST", "/mcp")
    assert (came.path, came.json, came.header("X-ENV")) == ("/mcp?q=1", body, ["B", "A"])
    assert [name for name in came.header_names if name.lower() == "x-env"] == ["X-Env", "x-env"]


def test_an_upstream_that_nobody_asked_is_silent(up: McpUpstream) -> None:
    up.http()
    up.sse()
    up.stdio()
    up.journal.assert_no_requests()
    assert (up.calls, up.children) == ([], [])


def test_the_program_s_own_server_can_be_served(up: McpUpstream) -> None:
    server: MCPServer[Any] = MCPServer("own")
    server.add_tool(lambda: "mine", "whose")

    async def use(client: Client) -> None:
        async with client:
            assert (await client.call_tool("whose")).content[0].text == "mine"  # type: ignore[union-attr]

    with McpUpstream(server=server) as own:
        assert own.name == "own"
        asyncio.run(use(Client(own.http())))
        asyncio.run(use(own.client()))


def test_a_later_tool_takes_the_place_of_an_earlier_one(up: McpUpstream) -> None:
    up.tool("which", result="one")
    up.tool("which", result="two")

    async def use() -> None:
        async with up.client() as client:
            assert len((await client.list_tools()).tools) == 1
            assert (await client.call_tool("which")).content[0].text == "two"  # type: ignore[union-attr]

    asyncio.run(use())


def test_a_canned_error_of_the_protocol_is_one(up: McpUpstream) -> None:
    up.tool("refuses", result=MCPError(code=-32001, message="not today"))

    async def use() -> None:
        async with up.client() as client:
            with pytest.raises(MCPError, match="not today"):
                await client.call_tool("refuses")

    asyncio.run(use())


def test_a_schema_without_a_result_is_refused(up: McpUpstream) -> None:
    with pytest.raises(UsageProblem, match="made from its signature"):
        up.tool("x", schema={})  # type: ignore[call-overload]


def test_who_asks_for_a_tool_is_told_by_name_and_arguments(up: McpUpstream) -> None:
    up.tool("login", result="ok")

    async def use() -> None:
        async with up.client(mode="2026-07-28") as client:
            await client.call_tool("login", {"user": "ann", "password": "s3cret-s3cret"})

    asyncio.run(use())
    up.journal.assert_not_called("logout")
    with pytest.raises(AssertionError) as failed:
        up.journal.assert_called("login", {"user": "bob"})
    assert str(failed.value) == (
        'files: 1 call of login({"user": "bob"}) expected, 0 arrived; all that did:\n'
        '  1. tools/call login({"user": "ann", "password": "***"}) (memory)\n'
        "  2. tools/list (memory)"
    )
    assert "s3cret" not in repr(up.calls) + repr(list(up.journal))


def test_what_an_upstream_was_asked_is_counted_by_method() -> None:
    up = McpUpstream("docs")

    async def use() -> None:
        async with up.client(mode="2026-07-28") as client:
            await client.list_tools()

    asyncio.run(use())
    assert [call.method for call in up.journal.assert_rpc("tools/list")] == ["tools/list"]
    assert up.journal.assert_rpc("ping", times=0) == []
    for times, count in ((1, "1 ping"), (2, "2 pings")):
        with pytest.raises(AssertionError) as failed:
            up.journal.assert_rpc("ping", times=times)
        assert str(failed.value) == (
            f"docs: {count} expected, 0 arrived; all that did:\n  1. tools/list (memory)"
        )
    with pytest.raises(AssertionError, match=r"^docs: 2 tools/list messages expected, 1 arrived; all that"):
        up.journal.assert_rpc("tools/list", times=2)
    with pytest.raises(AssertionError, match=r"^docs: no tools/list expected, 1 arrived; all that"):
        up.journal.assert_rpc("tools/list", times=0)


def descriptors() -> list[str]:
    gc.collect()
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


def threads() -> set[threading.Thread]:
    """All but those in which asyncio, up to Python 3.11, waits for a child: they end a moment after it."""
    return {one for one in threading.enumerate() if not one.name.startswith("asyncio-waitpid-")}


def test_nothing_is_left_behind_also_of_clients_that_never_leave() -> None:
    async def use(up: McpUpstream) -> None:
        clients = [Client(make(up), mode="legacy") for make in TRANSPORTS.values()]
        for client in clients:
            await client.__aenter__()
        up.close()
        for client in reversed(clients):
            await client.__aexit__(None, None, None)

    def once() -> None:
        up = McpUpstream()
        asyncio.run(use(up))
        assert [child.ended is not None for child in up.children] == [True]

    once()  # what the first one imports stays
    before, files, handlers = threads(), descriptors(), logging.root.handlers[:]
    once()
    assert threads() <= before
    assert (descriptors(), logging.root.handlers) == (files, handlers)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_tool_that_hangs_ends_with_the_upstream(up: McpUpstream, transport: str, mode: str) -> None:
    begun: list[bool] = []
    ends: list[type[BaseException]] = []

    @up.tool
    async def hang() -> None:
        begun.append(True)
        try:
            await asyncio.sleep(600)
        except BaseException as error:
            ends.append(type(error))
            raise

    async def use() -> None:
        try:
            async with Client(TRANSPORTS[transport](up), mode=mode) as client:
                asking = asyncio.create_task(client.call_tool("hang"))
                while not begun:
                    await asyncio.sleep(0.001)
                await asyncio.to_thread(up.close)
                asking.cancel()
        except* (MCPError, httpx2.HTTPError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    asyncio.run(asyncio.wait_for(use(), 60))
    gc.collect()
    assert ends == [asyncio.CancelledError]


def test_what_is_closed_serves_no_more() -> None:
    up = McpUpstream("files")
    up.http()
    up.close()
    for ask in (up.http, up.sse, up.stdio):
        with pytest.raises(RuntimeError, match="'files', 0 requests> is closed"):
            ask()


def test_it_leaves_the_root_logger_alone() -> None:
    handlers, level = logging.root.handlers[:], logging.root.level
    logging.root.handlers[:] = []
    try:
        McpUpstream().close()
        assert (logging.root.handlers, logging.root.level) == ([], level)
    finally:
        logging.root.handlers[:] = handlers

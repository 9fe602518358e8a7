"""A published name leads to its server, which sees the bare one, in the body and in the headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from by_hand import BY_KEY, LEGACY, MODERN, call, modern, post
from mcp import Client, MCPError
from mcp.types import TextContent

from pytest_mcpsmoke import McpUpstream
from reference_app.gateway.settings import McpServer

pytestmark = pytest.mark.smoke

Start = Callable[..., Any]
StartUpstream = Callable[[str], McpUpstream]
MODES = ("legacy", "2026-07-28")
REGIONAL = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "path": {"type": "string"},
    },
}


@pytest.mark.parametrize("prefix", [None, "vcs", "", "with-hyphen"])
def test_the_upstream_sees_the_bare_name_in_body_and_header(
    start: Start, start_upstream: StartUpstream, prefix: str | None
) -> None:
    upstream = start_upstream("git")
    upstream.tool("log-all", result="logged")
    upstream.prompt("ask me", "asked")
    upstream.resource("x://ä", "text")
    published = {None: "git-", "": ""}.get(prefix, f"{prefix}-")
    gateway = start({"git": McpServer("http", url=upstream.http(), prefix=prefix)})

    async def work(client: Client) -> list[str]:
        names = [tool.name for tool in (await client.list_tools()).tools]
        names += [each.name for each in (await client.list_prompts()).prompts]
        await client.call_tool(names[0], {})
        await client.get_prompt(names[1])
        await client.read_resource("x://ä")
        return names

    assert gateway.ask(work) == [f"{published}log-all", f"{published}ask me"]
    upstream.journal.assert_routing_headers()
    named = [
        (asked.method, asked.name, asked.entry.header("mcp-name"))
        for asked in upstream.calls
        if asked.name is not None
    ]
    assert [(method, name) for method, name, _ in named] == [
        ("tools/call", "log-all"),
        ("prompts/get", "ask me"),
        ("resources/read", "x://ä"),
    ]
    assert [header for _, _, header in named][:2] == [["log-all"], ["ask me"]]


def test_what_goes_between_the_two_protocols_is_named_too(
    start: Start, start_upstream: StartUpstream
) -> None:
    """A client of the older protocol has no `Mcp-Name`; an upstream that speaks only the newer gets one."""
    upstream = start_upstream("git")
    upstream.tool("log", result="logged")
    upstream.prompt("ask", "asked")
    gateway = start({"git": McpServer("http", url=upstream.http(), protocol=MODERN)})

    async def work(client: Client) -> None:
        await client.call_tool("git-log", {})
        await client.get_prompt("git-ask")

    gateway.ask(work, mode="legacy")
    upstream.journal.assert_routing_headers()
    assert [asked.entry.header("mcp-name") for asked in upstream.calls if asked.name] == [["log"], ["ask"]]


@pytest.mark.parametrize("name", ["files-read", "files-read-read", "other-read"])
def test_a_name_is_split_behind_the_prefix(start: Start, start_upstream: StartUpstream, name: str) -> None:
    upstream, other = start_upstream("files"), start_upstream("other")
    for each in (upstream, other):
        for tool in ("read", "read-read"):
            each.tool(tool, result=f"{tool} by {each.name}")
    gateway = start({each.name: McpServer("http", url=each.http()) for each in (upstream, other)})
    server, _, tool = name.partition("-")

    async def work(client: Client) -> str:
        [block] = (await client.call_tool(name, {})).content
        assert isinstance(block, TextContent)
        return block.text

    assert gateway.ask(work) == f"{tool} by {server}"


@pytest.mark.parametrize("wrong", ["git-other", "log", "GIT-log", ""])
def test_a_request_whose_headers_name_another_tool_goes_nowhere(
    start: Start, start_upstream: StartUpstream, wrong: str
) -> None:
    upstream = start_upstream("git")
    upstream.tool("log", result="logged")
    gateway = start({"git": McpServer("http", url=upstream.http())})
    message, headers = modern("tools/call", BY_KEY.items(), name="git-log", arguments={})
    headers = [(name, wrong if name == "Mcp-Name" else value) for name, value in headers]
    answer = post(gateway.url, message, headers)
    assert answer.status == 400
    assert upstream.tool_calls == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("has_listed", [True, False])
@pytest.mark.parametrize("protocol", ["auto", "2025-11-25", "2026-07-28"])
def test_an_argument_that_a_tool_wants_in_a_header_arrives_there(
    start: Start, start_upstream: StartUpstream, protocol: str, has_listed: bool, mode: str
) -> None:
    upstream = start_upstream("store")
    upstream.tool("read", result="read", schema=REGIONAL)
    gateway = start({"store": McpServer("http", url=upstream.http(), protocol=protocol)})

    async def work(client: Client) -> Any:
        if has_listed:
            [tool] = (await client.list_tools()).tools
            assert tool.input_schema["properties"]["region"]["x-mcp-header"] == "Region"
        return (await client.call_tool("store-read", {"region": "nörth", "path": "/a"})).is_error

    assert gateway.ask(work, mode=mode) is False
    arrived = upstream.tool_calls[-1]
    assert arrived.arguments == {"region": "nörth", "path": "/a"}
    is_modern = protocol == MODERN or (protocol == "auto" and mode == MODERN)
    assert len(arrived.entry.header("mcp-param-region")) == is_modern
    if is_modern:
        upstream.journal.assert_routing_headers()
    assert [each.entry.status for each in upstream.tool_calls].count(200) == 1


def test_an_argument_that_a_hook_changes_changes_in_its_header(
    start: Start, start_upstream: StartUpstream
) -> None:
    upstream = start_upstream("store")
    upstream.tool("read", result="read", schema=REGIONAL)
    hook = lambda call: {"modified_arguments": {**call.arguments, "region": "south"}}  # noqa: E731
    gateway = start({"store": McpServer("http", url=upstream.http())}, hooks=[hook])

    async def work(client: Client) -> Any:
        await client.list_tools()
        return (await client.call_tool("store-read", {"region": "north"})).is_error

    assert gateway.ask(work) is False
    arrived = upstream.tool_calls[-1]
    assert (arrived.arguments, arrived.entry.header("mcp-param-region")) == ({"region": "south"}, ["south"])


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 404}])
@pytest.mark.parametrize("mode", MODES)
def test_a_broken_server_does_not_keep_the_resources_of_others(
    start: Start, start_upstream: StartUpstream, mode: str, fault: dict[str, int]
) -> None:
    broken, files = start_upstream("broken"), start_upstream("files")
    broken.fault(**fault, on=lambda _: True, times="any")
    files.resource("x://a", "text of a")
    gateway = start({each.name: McpServer("http", url=each.http()) for each in (broken, files)})

    async def work(client: Client) -> tuple[str, str]:
        [content] = (await client.read_resource("x://a")).contents
        with pytest.raises(MCPError) as raised:
            await client.read_resource("x://nowhere")
        return content.text, raised.value.error.message  # type: ignore[union-attr]

    assert gateway.ask(work, mode=mode) == ("text of a", f"broken answered HTTP {fault['status']}")


@pytest.mark.parametrize("how", [LEGACY, MODERN])
def test_a_call_goes_out_once(start: Start, start_upstream: StartUpstream, how: str) -> None:
    upstream = start_upstream("git")
    upstream.tool("log", result=RuntimeError("broken"))
    upstream.fault(status=503, on="tools/call", times="any")
    gateway = start({"git": McpServer("http", url=upstream.http())})
    assert "git answered HTTP 503" in call(gateway.url, how, "git-log", BY_KEY.items()).text
    assert len(upstream.tool_calls) == 1

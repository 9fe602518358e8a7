"""Upstreams of every transport behind one endpoint, in both protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client, MCPError

from pytest_mcpsmoke import McpUpstream
from reference_app.gateway.settings import McpServer

pytestmark = pytest.mark.smoke

MODES = ("legacy", "2026-07-28", "auto")


def reached(upstream: McpUpstream, transport: str) -> McpServer:
    """Returns the configuration by which a gateway reaches an upstream."""
    if transport == "stdio":
        command = upstream.stdio()
        return McpServer("stdio", command=command.command, args=tuple(command.args))
    return McpServer(transport, url=upstream.http() if transport == "http" else upstream.sse())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["http", "sse", "stdio"])
def test_tools_are_listed_and_called_under_their_servers_prefix(
    start: Callable[..., Any], start_upstream: Callable[[str], McpUpstream], transport: str, mode: str
) -> None:
    upstream = start_upstream("files")
    upstream.tool("read", result={"text": "hello"})
    gateway = start({"files": reached(upstream, transport)})

    async def work(client: Client) -> tuple[list[str], Any]:
        names = [tool.name for tool in (await client.list_tools()).tools]
        return names, (await client.call_tool("files-read", {"path": "/a"})).structured_content

    assert gateway.ask(work, mode=mode) == (["files-read"], {"text": "hello"})
    [call] = upstream.tool_calls
    assert (call.name, call.arguments) == ("read", {"path": "/a"})


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_that_nobody_has_is_told(
    start: Callable[..., Any], start_upstream: Callable[[str], McpUpstream], mode: str
) -> None:
    upstream = start_upstream("files")
    gateway = start({"files": reached(upstream, "http")})

    async def work(client: Client) -> Any:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("other-read", {})
        return raised.value.error.message

    assert gateway.ask(work, mode=mode) == "Unknown tool: other-read"
    assert upstream.tool_calls == []

"""What the gateway offers: the tools of all its servers, over MCP and as an event stream."""

import asyncio

import pytest

from pytest_mcpsmoke.readiness.probing import probe

pytestmark = pytest.mark.smoke


def test_the_event_stream_has_the_catalogue(gateway, mcp_upstream):
    mcp_upstream.tool("read", result="hello")
    started = gateway({"docs": {"url": mcp_upstream.http()}}, keep_alive_seconds=0.1)
    found = asyncio.run(probe(f"{started.url}/mcp/tools", headers=started.headers(), timeout_s=5))
    assert found.verdict == "CATALOG", f"GET /mcp/tools is {found.verdict}: {found.detail}"
    assert found.tools == ("docs-read",)


def test_one_server_that_is_down_does_not_hide_the_others(gateway, upstream):
    docs, files = upstream("docs"), upstream("files")
    docs.tool("read", result="hello")
    files.fault(status=503, times="any")
    servers = {server.name: {"url": server.http()} for server in (docs, files)}
    assert gateway(servers).tools() == ["docs-read"]

"""What becomes of a call: it reaches one server, once, under the tool's bare name."""

import pytest
from mcp import MCPError

pytestmark = pytest.mark.smoke


def test_a_call_reaches_its_server_under_the_bare_name(gateway, upstream):
    docs, files = upstream("docs"), upstream("files")
    for server in (docs, files):
        server.tool("read", result=f"of {server.name}")
    started = gateway({server.name: {"url": server.http()} for server in (docs, files)})
    result = started.call("files-read", {"path": "/a"})
    assert result.content[0].text == "of files"
    files.journal.assert_called("read", {"path": "/a"})
    files.journal.assert_routing_headers()
    docs.journal.assert_not_called("read")


def test_a_lost_answer_is_not_asked_for_again(gateway, mcp_upstream):
    mcp_upstream.tool("pay", result="paid")
    mcp_upstream.fault.disconnect(on="pay", times="any")
    with pytest.raises(MCPError, match="docs"):
        gateway({"docs": {"url": mcp_upstream.http()}}).call("docs-pay")
    mcp_upstream.journal.assert_called("pay", times=1)


def test_a_tool_that_the_key_is_not_for_is_never_called(gateway, mcp_upstream):
    mcp_upstream.tool("delete", result="gone")
    guest = {"key_env": "KEY_OF_GUEST", "servers": ["docs"], "tools": {"docs": ["read"]}}
    started = gateway({"docs": {"url": mcp_upstream.http()}}, keys={"guest": guest})
    with pytest.raises(MCPError, match="the key guest may not call docs-delete"):
        started.call("docs-delete", key="guest")
    mcp_upstream.journal.assert_not_called("delete")

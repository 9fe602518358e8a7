"""A hook sees a call before it goes out, and may change its arguments and add headers."""

import pytest

pytestmark = pytest.mark.smoke


def test_a_hook_s_header_wins_over_the_configured_one(gateway, mcp_upstream):
    def hook(call):
        return {"extra_headers": {"X-Tenant": "of-the-hook"}}

    mcp_upstream.tool("read", result="hello")
    docs = {"url": mcp_upstream.http(), "static_headers": {"X-Tenant": "of-the-file"}}
    gateway({"docs": docs}, [hook]).call("docs-read")
    mcp_upstream.journal.assert_header("X-Tenant", "of-the-hook", on="tools/call")


def test_a_hook_s_arguments_arrive(gateway, mcp_upstream):
    def hook(call):
        return {"modified_arguments": {**call.arguments, "path": "/data" + call.arguments["path"]}}

    mcp_upstream.tool("read", result="hello")
    gateway({"docs": {"url": mcp_upstream.http()}}, [hook]).call("docs-read", {"path": "/a", "lines": 3})
    mcp_upstream.journal.assert_called("read", {"path": "/data/a", "lines": 3})


def test_a_hook_is_told_of_the_key_s_owner(gateway, mcp_upstream):
    def hook(call):
        return {"extra_headers": {"X-Tenant": call.jwt_claims["tenant"]}}

    mcp_upstream.tool("read", result="hello")
    gateway({"docs": {"url": mcp_upstream.http()}}, [hook]).call("docs-read")
    mcp_upstream.journal.assert_header("X-Tenant", "acme", on="tools/call")

"""What an upstream is sent, whoever of the client, the configuration and a hook supplied it."""

import pytest

pytestmark = pytest.mark.smoke


def test_a_header_in_two_casings_is_sent_once(gateway, mcp_upstream):
    mcp_upstream.tool("read", result="hello")
    docs = {
        "url": mcp_upstream.http(),
        "extra_headers": ["x-tenant"],  # may pass, from the client
        "static_headers": {"X-Tenant": "of-the-file"},
    }
    gateway({"docs": docs}).call("docs-read", headers={"x-tenant": "of-the-client"})
    mcp_upstream.journal.assert_header("X-Tenant", "of-the-file", casing="X-Tenant")


def test_the_gateway_s_own_key_stays_with_it(gateway, mcp_upstream):
    mcp_upstream.tool("read", result="hello")
    gateway({"docs": {"url": mcp_upstream.http()}}).call("docs-read")
    mcp_upstream.journal.assert_no_header("x-litellm-api-key")


def test_only_headers_on_the_list_pass(gateway, mcp_upstream):
    mcp_upstream.tool("read", result="hello")
    docs = {"url": mcp_upstream.http(), "extra_headers": ["X-Trace"]}
    gateway({"docs": docs}).call("docs-read", headers={"X-Trace": "7", "X-Other": "8"})
    mcp_upstream.journal.assert_header("X-Trace", "7")
    mcp_upstream.journal.assert_no_header("X-Other")

"""Which servers a request is for: those of its key, narrowed by `x-mcp-servers`."""

import pytest

pytestmark = pytest.mark.smoke


@pytest.fixture
def servers(upstream):
    """Two upstreams, each with a tool."""
    both = {"docs": upstream("docs"), "files": upstream("files")}
    for server in both.values():
        server.tool("read", result="hello")
    return both


@pytest.fixture
def tools(gateway, servers):
    """The gateway's listing, as a function of the client's headers and key."""
    return gateway({name: {"url": server.http()} for name, server in servers.items()}).tools


def test_a_key_sees_its_servers_alone(tools, servers):
    assert tools(key="ops") == ["docs-read", "files-read"]
    servers["files"].journal.clear()
    assert tools(key="guest") == ["docs-read"]
    servers["files"].journal.assert_no_requests()


def test_a_selection_narrows(tools, servers):
    assert tools({"x-mcp-servers": "files"}) == ["files-read"]
    servers["docs"].journal.assert_no_requests()


def test_a_name_that_no_server_has_selects_nothing(tools):
    seen = tools({"x-mcp-servers": "dosc"})
    assert seen == [], f"x-mcp-servers: dosc names no server, and the client sees {', '.join(seen)}"


def test_a_selection_does_not_widen_what_the_key_is_for(tools, servers):
    assert tools({"x-mcp-servers": "docs, files"}, key="guest") == ["docs-read"]
    servers["files"].journal.assert_no_requests()

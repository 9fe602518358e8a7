"""Starts the gateway that is under test, here the reference gateway; to test yours, start it in `gateway`."""

import asyncio
import json
import sys
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.loopback import LoopbackServer

# Appended, so that the checkout shadows nothing that is installed.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from reference_app.config_file import read_config  # noqa: E402
from reference_app.gateway.app import build  # noqa: E402

KEYS = {  # the gateway's own; `guest` may use one server
    "ops": {"key_env": "KEY_OF_OPS", "servers": ["*"], "jwt_claims": {"tenant": "acme"}},
    "guest": {"key_env": "KEY_OF_GUEST", "servers": ["docs"]},
}
HELLO = {  # what a client says first, before protocol 2026-07-28
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "smoke", "version": "1"},
    },
}


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: a smoke test")


class Gateway:
    """The gateway, and what a client asks of it; `key` is the caller's, its other headers are `headers`."""

    def __init__(self, url):
        self.url = url

    def tools(self, headers=None, key="ops"):
        """Return the names of the tools that are listed."""
        return [tool.name for tool in self._ask(lambda client: client.list_tools(), headers, key).tools]

    def call(self, tool, arguments=None, headers=None, key="ops"):
        """Call a tool; return its result."""
        return self._ask(lambda client: client.call_tool(tool, arguments or {}), headers, key)

    def greet(self, headers=None, key="ops"):
        """Send a client's first request by hand; return the answer, with its status and headers."""
        sent = {"Accept": "application/json, text/event-stream", **self.headers(headers, key)}
        return httpx2.post(f"{self.url}/mcp", json=HELLO, headers=sent, timeout=30)

    def headers(self, headers=None, key="ops"):
        """Return what a client sends."""
        return {"x-litellm-api-key": f"sk-of-{key}", **(headers or {})}

    def _ask(self, work, headers, key):
        async def visit():
            async with self._client(self.headers(headers, key)) as client:
                try:
                    return await work(client)
                except MCPError as error:  # caught in here: out there it would stand in groups of groups
                    refusal = error
            raise refusal

        return asyncio.run(visit())

    @asynccontextmanager
    async def _client(self, headers):
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport) as client:
                yield client


@pytest.fixture
def gateway(patch_globals, tmp_path):
    """Start the gateway in this process: `gateway({"docs": {"url": …}})`, as the file configures it."""
    patch_globals.env(KEY_OF_OPS="sk-of-ops", KEY_OF_GUEST="sk-of-guest", NO_PROXY="127.0.0.1")
    with ExitStack() as stack:

        def start(servers, hooks=(), **settings):
            path = tmp_path / "config.yaml"
            servers = {name: {"transport": "http", **options} for name, options in servers.items()}
            config = {"gateway": {"keys": KEYS, **settings}, "mcp_servers": servers}
            path.write_text(json.dumps(config))  # JSON is YAML, too
            app = build(read_config(path), hooks)
            server = LoopbackServer(app, who="gateway", around=lambda: app.router.lifespan_context(app))
            return Gateway(stack.enter_context(server).url)

        yield start


@pytest.fixture
def upstream():
    """Start upstreams, where a test needs more than one: `upstream("docs")`."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(McpUpstream(name))

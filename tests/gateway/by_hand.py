"""Requests by hand, for what the SDK's client would hide: status, headers, and that there is one request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx2

OPS = "sk-ops-0123456789"  # the key that conftest's gateways have when a test names none
BY_KEY = {"x-litellm-api-key": OPS}
ACCEPT = {"Accept": "application/json, text/event-stream"}
LEGACY, MODERN, CATALOGUE = "2025-11-25", "2026-07-28", "GET /mcp/tools"
PROTOCOLS = (LEGACY, MODERN)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "by hand", "version": "1"},
    },
}
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """A response: its status, its header lines, and its body; "" of a stream that goes on."""

    status: int
    headers: httpx2.Headers
    text: str = ""


def knock(url: str, how: str, headers: Headers) -> Answer:
    """Sends the one request that a protocol begins with, or asks for the catalogue; reads no open stream."""
    if how == CATALOGUE:
        with httpx2.stream("GET", f"{url}/mcp/tools", headers=list(headers), timeout=30) as response:
            is_refused = response.status_code >= 400
            return Answer(response.status_code, response.headers, _text(response) if is_refused else "")
    if how == LEGACY:
        return post(url, INITIALIZE, headers)
    return post(url, *modern("server/discover", headers))


def call(url: str, how: str, tool: str, headers: Headers) -> Answer:
    """Calls a tool in a protocol; the one with a handshake is given it first."""
    params = {"name": tool, "arguments": {}}
    if how == MODERN:
        return post(url, *modern("tools/call", headers, **params))
    session = post(url, INITIALIZE, headers).headers["mcp-session-id"]
    return call_in(url, session, headers, **params)


def call_in(url: str, session: str, headers: Headers, **params: Any) -> Answer:
    """Calls a tool in a session that is open already."""
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    return post(url, message, [*headers, ("Mcp-Session-Id", session), ("MCP-Protocol-Version", LEGACY)])


def post(url: str, message: dict[str, Any], headers: Headers) -> Answer:
    """Sends one message."""
    lines = [*ACCEPT.items(), *headers]
    response = httpx2.post(f"{url}/mcp", json=message, headers=lines, timeout=30)
    return Answer(response.status_code, response.headers, response.text)


def modern(method: str, headers: Headers, **params: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Returns a message of protocol 2026-07-28 and the headers that say the same."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    named = [("Mcp-Name", params["name"])] if "name" in params else []
    return message, [*headers, ("MCP-Protocol-Version", MODERN), ("Mcp-Method", method), *named]


def _text(response: httpx2.Response) -> str:
    response.read()
    return response.text

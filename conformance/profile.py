"""The upstream with all that the suite asks of a server, and nothing else."""

from __future__ import annotations

from typing import Final

from mcp.server import CacheHint
from mcp.server.caching import CACHEABLE_METHODS

from conformance import contents, rounds, sessions, talks
from pytest_mcpsmoke.doubles.upstream import McpUpstream

NAME: Final = "conformance-profile"
_FRESH: Final = CacheHint(ttl_ms=60_000, scope="public")


def conformance_upstream() -> McpUpstream:
    """Return an upstream that offers what the suite asks for, in both eras of the protocol; close it."""
    hints = {method: _FRESH for method in sorted(CACHEABLE_METHODS)}
    up = McpUpstream(NAME, version="1", cache_hints=hints)
    for part in (contents, sessions, talks, rounds):
        part.offer(up)
    return up


def serve(up: McpUpstream) -> str:
    """Serve it as the suite expects a server on loopback to be, and return the URL."""
    return up.http(resumable=True, retry_ms=100, check_host=True)

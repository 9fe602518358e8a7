"""The names under which tools and prompts are published: the server's prefix, "-", the bare name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reference_app.gateway.settings import McpServer


def prefix_of(server: str, settings: McpServer) -> str:
    """Returns what stands before the bare names of a server."""
    prefix = server if settings.prefix is None else settings.prefix
    return f"{prefix}-" if prefix else ""


def owner_of(published: str, among: Iterable[str], servers: Mapping[str, McpServer]) -> tuple[str, str] | None:
    """Returns the server that a published name belongs to and its bare name; None when there is none."""
    for server in among:
        prefix = prefix_of(server, servers[server])
        if published.startswith(prefix) and len(published) > len(prefix):
            return server, published.removeprefix(prefix)
    return None

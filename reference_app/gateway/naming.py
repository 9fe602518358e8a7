"""The names under which tools and prompts are published: the server's prefix, "-", the bare name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reference_app.gateway.settings import McpServer


def prefix_of(server: str, settings: McpServer) -> str:
    """Returns a server's prefix: what is configured, which may be nothing, or else its name."""
    return server if settings.prefix is None else settings.prefix


def published(server: str, settings: McpServer, bare: str) -> str:
    """Returns the name under which a server's tool or prompt is published."""
    prefix = prefix_of(server, settings)
    return f"{prefix}-{bare}" if prefix else bare


def owner_of(name: str, among: Iterable[str], servers: Mapping[str, McpServer]) -> tuple[str, str] | None:
    """Returns the server that a published name belongs to and its bare name; None when there is none."""
    for server in among:
        lead = published(server, servers[server], "")
        if name.startswith(lead) and len(name) > len(lead):
            return server, name.removeprefix(lead)
    return None

"""Which headers of an upstream's request are not for a configuration, a client or a hook to set."""

from __future__ import annotations

_OWNED = frozenset(
    {
        # the gateway's own: a key, and a selection of servers, are for the gateway alone
        "x-litellm-api-key",
        "x-mcp-servers",
        # what the body is, and how it is carried (RFC 9110, RFC 9112)
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # resuming a stream (MCP, as all that begins with mcp-)
        "last-event-id",
    }
)


def is_owned(name: str) -> bool:
    """Whether HTTP, MCP or the gateway itself sets the header, in whatever case it is written."""
    return name.lower() in _OWNED or name.lower().startswith("mcp-")

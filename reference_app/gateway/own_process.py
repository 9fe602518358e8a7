"""What the gateway sets in the libraries it is made of when it has a process of its own."""

from __future__ import annotations

import logging

import anyio
from sse_starlette.sse import AppStatus


def settle_in() -> None:
    """Sets it, for as long as the process lives."""
    # It would cut off every stream, those with an answer under way too: the app ends its endless ones itself.
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]
    logging.getLogger("mcp.client.streamable_http").addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Returns whether a line of the SDK's log is about something that went wrong.

    Where a request was given up, the SDK logs the closed stream as an answer that cannot be parsed.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, anyio.BrokenResourceError | anyio.ClosedResourceError)

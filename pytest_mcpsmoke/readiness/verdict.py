"""What a probe says of an endpoint."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from pytest_mcpsmoke.readiness.events import Event


class Verdict(StrEnum):
    """What an endpoint turned out to be."""

    CATALOG = "CATALOG"  # it offers tools
    EMPTY_CATALOG = "EMPTY_CATALOG"  # it answers, and offers none
    PINGS_ONLY = "PINGS_ONLY"  # an event stream with nothing but signs of life
    WRONG_METHOD = "WRONG_METHOD"  # something is there, but refuses the HTTP method
    AUTH_REQUIRED = "AUTH_REQUIRED"  # 401
    FORBIDDEN = "FORBIDDEN"  # 403
    ERROR = "ERROR"  # something else came, and the detail says what
    TIMEOUT = "TIMEOUT"  # nothing came that decides


class Call(NamedTuple):
    """A tool to call, once the catalogue is there."""

    tool: str
    arguments: dict[str, Any]


class Called(NamedTuple):
    """What became of the call.

    Attributes:
        tool: Its name.
        is_error: Whether the tool, the server or the way to it failed.
        text: What came back, or what went wrong, on one line, bounded and without secrets.
    """

    tool: str
    is_error: bool
    text: str


class Judged(NamedTuple):
    """A verdict with what it rests on, and what to do next; each is one line."""

    verdict: Verdict
    detail: str
    remedy: str | None = None


class Probed(NamedTuple):
    """What a probe found.

    Attributes:
        url: What was probed, without secrets; of a child process its command.
        transport: "http" (streamable HTTP), "sse", "events" (a plain event stream, without MCP), "stdio".
        verdict: What it turned out to be.
        tools: The names of its tools, in its order; also when the catalogue did not end.
        server: Name and version, as the server gives them; None when it did not get so far.
        protocol: The protocol version that was agreed on, "2025-11-25".
        detail: What was seen, one line.
        remedy: What to do next, one line; None when nothing is to be done.
        events: What travelled, in order, bounded and without secrets.
        seconds: How long it took.
        call: What became of the call that was asked for; None when none was asked for.
    """

    url: str
    transport: str
    verdict: Verdict
    tools: tuple[str, ...]
    server: str | None
    protocol: str | None
    detail: str
    remedy: str | None
    events: tuple[Event, ...]
    seconds: float
    call: Called | None

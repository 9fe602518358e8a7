"""What a server keeps of a session, and says unasked: log levels, watched resources, changed lists."""

from __future__ import annotations

import asyncio
from typing import Any, Final, get_args

from mcp.server import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.types import (
    EmptyResult,
    LoggingLevel,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from pytest_mcpsmoke.doubles.upstream import McpUpstream

WATCHED: Final = "test://watched-resource"
_LEVELS: Final[tuple[LoggingLevel, ...]] = get_args(LoggingLevel)  # the least severe comes first
_PAUSE: Final = 0.05  # seconds between messages: as the suite wants it, several can be told apart

Asked = ServerRequestContext[Any, Any]


def offer(up: McpUpstream) -> None:
    """Let an upstream take levels and subscriptions, and offer tools that log and that change something."""
    sessions = Sessions()
    take = up.lowlevel.add_request_handler
    take("logging/setLevel", SetLevelRequestParams, sessions.set_level)
    take("resources/subscribe", SubscribeRequestParams, sessions.subscribe)
    take("resources/unsubscribe", UnsubscribeRequestParams, sessions.unsubscribe)
    _logging_tools(up, sessions)
    _changing_tools(up, sessions)


class Sessions:
    """Which level each session has asked for, and what it watches; both only up to 2025-11-25."""

    def __init__(self) -> None:
        self._levels: dict[str | None, LoggingLevel] = {}
        self._watched: set[tuple[str | None, str]] = set()

    async def set_level(self, asked: Asked, params: SetLevelRequestParams) -> EmptyResult:
        """Send nothing less severe to this session from now on."""
        self._levels[_session(asked)] = params.level
        return EmptyResult()

    async def subscribe(self, asked: Asked, params: SubscribeRequestParams) -> EmptyResult:
        """Tell this session when the resource changes."""
        self._watched.add((_session(asked), params.uri))
        return EmptyResult()

    async def unsubscribe(self, asked: Asked, params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell it no longer."""
        self._watched.discard((_session(asked), params.uri))
        return EmptyResult()

    def wants(self, asked: Asked, level: LoggingLevel) -> bool:
        """Whether a message of this level is to be sent; all are, to a session that has not said."""
        least = self._levels.get(_session(asked), _LEVELS[0])
        return _LEVELS.index(level) >= _LEVELS.index(least)

    def watches(self, asked: Asked, uri: str) -> bool:
        """Whether this session has subscribed to a resource."""
        return (_session(asked), uri) in self._watched


def _session(asked: Asked) -> str | None:
    """The session's id; None over a transport that has one client only."""
    return None if asked.request is None else asked.request.headers.get("mcp-session-id")


def _logging_tools(up: McpUpstream, sessions: Sessions) -> None:
    async def say(ctx: Context[Any, Any], text: str) -> None:
        if sessions.wants(ctx.request_context, "info"):
            await ctx.info(text)

    @up.tool
    async def test_tool_with_logging(ctx: Context[Any, Any]) -> str:
        """Log three messages on the way."""
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await say(ctx, text)
            await asyncio.sleep(_PAUSE)
        return "Tool with logging executed successfully"

    @up.tool
    async def test_logging_tool(ctx: Context[Any, Any]) -> str:
        """Log a message; on 2026-07-28 it is sent only to who has asked for the level in this request."""
        await say(ctx, "Logged")
        return "Logged, if that was asked for"


def _changing_tools(up: McpUpstream, sessions: Sessions) -> None:
    def later() -> str:
        """Be there, now and then."""
        return "Here"

    present = {"tool": False, "prompt": False}

    @up.tool
    async def test_trigger_tool_change(ctx: Context[Any, Any]) -> str:
        """Add a tool, or take it away again, and say so to who listens."""
        if present["tool"]:
            up.server.remove_tool("test_now_and_then")
        else:
            up.tool("test_now_and_then")(later)
        present["tool"] = not present["tool"]
        await ctx.notify_tools_changed()
        return "Changed"

    @up.tool
    async def test_trigger_prompt_change(ctx: Context[Any, Any]) -> str:
        """Change a prompt, and say so to who listens."""
        await ctx.notify_prompts_changed()
        return "Changed"

    @up.tool
    async def test_trigger_resource_change(ctx: Context[Any, Any]) -> str:
        """Say that the watched resource has changed, to who listens or has subscribed."""
        await ctx.notify_resource_updated(WATCHED)
        if sessions.watches(ctx.request_context, WATCHED):
            await ctx.session.send_resource_updated(WATCHED)
        return "Changed"

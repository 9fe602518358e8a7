"""What an upstream says while it works on a request, carried to the client that asked, and back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, TypeVar, get_args

from mcp import MCPError
from mcp.client.session import ClientRequestContext
from mcp.server.context import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    CreateMessageResultWithTools,
    ElicitRequest,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    ListRootsRequest,
    ListRootsResult,
    LoggingLevel,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    ServerRequest,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

Context = ServerRequestContext[Any, Any]
ResultT = TypeVar("ResultT", bound=BaseModel)
LEVELS: tuple[LoggingLevel, ...] = get_args(LoggingLevel)  # from debug to emergency
MOST_SESSIONS = 10_000  # as many as the SDK holds
# Of the two connections each has its own; the SDK writes them.
OF_THE_CONNECTION = {
    "progress_token",
    "progressToken",
    PROTOCOL_VERSION_META_KEY,
    CLIENT_INFO_META_KEY,
    CLIENT_CAPABILITIES_META_KEY,
}


class LogLevels:
    """The level that each session asked for with `logging/setLevel`; without one it hears all."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, LoggingLevel] = OrderedDict()

    def set(self, ctx: Context, level: LoggingLevel) -> None:
        """Remembers the level for the session of a request."""
        if session := _session_id(ctx):
            self._levels[session] = level
            self._levels.move_to_end(session)
            if len(self._levels) > MOST_SESSIONS:
                self._levels.popitem(last=False)

    def hears(self, ctx: Context, level: LoggingLevel) -> bool:
        """Returns whether the session of a request wants to hear of that level."""
        wanted = self._levels.get(_session_id(ctx), LEVELS[0])
        return LEVELS.index(level) >= LEVELS.index(wanted)


class Relay:
    """Between one request of a client and the upstreams that are asked for it."""

    def __init__(self, ctx: Context, levels: LogLevels) -> None:
        self._ctx = ctx
        self._levels = levels
        self._telling = asyncio.Lock()  # a fair one: what came first is told first

    @property
    def is_modern(self) -> bool:
        """Whether the request came by a protocol without handshake."""
        return self._ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def meta(self) -> Any:
        """The request's `_meta` for upstreams, without what belongs to its connection; None for nothing."""
        meta = {
            name: value for name, value in (self._ctx.meta or {}).items() if name not in OF_THE_CONNECTION
        }
        return meta or None

    @property
    def progress(self) -> Any:
        """What is told of an upstream's progress; None where the client did not ask for it."""
        wants_it = bool(self._ctx.meta) and "progress_token" in (self._ctx.meta or {})
        return self._report if wants_it else None

    async def settle(self) -> None:
        """Waits until the client has been told all that upstreams have told: after the answer is too late."""
        async with self._telling:
            pass

    def callbacks(self) -> dict[str, Any]:
        """Returns the callbacks of the SDK's client: an upstream is shown what this client can, no more."""
        can = self._ctx.session.client_capabilities
        callbacks: dict[str, Any] = {"logging_callback": self._log}
        if self.is_modern and (level := (self._ctx.meta or {}).get(LOG_LEVEL_META_KEY)):
            callbacks["log_level"] = level
        if can is not None and can.sampling is not None:
            callbacks.update(sampling_callback=self._sample, sampling_capabilities=can.sampling)
        if can is not None and can.elicitation is not None:
            callbacks["elicitation_callback"] = self._elicit
        if can is not None and can.roots is not None:
            callbacks["list_roots_callback"] = self._list_roots
        return callbacks

    async def _sample(
        self, _: ClientRequestContext, params: CreateMessageRequestParams
    ) -> CreateMessageResult | CreateMessageResultWithTools | ErrorData:
        with_tools = params.tools is not None or params.tool_choice is not None
        result_type = CreateMessageResultWithTools if with_tools else CreateMessageResult
        return await self._ask(CreateMessageRequest(params=params), result_type)

    async def _elicit(self, _: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        return await self._ask(ElicitRequest(params=params), ElicitResult)

    async def _list_roots(self, _: ClientRequestContext) -> ListRootsResult | ErrorData:
        return await self._ask(ListRootsRequest(), ListRootsResult)

    async def _ask(self, request: ServerRequest, result_type: type[ResultT]) -> ResultT | ErrorData:
        metadata = ServerMessageMetadata(related_request_id=self._ctx.request_id)
        try:
            return await self._ctx.session.send_request(request, result_type, metadata=metadata)
        except MCPError as error:
            return error.error

    async def _report(self, progress: float, total: float | None, message: str | None) -> None:
        async with self._telling:
            await self._ctx.session.report_progress(progress, total, message)

    async def _log(self, params: LoggingMessageNotificationParams) -> None:
        if self._levels.hears(self._ctx, params.level):
            message = LoggingMessageNotification(params=params)
            async with self._telling:
                await self._ctx.session.send_notification(message, related_request_id=self._ctx.request_id)


def _session_id(ctx: Context) -> str:
    request = ctx.request
    return request.headers.get("mcp-session-id", "") if request is not None else ""

"""The gateway as an ASGI app: its routes beside those of the agent proxy, behind its keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from mcp import MCPError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import Tool
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.datastructures import Headers

from reference_app import agent_proxy, chat_completions
from reference_app.config import Config
from reference_app.defects import Defect, is_planted
from reference_app.gateway.access import Access, Caller, KeyRing, selected
from reference_app.gateway.asking import Asker
from reference_app.gateway.catalogue import Catalogue
from reference_app.gateway.credentials import Tokens
from reference_app.gateway.documented import MCP_DOCUMENTED, NO_KEY, TOOLS_ANSWERS
from reference_app.gateway.exchange import Exchange, HeldHead
from reference_app.gateway.handlers import Handlers
from reference_app.gateway.hooks import Hook, load
from reference_app.gateway.pages import swagger, ui
from reference_app.gateway.probe import probe
from reference_app.gateway.refusal import HttpRefusal
from reference_app.gateway.settings import Gateway
from reference_app.gateway.upstreams import Upstreams, new_client, no_cookies

PUBLIC = {"/ui", "/docs", "/docs/oauth2-redirect", "/swagger", "/openapi.json", "/healthz", "/ready"}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def build(config: Config, more_hooks: Sequence[Hook] = ()) -> FastAPI:
    """Returns the app: the agent proxy's routes, and beside them `/mcp`, `/mcp/tools`, `/ui` and `/swagger`.

    `app.state.end_streams` is a function that ends the streams that would go on for ever; who shuts the
    server down calls it first.

    Args:
        config: What is configured.
        more_hooks: Functions that are called after the configured ones.

    Raises:
        Fault: A hook cannot be imported.
        ValueError: An OpenAPI document cannot be used.
    """
    settings = config.gateway or Gateway()
    gateway = McpGateway(config, [*load(settings.hooks), *more_hooks])
    app = FastAPI(title="reference gateway", lifespan=gateway.lifespan)
    app.state.end_streams = gateway.end_streams
    app.exception_handlers.update(agent_proxy.app.exception_handlers)
    app.add_middleware(KeyGuard, keys=KeyRing(settings.keys))
    app.add_api_route("/ui", ui, response_class=HTMLResponse, summary="a page for people")
    app.add_api_route("/swagger", swagger, response_class=HTMLResponse, include_in_schema=False)
    app.add_api_route("/mcp/tools", gateway.tools, responses=TOOLS_ANSWERS, summary="the catalogue as events")
    for path in ("/mcp", "/mcp/"):
        for method in ("POST", "GET", "DELETE"):
            app.add_api_route(
                path,
                gateway.mcp,
                methods=[method],
                include_in_schema=path == "/mcp",
                operation_id=f"mcp_{method.lower()}",
                summary="MCP over streamable HTTP",
                **MCP_DOCUMENTED[method],
            )
    app.include_router(agent_proxy.app.router, responses=NO_KEY)
    return app


class KeyGuard:
    """Lets a request for anything that is not public pass only with a key."""

    def __init__(self, app: Any, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in PUBLIC:
            try:
                caller = self._keys.caller(Headers(scope=scope))
            except HttpRefusal as refusal:
                is_openai = scope["path"] in chat_completions.PATHS
                response = refusal.response(chat_completions.error if is_openai else None)
                await response(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
            # By it the SDK sees to it that a session is used with the key that opened it.
            token = AccessToken(token="", client_id=caller.name, scopes=[])
            scope["user"] = AuthenticatedUser(token)
        await self._app(scope, receive, send)


class McpGateway:
    """What the routes of the gateway do, and what they need while the app runs."""

    def __init__(self, config: Config, hooks: Sequence[Hook]) -> None:
        self._settings = config.gateway or Gateway()
        self._servers = config.mcp_servers
        self._upstreams = Upstreams(self._servers)
        # A pool without bounds: a probe that had to wait for its turn would take more than its time.
        self._http = new_client(limits=httpx2.Limits(max_connections=None), cookies=no_cookies())
        asker = Asker(self._settings, self._servers, self._upstreams, Tokens(self._http))
        self._handlers = Handlers(self._settings, self._servers, asker, hooks)
        self._manager = StreamableHTTPSessionManager(
            self._handlers.server(), security_settings=_security(config.server.host)
        )
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Opens what the routes share; at the end no session, connection or child is left."""
        async with self._http:
            try:
                async with self._manager.run():
                    yield
                    await self._handlers.subscriptions.close()
            finally:
                await self._upstreams.close()

    def end_streams(self) -> None:
        """Ends the event streams, whose clients connect again where they can."""
        self._closing.set()
        self._handlers.subscriptions.end_streams()

    async def mcp(self, request: Request) -> Response:
        """Returns what answers a request of the protocol: the SDK, once the probe has let it pass."""
        return _Asgi(self._serve_mcp)

    async def tools(self, request: Request) -> Response:
        """Returns the catalogue of the caller's tools as an event, and then signs of life."""
        access = self._access(request)
        try:
            await self._probe(access)
        except HttpRefusal as refusal:
            return refusal.response()
        return EventSourceResponse(
            self._catalogue_events(access),
            ping=self._settings.keep_alive_seconds,
            ping_message_factory=lambda: ServerSentEvent(comment="keep-alive"),
        )

    def _access(self, request: Request) -> Access:
        caller = request.state.caller
        assert isinstance(caller, Caller)
        return Access(caller, selected(caller, self._servers, request.headers), request.headers)

    async def _probe(self, access: Access) -> None:
        await probe(access, self._servers, self._http, self._settings.probe_seconds)

    async def _serve_mcp(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope)
        exchange = request.state.exchange = Exchange(self._access(request))
        if request.method == "GET":
            await self._serve_events(scope, receive, HeldHead(send, exchange, is_held=False))
            return
        head = HeldHead(send, exchange)
        try:
            if request.method == "POST":
                await self._probe(exchange.access)
            await self._manager.handle_request(scope, receive, head.send)
        except HttpRefusal as refusal:
            await head.refuse(refusal)

    async def _serve_events(self, scope: Any, receive: Any, head: HeldHead) -> None:
        """Serves a session's own stream of events, which has no end of its own, until the gateway closes."""
        async with anyio.create_task_group() as group:

            async def end() -> None:
                await self._closing.wait()
                group.cancel_scope.cancel()

            group.start_soon(end)
            await self._manager.handle_request(scope, receive, head.send)
            group.cancel_scope.cancel()
        await head.end()

    async def _catalogue_events(self, access: Access) -> AsyncIterator[ServerSentEvent]:
        if not is_planted(Defect.PINGS_ONLY):
            catalogue = await self._handlers.tools(access)
            try:
                catalogue.check()
            except MCPError as error:
                yield ServerSentEvent(event="error", data=json.dumps({"message": error.message}))
                return
            yield ServerSentEvent(event="tools", data=json.dumps(_as_json(catalogue)))
        await self._closing.wait()


class _Asgi(Response):
    """A response that is an ASGI app."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def _as_json(catalogue: Catalogue[list[Tool]]) -> dict[str, Any]:
    return {
        "tools": [
            {"server": server, **tool.model_dump(by_alias=True, mode="json", exclude_none=True)}
            for server, tools in catalogue.entries
            for tool in tools
        ],
        "unavailable": {server: error.message for server, error in catalogue.unavailable.items()},
    }


def _security(host: str) -> TransportSecuritySettings | None:
    """Returns the SDK's protection against DNS rebinding, for a gateway that only this machine can reach."""
    if host not in LOOPBACK:
        return None
    names = ("127.0.0.1", "localhost", "[::1]")
    return TransportSecuritySettings(
        allowed_hosts=[f"{name}:*" for name in names], allowed_origins=[f"http://{name}:*" for name in names]
    )

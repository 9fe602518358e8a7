"""What the gateway answers over MCP: each request is carried to the servers that its key is for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mcp import Client, MCPError
from mcp.server.lowlevel import Server
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequest,
    CompleteRequestParams,
    CompleteResult,
    EmptyResult,
    GetPromptRequest,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    PromptReference,
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    Tool,
    UnsubscribeRequestParams,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter

from reference_app.gateway import hooks
from reference_app.gateway.access import Access
from reference_app.gateway.asking import Asker, Call, Listing
from reference_app.gateway.catalogue import Catalogue, collect, pages
from reference_app.gateway.exchange import Exchange
from reference_app.gateway.naming import owner_of, published
from reference_app.gateway.refusal import HttpRefusal
from reference_app.gateway.relay import Context, LogLevels, Relay
from reference_app.gateway.settings import Gateway, McpServer
from reference_app.gateway.subscriptions import Subscriptions

logger = logging.getLogger(__name__)
ToolAnswer: TypeAdapter[Any] = TypeAdapter(CallToolResult | InputRequiredResult)
PromptAnswer: TypeAdapter[Any] = TypeAdapter(GetPromptResult | InputRequiredResult)
ResourceAnswer: TypeAdapter[Any] = TypeAdapter(ReadResourceResult | InputRequiredResult)
UNAVAILABLE_META_KEY = "reference-app/unavailable"


class Handlers:
    """Answers the requests of the protocol."""

    def __init__(
        self,
        settings: Gateway,
        servers: Mapping[str, McpServer],
        asker: Asker,
        hooks: Sequence[hooks.Hook],
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._asker = asker
        self._hooks = hooks
        self._levels = LogLevels()
        self.subscriptions = Subscriptions(self._listen_to, lambda ctx: _access(ctx).servers)
        self._schemas: dict[str, dict[str, Any]] = {}  # of the tools that were listed, by published name

    def server(self) -> Server[Any]:
        """Returns the SDK's server, which speaks every protocol version that the SDK does."""
        server: Server[Any] = Server(
            "reference-gateway",
            version="1",
            get_tool_input_schema=self._schemas.get,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_resource_templates,
            on_read_resource=self.read_resource,
            on_completion=self.complete,
        )
        server.add_request_handler("logging/setLevel", SetLevelRequestParams, self.set_level)
        own = self.subscriptions
        server.add_request_handler("resources/subscribe", SubscribeRequestParams, own.subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, own.unsubscribe)
        server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, own.listen)
        return server

    async def tools(self, access: Access, relay: Relay | None = None) -> Catalogue[list[Tool]]:
        """Returns the tools that a caller may call, under their published names."""

        async def of(server: str) -> list[Tool]:
            found = await self._asker.pages(server, access, relay, lambda client: client.session.list_tools)
            settings = self._servers[server]
            return [
                tool.model_copy(update={"name": published(server, settings, tool.name)})
                for page in found
                for tool in page.tools
                if access.caller.may_call(server, tool.name)
            ]

        catalogue = await collect(access.servers, of)
        for _, tools in catalogue.entries:
            self._schemas.update((tool.name, tool.input_schema) for tool in tools)
        return catalogue

    async def list_tools(self, ctx: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        """Answers with all tools on one page; servers that could not be asked are named in `_meta`."""
        catalogue = await self.tools(_access(ctx), Relay(ctx, self._levels))
        catalogue.check()
        tools = [tool for _, of_server in catalogue.entries for tool in of_server]
        return ListToolsResult(tools=tools, **_listing(catalogue))

    async def call_tool(
        self, ctx: Context, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Answers with what the tool's server answers; who may call it is settled before any hook runs."""
        access, relay = _access(ctx), Relay(ctx, self._levels)
        server, tool = self._owner(params.name, access, "tool")
        if not access.caller.may_call(server, tool):
            raise MCPError(INVALID_REQUEST, f"the key {access.caller.name} may not call {params.name}")
        arguments, hook_headers = await self._hooked(ctx, access, server, tool, params.arguments)
        request = CallToolRequest(
            params=params.model_copy(update={"name": tool, "arguments": arguments, "meta": relay.meta})
        )

        async def call(client: Client) -> CallToolResult | InputRequiredResult:
            if _speaks_newer(client, relay):
                return await client.call_tool(
                    tool, arguments, progress_callback=relay.progress, meta=relay.meta
                )
            send = client.session.send_request
            try:
                return await send(request, ToolAnswer, progress_callback=relay.progress)
            except MCPError as error:
                if error.code != HEADER_MISMATCH:
                    raise
                # The tool wants arguments in headers: the SDK's client writes them once it has listed it.
                await pages(client.session.list_tools)
                return await send(request, ToolAnswer, progress_callback=relay.progress)

        return await self._asker.ask(server, access, relay, call, hook_headers)

    async def list_prompts(self, ctx: Context, _: PaginatedRequestParams | None) -> ListPromptsResult:
        """Answers with all prompts, under their published names."""
        catalogue = await self._list(ctx, lambda client: client.session.list_prompts)
        prompts = [
            prompt.model_copy(update={"name": published(server, self._servers[server], prompt.name)})
            for server, found in catalogue.entries
            for page in found
            for prompt in page.prompts
        ]
        return ListPromptsResult(prompts=prompts, **_listing(catalogue))

    async def get_prompt(
        self, ctx: Context, params: GetPromptRequestParams
    ) -> GetPromptResult | InputRequiredResult:
        """Answers with what the prompt's server answers."""
        access, relay = _access(ctx), Relay(ctx, self._levels)
        server, name = self._owner(params.name, access, "prompt")
        request = GetPromptRequest(params=params.model_copy(update={"name": name, "meta": relay.meta}))

        async def get(client: Client) -> GetPromptResult | InputRequiredResult:
            if _speaks_newer(client, relay):
                return await client.get_prompt(name, params.arguments, meta=relay.meta)
            return await client.session.send_request(request, PromptAnswer)

        return await self._asker.ask(server, access, relay, get)

    async def list_resources(self, ctx: Context, _: PaginatedRequestParams | None) -> ListResourcesResult:
        """Answers with all resources; their URIs are those of the servers."""
        catalogue = await self._list(ctx, lambda client: client.session.list_resources)
        resources = [entry for _, found in catalogue.entries for page in found for entry in page.resources]
        return ListResourcesResult(resources=resources, **_listing(catalogue))

    async def list_resource_templates(
        self, ctx: Context, _: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Answers with all templates of resources."""
        catalogue = await self._list(ctx, lambda client: client.session.list_resource_templates)
        templates = [
            entry for _, found in catalogue.entries for page in found for entry in page.resource_templates
        ]
        return ListResourceTemplatesResult(resource_templates=templates, **_listing(catalogue))

    async def read_resource(
        self, ctx: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult | InputRequiredResult:
        """Answers with what the first server answers that has it."""
        relay = Relay(ctx, self._levels)
        request = ReadResourceRequest(params=params.model_copy(update={"meta": relay.meta}))

        async def read(client: Client) -> ReadResourceResult | InputRequiredResult:
            if _speaks_newer(client, relay):
                return await client.read_resource(params.uri, meta=relay.meta)
            return await client.session.send_request(request, ResourceAnswer)

        return await self._asker.first(
            _access(ctx), relay, read, MCPError(INVALID_PARAMS, f"Unknown resource: {params.uri}")
        )

    async def complete(self, ctx: Context, params: CompleteRequestParams) -> CompleteResult:
        """Answers with what the server of the prompt answers, or the first that knows the resource."""
        access, relay = _access(ctx), Relay(ctx, self._levels)
        update: dict[str, Any] = {"meta": relay.meta}
        server = None
        if isinstance(params.ref, PromptReference):
            server, name = self._owner(params.ref.name, access, "prompt")
            update["ref"] = params.ref.model_copy(update={"name": name})
        request = CompleteRequest(params=params.model_copy(update=update))

        async def ask(client: Client) -> CompleteResult:
            return await client.session.send_request(request, CompleteResult)

        if server is not None:
            return await self._asker.ask(server, access, relay, ask)
        return await self._asker.first(access, relay, ask, MCPError(INVALID_PARAMS, "Unknown resource"))

    async def set_level(self, ctx: Context, params: SetLevelRequestParams) -> EmptyResult:
        """Remembers which of the servers' log messages the session wants to hear."""
        self._levels.set(ctx, params.level)
        return EmptyResult()

    async def _list(self, ctx: Context, method: Listing) -> Catalogue[list[Any]]:
        access, relay = _access(ctx), Relay(ctx, self._levels)
        catalogue = await collect(
            access.servers, lambda server: self._asker.pages(server, access, relay, method)
        )
        catalogue.check()
        return catalogue

    async def _listen_to(self, ctx: Context, server: str, work: Call[None], heard: Any = None) -> None:
        """Keeps a connection to one server open for as long as some work with it lasts."""
        access, relay = _access(ctx), Relay(ctx, self._levels)
        await self._asker.ask(server, access, relay, work, message_handler=heard)

    async def _hooked(
        self, ctx: Context, access: Access, server: str, tool: str, arguments: dict[str, Any] | None
    ) -> tuple[dict[str, Any] | None, dict[str, str]]:
        """Returns the arguments and headers that the hooks leave."""
        if not self._hooks:
            return arguments, {}
        caller = access.caller
        call = hooks.PreMcpCall(server, tool, arguments or {}, caller.name, caller.key.jwt_claims)
        try:
            outcome = await hooks.run(self._hooks, call)
            return outcome.arguments, self._sendable(server, outcome.headers)
        except HttpRefusal as refusal:
            _exchange(ctx).refusal = refusal
            raise MCPError(INVALID_REQUEST, refusal.detail) from refusal
        except hooks.HookFailed as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from error

    def _sendable(self, server: str, headers: dict[str, str]) -> dict[str, str]:
        """Returns the headers of hooks that a server's transport can carry."""
        transport = self._servers[server].transport
        if not headers or transport in ("http", "sse"):
            return headers
        if transport == "openapi" and self._settings.openapi_hook_headers == "reject":
            raise HttpRefusal(400, f"{server} is backed by OpenAPI, which takes no headers from hooks")
        logger.warning("headers of a hook for %s are ignored: its transport is %s", server, transport)
        return {}

    def _owner(self, name: str, access: Access, kind: str) -> tuple[str, str]:
        owner = owner_of(name, access.servers, self._servers)
        if owner is None:
            raise MCPError(INVALID_PARAMS, f"Unknown {kind}: {name}")
        return owner


def _exchange(ctx: Context) -> Exchange:
    assert ctx.request is not None  # the gateway is served over HTTP only
    exchange = ctx.request.state.exchange
    assert isinstance(exchange, Exchange)
    return exchange


def _access(ctx: Context) -> Access:
    return _exchange(ctx).access


def _speaks_newer(client: Client, relay: Relay) -> bool:
    """Returns whether the upstream may ask in its answers, which the client's protocol does not know.

    Then the SDK's client settles it: it asks by the callbacks, and calls again.
    """
    return not relay.is_modern and client.protocol_version in MODERN_PROTOCOL_VERSIONS


def _listing(catalogue: Catalogue[Any]) -> dict[str, Any]:
    """Returns what a listing says beside its entries; the SDK adds that it is not to be kept."""
    reasons = {server: error.message for server, error in catalogue.unavailable.items()}
    return {"_meta": {UNAVAILABLE_META_KEY: reasons}} if reasons else {}

"""Asks the upstreams on behalf of a caller: with the caller's headers, and all pages of what they list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_INFO_META_KEY, Result

from reference_app.gateway import layers
from reference_app.gateway.access import Access
from reference_app.gateway.catalogue import pages
from reference_app.gateway.credentials import Tokens
from reference_app.gateway.farewell import in_good_order
from reference_app.gateway.relay import Relay
from reference_app.gateway.settings import Gateway, McpServer
from reference_app.gateway.upstreams import Upstreams

T = TypeVar("T")
Call = Callable[[Client], Awaitable[T]]
Listing = Callable[
    [Client], Callable[..., Awaitable[Any]]
]  # such as `lambda client: client.session.list_tools`

RESOURCE_NOT_FOUND = -32002  # the code before 2026-07-28, which has INVALID_PARAMS
NOT_MINE = {RESOURCE_NOT_FOUND, INVALID_PARAMS, METHOD_NOT_FOUND}


class Asker:
    """Asks one server, or one after another until one can answer."""

    def __init__(
        self, settings: Gateway, servers: Mapping[str, McpServer], upstreams: Upstreams, tokens: Tokens
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._upstreams = upstreams
        self._tokens = tokens

    async def ask(
        self,
        server: str,
        access: Access,
        relay: Relay | None,
        work: Call[T],
        hook_headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> T:
        """Returns what some work with a server's client returns.

        Args:
            server: Its name.
            access: Whom it is asked for.
            relay: What carries the server's words to the client meanwhile; None where nobody listens.
            work: What is done, once.
            hook_headers: The strongest layer of what it is sent.
            more: More callbacks of the SDK's client.

        Raises:
            MCPError: What the server answered, or that it cannot be reached, said with its name.
        """
        settings = self._servers[server]

        async def headers() -> dict[str, str]:
            return layers.upstream_headers(
                server,
                oauth2=await self._tokens.headers(server, settings.client_credentials),
                extra=layers.passed_on(settings, access.caller, access.headers),
                static=layers.static(settings),
                hook=hook_headers or {},
                protect=self._settings.hook_authorization == "protect",
            )

        async def settled(client: Client) -> T:
            try:
                return await work(client)
            finally:
                if relay is not None:
                    await relay.settle()

        callbacks = {**(relay.callbacks() if relay is not None else {}), **more}
        is_modern = relay is None or relay.is_modern
        ask: Callable[[Call[T]], Awaitable[T]] = partial(
            self._upstreams.ask, server, headers=headers, is_modern=is_modern, **callbacks
        )
        answer = await in_good_order(ask, settled)
        if isinstance(answer, Result) and answer.meta:
            answer.meta.pop(SERVER_INFO_META_KEY, None)  # to the client the gateway is the server
        return answer

    async def pages(self, server: str, access: Access, relay: Relay | None, method: Listing) -> list[Any]:
        """Returns all pages that one server has of a listing; none for a server without such things."""

        async def list_all(client: Client) -> list[Any]:
            return await pages(method(client))

        try:
            return await self.ask(server, access, relay, list_all)
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND:
                return []
            raise

    async def first(self, access: Access, relay: Relay, work: Call[T], unknown: MCPError) -> T:
        """Returns what the first server answers that can; of errors, that of a broken server counts most."""
        refusal = unknown
        for server in access.servers:
            try:
                return await self.ask(server, access, relay, work)
            except MCPError as error:
                if refusal.code in NOT_MINE:
                    refusal = error
        raise refusal

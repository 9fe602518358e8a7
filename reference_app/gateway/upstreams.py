"""Connections to upstreams: one for each request, but for stdio, whose child all requests share."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from reference_app.gateway import openapi
from reference_app.gateway.children import StdioChild
from reference_app.gateway.failures import innermost, is_lost, told
from reference_app.gateway.settings import McpServer

T = TypeVar("T")
Heed = Callable[[httpx2.Response], Awaitable[None]]
LEGACY = "legacy"  # the SDK's word for the protocols with a handshake
CONNECT_SECONDS = 5.0


class Upstreams:
    """Reaches every configured server by the SDK's client."""

    def __init__(self, servers: Mapping[str, McpServer]) -> None:
        self._servers = servers
        self._children = {
            name: StdioChild(name, settings, _mode(settings.protocol) or "auto")
            for name, settings in servers.items()
            if settings.transport == "stdio"
        }
        self._specs = {
            name: openapi.read_spec(settings.spec_path or "", settings.url)
            for name, settings in servers.items()
            if settings.transport == "openapi"
        }
        self._modes: dict[str, str] = {}  # what a server was found to speak

    async def close(self) -> None:
        """Ends the children."""
        async with anyio.create_task_group() as group:
            for child in self._children.values():
                group.start_soon(child.close)

    async def ask(
        self,
        server: str,
        work: Callable[[Client], Awaitable[T]],
        *,
        headers: Callable[[], Awaitable[dict[str, str]]],
        is_modern: bool,
        **callbacks: Any,
    ) -> T:
        """Returns what some work with a server's client returns.

        Args:
            server: Its name.
            work: What is done, once.
            headers: Makes what it is sent; not asked over stdio.
            is_modern: Whether the request itself came by a protocol without handshake.
            callbacks: The callbacks of the SDK's client; a shared child has none.

        Raises:
            MCPError: What the server answered, or that it cannot be reached, said with its name.
        """
        failure: BaseException | None = None
        status = 0  # of the last answer that was an HTTP error: the SDK's client does not tell it
        scope = anyio.CancelScope()

        async def heed(response: httpx2.Response) -> None:
            nonlocal failure, status
            if response.request.method != "POST" or response.status_code < 300:
                return
            status = response.status_code
            if self._servers[server].transport == "sse" and status >= 400:  # it would wait for an answer
                failure = httpx2.HTTPStatusError("", request=response.request, response=response)
                scope.cancel()

        try:
            with scope:
                async with self._connected(server, headers, is_modern, callbacks, heed) as client:
                    # Caught in here: out there the SDK's task groups would have wrapped it.
                    try:
                        return await work(client)
                    except MCPError as error:
                        failure = error
                        if is_lost(error):
                            scope.cancel()  # no farewell to a server that does not answer
                    except ValidationError as error:
                        failure = error
        except Exception as error:
            failure = failure or innermost(error)
        assert failure is not None
        raise told(server, self._servers[server], failure, status) from failure

    @asynccontextmanager
    async def _connected(
        self,
        server: str,
        headers: Callable[[], Awaitable[dict[str, str]]],
        is_modern: bool,
        callbacks: Mapping[str, Any],
        heed: Heed,
    ) -> AsyncIterator[Client]:
        settings = self._servers[server]
        if child := self._children.get(server):
            yield await child.client()
            return
        mode = _mode(settings.protocol) or self._mode_for(server, is_modern)
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack, server, await headers(), heed)
            client = await stack.enter_async_context(
                Client(
                    transport,
                    mode=mode,
                    read_timeout_seconds=settings.timeout_seconds,
                    cache=None,
                    **callbacks,
                )
            )
            if mode == "auto":
                is_new = client.protocol_version in MODERN_PROTOCOL_VERSIONS
                self._modes[server] = client.protocol_version if is_new else LEGACY
            yield client

    def _mode_for(self, server: str, is_modern: bool) -> str:
        """Meets a client's own protocol where the server speaks it: what it speaks is asked once."""
        return self._modes.get(server, "auto") if is_modern else LEGACY

    async def _transport(
        self, stack: AsyncExitStack, server: str, headers: dict[str, str], heed: Heed
    ) -> Any:
        settings = self._servers[server]
        url = settings.url or ""
        if settings.transport == "sse":
            factory = partial(_new_http, settings, heed)
            return sse_client(url, headers, CONNECT_SECONDS, httpx_client_factory=factory)
        http = await stack.enter_async_context(_new_http(settings, heed, headers))
        if settings.transport == "openapi":
            spec = self._specs[server]
            return openapi.server(spec, spec.base_url, http)
        return streamable_http_client(url, http_client=http)


def new_client(**options: Any) -> httpx2.AsyncClient:
    """Returns an HTTP client that follows no redirect and shares the app's TLS settings."""
    return httpx2.AsyncClient(verify=tls(), follow_redirects=False, **options)


def no_cookies() -> CookieJar:
    """Returns a jar that keeps none, for a client that several callers share: each would send the others'."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


@cache
def tls() -> ssl.SSLContext:
    """Returns the one context of this library's clients: to read the certificates takes its time."""
    return httpx2.create_ssl_context()


def _new_http(
    settings: McpServer,
    heed: Heed,
    headers: dict[str, Any] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    patience = httpx2.Timeout(CONNECT_SECONDS, read=settings.timeout_seconds)
    hooks = {"response": [heed]}
    return new_client(headers=headers, timeout=timeout or patience, auth=auth, event_hooks=hooks)


def _mode(protocol: str) -> str | None:
    """Returns the SDK's word for a configured protocol; None where it is to be found out."""
    if protocol == "auto":
        return None
    return protocol if protocol in MODERN_PROTOCOL_VERSIONS else LEGACY

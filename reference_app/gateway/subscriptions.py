"""Changes that upstreams tell of, carried to the clients that subscribed to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from mcp import Client, MCPError
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    SubscriptionFilter,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from reference_app.gateway import farewell
from reference_app.gateway.relay import Context

logger = logging.getLogger(__name__)
LISTEN_SECONDS = 5.0  # for an upstream to say that it listens

# Keeps a connection to a server for as long as some work with it lasts; the last is what is heard meanwhile.
Keep = Callable[[Context, str, Callable[[Client], Awaitable[None]], Any], Awaitable[None]]


class Subscriptions:
    """Holds one upstream connection for each subscription, and ends it with the client's session.

    Args:
        keep: Keeps a connection.
        servers_of: Returns the servers that a request may subscribe to.
    """

    def __init__(self, keep: Keep, servers_of: Callable[[Context], tuple[str, ...]]) -> None:
        self._keep = keep
        self._servers_of = servers_of
        self._held: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._streams: set[ListenHandler] = set()

    def end_streams(self) -> None:
        """Ends the streams of `subscriptions/listen`, so that their clients know it was meant."""
        for handler in self._streams:
            handler.close()

    async def close(self) -> None:
        """Ends all connections."""
        for task in list(self._held.values()):
            task.cancel()
        if self._held:
            await asyncio.wait(list(self._held.values()))

    # Protocols with a handshake: until the client unsubscribes, or its session ends

    async def subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        """Subscribes at the first server that has the resource."""
        key = (id(ctx.session._connection), params.uri)
        if key in self._held:
            return EmptyResult()
        refusal = MCPError(INVALID_PARAMS, f"Unknown resource: {params.uri}")
        for server in self._servers_of(ctx):
            subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._hold(ctx, server, params.uri, subscribed))
            try:
                await asyncio.wait([task, subscribed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not subscribed.done():  # the client has given up
                    task.cancel()
            if subscribed.done():
                if self._held.setdefault(key, task) is not task:  # another request was quicker
                    task.cancel()
                    return EmptyResult()
                task.add_done_callback(partial(self._let_go, key))
                # Not public yet; nothing else tells of the end of a session.
                ctx.session._connection.exit_stack.callback(task.cancel)
                return EmptyResult()
            error = task.exception()
            if not isinstance(error, MCPError):
                raise error or RuntimeError("a subscription ended before it began")
            refusal = error
        raise refusal

    async def unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        """Ends a subscription; one that there is not is ended already."""
        task = self._held.get((id(ctx.session._connection), params.uri))
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        return EmptyResult()

    def _let_go(self, key: tuple[int, str], task: asyncio.Task[None]) -> None:
        del self._held[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a subscription has ended: %s", error)

    async def _hold(self, ctx: Context, server: str, uri: str, subscribed: asyncio.Future[None]) -> None:
        async def work(client: Client) -> None:
            request = SubscribeRequest(params=SubscribeRequestParams(uri=uri))
            await client.session.send_request(request, EmptyResult)
            subscribed.set_result(None)
            try:
                await asyncio.Event().wait()
            finally:
                goodbye = UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri))
                with anyio.move_on_after(farewell.FAREWELL_SECONDS, shield=True):
                    await client.session.send_request(goodbye, EmptyResult)

        async def heard(message: Any) -> None:
            if isinstance(message, ResourceUpdatedNotification):
                await ctx.session.send_notification(message)

        await self._keep(ctx, server, work, heard)

    # Protocol 2026-07-28: for as long as the request's own stream is open

    async def listen(
        self, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Follows all servers; the SDK's handler says what of it the client is told, and how.

        It acknowledges once they listen: what changes after that is told. One that does not answer is not
        waited for.
        """
        bus = InMemorySubscriptionBus()
        handler = ListenHandler(bus)
        self._streams.add(handler)
        try:
            async with anyio.create_task_group() as group:
                settled = []
                for server in self._servers_of(ctx):
                    settled.append(is_settled := anyio.Event())
                    follow = partial(self._follow, ctx, server, bus, handler, is_settled)
                    group.start_soon(follow, params.notifications)
                with anyio.move_on_after(LISTEN_SECONDS):
                    for is_settled in settled:
                        await is_settled.wait()
                result = await handler(ctx, params)
                group.cancel_scope.cancel()
            return result
        finally:
            self._streams.discard(handler)

    async def _follow(
        self,
        ctx: Context,
        server: str,
        bus: InMemorySubscriptionBus,
        handler: ListenHandler,
        is_settled: anyio.Event,
        wanted: SubscriptionFilter,
    ) -> None:
        try:
            await self._keep(ctx, server, partial(_publish, wanted, bus, is_settled), None)
        except MCPError as error:
            logger.info("no changes of %s can be heard: %s", server, error.message)
        else:
            handler.close()  # an upstream ended its stream: whoever listens here is to list anew
        finally:
            is_settled.set()


async def _publish(
    wanted: SubscriptionFilter, bus: InMemorySubscriptionBus, is_settled: anyio.Event, client: Client
) -> None:
    async with client.listen(
        tools_list_changed=bool(wanted.tools_list_changed),
        prompts_list_changed=bool(wanted.prompts_list_changed),
        resources_list_changed=bool(wanted.resources_list_changed),
        resource_subscriptions=wanted.resource_subscriptions or (),
    ) as events:
        is_settled.set()
        async for event in events:
            await bus.publish(event)

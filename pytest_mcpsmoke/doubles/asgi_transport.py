"""A transport of httpx or httpx2, sync and async, that hands requests to an ASGI app in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from pytest_mcpsmoke.doubles._http import Library
from pytest_mcpsmoke.doubles.asgi import App, Call, Lifespan, Unanswered
from pytest_mcpsmoke.doubles.in_process import InProcessTransport

_PORTS = {"http": 80, "https": 443}


class AsgiTransport(InProcessTransport):
    """Runs an ASGI app for each request; its response can be read while the app is still sending it.

    Used by a sync client, the app runs on a loop in a thread that lives until the transport is closed.

    app: the ASGI 3 application.
    library: whose clients use it.
    raises: whether what the app raises is raised from the request, or from reading the response; else a
        request gets status 500, and a response breaks off with RemoteProtocolError.
    lifespan: whether the app's start-up runs before the first request, and its shutdown when it is closed.
    root_path: the path under which the app is mounted.
    client: the address that the app sees.
    """

    def __init__(
        self,
        app: App,
        library: Library,
        *,
        raises: bool = True,
        lifespan: bool = False,
        root_path: str = "",
        client: tuple[str, int] = ("127.0.0.1", 50000),
    ) -> None:
        self.app = app
        self._library = library
        self._raises = raises
        self._wants_lifespan = lifespan
        self._lifespan: Lifespan | None = None  # once it has started
        self._starting = anyio.Lock()
        self._root_path = root_path
        self._client = client
        self._calls: set[Call] = set()
        self._thread = ExitStack()
        self._portal: BlockingPortal | None = None

    async def handle_async_request(self, request: Any) -> Any:
        """Hand the request to the app; return when its response starts."""
        body = request.stream
        plain = isinstance(body, self._library.is_plain)
        return await self._respond(request, b"".join(body) if plain else body.__aiter__(), _AsyncBody)

    def handle_request(self, request: Any) -> Any:
        """Hand the request to the app; return when its response starts."""
        if self._portal is None:
            self._portal = self._thread.enter_context(start_blocking_portal())
        body = request.stream
        plain = isinstance(body, self._library.is_plain)
        chunks = b"".join(body) if plain else _aiter(body)
        return self._portal.call(self._respond, request, chunks, self._sync_body)

    def _sync_body(self, transport: AsgiTransport, call: Call, seconds: float | None) -> Any:
        assert self._portal is not None
        return _SyncBody(self._portal, _AsyncBody(transport, call, seconds))

    async def _respond(
        self, request: Any, body: bytes | AsyncIterator[bytes], wrap: Callable[..., Any]
    ) -> Any:
        if self._wants_lifespan:
            await self._start_lifespan()
        seconds = request.extensions.get("timeout", {}).get("read")
        call = Call(self.app, self._scope(request), body, self._raises)
        try:
            await call.start(seconds)
        except TimeoutError:
            raise self.late() from None
        if call.status is None:
            return self._failed(call)
        self._calls.add(call)
        stream = self._library.Stream(wrap(self, call, seconds))
        return self._library.module.Response(call.status, headers=call.headers, stream=stream)

    async def _start_lifespan(self) -> None:
        async with self._starting:
            if self._lifespan is None:
                lifespan = Lifespan(self.app)
                await lifespan.start()
                self._lifespan = lifespan

    def _failed(self, call: Call) -> Any:
        if self._raises:
            raise call.error or self.broken(Unanswered("the app returned without a response"))
        return self._library.module.Response(500, text="Internal Server Error")

    def _scope(self, request: Any) -> dict[str, Any]:
        url = request.url
        state = {} if self._lifespan is None else {"state": dict(self._lifespan.state)}
        return state | {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": self._root_path,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (url.host, url.port or _PORTS.get(url.scheme)),
            "client": self._client,
            "extensions": {},
        }

    def late(self) -> Exception:
        """The library's exception for an app that sent nothing in time."""
        late: Exception = self._library.module.ReadTimeout("the app sent nothing in time")
        return late

    def broken(self, error: Unanswered) -> Exception:
        """The library's exception for an app that does not answer as it should."""
        broken: Exception = self._library.module.RemoteProtocolError(str(error))
        return broken

    def discard(self, call: Call) -> None:
        """Forget a call that has ended."""
        self._calls.discard(call)

    async def aclose(self) -> None:
        """End the app's running calls, and its lifespan."""
        try:
            while self._calls:
                await self._calls.pop().leave()
        finally:
            lifespan, self._lifespan = self._lifespan, None
            if lifespan is not None:
                await lifespan.stop()

    def close(self) -> None:
        """End the app's running calls, its lifespan, and the thread it ran in."""
        portal, self._portal = self._portal, None
        with self._thread:
            if portal is not None:
                portal.call(self.aclose)


class _AsyncBody:
    def __init__(self, transport: AsgiTransport, call: Call, seconds: float | None) -> None:
        self._transport = transport
        self._call = call
        self._seconds = seconds

    async def next(self) -> bytes | None:
        try:
            return await self._call.next_chunk(self._seconds)
        except TimeoutError:
            raise self._transport.late() from None
        except Unanswered as error:
            raise self._transport.broken(error) from None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self.next()) is not None:
            yield chunk

    async def aclose(self) -> None:
        self._transport.discard(self._call)
        await self._call.leave()


class _SyncBody:
    def __init__(self, portal: BlockingPortal, body: _AsyncBody) -> None:
        self._portal = portal
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := self._portal.call(self._body.next)) is not None:
            yield chunk

    def close(self) -> None:
        self._portal.call(self._body.aclose)


async def _aiter(body: Any) -> AsyncIterator[bytes]:
    for chunk in body:
        yield chunk

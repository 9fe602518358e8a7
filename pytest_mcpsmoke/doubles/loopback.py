"""An HTTP server on loopback for doubles: a thread and a loop of its own, and a journal of what arrived."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Self

from pytest_mcpsmoke.doubles import addresses
from pytest_mcpsmoke.doubles.background import BackgroundLoop, Held
from pytest_mcpsmoke.doubles.extras import need
from pytest_mcpsmoke.doubles.journal import Journal

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from pytest_mcpsmoke.doubles.wire import Wire

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]  # ASGI 3

_GRACE = 0.3  # seconds for an app to notice that its client has left
_PATIENCE = 5  # seconds for an app that does not let itself be cancelled


class LoopbackServer:
    """Serves an ASGI 3 app on 127.0.0.1 and a free port.

    The app runs on the server's loop, in another thread than the test; there is no lifespan. It finds its
    request's entry in the journal as `scope["state"]["entry"]`, and as `scope["state"]["cut"]` what closes
    the connection when all is sent that was sent so far.

    Attributes:
        journal: Every request as it arrived.
        errors: What the app raised, in order; the client was answered 500, or was cut off.
        address: (host, port) while the server listens, else None.
    """

    def __init__(
        self,
        app: App,
        journal: Journal | None = None,
        *,
        who: str = "LoopbackServer",
        loop: BackgroundLoop | None = None,
        around: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    ) -> None:
        """Prepare the server; nothing is started yet.

        Args:
            app: What answers.
            journal: Where requests are noted; a new one when None.
            who: The double that serves, for messages and the thread's name.
            loop: A running loop to serve on, which stays open; None for one of its own.
            around: Makes a context that is open, on the server's loop, for as long as it serves.

        Raises:
            MissingExtra: uvicorn is not installed.
        """
        need("uvicorn", "mcp", who)
        self.journal = Journal() if journal is None else journal
        self.errors: list[Exception] = []
        self.address: tuple[str, int] | None = None
        self._app = app
        self._around = around
        self._held: Held | None = None
        self._own = loop is None
        self._loop = loop or BackgroundLoop(f"mcpsmoke {who}")
        self._listener: asyncio.Server | None = None
        self._wire: Wire | None = None

    @property
    def url(self) -> str:
        """Where the server listens, without a slash at the end; raises RuntimeError when it does not."""
        if self.address is None:
            raise RuntimeError("the server does not listen: start() it first")
        return "http://{}:{}".format(*self.address)

    def start(self) -> Self:
        """Listen, and return when requests are answered; raises what went wrong. Starting twice is fine."""
        if self.address is not None:
            return self
        try:
            if self._own:
                self._loop.start()
            self._set_address(self._loop.call(self._listen()))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Cut every connection, cancel what still answers, and end the thread. Closing twice is fine."""
        self.withdraw()
        if self._own:
            self._loop.close()
        elif self._wire is not None:
            self._loop.call(self._cut())

    def withdraw(self) -> None:
        """Say that the address is no longer ours; for who closes the shared loop, and so the server."""
        self._set_address(None)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_address(self, address: tuple[str, int] | None) -> None:
        """The one place where it becomes known, and is withdrawn, that this address is ours."""
        if self.address is not None:
            addresses.withdraw(*self.address)
        if address is not None:
            addresses.announce(*address)
        self.address = address

    async def _listen(self) -> tuple[str, int]:
        from pytest_mcpsmoke.doubles.wire import Wire

        self._wire = Wire(self._answer, self.journal)
        self._loop.at_end.append(self._cut)
        if self._around is not None:
            held = Held(self._around())
            await held.open()
            self._held = held
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._wire.connection, "127.0.0.1", 0, family=socket.AF_INET, backlog=1024
        )
        host, port = self._listener.sockets[0].getsockname()
        return str(host), int(port)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_fairly(message: MutableMapping[str, Any]) -> None:
            await send(message)
            await asyncio.sleep(
                0
            )  # uvicorn swallows what is sent to nobody: an endless answer would starve us

        try:
            await self._app(scope, receive, send_fairly)
        except Exception as error:
            self.errors.append(error)
            raise

    async def _cut(self) -> None:
        """End what listens, what is connected, what answers and what is around it, in this order."""
        if self._cut in self._loop.at_end:
            self._loop.at_end.remove(self._cut)
        listener, wire, held = self._listener, self._wire, self._held
        self._listener = self._wire = self._held = None
        if listener is not None:
            listener.close()
        try:
            if wire is not None:
                await _end_connections(wire.state)
        finally:
            if held is not None:
                await held.close()


async def _end_connections(state: ServerState) -> None:
    for _ in range(3):  # a connection may have been accepted a moment ago
        await asyncio.sleep(0)
        for connection in list(state.connections):
            connection.transport.abort()
    if state.tasks:  # most apps end by themselves, and tidily, when they hear that their client has left
        await asyncio.wait(list(state.tasks), timeout=_GRACE)
    for _ in range(_PATIENCE):
        if not state.tasks:
            return
        for task in list(state.tasks):
            task.cancel()
        await asyncio.wait(list(state.tasks), timeout=1)
    if state.tasks:
        raise RuntimeError(f"{len(state.tasks)} requests were still answered {_PATIENCE} s after the end")

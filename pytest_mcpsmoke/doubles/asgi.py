"""Requests to an ASGI app in this process: the response is read while the app still sends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextvars import copy_context
from typing import Any, Final

import anyio

from pytest_mcpsmoke.doubles.causes import causes_of
from pytest_mcpsmoke.doubles.unrecorded import recorded

Message = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

GRACE: Final = 1.0  # seconds for an app to end by itself when its client has gone
PATIENCE: Final = 10.0  # seconds for what an app does after its response is complete
_AHEAD: Final = 16  # chunks that an app may send before somebody reads them


class Disconnected(OSError):
    """Raised by an app's send() when the client has gone, as the ASGI specification says."""


class Unanswered(Exception):
    """The app did not answer as ASGI demands; the text says what it did."""


class Call:
    """One request that an app is answering, in a task of its own.

    body: the request's body: bytes, or chunks as they come.
    raises: whether what the app raises after its response has started is raised from reading it.
    """

    def __init__(
        self, app: App, scope: dict[str, Any], body: bytes | AsyncIterator[bytes], raises: bool
    ) -> None:
        self._app = app
        self._scope = scope
        self._body = body
        self._raises = raises
        self._is_taken = False
        self._gone = anyio.Event()  # the client has gone, or the response is complete
        self._started = anyio.Event()  # the response has, or the app has ended
        self._ended = anyio.Event()
        self._cancel = anyio.CancelScope()
        self._into, self._chunks = anyio.create_memory_object_stream[bytes](_AHEAD)
        self._is_complete = False
        self._is_left = False
        self._task: object = None
        self.error: Exception | None = None
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []

    async def start(self, seconds: float | None) -> None:
        """Run the app until its response starts, or it ends.

        Raises TimeoutError after so many seconds; the app is ended then, as it is when this is cancelled.
        """
        self._task = spawn(self._run)
        try:
            with anyio.fail_after(seconds):
                await self._started.wait()
        except BaseException:
            await self.leave()
            raise
        if self.status is None:
            await self.leave()

    async def next_chunk(self, seconds: float | None) -> bytes | None:
        """The next chunk of the response's body; None when it is complete, and the app has returned.

        Raises TimeoutError after so many seconds, Unanswered when the body breaks off, and what the app
        raised.
        """
        try:
            with anyio.fail_after(seconds):
                return await self._chunks.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            pass
        if self._is_left:
            return None
        await self._wait_for_the_end()
        self._raise_error()
        if not self._is_complete:
            raise Unanswered("the app returned before its response was complete")
        return None

    async def leave(self) -> None:
        """Close the response: the app hears of it, has a second to end by itself, and is cancelled then.

        An app whose response is complete may finish what it still does. What it raises is raised here, unless
        it follows from the client's leaving.
        """
        if self._is_left:
            return
        self._is_left = True
        with anyio.CancelScope(shield=True):
            if not self._is_complete:
                self._gone.set()
            self._chunks.close()
            if self._is_complete:
                await self._wait_for_the_end()
            else:
                with anyio.move_on_after(GRACE):
                    await self._ended.wait()
            self._cancel.cancel()
            await self._ended.wait()
        if self.status is not None and not (self.error and _is_of_leaving(self.error)):
            self._raise_error()

    def _raise_error(self) -> None:
        """Raise what the app raised, once."""
        error, self.error = self.error, None
        if error is not None and self._raises:
            raise error

    async def _wait_for_the_end(self) -> None:
        with anyio.move_on_after(PATIENCE) as waiting:
            await self._ended.wait()
        if waiting.cancelled_caught:
            self._cancel.cancel()
            await self._ended.wait()
            raise Unanswered(f"the app went on for {PATIENCE:g} s after its response was complete")

    async def _run(self) -> None:
        recorded.set(False)  # what the app sends is no longer its client's
        try:
            with self._cancel:
                await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            self.error = error
        finally:
            self._ended.set()
            self._started.set()
            self._into.close()

    async def _receive(self) -> Message:
        if self._is_taken:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        if isinstance(self._body, bytes):
            self._is_taken = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        try:
            return {"type": "http.request", "body": await anext(self._body), "more_body": True}
        except StopAsyncIteration:
            self._is_taken = True
            return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self.status is not None:
                raise RuntimeError("the app sent http.response.start twice")
            self.status = int(message["status"])
            self.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self._started.set()
        elif kind == "http.response.body":
            await self._send_body(message)

    async def _send_body(self, message: Message) -> None:
        if self.status is None or self._is_complete:
            when = "before http.response.start" if self.status is None else "after the response was complete"
            raise RuntimeError(f"the app sent http.response.body {when}")
        chunk = bytes(message.get("body", b""))
        try:
            if self._is_left:
                raise anyio.BrokenResourceError
            if chunk and self._scope["method"] != "HEAD":
                await self._into.send(chunk)
        except anyio.BrokenResourceError:
            raise Disconnected("the client has gone") from None
        if not message.get("more_body", False):
            self._is_complete = True
            self._gone.set()
            self._into.close()


class Lifespan:
    """An app's lifespan: start-up before its first request, shutdown after its last."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._into, self._events = anyio.create_memory_object_stream[Message](2)
        self._answers, self._answered = anyio.create_memory_object_stream[Message](2)
        self._ended = anyio.Event()
        self._error: Exception | None = None
        self._task: object = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Run the app's start-up; raises what the app raised, or Unanswered when it reports a failure."""
        self._task = spawn(self._run)
        try:
            await self._ask("startup")
        except BaseException:
            self._close()
            raise

    async def stop(self) -> None:
        """Run the app's shutdown; raises as start() does."""
        try:
            with anyio.CancelScope(shield=True):
                await self._ask("shutdown")
                await self._ended.wait()
        finally:
            self._close()

    def _close(self) -> None:
        for stream in (self._into, self._events, self._answers, self._answered):
            stream.close()

    async def _ask(self, stage: str) -> None:
        await self._into.send({"type": f"lifespan.{stage}"})
        try:
            answer = await self._answered.receive()
        except anyio.EndOfStream:
            raise self._error or Unanswered(
                f"the app returned without an answer to lifespan.{stage}"
            ) from None
        if answer["type"] != f"lifespan.{stage}.complete":
            raise self._error or Unanswered(f"{answer['type']}: {answer.get('message', '')}")

    async def _run(self) -> None:
        recorded.set(False)
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.receive, self._answers.send)
        except Exception as error:
            self._error = error
        finally:
            self._ended.set()
            self._answers.close()


def spawn(run: Callable[[], Awaitable[None]]) -> object:
    """Start a task beside the current one, on asyncio or trio; whoever starts it keeps what is returned."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        return trio.lowlevel.spawn_system_task(run, context=copy_context())
    return loop.create_task(run())  # type: ignore[arg-type]


def _is_of_leaving(error: BaseException) -> bool:
    """Whether an app's exception comes from being told that the client has gone."""
    return any(isinstance(one, Disconnected) for one in causes_of(error))

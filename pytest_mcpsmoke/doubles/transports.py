"""Transports around transports: what passes is recorded, and goes on as it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from pytest_mcpsmoke.doubles._http import Library
from pytest_mcpsmoke.doubles.sent import Sent, Trace
from pytest_mcpsmoke.doubles.unrecorded import recorded

Traced = Callable[[Any], Trace]


class RecordingTransport:
    """A transport, sync or async as the one that it wraps, that notes each request before passing it on.

    inner: the transport that does the work; its further attributes can be reached through this one.
    note: is given each record, before the request is passed on.
    trace: tells what is known of a request besides itself.
    """

    __slots__ = ("_is_outlet", "_library", "_trace", "inner", "note")

    def __init__(
        self, inner: Any, library: Library, note: Callable[[Sent], None], trace: Traced = lambda _: Trace()
    ) -> None:
        self.inner = inner
        self._library = library
        self.note = note
        self._trace = trace
        self._is_outlet = library.is_outlet(inner)

    def handle_request(self, request: Any) -> Any:
        """Record the request, and what the wrapped transport makes of it."""
        sent = self._begin(request)
        token = recorded.set(True) if self._is_outlet else None
        try:
            response = self.inner.handle_request(request)
        except BaseException as error:
            self._fail(sent, error)
            raise
        finally:
            if token is not None:
                recorded.reset(token)
        self._end(sent, response)
        return response

    async def handle_async_request(self, request: Any) -> Any:
        """Record the request, and what the wrapped transport makes of it."""
        sent = self._begin(request)
        token = recorded.set(True) if self._is_outlet else None
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException as error:
            self._fail(sent, error)
            raise
        finally:
            if token is not None:
                recorded.reset(token)
        self._end(sent, response)
        return response

    def _begin(self, request: Any) -> Sent:
        stream = body = request.stream
        if not isinstance(stream, self._library.is_plain):
            if isinstance(
                stream, self._library.KeptStream
            ):  # of an earlier request: a redirect sends it again
                stream = stream.inner
            body = []
            request.stream = self._library.KeptStream(stream, body)
        sent = Sent(
            self._library.name, request, request.headers.raw, body, self._trace(request), time.monotonic()
        )
        self.note(sent)
        return sent

    @staticmethod
    def _end(sent: Sent, response: Any) -> None:
        sent.response = response
        sent.response_raw = response.headers.raw
        sent.ended = time.monotonic()

    @staticmethod
    def _fail(sent: Sent, error: BaseException) -> None:
        sent.error = error
        sent.ended = time.monotonic()

    def close(self) -> None:
        """Close the wrapped transport."""
        self.inner.close()

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self.inner.aclose()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.inner.__exit__(*exception)

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.inner.__aexit__(*exception)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

"""Transports around transports: what passes is recorded, and goes on as it came."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Self

from pytest_mcpsmoke.doubles._http import Library
from pytest_mcpsmoke.doubles.sent import Sent
from pytest_mcpsmoke.doubles.unrecorded import going_out, gone_out


class RecordingTransport:
    """A transport, sync or async as the one that it wraps, that notes each request before passing it on.

    inner: the transport that does the work; its further attributes can be reached through this one.
    note: is given each record, before the request is passed on.
    join: tells a record what it belongs to, before it is noted.
    """

    __slots__ = ("_is_outlet", "_join", "_library", "inner", "note")

    def __init__(
        self,
        inner: Any,
        library: Library,
        note: Callable[[Sent], None],
        join: Callable[[Sent], None] | None = None,
    ) -> None:
        self.inner = inner
        self._library = library
        self.note = note
        self._join = join
        self._is_outlet = library.is_outlet(inner)

    def handle_request(self, request: Any) -> Any:
        """Record the request, and what the wrapped transport makes of it."""
        sent = self._begin(request)
        token = going_out(sent) if self._is_outlet else None
        try:
            response = self.inner.handle_request(request)
        except BaseException as error:
            sent.error = error
            raise
        finally:
            sent.ended = monotonic()
            if token is not None:
                gone_out(sent, token)
        sent.response = response
        return response

    async def handle_async_request(self, request: Any) -> Any:
        """Record the request, and what the wrapped transport makes of it."""
        sent = self._begin(request)
        token = going_out(sent) if self._is_outlet else None
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException as error:
            sent.error = error
            raise
        finally:
            sent.ended = monotonic()
            if token is not None:
                gone_out(sent, token)
        sent.response = response
        return response

    def _begin(self, request: Any) -> Sent:
        library = self._library
        stream = body = request.stream
        if not isinstance(stream, library.is_plain):
            if isinstance(stream, library.KeptStream):  # of an earlier request: a redirect sends it again
                stream = stream.inner
            body = []
            request.stream = library.KeptStream(stream, body)
        sent = Sent(library, request, body)
        if self._join is not None:
            self._join(sent)
        self.note(sent)
        return sent

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

"""What an HTTP server of an upstream's has sent, kept for clients that come back with `Last-Event-ID`."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage

from pytest_mcpsmoke.doubles.loopback import App, Receive, Scope, Send

_HEADER: Final = b"mcp-session-id"


class _Session:
    """One client's session: streams are named after requests, whose ids are a session's own."""


_NOBODYS: Final = _Session()
_session: ContextVar[_Session] = ContextVar("mcpsmoke upstream session", default=_NOBODYS)


class _Sent(NamedTuple):
    session: _Session
    stream: str
    message: JSONRPCMessage | None


class SentEvents(EventStore):
    """Numbers every event, and sends those after a number again, of the same session and stream only."""

    def __init__(self) -> None:
        self._sent: list[_Sent] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep a message, or None: the mark that a stream begins with; return its number."""
        self._sent.append(_Sent(_session.get(), stream_id, message))
        return str(len(self._sent))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send again what came after an event; return its stream, None for one that is not the client's."""
        at = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0
        if not 0 < at <= len(self._sent) or self._sent[at - 1].session is not _session.get():
            return None
        stream = self._sent[at - 1].stream
        for number, sent in enumerate(self._sent[at:], at + 1):
            if sent.message is not None and (sent.session, sent.stream) == (_session.get(), stream):
                await send_callback(EventMessage(sent.message, str(number)))
        return stream


class KnowingSessions:
    """An ASGI app around the SDK's app: says whose session a request belongs to.

    The SDK asks one store for all sessions, and does not tell it which one; but a session lives in tasks that
    the request which opened it has started, and so in its context.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._sessions: dict[bytes, _Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = dict(scope["headers"]).get(_HEADER, b"")
        session = self._sessions.get(known) or _Session()
        _session.set(session)  # the context is the request's own

        async def send_noting(message: MutableMapping[str, Any]) -> None:
            if (given := dict(message.get("headers", ())).get(_HEADER)) is not None:
                self._sessions.setdefault(given, session)
            await send(message)

        await self._app(scope, receive, send_noting)

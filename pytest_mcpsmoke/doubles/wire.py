"""HTTP/1.1 as uvicorn speaks it, noting each request from the bytes that came, before ASGI lower-cases."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from email.utils import formatdate
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pytest_mcpsmoke.doubles.journal import Entry, Journal


class Wire:
    """What the connections of one server share; makes a protocol for each of them."""

    def __init__(self, app: Any, journal: Journal) -> None:
        # timeout_keep_alive: an idle client must not find its connection closed by us in a slow test.
        self.config = _Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            workers=1,
            timeout_keep_alive=300,
        )
        self.config.load()
        self.config.loaded_app = app  # not what it was wrapped in when somebody turned on uvicorn's trace log
        self.state = ServerState()
        self.journal = journal
        self.quiet = logging.Logger("mcpsmoke.loopback", logging.CRITICAL + 1)  # in no tree: nobody hears it

    def connection(self) -> asyncio.Protocol:
        """Make the protocol of a connection that was accepted."""
        return _Protocol(self)


class _Config(Config):
    def configure_logging(self) -> None:
        """Leave logging alone: it is the program's under test."""


class _Protocol(H11Protocol):
    """uvicorn's protocol with a parser that keeps notes; it logs nothing."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire.config, wire.state, {}, asyncio.get_running_loop())
        self.logger = self.access_logger = wire.quiet
        self.access_log = False
        self.conn = _Parser(self, wire.journal)

    def arrived(self, entry: Entry) -> None:
        """Tell the app, in scope["state"], which entry its request is, and how to cut the connection."""
        self.app_state = {"entry": entry, "cut": self.transport.close}
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]


class _Parser(h11.Connection):
    """Notes what uvicorn receives and sends."""

    def __init__(self, owner: _Protocol, journal: Journal) -> None:
        super().__init__(h11.SERVER)
        self._owner = owner
        self._journal = journal
        self._number = journal.open_connection()
        self._began: float | None = None  # when the first byte of the next head came
        self._received = 0.0
        self._incoming: Entry | None = None
        self._answering: Entry | None = None

    def receive_data(self, data: bytes) -> None:
        self._received = time.monotonic()
        if self._began is None:
            self._began = self._received
        super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        head = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self._note_malformed(str(error), head)
            raise
        if isinstance(event, h11.Request):
            self._note_request(event, head[: len(head) - len(self.trailing_data[0])])
        elif self._incoming is not None and isinstance(event, h11.Data):
            self._incoming.body += bytes(event.data)
        elif self._incoming is not None and isinstance(event, h11.EndOfMessage):
            self._incoming.ended = self._received
            self._incoming = None
            self._began = self._received if self.trailing_data[0] else None
        return event

    def send(self, event: Any) -> Any:
        entry = self._answering
        if entry is not None and isinstance(event, h11.ConnectionClosed):
            entry.lost = time.monotonic()
        data = super().send(event)
        if entry is not None and isinstance(event, h11.Response):
            entry.status = event.status_code
        elif entry is not None and isinstance(event, h11.EndOfMessage):
            entry.answered = time.monotonic()
            self._answering = None
        return data

    def _note_request(self, request: h11.Request, head: bytes) -> None:
        entry = Entry(
            request.method.decode("latin-1"),
            request.target.decode("latin-1"),
            _header_lines(head),
            connection=self._number,
            at=self._began or self._received,
        )
        self._incoming = self._answering = self._journal.note(entry)
        self._owner.arrived(entry)

    def _note_malformed(self, why: str, head: bytes) -> None:
        if self._incoming is not None:  # its body, not its head, is broken: the entry is there
            self._incoming.malformed = why
            self._incoming = None
            return
        at = self._began or self._received
        entry = Entry("", "", [], head, self._number, at, ended=self._received, malformed=why)
        self._answering = self._journal.note(entry)


def _header_lines(head: bytes) -> list[tuple[bytes, bytes]]:
    """Read the header lines out of a head that h11 found valid; h11 itself folds equal ones into one."""
    lines = re.sub(rb"\r?\n[ \t]+", b" ", head).splitlines()[1:]
    pairs = (line.partition(b":") for line in lines if line)
    return [(name, value.strip(b" \t")) for name, _, value in pairs]

"""Doubles that can be asked over HTTP, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcpsmoke.doubles.double import Double

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.journal import Journal
    from pytest_mcpsmoke.doubles.loopback import App, LoopbackServer


class ServedDouble(Double):
    """A double that listens on loopback from serve() on, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._server: LoopbackServer | None = None

    def app(self) -> App:
        """The ASGI application that answers for the double."""
        raise NotImplementedError

    def serve(self) -> str:
        """Listen, if it does not yet, and return the base URL. Raises MissingExtra without uvicorn."""
        raise NotImplementedError

    @property
    def journal(self) -> Journal:
        """Every request as it arrived, to be read after the end, too; serves the double if nobody did."""
        if self._server is None:
            self.serve()
        assert self._server is not None
        return self._server.journal

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()

    def _url(self, who: str) -> str:
        """Where it listens; starts the server at the first time. Raises MissingExtra without uvicorn."""
        if self._server is None:
            from pytest_mcpsmoke.doubles.loopback import LoopbackServer

            self._server = LoopbackServer(self.app(), who=who)
            self._server.start()
        return self._server.url

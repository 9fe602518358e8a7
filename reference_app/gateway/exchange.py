"""One HTTP request of the protocol and its answer, whose head waits for what the handlers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reference_app.gateway.access import Access
from reference_app.gateway.refusal import HttpRefusal


@dataclass
class Exchange:
    """One HTTP request of the protocol: what it may use, and the refusal that a handler found for it."""

    access: Access
    refusal: HttpRefusal | None = None


class HeldHead:
    """Holds the head of a response back until the first byte of its body.

    The SDK opens the event stream, 200 and all, before it asks a handler: what goes wrong in there could not
    be told as a status any more. Until the first byte the head can still be another one; after it, the
    stream just ends.
    """

    def __init__(self, send: Any, exchange: Exchange) -> None:
        self._send = send
        self._exchange = exchange
        self._head: Any = None
        self._has_begun = False
        self._is_over = False

    async def send(self, message: Any) -> None:
        """Passes on what the app sends, the head together with what follows it."""
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            self._head = message
            return
        if not message.get("body") and message.get("more_body"):
            return  # nothing yet
        if self._exchange.refusal is not None and not self._has_begun:
            await self.refuse(self._exchange.refusal)
            return
        await self._begin()
        self._is_over = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, refusal: HttpRefusal) -> None:
        """Answers with the refusal while that is possible, and else ends the stream."""
        if self._is_over:
            return
        self._is_over = True
        if self._has_begun:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        self._has_begun = True
        response = refusal.response()
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": response.body, "more_body": False})

    async def _begin(self) -> None:
        if not self._has_begun and self._head is not None:
            self._has_begun = True
            await self._send(self._head)

"""One request as it was sent: raw, with the layers its headers came from, and as text without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, Protocol

from pytest_mcpsmoke.doubles import layers
from pytest_mcpsmoke.doubles._http import Library, Snapshot
from pytest_mcpsmoke.doubles.headers import HeaderView, Pair
from pytest_mcpsmoke.doubles.layers import Origins, Supplied
from pytest_mcpsmoke.doubles.shown import show_header, text_of
from pytest_mcpsmoke.state.describe import redact_value


class Sent:
    """One request that reached a transport, and what came of it.

    Attributes:
        method: Such as "POST".
        request: The library's own request object.
        response: The library's response object; None when the transport raised, or is still at work.
        error: What the transport raised; else None.
        started, ended: Seconds of time.monotonic(), around the transport's call; ended is None meanwhile.
    """

    response: Any = None
    error: BaseException | None = None
    ended: float | None = None
    flight: Flight | None = None  # what the layers are told from, where a recorder sees the client
    earlier: Sent | None = None  # in the same flight
    before: Snapshot | None = None  # the headers before the client's request hooks, if it has any
    _origins: Origins | None = None

    def __init__(self, library: Library, request: Any, body: Iterable[bytes]) -> None:
        self.started = monotonic()
        self.method: str = request.method
        self.request = request
        self._library = library
        self._headers = library.snapshot(request.headers)
        self._body = body

    @property
    def flavour(self) -> str:
        """The library: "httpx" or "httpx2"."""
        return self._library.name

    @property
    def raw(self) -> list[Pair]:
        """The headers that the transport was given: byte pairs, with casing, order and duplicates."""
        return self._library.pairs(self._headers)

    @property
    def url(self) -> str:
        """The whole URL."""
        return str(self.request.url)

    @property
    def path(self) -> str:
        """The path of the URL, decoded, without the query."""
        return str(self.request.url.path)

    @property
    def body(self) -> bytes:
        """What was taken of the request's body so far; a streamed body is whole once it was sent."""
        return b"".join(self._body)

    @property
    def headers(self) -> HeaderView:
        """The request's headers, by name in whatever case."""
        return HeaderView(self.raw)

    @property
    def status(self) -> int | None:
        """The status of the response; None without one."""
        return None if self.response is None else int(self.response.status_code)

    @property
    def response_headers(self) -> HeaderView:
        """The response's headers, by name in whatever case; none without a response."""
        return HeaderView(self.response_raw)

    @property
    def response_raw(self) -> list[Pair]:
        """The response's headers: byte pairs, with casing, order and duplicates; [] without a response."""
        return [] if self.response is None else list(self.response.headers.raw)

    @property
    def layers(self) -> tuple[Supplied, ...]:
        """Each header line that was sent, in order, with the layer that supplied it."""
        return self._told().sent

    @property
    def lost(self) -> tuple[Supplied, ...]:
        """Each header line that a layer supplied and another one replaced or removed (`lost_to`)."""
        return self._told().lost

    def layer_of(self, name: str) -> str | None:
        """The layer of a header; of several lines of that name the last one's; None when it was not sent."""
        lines = layers.named(self.layers, name)
        return lines[-1].layer if lines else None

    def _told(self) -> Origins:
        if self._origins is None:
            flight = self.flight
            self._origins = (
                layers.by_hand(self.raw, layers.UNSEEN) if flight is None else flight.origins(self)
            )
        return self._origins

    def __repr__(self) -> str:
        return f"<Sent {self.title}>"

    @property
    def title(self) -> str:
        """Method, URL, outcome and library in one line, without secrets."""
        if self.error is not None:
            outcome = f"{type(self.error).__name__}: {redact_value(str(self.error))}".partition("\n")[0]
        else:
            outcome = "…" if self.response is None else str(self.response.status_code)
        return f"{self.method} {redact_value(self.url)} -> {outcome} ({self.flavour})"


class Flight(Protocol):
    """Knows the requests that belong together, as redirects do, and the stages they went through."""

    def origins(self, sent: Sent) -> Origins:
        """Tell the layers of one of them."""
        ...


def describe(requests: Iterable[Sent]) -> Iterator[str]:
    """Yield lines that tell every request: its title, each header with its layer, and what it won over."""
    for number, sent in enumerate(requests, 1):
        yield f"{number}. {sent.title}"
        lines = [(show_header(one.name, one.value), one.layer + _over(one, sent)) for one in sent.layers]
        width = min(60, max((len(text) for text, _ in lines), default=0))
        yield from (f"     {text:<{width}}   {layer}" for text, layer in lines)
        names = {one.name.lower() for one in sent.layers}
        for one in sent.lost:
            if one.name.lower() not in names:
                told = show_header(one.name, one.value)
                yield f"     (not sent: {told}, of {one.layer}, lost to {one.lost_to})"


def _over(line: Supplied, sent: Sent) -> str:
    lost = layers.named(sent.lost, text_of(line.name))
    return "".join(f", over {one.layer}'s {show_header(one.name, one.value)}" for one in reversed(lost))

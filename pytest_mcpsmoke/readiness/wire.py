"""Listens in on the HTTP that the official SDK speaks: every request, and what came back of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import anyio

from pytest_mcpsmoke.doubles._http import library
from pytest_mcpsmoke.readiness.events import Evidence, show_url
from pytest_mcpsmoke.readiness.streams import Came, EventReader, TooLarge, is_mapping, read_json, tools_of

_MOST: Final = 32 * 1024 * 1024  # bytes of an answer that is no event stream
_SHOWN: Final = 4_000  # bytes of such an answer that are kept as evidence
_STATUSES: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(eq=False)
class Exchange:
    """One HTTP request, and what came back of it.

    Attributes:
        method: "POST", "GET" …
        asked: The JSON-RPC method that it asks, "tools/list"; "" when it asks nothing.
        status: Of the response; None while there is none.
        kind: The response's media type, "text/event-stream".
        headers: Those of the response that a verdict shows, by lower-case name.
        pings: How many came on its event stream since it was last asked something.
        named: The names of the events that came since then.
        is_ended: Whether the response's body was read to its end.
        problem: What broke the body, or what it said in so many words, on one line.
    """

    method: str
    asked: str = ""
    status: int | None = None
    kind: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    pings: int = 0
    named: list[str] = field(default_factory=list)
    is_ended: bool = False
    problem: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the answer is something else than success."""
        return self.status is not None and not 200 <= self.status < 300

    @property
    def is_stream(self) -> bool:
        """Whether the answer is an event stream."""
        return self.kind == "text/event-stream" and not self.is_refused

    @property
    def told(self) -> str:
        """Status, its words and the media type: "200 OK text/event-stream"."""
        return " ".join(filter(None, [str(self.status), _STATUSES.get(self.status or 0, ""), self.kind]))

    def take(self, came: Came) -> None:
        """Count what came on the event stream."""
        if came.is_ping:
            self.pings += 1
        elif len(self.named) < 1_000:
            self.named.append(came.name or "")

    def begin_anew(self) -> None:
        """Forget what came: something else was asked."""
        self.pings = 0
        self.named.clear()


class Wire:
    """One attempt's HTTP: an `httpx2.AsyncClient` to give to the SDK, and what went over it.

    Attributes:
        exchanges: In the order of the requests.
        catalogue: The tools that a plain event stream named, without MCP around them.
        settled: Is set as soon as what was seen decides, and the SDK would only wait for more.
    """

    def __init__(self, evidence: Evidence, headers: Mapping[str, str], is_sse: bool) -> None:
        self.exchanges: list[Exchange] = []
        self.catalogue: tuple[str, ...] | None = None
        self.settled = anyio.Event()
        self._evidence = evidence
        self._headers = headers
        self._is_sse = is_sse
        self._is_mcp = False  # the stream named the endpoint to post to: the SDK knows what to do
        self._library = library("httpx2", "mcpsmoke probe")

    def client(self, *_: Any, **__: Any) -> Any:
        """Make the client; what the SDK would like it to be does not count: the probe has its own clock."""
        own = {"Accept-Encoding": "identity", "User-Agent": "mcpsmoke"}
        given = {name.lower() for name in self._headers}
        return self._library.module.AsyncClient(
            headers={name: value for name, value in own.items() if name.lower() not in given}
            | {**self._headers},
            timeout=None,
            event_hooks={"request": [self._on_request], "response": [self._on_response]},
        )

    @property
    def stream(self) -> Exchange | None:
        """The event stream of the transport SSE: the last GET."""
        return next((one for one in reversed(self.exchanges) if one.method == "GET"), None)

    @property
    def is_plain_stream(self) -> bool:
        """Whether GET was answered with an event stream without MCP."""
        stream = self.stream
        return self._is_sse and not self._is_mcp and stream is not None and stream.is_stream

    @property
    def decisive(self) -> Exchange | None:
        """The exchange that the verdict is about: the last that was asked something.

        Over SSE that is the stream, where answers come, unless the last question was not even accepted.
        """
        asked = next((one for one in reversed(self.exchanges) if one.asked), None)
        if self._is_sse and (asked is None or not (asked.is_refused or asked.status is None)):
            return self.stream
        return asked

    async def _on_request(self, request: Any) -> None:
        body = bytes(request.content)
        message = read_json(body)
        asked = str(message.get("method")) if is_mapping(message) and "id" in message else ""
        exchange = Exchange(request.method, asked if asked != "None" else "")
        if self._is_sse and exchange.asked and self.stream is not None:
            self.stream.begin_anew()
        self.exchanges.append(exchange)
        request.extensions["mcpsmoke"] = exchange
        self._evidence.note(
            "request", f"{request.method} {show_url(str(request.url))}", request.headers.multi_items()
        )
        if body:
            self._evidence.note("body", body.decode("utf-8", "replace"))

    async def _on_response(self, response: Any) -> None:
        exchange: Exchange = response.request.extensions["mcpsmoke"]
        exchange.status = response.status_code
        exchange.kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        for name in ("allow", "www-authenticate", "location", "retry-after"):
            if name in response.headers:
                exchange.headers[name] = self._evidence.without_secrets(response.headers[name])[:500]
        self._evidence.note("response", exchange.told, response.headers.multi_items())
        response.stream = _tap(self._library, response.stream, _Ear(self, exchange, self._evidence))
        if self._is_sse and exchange.is_refused and exchange.asked:
            self.settled.set()  # the SDK would wait on the stream for an answer that nobody will give

    def hear(self, exchange: Exchange, came: Came) -> None:
        """Take note of what came on an event stream."""
        exchange.take(came)
        self._is_mcp = self._is_mcp or came.name == "endpoint"
        if not self._is_sse or exchange is not self.stream or self._is_mcp:
            return
        if (tools := tools_of(came)) is not None:
            self.catalogue = tools
        elif came.name == "error":
            exchange.problem = f"event: error: {self._evidence.line(came.data)}"
        else:
            return
        self.settled.set()

    def end(self, exchange: Exchange, problem: str | None = None) -> None:
        """Take note that a body ended, or of what broke it."""
        exchange.is_ended = True
        exchange.problem = exchange.problem or problem
        if problem is not None and exchange is self.stream and self._is_sse and not self._is_mcp:
            self.settled.set()  # the SDK would hand it to a session that there is not yet


class _Ear:
    """Reads the body of one response while it passes."""

    def __init__(self, wire: Wire, exchange: Exchange, evidence: Evidence) -> None:
        self._wire = wire
        self._exchange = exchange
        self._evidence = evidence
        self._reader = EventReader() if exchange.is_stream else None
        self._kept = b""
        self._size = 0

    def hear(self, chunk: bytes) -> None:
        """Read a piece. Raises TooLarge."""
        self._size += len(chunk)
        if self._reader is None:
            self._kept += chunk[: _SHOWN - len(self._kept)]
            if self._size > _MOST:
                raise TooLarge(f"an answer of more than {_MOST:,} bytes")
            return
        for came in self._reader.feed(chunk):
            if came.name is None:
                self._evidence.note("comment", came.data)
            else:
                self._evidence.note("event", f"{came.name}: {self._evidence.shown(came.data)}")
            self._wire.hear(self._exchange, came)

    def end(self, problem: str | None = None) -> None:
        """The body has ended, or broke."""
        if self._kept:
            self._evidence.note("body", self._kept.decode("utf-8", "replace"))
        if problem is not None:
            self._evidence.note("failed", problem)
        elif self._reader is not None:
            self._evidence.note("ended", "the event stream")
        self._wire.end(self._exchange, problem)


def _tap(http: Any, stream: Any, ear: _Ear) -> Any:
    """A response's body that is heard while it is read."""

    class Tap(http.Stream):  # type: ignore[misc]
        async def __aiter__(self) -> Any:
            try:
                async for chunk in self.inner:
                    ear.hear(chunk)
                    yield chunk
            except Exception as error:
                ear.end(tell(error))
                raise
            ear.end()

    return Tap(stream)


def tell(error: BaseException) -> str:
    """Say in words what an exception of the HTTP library, or of ours, means."""
    if isinstance(error, TooLarge):
        return str(error)
    kind, text = type(error).__name__, str(error)
    if kind in ("ReadError", "RemoteProtocolError", "WriteError"):
        return f"the connection was closed: {text or kind}"
    return f"{kind}: {text}" if text else kind

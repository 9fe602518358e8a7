"""Attaches a recorder to a client: to the instance, never to its class, and off again without a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from pytest_mcpsmoke.doubles import layers
from pytest_mcpsmoke.doubles._http import Library
from pytest_mcpsmoke.doubles.layers import Build, Origins, Pair
from pytest_mcpsmoke.doubles.sent import Sent, Trace
from pytest_mcpsmoke.doubles.transports import RecordingTransport

_BUILD: Final = "_mcpsmoke_build"  # on a request: what its client's build_request() had
_MISSING: Final = object()

_flight: ContextVar[Flight | None] = ContextVar("mcpsmoke_flight", default=None)


class Flight:
    """One call of a client's send(): the requests of its auth flow and redirects belong together."""

    __slots__ = ("attachment", "before", "follows", "outer", "raw", "request", "sent")

    def __init__(self, attachment: Attachment, request: Any, follows: bool) -> None:
        self.attachment = attachment
        self.request = request
        self.raw: list[Pair] = request.headers.raw  # before the auth flow
        self.before: list[Pair] | None = None  # before the client's request hooks, where there are any
        self.follows = follows  # redirects
        self.sent: list[Sent] = []
        self.outer = _flight.get()


class _Hop(Trace):
    """What is known of one request of a flight."""

    __slots__ = ("_at", "_before", "_flight")

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._at = len(flight.sent)
        self._before = flight.before
        flight.before = None

    def origins(self, sent: Sent) -> Origins:
        """Tell the layers, stage by stage: built, sent, auth or redirect, event hooks."""
        flight = self._flight
        earlier = flight.sent[: self._at]
        same = next((one for one in reversed(earlier) if one.request is sent.request), None)
        stage = layers.AUTH
        if same is not None:
            known = Origins(same.layers, same.lost)
        elif sent.request is flight.request:
            known = layers.after(self._built(sent), flight.raw, layers.REQUEST)
        elif earlier and flight.follows and earlier[-1].response.has_redirect_location:
            known, stage = Origins(earlier[-1].layers, earlier[-1].lost), layers.REDIRECT
        else:  # an auth flow's own request, for a token
            return layers.by_hand(sent.raw, layers.AUTH)
        if self._before is None:
            return layers.after(known, sent.raw, stage)
        return layers.after(layers.after(known, self._before, stage), sent.raw, layers.EVENT_HOOK)

    def _built(self, sent: Sent) -> Origins:
        defaults = self._flight.attachment.library.defaults
        build = getattr(sent.request, _BUILD, None)
        if build is None:
            return layers.by_hand(self._flight.raw, layers.REQUEST)
        return layers.of_build(build, defaults)


class Attachment:
    """A recorder on one client.

    note: is given each record.
    """

    def __init__(self, client: Any, library: Library, note: Callable[[Sent], None]) -> None:
        self.client = client
        self.library = library
        self._note = note
        self._saved: dict[str, Any] = {}
        self._wrapped: RecordingTransport | None = None
        self._is_async = library.is_async(client)
        self._mark = _mark_async if self._is_async else _mark

    def open(self) -> None:
        """Stand before the client's methods."""
        client = self.client
        self._shadow("build_request", partial(_build_request, client, client.build_request))
        self._shadow("send", self._send_async(client.send) if self._is_async else self._send(client.send))
        # Looked up anew each time: others replace the class's while they are at work.
        choose = client.__dict__.get("_transport_for_url") or (
            lambda url: type(client)._transport_for_url(client, url)
        )
        self._shadow("_transport_for_url", partial(self._transport_for_url, choose))

    def close(self) -> None:
        """Give the client back as it was. Closing twice is fine."""
        for name, value in self._saved.items():
            if value is _MISSING:
                self.client.__dict__.pop(name, None)
            else:
                self.client.__dict__[name] = value
        self._saved.clear()
        hooks = self.client.event_hooks["request"]
        while self._mark in hooks:
            hooks.remove(self._mark)

    def _shadow(self, name: str, wrapper: Any) -> None:
        self._saved[name] = self.client.__dict__.get(name, _MISSING)
        self.client.__dict__[name] = wrapper

    def _transport_for_url(self, original: Callable[[Any], Any], url: Any) -> RecordingTransport:
        inner = original(url)
        if isinstance(inner, RecordingTransport) and inner.note == self._note:
            inner = inner.inner  # the same recorder's: once is enough
        wrapped = self._wrapped
        if wrapped is None or wrapped.inner is not inner:
            wrapped = self._wrapped = RecordingTransport(inner, self.library, self._record, self._trace)
        return wrapped

    def _record(self, sent: Sent) -> None:
        flight = self._own_flight()
        if flight is not None:
            flight.sent.append(sent)
        self._note(sent)

    def _trace(self, _request: Any) -> Trace:
        flight = self._own_flight()
        return Trace() if flight is None else _Hop(flight)

    def _own_flight(self) -> Flight | None:
        flight = _flight.get()
        while flight is not None and flight.attachment is not self:
            flight = flight.outer
        return flight

    def _send(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def send(request: Any, **options: Any) -> Any:
            token = _flight.set(self._take_off(request, options))
            try:
                return original(request, **options)
            finally:
                _flight.reset(token)

        return send

    def _send_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def send(request: Any, **options: Any) -> Any:
            token = _flight.set(self._take_off(request, options))
            try:
                return await original(request, **options)
            finally:
                _flight.reset(token)

        return send

    def _take_off(self, request: Any, options: Mapping[str, Any]) -> Flight:
        hooks = self.client.event_hooks["request"]
        if hooks and hooks[0] is not self._mark:
            while self._mark in hooks:
                hooks.remove(self._mark)
            hooks.insert(0, self._mark)
        follows = options.get("follow_redirects")
        return Flight(self, request, follows if isinstance(follows, bool) else self.client.follow_redirects)


def _mark(request: Any) -> None:
    """The first request hook of a client that has hooks: notes what was there before the others."""
    first = flight = _flight.get()
    while flight is not None and first is not None:
        if flight.attachment.client is first.attachment.client:
            flight.before = request.headers.raw
        flight = flight.outer


async def _mark_async(request: Any) -> None:
    _mark(request)


def _build_request(client: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    given: Sequence[tuple[Any, Any]] = ()
    headers = kwargs.get("headers")
    if headers is not None:
        if hasattr(headers, "raw"):
            given = headers.raw
        elif isinstance(headers, Mapping):
            given = tuple(headers.items())
        else:
            kwargs["headers"] = given = list(headers)  # it may be an iterator
    supplied = client.headers.raw
    request = original(*args, **kwargs)
    request.__dict__[_BUILD] = Build(supplied, given, request.headers.raw)
    return request

"""Attaches a recorder to a client: to the instance, never to its class, and off again without a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

from pytest_mcpsmoke.doubles import layers
from pytest_mcpsmoke.doubles._http import Library, Snapshot
from pytest_mcpsmoke.doubles.layers import Build, Origins
from pytest_mcpsmoke.doubles.recording_transport import RecordingTransport
from pytest_mcpsmoke.doubles.sent import Sent

_BUILD: Final = "_mcpsmoke_build"  # on a request: what its client's build_request() had, and made of it
_MISSING: Final = object()

_flight: ContextVar[Flight | None] = ContextVar("mcpsmoke_flight", default=None)


class Flight:
    """One call of a client's send(): the requests of its auth flow and redirects belong together."""

    __slots__ = ("attachment", "before", "follows", "last", "outer", "raw", "request")

    def __init__(self, attachment: Attachment, request: Any, follows: bool) -> None:
        self.attachment = attachment
        self.request = request
        self.raw = attachment.library.snapshot(request.headers)  # before the auth flow
        self.before: Snapshot | None = None  # before the client's request hooks, where there are any
        self.follows = follows  # redirects
        self.last: Sent | None = None
        self.outer = _flight.get()

    def origins(self, sent: Sent) -> Origins:
        """Tell the layers of one of its requests, by stages: built, sent, auth or redirect, event hooks."""
        earlier = same = sent.earlier
        while same is not None and same.request is not sent.request:
            same = same.earlier
        stage = layers.AUTH
        if same is not None:
            known = Origins(same.layers, same.lost)
        elif sent.request is self.request:
            known = self._built()
        elif earlier is not None and self.follows and earlier.response.has_redirect_location:
            known, stage = Origins(earlier.layers, earlier.lost), layers.REDIRECT
        else:  # an auth flow's own request, for a token
            return layers.by_hand(sent.raw, layers.AUTH)
        if sent.before is None:
            return layers.after(known, sent.raw, stage)
        before = self.attachment.library.pairs(sent.before)
        return layers.after(layers.after(known, before, stage), sent.raw, layers.EVENT_HOOK)

    def _built(self) -> Origins:
        library = self.attachment.library
        raw = library.pairs(self.raw)
        build = getattr(self.request, _BUILD, None)
        if build is None:
            return layers.by_hand(raw, layers.REQUEST)
        client, given, built = build
        built = Build(library.pairs(client), given, library.pairs(built))
        return layers.after(layers.of_build(built, library.defaults), raw, layers.REQUEST)


class Attachment:
    """A recorder on one client.

    note: is given each record.
    answer: a transport that answers in the place of the client's own; None: those do.
    """

    def __init__(
        self, client: Any, library: Library, note: Callable[[Sent], None], answer: Any = None
    ) -> None:
        self.client = client
        self.library = library
        self._note = note
        self._answer = answer
        self._saved: dict[str, Any] = {}
        self._is_async = library.is_async(client)
        self._mark = _mark_async if self._is_async else _mark

    def open(self) -> None:
        """Stand before the client's methods."""
        client = self.client
        self._shadow("build_request", _builder(client, self.library.snapshot))
        self._shadow("send", self._async_sender() if self._is_async else self._sender())
        self._shadow("_transport_for_url", self._chooser())

    def close(self) -> None:
        """Give the client back as it was. Closing twice is fine."""
        for name, value in self._saved.items():
            if value is not _MISSING:
                setattr(self.client, name, value)
            elif _own(self.client, name) is not _MISSING:
                delattr(self.client, name)
        self._saved.clear()
        self._unmark(self.client.event_hooks["request"])

    def _shadow(self, name: str, wrapper: Any) -> None:
        self._saved[name] = _own(self.client, name)
        setattr(self.client, name, wrapper)

    def _unmark(self, hooks: list[Any]) -> None:
        while self._mark in hooks:
            hooks.remove(self._mark)

    # the client's three methods

    def _sender(self) -> Callable[..., Any]:
        original = self.client.send

        def send(request: Any, **options: Any) -> Any:
            token = _flight.set(self._take_off(request, options))
            try:
                return original(request, **options)
            finally:
                _flight.reset(token)

        return send

    def _async_sender(self) -> Callable[..., Any]:
        original = self.client.send

        async def send(request: Any, **options: Any) -> Any:
            token = _flight.set(self._take_off(request, options))
            try:
                return await original(request, **options)
            finally:
                _flight.reset(token)

        return send

    def _take_off(self, request: Any, options: Mapping[str, Any]) -> Flight:
        client = self.client
        hooks = client.event_hooks["request"]
        if hooks and hooks[0] is not self._mark:
            self._unmark(hooks)
            hooks.insert(0, self._mark)
        follows = options.get("follow_redirects")
        return Flight(self, request, follows if isinstance(follows, bool) else client.follow_redirects)

    def _chooser(self) -> Callable[[Any], RecordingTransport]:
        client = self.client
        wrapped: RecordingTransport | None = None
        own = _own(client, "_transport_for_url")
        choose = type(client)  # looked up anew each time: others replace its method while they are at work

        def transport_for_url(url: Any) -> RecordingTransport:
            nonlocal wrapped
            inner = self._answer
            if inner is None:
                inner = choose._transport_for_url(client, url) if own is _MISSING else own(url)
            if wrapped is None or wrapped.inner is not inner:
                if isinstance(inner, RecordingTransport) and inner.note == self._note:
                    inner = inner.inner  # the same recorder's: once is enough
                wrapped = RecordingTransport(inner, self.library, self._note, self._join)
            return wrapped

        return transport_for_url

    def _join(self, sent: Sent) -> None:
        """Tell a record which flight it belongs to."""
        flight = _flight.get()
        while flight is not None and flight.attachment is not self:
            flight = flight.outer
        if flight is not None:
            sent.flight = flight
            sent.earlier = flight.last
            sent.before = flight.before
            flight.last = sent
            flight.before = None


def _own(client: Any, name: str) -> Any:
    """An attribute of the instance in the place of its class's method, or _MISSING.

    Its `__dict__` is not asked: from then on every attribute of the instance would be slower.
    """
    value = getattr(client, name)
    is_method = getattr(value, "__self__", None) is client and getattr(value, "__name__", "") == name
    return _MISSING if is_method else value


def _mark(request: Any) -> None:
    """The first request hook of a client that has hooks: notes what was there before the others."""
    first = flight = _flight.get()
    while flight is not None and first is not None:
        if flight.attachment.client is first.attachment.client:
            flight.before = flight.attachment.library.snapshot(request.headers)
        flight = flight.outer


async def _mark_async(request: Any) -> None:
    _mark(request)


def _builder(client: Any, snapshot: Callable[[Any], Snapshot]) -> Callable[..., Any]:
    original = client.build_request

    def build_request(*args: Any, **options: Any) -> Any:
        given: Sequence[tuple[Any, Any]] = ()
        headers = options.get("headers")
        if headers is not None:
            if isinstance(headers, dict):
                given = list(headers.items())
            elif hasattr(headers, "raw"):
                given = headers.raw
            elif isinstance(headers, Mapping):
                given = list(headers.items())
            else:
                options["headers"] = given = list(headers)  # it may be an iterator
        supplied = snapshot(client.headers)
        request = original(*args, **options)
        setattr(request, _BUILD, (supplied, given, snapshot(request.headers)))
        return request

    return build_request

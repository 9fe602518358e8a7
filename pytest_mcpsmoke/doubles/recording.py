"""Records what clients of httpx and httpx2 send, at their transports."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any, Final, TypeVar

from pytest_mcpsmoke.doubles._http import FLAVOURS, FUNCTIONS, Library, library, library_of, loaded
from pytest_mcpsmoke.doubles.answers import Reply, reply, transport_of
from pytest_mcpsmoke.doubles.asserting import Asserting
from pytest_mcpsmoke.doubles.attaching import Attachment
from pytest_mcpsmoke.doubles.double import Double
from pytest_mcpsmoke.doubles.patching import patched
from pytest_mcpsmoke.doubles.recorded_library import StandIn, stood_for
from pytest_mcpsmoke.doubles.recording_transport import RecordingTransport
from pytest_mcpsmoke.doubles.unrecorded import Guard
from pytest_mcpsmoke.errors import MissingExtra, UnexpectedCall, UsageProblem

T = TypeVar("T")
_STOOD_FOR: Final = ("Client", "AsyncClient", *FUNCTIONS)
_TEST_URL: Final = "http://testserver"


class Recorder(Asserting, Double):
    """Keeps every request that its clients send, and refuses connections that no recorder sees.

    guard: whether, until it is closed, a stream connection to the network by anything else is refused with
    UnexpectedCall. Raises MissingExtra when neither httpx nor httpx2 is installed.
    """

    who = "a recorder"

    def __init__(self, *, guard: bool = True) -> None:
        Asserting.__init__(self)
        Double.__init__(self)
        self._flavour = _first_installed(self.who)
        self._undo = ExitStack()
        self._attached: list[Any] = []
        self._async_clients: list[Any] = []
        self._keep = self.sent.append
        self._guard = Guard(self.failures.append)
        if guard:
            self._guard.open()

    def client(
        self, flavour: str = "httpx", *, app: Any = None, transport: Any = None, **options: Any
    ) -> Any:
        """Make a sync client that is recorded: an `httpx.Client` or `httpx2.Client`.

        flavour: "httpx" or "httpx2".
        app: an ASGI app that answers, in this process; `base_url` is http://testserver then. See asgi().
        transport: what answers instead: a transport, a function from a request to a response, reply(…),
        Status(…) or its kin, an exception, or a respx router. With neither, requests go to the network, and
        are recorded.
        options: the client's own arguments. It is closed with the recorder, if not before.
        Raises UsageProblem for a flavour or a transport that is none, MissingExtra for a missing package.
        """
        made = self._make("Client", flavour, app, transport, options)
        self._undo.callback(made.close)
        return made

    def async_client(
        self, flavour: str = "httpx", *, app: Any = None, transport: Any = None, **options: Any
    ) -> Any:
        """Make an async client that is recorded; as client() does.

        Close it on its loop (`async with`): closing the recorder fails when it still holds connections.
        """
        made = self._make("AsyncClient", flavour, app, transport, options)
        self._async_clients.append(made)
        return made

    def asgi(self, app: Any, flavour: str = "httpx", **options: Any) -> Any:
        """Make a transport over an ASGI app, whose responses can be read while the app still sends them.

        options: `raises=False`: an exception of the app becomes status 500; `lifespan=True`: its start-up and
        shutdown run; `root_path`, `client`: as the app sees them.
        """
        from pytest_mcpsmoke.doubles.asgi_transport import AsgiTransport

        transport = AsgiTransport(app, library(flavour, self.who), **options)
        self._undo.callback(transport.close)  # ends the thread of a sync client that nobody closed
        return transport

    @staticmethod
    def reply(
        status: int = 200,
        *,
        json: Any = None,
        text: str | None = None,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """An answer to every request, for `transport=`: its body is `json`, or `text`, or `content`."""
        return reply(status, json=json, text=text, content=content, headers=headers)

    def attach(self, target: T, *, app: Any = None, transport: Any = None) -> T:
        """Record a client that exists, from now until the recorder is closed; return it.

        target: a client of either library, sync or async, Starlette's TestClient among them, or something
        that holds one, as openai's clients do. Or a transport: then the recording one is returned, to be
        given to a client; which layer supplied a header cannot be told there.
        app, transport: what answers the client meanwhile, in the place of its own transports; as in client().
        Raises UsageProblem for anything else.
        """
        found = _client_of(target)
        if found is not None:
            self._watch(*found, self._answering(found[1], app, transport))
            return target
        if hasattr(target, "handle_request") or hasattr(target, "handle_async_request"):
            of = library_of(lambda one: one.is_transport(target)) or library(self._flavour, self.who)
            return RecordingTransport(target, of, self._keep)  # type: ignore[return-value]
        raise UsageProblem(f"{type(target).__name__} is neither a client nor a transport of httpx or httpx2")

    def stand_in(self, flavour: str = "httpx", *, app: Any = None, transport: Any = None) -> StandIn:
        """Make a stand-in for the module httpx or httpx2: every client that is made through it is recorded.

        All other names are the module's own, and isinstance() holds as before. `app` and `transport` answer
        the clients that are made without a transport, as in client().
        """
        of = library(flavour, self.who)

        def defaults() -> dict[str, Any]:
            answering = self._answering(of, app, transport)
            return {} if answering is None else {"transport": answering}

        self._answering(of, app, transport)  # what is wrong with them is said here
        return StandIn(of, lambda client: self._watch(client, of), defaults)

    def into(self, *modules: str | ModuleType, app: Any = None, transport: Any = None) -> None:
        """Record the clients that these modules make, until the recorder is closed.

        In each module the names that are bound to httpx or httpx2, or to a client class or function of them,
        are bound to those of a stand-in; clients that are there already are attached to. `app` and
        `transport` answer all of them, as in stand_in() and attach(). Raises UsageProblem for a module that
        has no such name.
        """
        stand_ins: dict[str, StandIn] = {}
        for given in modules:
            module = importlib.import_module(given) if isinstance(given, str) else given
            found = 0
            for name, value in list(vars(module).items()):
                if library_of(lambda one, value=value: one.is_client(value)):  # type: ignore[misc]
                    found += 1
                    self.attach(value, app=app, transport=transport)
                put = self._in_place_of(value, stand_ins, app, transport)
                if put is not None:
                    found += 1
                    self._undo.enter_context(patched(module, name, put, everywhere=False))
            if not found:
                raise UsageProblem(
                    f"{module.__name__} has no name for httpx, httpx2 or a client of theirs: name the module"
                    " that makes the client, or give the client to attach()"
                )

    def allow(self, *addresses: str) -> None:
        """Let connections to "host:port", to any port of "host", or to everything ("*") pass unrecorded.

        Raises UsageProblem for an address that cannot be read, or a host that is not found.
        """
        for address in addresses:
            self._guard.allow(address)

    def close(self) -> None:
        """Put back what was replaced, last in first out, close the sync clients, and stop guarding."""
        self._guard.close()
        self._undo.close()
        for client in self._async_clients:
            of = library_of(lambda one, client=client: one.is_client(client))  # type: ignore[misc]
            if not client.is_closed and of is not None and of.holds_connections(client):
                self.failures.append(
                    UnexpectedCall(
                        "an AsyncClient still holds connections, which only its own loop can close: use it as"
                        " `async with …:`, or `await client.aclose()`"
                    )
                )
        self._async_clients.clear()

    def _make(self, kind: str, flavour: str, app: Any, transport: Any, options: dict[str, Any]) -> Any:
        of = library(flavour, self.who)
        answering = self._answering(of, app, transport)
        if answering is not None:
            options["transport"] = answering
        if app is not None:
            options.setdefault("base_url", _TEST_URL)
        client = getattr(of.module, kind)(**options)
        self._watch(client, of)
        return client

    def _answering(self, of: Library, app: Any, transport: Any) -> Any:
        if app is not None and transport is not None:
            raise UsageProblem("app= and transport= both: only one of them can answer")
        if app is not None:
            return self.asgi(app, of.name)
        return None if transport is None else transport_of(transport, of)

    def _watch(self, client: Any, of: Library, answer: Any = None) -> None:
        if answer is None and any(one is client for one in self._attached):
            return
        attachment = Attachment(client, of, self._keep, answer)
        attachment.open()
        self._attached.append(client)
        self._undo.callback(attachment.close)

    def _in_place_of(
        self, value: object, stand_ins: dict[str, StandIn], app: Any, transport: Any
    ) -> object | None:
        """What of a stand-in belongs in the place of a module's value; None for most values."""
        value = stood_for(value)  # by another recorder's
        for of in loaded():
            names = [name for name in _STOOD_FOR if getattr(of.module, name, stand_ins) is value]
            if value is of.module or names:
                if of.name not in stand_ins:
                    stand_ins[of.name] = self.stand_in(of.name, app=app, transport=transport)
                return getattr(stand_ins[of.name], names[0]) if names else stand_ins[of.name]
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.sent)} requests>"


class RecordingClient(Recorder):
    """A recorder that is called to make a sync client: as Recorder.client()."""

    who = "recording_client"
    __call__ = Recorder.client


class RecordingAsyncClient(Recorder):
    """A recorder that is called to make an async client: as Recorder.async_client()."""

    who = "recording_async_client"
    __call__ = Recorder.async_client


class RecordHeaders(Recorder):
    """A recorder that is called with a client or a transport that exists: as Recorder.attach()."""

    who = "record_headers"
    __call__ = Recorder.attach


def _first_installed(who: str) -> str:
    """The flavour that is installed, httpx before httpx2; raises MissingExtra without either."""
    try:
        return library(FLAVOURS[0], who).name
    except MissingExtra as missing:
        try:
            return library(FLAVOURS[1], who).name
        except MissingExtra:
            raise missing from None


def _client_of(target: object) -> tuple[Any, Library] | None:
    """The client that something is, or holds as `_client`, with its library; None for anything else."""
    for one in (target, getattr(target, "_client", None)):
        of = library_of(lambda known, one=one: known.is_client(one))  # type: ignore[misc]
        if of is not None:
            return one, of
    return None

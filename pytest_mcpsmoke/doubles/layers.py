"""Which layer supplied each header of a request, and which values lost on the way. Pure; on raw pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pytest_mcpsmoke.doubles.headers import Pair
from pytest_mcpsmoke.doubles.shown import show_header

DEFAULT: Final = "default"  # the library: Accept, User-Agent, Host, Content-Length, a body's Content-Type …
CLIENT: Final = "client"
REQUEST: Final = "request"
COOKIES: Final = "cookies"
AUTH: Final = "auth"
REDIRECT: Final = "redirect"
EVENT_HOOK: Final = "event_hook"
UNSEEN: Final = "unseen"  # above a transport whose client no recorder sees
LAYERS: Final = (DEFAULT, CLIENT, REQUEST, COOKIES, AUTH, REDIRECT, EVENT_HOOK, UNSEEN)

_FRAMING: Final = (b"host", b"content-length", b"transfer-encoding")


class Supplied(NamedTuple):
    """One header line as a layer supplied it; `lost_to` is the layer that replaced or removed it, or None."""

    name: bytes
    value: bytes
    layer: str
    lost_to: str | None = None

    def __repr__(self) -> str:
        lost = f", lost to {self.lost_to}" if self.lost_to else ""
        return f"<{show_header(self.name, self.value)} of {self.layer}{lost}>"


class Build(NamedTuple):
    """What a client's build_request() had, and made of it."""

    client: Sequence[Pair]  # the client's headers, library defaults among them
    given: Sequence[tuple[str | bytes, object]]  # the headers argument
    built: Sequence[Pair]


class Origins(NamedTuple):
    """Where the headers of one request come from: those that were sent, in order, and those that were not."""

    sent: tuple[Supplied, ...]
    lost: tuple[Supplied, ...]


def of_build(build: Build, defaults: Sequence[Pair]) -> Origins:
    """Tell the layers of a request that a client built."""
    mine = _of_client(build.client, defaults)
    given = {_lower(name) for name, _ in build.given}
    layer_of = {(one.name, one.value): one.layer for one in mine.sent}
    sent = []
    for name, value in build.built:
        if name.lower() in given:
            layer = REQUEST
        else:
            layer = layer_of.get((name, value)) or (COOKIES if name.lower() == b"cookie" else DEFAULT)
        sent.append(Supplied(name, value, layer))
    lost = [one._replace(lost_to=REQUEST) for one in mine.sent if one.name.lower() in given]
    return Origins(tuple(sent), (*mine.lost, *lost))


def by_hand(raw: Sequence[Pair], layer: str, defaults: Sequence[Pair] = ()) -> Origins:
    """Tell the layers of a request that no client built: all one, but for what frames the message.

    defaults: pairs that the library would have sent anyway.
    """
    return Origins(
        tuple(
            Supplied(name, value, DEFAULT if name.lower() in _FRAMING or (name, value) in defaults else layer)
            for name, value in raw
        ),
        (),
    )


def after(origins: Origins, raw: Sequence[Pair], layer: str) -> Origins:
    """Tell the layers after a stage: what is new belongs to it, what is gone has lost to it."""
    if len(raw) == len(origins.sent) and all(
        one.name == name and one.value == value for one, (name, value) in zip(origins.sent, raw, strict=True)
    ):
        return origins
    left = list(origins.sent)
    sent = []
    for name, value in raw:
        known = next((one for one in left if one.name == name and one.value == value), None)
        if known is None:
            known = Supplied(
                name, value, COOKIES if layer == REDIRECT and name.lower() == b"cookie" else layer
            )
        else:
            left.remove(known)
        sent.append(known)
    lost = tuple(one._replace(lost_to=layer) for one in left)
    return Origins(tuple(sent), origins.lost + lost)


def named(lines: Iterable[Supplied], name: str) -> list[Supplied]:
    """The lines of this name, in whatever case."""
    wanted = _lower(name)
    return [one for one in lines if one.name.lower() == wanted]


def _of_client(raw: Sequence[Pair], defaults: Sequence[Pair]) -> Origins:
    """Tell the library's defaults from what the user set: a default that was set anew stands at the end."""
    sent, at = [], 0
    for pair in raw:
        is_default = pair in defaults[at:]
        if is_default:
            at = defaults.index(pair) + 1
        sent.append(Supplied(*pair, DEFAULT if is_default else CLIENT))
    kept = {(one.name, one.value) for one in sent if one.layer == DEFAULT}
    lost = [Supplied(*pair, DEFAULT, CLIENT) for pair in defaults if pair not in kept]
    return Origins(tuple(sent), tuple(lost))


def _lower(name: str | bytes) -> bytes:
    return (name.encode("utf-8") if isinstance(name, str) else bytes(name)).lower()

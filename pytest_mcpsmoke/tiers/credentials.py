"""Headers between program and provider: the relay's key out, the real key in, and nothing of one hop only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = list[tuple[bytes, bytes]]

_KEYS: Final = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
_HOP: Final = frozenset(  # RFC 9110, 7.6.1, and what was always treated so
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
_WRITTEN_ANEW: Final = frozenset((b"host", b"content-length", b"accept-encoding", b"expect"))
_DECODED: Final = frozenset((b"content-encoding", b"content-length"))


def outward(headers: Headers, key: str | None) -> Headers:
    """Return a request's headers for the provider: names as they were written, with the real key.

    key: None takes the credentials out. Without `Accept-Encoding` of the program: an answer that nobody
    compressed can be read while it passes.
    """
    dropped = _of_one_hop(headers) | _WRITTEN_ANEW
    passed: Headers = []
    for name, value in headers:
        if name.lower() in _KEYS:
            if key is not None:
                passed.append((name, _in_its_form(value, key.encode())))
        elif name.lower() not in dropped:
            passed.append((name, value))
    return [*passed, (b"Accept-Encoding", b"identity")]


def inward(headers: Headers, is_decoded: bool) -> Headers:
    """Return an answer's headers for the program. is_decoded: whether its body was uncompressed here."""
    dropped = _of_one_hop(headers) | {b"date"} | (_DECODED if is_decoded else set())  # the server dates it
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _of_one_hop(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    named = [value for name, value in headers if name.lower() == b"connection"]
    return _HOP | {token.strip().lower() for value in named for token in value.split(b",")}


def _in_its_form(value: bytes, key: bytes) -> bytes:
    """`Bearer OLD` becomes `Bearer KEY`; OLD becomes KEY."""
    scheme, space, _ = value.partition(b" ")
    return scheme + space + key if space else key

"""What goes on between program and provider, header by header."""

from __future__ import annotations

import pytest

from pytest_mcpsmoke.tiers.credentials import Headers, inward, outward

IDENTITY = (b"Accept-Encoding", b"identity")


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ((b"Authorization", b"Bearer token"), (b"Authorization", b"Bearer real")),
        ((b"AUTHORIZATION", b"token"), (b"AUTHORIZATION", b"real")),
        ((b"x-api-key", b"token"), (b"x-api-key", b"real")),
        ((b"Api-Key", b"another"), (b"Api-Key", b"real")),
        ((b"X-Goog-Api-Key", b""), (b"X-Goog-Api-Key", b"real")),
    ],
)
def test_the_real_key_stands_where_the_token_stood(
    sent: tuple[bytes, bytes], passed: tuple[bytes, bytes]
) -> None:
    assert outward([sent], "real") == [passed, IDENTITY]
    assert outward([sent], None) == [IDENTITY]


def test_no_key_is_added_where_none_was_sent() -> None:
    assert outward([(b"X-Own", b"1")], "real") == [(b"X-Own", b"1"), IDENTITY]


def test_all_but_what_belongs_to_one_connection_is_passed_on_as_it_was_written() -> None:
    sent: Headers = [
        (b"Host", b"127.0.0.1:1"),
        (b"OpenAI-Organization", b"o"),
        (b"x-dup", b"1"),
        (b"X-Dup", b"2"),
        (b"Connection", b"close, X-Hop"),
        (b"x-hop", b"1"),
        (b"Keep-Alive", b"1"),
        (b"TE", b"trailers"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"3"),
        (b"Accept-Encoding", b"gzip, br"),
        (b"Expect", b"100-continue"),
        (b"Proxy-Authorization", b"Basic x"),
    ]
    assert outward(sent, "real") == [
        (b"OpenAI-Organization", b"o"),
        (b"x-dup", b"1"),
        (b"X-Dup", b"2"),
        IDENTITY,
    ]


def test_an_answer_keeps_its_length_unless_it_was_uncompressed() -> None:
    came: Headers = [
        (b"Retry-After", b"7"),
        (b"Date", b"today"),
        (b"Connection", b"keep-alive"),
        (b"Content-Length", b"3"),
        (b"Content-Encoding", b"gzip"),
        (b"Set-Cookie", b"a"),
        (b"Set-Cookie", b"b"),
    ]
    kept = [(b"Retry-After", b"7"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")]
    assert inward(came, True) == kept
    assert inward(came, False) == [kept[0], *came[3:]]

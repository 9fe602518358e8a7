"""The relay: a header on every request, and all else as it came."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from conformance.relay import relay
from pytest_mcpsmoke.doubles.upstream import McpUpstream

SECONDS = 20.0


class Target:
    """A server that keeps the first request it gets, answers, and says when its client has left."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.got = b""
        self.was_left = threading.Event()
        self.may_end = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.settimeout(SECONDS)
            while not self.got.endswith(b"END"):
                self.got += connection.recv(65536)
            connection.sendall(self.answer)
            if not connection.recv(1):
                self.was_left.set()

    def close(self) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@contextmanager
def relayed(answer: bytes) -> Iterator[tuple[Target, socket.socket]]:
    target = Target(answer)
    with relay("127.0.0.1", target.port, ("X-Key", "k")) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
            yield target, client
        target.close()


def test_all_but_the_header_passes_byte_for_byte() -> None:
    first, kept = b"POST /mcp HTTP/1.1\r\n", b"Host: evil.example.com\r\nmcp-name:   spaced  \r\n"
    head = first + kept + b"Keep-Alive: 5\r\nconnection: x\r\n\r\n"
    with relayed(b"HTTP/1.1 200 OK\r\n\r\n\xff\x00") as (target, client):
        client.sendall(head + b"\x00\xff EN")
        client.sendall(b"D")
        assert client.recv(65536) == b"HTTP/1.1 200 OK\r\n\r\n\xff\x00"  # while the target goes on
    assert target.got == first + b"X-Key: k\r\nConnection: close\r\n" + kept + b"\r\n\x00\xff END"


def test_a_client_that_leaves_is_seen_to_leave() -> None:
    with relayed(b"HTTP/1.1 200 OK\r\n\r\n: ping\n\n") as (target, client):
        client.sendall(b"GET / HTTP/1.1\r\n\r\nEND")
        assert client.recv(65536)
        client.close()
        assert target.was_left.wait(SECONDS)


def test_a_client_keeps_its_connection_to_itself() -> None:
    """Every request gets the header, also those that a client would send over one connection."""
    with McpUpstream() as up:
        up.tool("x", result="y")
        url = httpx.URL(up.http())
        with (
            relay(str(url.host), int(url.port or 0), ("Authorization", "Bearer k")) as base,
            httpx.Client() as client,
        ):
            for _ in range(3):
                client.get(f"{base}/nowhere")
        assert [entry.header("authorization") for entry in up.journal] == [["Bearer k"]] * 3


def test_a_target_that_is_gone_is_a_closed_connection() -> None:
    with socket.socket() as taken:  # so that nobody else, not the relay either, gets the port
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with relay("127.0.0.1", port, ("X-Key", "k")) as url, pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url)


def test_it_listens_no_longer_than_its_block() -> None:
    with relay("127.0.0.1", 9, ("X-Key", "k")) as url:
        port = int(url.rpartition(":")[2])
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0

"""The loopback server notes what stood on the wire, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from pytest_mcpsmoke.doubles import loopback
from pytest_mcpsmoke.doubles.background import BackgroundLoop
from pytest_mcpsmoke.doubles.journal import Journal
from pytest_mcpsmoke.doubles.loopback import LoopbackServer


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echo the body; raise on /boom, never end on /forever."""
    if scope["path"] == "/boom":
        raise ValueError("boom")
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/forever":
        await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(app) as made:
        yield made


def exchange(server: LoopbackServer, sent: bytes) -> bytes:
    """Send bytes, say that no more will come, and return all that comes back."""
    assert server.address is not None
    with socket.create_connection(server.address, timeout=60) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def descriptors() -> list[str]:
    gc.collect()
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


def test_a_request_is_noted_as_it_stood_on_the_wire(server: LoopbackServer) -> None:
    before = time.monotonic()
    exchange(
        server,
        b"POST /a%20b?q=%2F HTTP/1.1\r\nHost: x\r\nX-Env:  B \r\nx-eNV: A\r\nX-Env: B\r\n"
        b"Content-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    )
    came = server.journal.assert_one()
    assert (came.method, came.path, came.body, came.connection) == ("POST", "/a%20b?q=%2F", b"{}", 1)
    assert came.headers == [
        (b"Host", b"x"),
        (b"X-Env", b"B"),
        (b"x-eNV", b"A"),
        (b"X-Env", b"B"),
        (b"Content-Length", b"2"),
        (b"Content-Length", b"2"),
        (b"Connection", b"close"),
    ]
    assert came.ended is not None
    assert came.answered is not None
    assert before <= came.at <= came.ended <= came.answered <= time.monotonic()
    assert (came.status, came.transport, came.malformed) == (200, "http", "")


def test_connections_are_told_apart(server: LoopbackServer) -> None:
    with httpx.Client() as one, httpx.Client() as other:
        for client in (one, other, one):
            assert client.post(server.url, content=b"x").content == b"x"
    assert [came.connection for came in server.journal] == [1, 2, 1]
    assert server.journal.connections == 2


def test_pipelined_and_chunked_requests_are_noted_one_by_one(server: LoopbackServer) -> None:
    exchange(
        server,
        b"POST /1 HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        b"GET /2 HTTP/1.1\r\nHOST: y\r\nConnection: close\r\n\r\n",
    )
    assert [(came.path, came.body, came.header_names) for came in server.journal] == [
        ("/1", b"abcde", ["host", "Transfer-Encoding"]),
        ("/2", b"", ["HOST", "Connection"]),
    ]


@pytest.mark.parametrize(
    ("sent", "path", "why"),
    [
        (b"nonsense\r\n\r\n", "", "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", "", "Missing mandatory Host: header"),
        (
            b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "/x",
            "illegal chunk header",
        ),
    ],
)
def test_what_is_no_http_is_noted_too(server: LoopbackServer, sent: bytes, path: str, why: str) -> None:
    exchange(server, sent)
    came = server.journal.wait_for()[0]
    assert came.path == path
    assert why in came.malformed
    assert "not HTTP" in str(came)
    assert came.ended is None or came.body == sent


def test_a_client_that_leaves_early_leaves_an_incomplete_request(server: LoopbackServer) -> None:
    assert server.address is not None
    with socket.create_connection(server.address) as client:
        client.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        came = server.journal.wait_for()[0]
    server.close()
    assert (came.body, came.ended, came.status) == (b"abc", None, None)
    assert "incomplete" in repr(came)


def test_a_client_that_leaves_during_the_answer_is_noted(server: LoopbackServer) -> None:
    before = time.monotonic()
    with httpx.stream("GET", f"{server.url}/forever") as response:
        chunks = response.iter_raw()  # kept: without it the connection would be closed at once
        next(chunks)
        (came,) = server.journal
        assert came.lost is None
    deadline = time.monotonic() + 60
    while came.lost is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert came.answered is None
    assert came.lost is not None
    assert before <= came.lost <= time.monotonic()


def test_what_the_app_raises_is_kept_and_not_logged(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(1)
    logging.getLogger("uvicorn.asgi").setLevel(1)
    try:
        assert httpx.get(f"{server.url}/boom").status_code == 500
    finally:
        logging.getLogger("uvicorn.asgi").setLevel(logging.NOTSET)
    assert [str(error) for error in server.errors] == ["boom"]
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
    assert capfd.readouterr() == ("", "")


def test_nothing_is_left_behind() -> None:
    LoopbackServer(app).start().close()  # what the first server imports stays
    threads, files = set(threading.enumerate()), descriptors()
    for _ in range(3):
        server = LoopbackServer(app).start()
        assert server.address is not None
        clients = [socket.create_connection(server.address) for _ in range(3)]
        clients[0].sendall(b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")  # endless, and nobody reads it
        clients[1].sendall(b"GET /half")
        server.journal.wait_for(1, path="/forever")
        server.close()
        server.close()
        for client in clients:
            client.close()
    assert set(threading.enumerate()) <= threads
    assert descriptors() == files


def test_an_app_that_waits_forever_is_cancelled() -> None:
    cancelled = threading.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with LoopbackServer(waiting) as server:
        assert server.address is not None
        client = socket.create_connection(server.address)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.journal.wait_for()
    assert cancelled.is_set()
    assert client.recv(10) == b""
    client.close()


def test_an_app_that_does_not_let_itself_be_cancelled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_PATIENCE", 1)

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):  # cancelled by the server, and, when that has been told, with the loop
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    server = LoopbackServer(stubborn).start()
    assert server.address is not None
    with socket.create_connection(server.address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.journal.wait_for()
        with pytest.raises(RuntimeError, match="1 requests were still answered 1 s after the end"):
            server.close()
    server.close()


def test_it_listens_only_between_start_and_close() -> None:
    server = LoopbackServer(app)
    with pytest.raises(RuntimeError, match="start"):
        _ = server.url
    assert server.start().start() is server
    address = server.address
    assert address is not None
    server.close()
    assert server.address is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    server.start()  # once more, on another port
    assert httpx.post(server.url, content=b"again").text == "again"
    server.close()


def test_two_servers_may_share_a_loop_and_a_journal() -> None:
    loop, journal = BackgroundLoop("test"), Journal()
    loop.start()
    with LoopbackServer(app, journal, loop=loop) as one, LoopbackServer(app, journal, loop=loop) as other:
        httpx.get(one.url)
        httpx.get(other.url)
    assert [came.connection for came in journal] == [1, 2]
    loop.close()
    with pytest.raises(RuntimeError, match="not running"):
        LoopbackServer(app, loop=loop).start()


def test_a_context_is_open_while_it_serves() -> None:
    steps: list[str] = []

    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[None]:
        steps.append(f"opened in {threading.current_thread().name}")
        yield
        steps.append("closed")

    with LoopbackServer(app, around=around) as server:
        assert steps == ["opened in mcpsmoke LoopbackServer"]
        assert httpx.get(server.url).status_code == 200
    assert steps[1:] == ["closed"]


def test_a_context_that_does_not_open_prevents_the_start() -> None:
    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[None]:
        raise OSError("no lifespan")
        yield

    threads, files = set(threading.enumerate()), descriptors()
    server = LoopbackServer(app, around=around)
    with pytest.raises(OSError, match="no lifespan"):
        server.start()
    assert server.address is None
    assert set(threading.enumerate()) <= threads
    assert descriptors() == files


def test_what_prevents_the_start_is_raised_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(self: object, *args: object, **kwargs: object) -> None:
        raise OSError("no more ports")

    threads, files = set(threading.enumerate()), descriptors()
    monkeypatch.setattr(asyncio.SelectorEventLoop, "create_server", refused)
    with pytest.raises(OSError, match="no more ports"):
        LoopbackServer(app).start()
    assert set(threading.enumerate()) <= threads
    assert descriptors() == files


@pytest.fixture
def interrupts() -> Iterator[None]:
    """A job in the background is started deaf to them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_an_interrupt_while_it_ends_ends_it_all_the_same(interrupts: None) -> None:
    released = threading.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        released.wait(60)  # holds the loop, so that close() has to wait

    def closed_under_an_interrupt() -> None:
        timer.start()
        server.close()

    threads = set(threading.enumerate())
    server = LoopbackServer(stubborn).start()
    assert server.address is not None
    with socket.create_connection(server.address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.journal.wait_for()
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            closed_under_an_interrupt()
        timer.join()
        released.set()
    server.close()
    assert set(threading.enumerate()) <= threads


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_it_is_told_to_end_again_while_it_ends(interrupts: None) -> None:
    """As after a close() that was interrupted: the second one must not cut off what the first has begun."""
    begun, done = threading.Event(), threading.Event()

    async def take_time() -> None:
        begun.set()
        while not told.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        done.set()

    told = threading.Event()
    background = BackgroundLoop("a loop that ends slowly")
    background.start()
    background.at_end.append(take_time)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        begun.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        background.close()
    thread.join()
    timer = threading.Timer(0.02, told.set)
    timer.start()
    background.close()
    timer.join()
    assert done.is_set()

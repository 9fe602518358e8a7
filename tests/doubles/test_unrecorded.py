"""While a recorder is in use, what it does not see cannot connect: any library, any thread."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx_stacks import Stack, each_stack

from pytest_mcpsmoke.doubles.addresses import is_served, served
from pytest_mcpsmoke.doubles.recording import Recorder
from pytest_mcpsmoke.errors import UnexpectedCall, UsageProblem
from pytest_mcpsmoke.state import audit

HERE = Path(__file__)


@pytest.fixture
def port() -> Iterator[int]:
    """A server on loopback that answers every connection with an empty 200."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(65536):
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        )

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def by_urllib(port: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()


def by_http_client(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    connection.close()


def by_httpx(port: int) -> None:
    import httpx

    httpx.get(f"http://127.0.0.1:{port}/")


def by_httpx2(port: int) -> None:
    import httpx2

    httpx2.get(f"http://127.0.0.1:{port}/")


def by_asyncio(port: int) -> None:
    asyncio.run(asyncio.open_connection("127.0.0.1", port))


def by_socket(port: int) -> None:
    with socket.socket() as one:
        one.connect_ex(("127.0.0.1", port))


def line_of(function: Callable[..., Any], text: str) -> int:
    first = function.__code__.co_firstlineno
    lines = HERE.read_text("utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if n > first and text in line)


class TestRefusals:
    @pytest.mark.parametrize(
        ("connect", "library", "text"),
        [
            (by_urllib, "urllib", "urlopen"),
            (by_http_client, "http", "request("),
            (by_httpx, "httpx", "httpx.get"),
            (by_httpx2, "httpx2", "httpx2.get"),
            (by_asyncio, "asyncio", "asyncio.run"),
            (by_socket, "a socket", "connect_ex"),
        ],
    )
    def test_any_library_is_refused_and_named(
        self, connect: Callable[[int], None], library: str, text: str, port: int
    ) -> None:
        recorder = Recorder()
        with pytest.raises(UnexpectedCall) as refused:
            connect(port)
        recorder.close()
        told = str(refused.value).splitlines()
        assert told[0] == f"{library} connects to 127.0.0.1:{port}, and no recorder sees what it sends"
        name = connect.__name__
        assert told[1].endswith(f"test_unrecorded.py:{line_of(connect, text)} in {name}")
        assert told[2].endswith(f'or let it through: .allow("127.0.0.1:{port}")')
        assert recorder.failures == [refused.value]

    @pytest.mark.parametrize("flavour", ["httpx", "httpx2"])
    def test_a_task_of_anyio_is_its_user_s(self, flavour: str, port: int) -> None:
        """anyio connects in tasks of its own, whose stacks do not show who asked."""
        import importlib

        library = importlib.import_module(flavour)

        async def ask() -> None:
            async with library.AsyncClient() as client:
                await client.get(f"http://127.0.0.1:{port}/")

        recorder = Recorder()
        with pytest.raises(BaseException) as refused:  # alone, or in a group
            asyncio.run(ask())
        recorder.close()
        (failure,) = recorder.failures
        assert refused.value is failure or refused.group_contains(UnexpectedCall)
        told = str(failure).splitlines()
        assert told[0].startswith(f"{flavour} connects to")
        assert told[1].endswith(f"test_unrecorded.py:{line_of(ask, 'client.get')} in ask")

    def test_the_whole_message(self, port: int) -> None:
        with Recorder() as recorder:
            with pytest.raises(UnexpectedCall) as refused:
                by_httpx(port)
            recorder.failures.clear()
        line = line_of(by_httpx, "httpx.get")
        at = str(refused.value).splitlines()[1].partition(":")[0]
        assert str(refused.value) == (
            f"httpx connects to 127.0.0.1:{port}, and no recorder sees what it sends\n"
            f"{at}:{line} in by_httpx\n"
            "while a recorder is in use, every request goes through one. Remedies: give this client to"
            " record_headers(client), or the module that makes it to record_headers.into(module); or let it"
            f' through: .allow("127.0.0.1:{port}")'
        )

    def test_what_is_swallowed_is_raised_at_the_end(self, port: int) -> None:
        with pytest.raises(UnexpectedCall, match="connects to"), Recorder(), contextlib.suppress(Exception):
            by_urllib(port)

    def test_another_thread(self, port: int) -> None:
        recorder = Recorder()
        raised: list[BaseException] = []

        def run() -> None:
            try:
                by_urllib(port)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        recorder.close()
        assert raised == recorder.failures != []

    def test_an_app_s_own_requests_are_not_its_client_s(self, port: int) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.to_thread(by_urllib, port)

        recorder = Recorder()
        with pytest.raises(UnexpectedCall):
            recorder.client(app=app).get("/")
        recorder.close()
        assert len(recorder.failures) == 1

    def test_a_function_s_own_requests_are_not_its_client_s(self, port: int) -> None:
        recorder = Recorder()
        with pytest.raises(UnexpectedCall):
            recorder.client(transport=lambda request: by_urllib(port)).get("http://a/")
        recorder.close()
        assert len(recorder.failures) == 1

    @pytest.mark.parametrize("connect", ["urllib", "httpx2", "asyncio"])
    def test_a_name_is_not_even_looked_up(self, connect: str) -> None:
        """Where there is no network, the look-up would fail first, with an exception that code expects."""
        import httpx2

        url = "http://no.such.host.invalid/"
        ways: dict[str, Callable[[], Any]] = {
            "urllib": lambda: urllib.request.urlopen(url),
            "httpx2": lambda: httpx2.get(url),
            "asyncio": lambda: asyncio.run(asyncio.open_connection("no.such.host.invalid", 80)),
        }
        recorder = Recorder()
        with pytest.raises(
            UnexpectedCall, match=r" to no\.such\.host\.invalid:80, and no recorder sees"
        ) as refused:
            ways[connect]()
        recorder.close()
        assert recorder.failures == [refused.value]

    def test_ipv6(self) -> None:
        recorder = Recorder()
        with socket.socket(socket.AF_INET6) as one, pytest.raises(UnexpectedCall, match=r"to \[::1\]:9, and"):
            one.connect(("::1", 9))
        recorder.close()


class TestPassing:
    @each_stack
    def test_recorded_clients(self, stack: Stack, port: int) -> None:
        with Recorder() as recorder:
            stack.send(stack.make(recorder), "GET", f"http://127.0.0.1:{port}/")
            stack.send(stack.make(recorder), "GET", f"http://localhost:{port}/")
            transport = recorder.attach(
                getattr(stack.module, "AsyncHTTPTransport" if stack.is_async else "HTTPTransport")()
            )
            stack.send(stack.Client(transport=transport), "GET", f"http://127.0.0.1:{port}/")
        assert [sent.status for sent in recorder.sent] == [200, 200, 200]

    @each_stack
    def test_names_that_recorded_clients_look_up(self, stack: Stack) -> None:
        with Recorder() as recorder, pytest.raises(stack.module.ConnectError):
            stack.send(stack.make(recorder), "GET", "http://no.such.host.invalid/")
        assert isinstance(recorder.last.error, stack.module.ConnectError)

    def test_names_of_this_machine(self) -> None:
        with Recorder():
            for name in (
                "localhost",
                "app.localhost",
                "127.0.0.1",
                "::1",
                "fe80::1%lo",
                socket.gethostname(),
                None,
            ):
                with contextlib.suppress(socket.gaierror):
                    socket.getaddrinfo(name, 80)

    def test_a_server_on_localhost(self) -> None:
        async def main() -> None:
            server = await asyncio.start_server(lambda *_: None, "localhost", 0)
            server.close()
            await server.wait_closed()

        with Recorder():
            asyncio.run(main())

    @each_stack
    def test_what_sends_nothing(self, stack: Stack) -> None:
        with Recorder():
            client = stack.Client(transport=stack.module.MockTransport(lambda _: stack.module.Response(200)))
            assert stack.send(client, "GET", "http://a/").status_code == 200

    @pytest.mark.parametrize("address", ["127.0.0.1:{}", "127.0.0.1", "localhost:{}", "*"])
    def test_what_is_allowed(self, address: str, port: int) -> None:
        with Recorder() as recorder:
            recorder.allow(address.format(port))
            by_urllib(port)

    def test_another_port_is_not_allowed_with_it(self, port: int) -> None:
        recorder = Recorder()
        recorder.allow(f"127.0.0.1:{port + 1}", "[::1]:80", "::1")
        with pytest.raises(UnexpectedCall):
            by_urllib(port)
        recorder.close()

    @pytest.mark.parametrize("address", ["127.0.0.1:http", "a:b", "no.such.host.invalid:80"])
    def test_an_address_that_is_none(self, address: str) -> None:
        with Recorder() as recorder, pytest.raises(UsageProblem, match="allow"):
            recorder.allow(address)

    def test_what_a_double_serves(self, port: int) -> None:
        with Recorder():
            with served("127.0.0.1", port), served("127.0.0.1", port):
                by_urllib(port)
            assert not is_served("127.0.0.1", port)

    def test_served_names(self) -> None:
        with served("", 81), served("localhost", 82), served("::1", 83):
            assert is_served("127.0.0.1", 81)
            assert is_served("::1", 82)
            assert is_served("127.0.0.1", 82)
            assert is_served("::1", 83)
            assert not is_served("127.0.0.1", 83)
            assert not is_served("10.0.0.1", 82)

    def test_without_a_guard(self, port: int) -> None:
        with Recorder(guard=False):
            by_urllib(port)

    def test_what_is_no_stream_to_the_network(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with Recorder():
            with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
                server.bind(path)
                server.listen()
                client.connect(path)
            with socket.socket(type=socket.SOCK_DGRAM) as datagram:
                datagram.connect(("127.0.0.1", 9))
            for end in socket.socketpair():
                end.close()
            asyncio.run(asyncio.sleep(0))

    @pytest.mark.skipif(not hasattr(socket, "_fallback_socketpair"), reason="CPython 3.13+ has it everywhere")
    def test_a_socketpair_as_windows_makes_it(self) -> None:
        with Recorder():
            for end in socket._fallback_socketpair():  # type: ignore[attr-defined]
                end.close()

    def test_connections_from_before(self, port: int) -> None:
        connection = socket.create_connection(("127.0.0.1", port))
        with Recorder(), connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"


class TestEnd:
    def test_nothing_listens_afterwards(self, port: int) -> None:
        before = audit._listeners.copy()  # the gate of smoke tests listens, too, where there are some
        first, second = Recorder(), Recorder()
        first.close()
        with pytest.raises(UnexpectedCall):
            by_urllib(port)
        assert (first.failures, len(second.failures)) == ([], 1)
        second.close()
        second.close()
        by_urllib(port)
        assert audit._listeners == before

    def test_a_recorder_that_is_dropped_guards_no_more(self, port: int) -> None:
        Recorder()
        by_urllib(port)

    def test_the_first_allows_for_the_second(self, port: int) -> None:
        with Recorder() as first, Recorder():
            first.allow(f"127.0.0.1:{port}")
            by_urllib(port)

"""The gate of smoke tests: each way out of this machine is refused, each way to loopback is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.doubles import callers
from pytest_mcpsmoke.doubles.addresses import is_local_name, is_loopback
from pytest_mcpsmoke.doubles.recording import Recorder
from pytest_mcpsmoke.errors import McpsmokeError, NetworkRefused, UnexpectedCall, UsageProblem
from pytest_mcpsmoke.state import audit
from pytest_mcpsmoke.tiers.hermetic import Gate, hermetic

HERE = Path(__file__)
NODE = "tests/test_chat.py::test_greets"
FAR = "192.0.2.1"  # RFC 5737: nobody's
FAR6 = "2001:db8::1"  # RFC 3849
NOBODY = "nobody.invalid"  # RFC 2606
REMEDY = (
    "a smoke test stays on this machine. Remedies: a double in the place of what it talks to (fake_invoker,"
    " scripted_model, mcp_upstream, or a recorder with an app or transport: recording_client,"
    " record_headers); or, if it has to be real, mark the test nd_real instead of smoke"
)
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that refuses, in the name of NODE."""
    before = listening()  # that of the run itself, where some test of it is marked smoke
    gate = Gate()
    gate.open()
    gate.enter(NODE)
    yield gate
    gate.leave()
    gate.close()
    assert listening() == before


def listening() -> dict[str, int]:
    """How many listen to which event."""
    return {event: len(listeners) for event, listeners in audit._listeners.items()}


def told(what: str, mark: str, function: str) -> str:
    """The whole text of a refusal; mark: the comment that stands on the user's line."""
    lines = HERE.read_text("utf-8").splitlines()
    (line,) = (number for number, text in enumerate(lines, 1) if text.endswith(f"# {mark}"))
    return f"{NODE}: {what}\n  at {os.path.relpath(HERE)}:{line} in {function}\n{REMEDY}"


# what is refused


def connect(kind: int, family: int, address: Any) -> None:
    with socket.socket(family, kind) as sock:
        try:
            sock.connect(address)  # connects
        finally:
            assert sock.fileno() == -1  # closed, and never connected


def connect_ex(kind: int, family: int, address: Any) -> None:
    with socket.socket(family, kind) as sock:
        sock.connect_ex(address)  # connects ex


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [
        (V4, (FAR, 80), f"{FAR}:80"),
        (V4, ("<broadcast>", 9), "<broadcast>:9"),
        (V4, (bytearray(FAR.encode()), 80), f"{FAR}:80"),
        (V6, (FAR6, 443), f"[{FAR6}]:443"),
        (V6, (f"::ffff:{FAR}", 443, 0, 0), f"[::ffff:{FAR}]:443"),
    ],
)
def test_connecting_beyond_loopback(gate: Gate, kind: int, family: int, address: Any, shown: str) -> None:
    with pytest.raises(NetworkRefused) as first:
        connect(kind, family, address)
    with pytest.raises(NetworkRefused) as second:
        connect_ex(kind, family, address)
    assert str(first.value) == told(f"a socket connects to {shown}", "connects", "connect")
    assert str(second.value) == told(f"a socket connects to {shown}", "connects ex", "connect_ex")
    assert gate.take() == [first.value, second.value]
    assert gate.take() == []


def sendto(sock: socket.socket) -> None:
    sock.sendto(b"", (FAR, 53))  # sends to


def sendto_with_flags(sock: socket.socket) -> None:
    sock.sendto(b"", 0, (FAR, 53))  # sends with flags


def sendmsg(sock: socket.socket) -> None:
    sock.sendmsg([b""], [], 0, (FAR, 53))  # sends a message


@pytest.mark.parametrize(
    ("send", "mark"),
    [(sendto, "sends to"), (sendto_with_flags, "sends with flags"), (sendmsg, "sends a message")],
)
def test_a_datagram_beyond_loopback(gate: Gate, send: Callable[[socket.socket], None], mark: str) -> None:
    with socket.socket(V4, DATAGRAM) as sock:
        with pytest.raises(NetworkRefused) as refused:
            send(sock)
        assert sock.fileno() != -1  # its owner may go on
    assert str(refused.value) == told(f"a socket sends a datagram to {FAR}:53", mark, send.__name__)
    assert gate.take() == [refused.value]


def by_getaddrinfo(name: Any) -> None:
    socket.getaddrinfo(name, 443)  # getaddrinfo


def by_gethostbyname(name: Any) -> None:
    socket.gethostbyname(name)  # gethostbyname


def by_gethostbyname_ex(name: Any) -> None:
    socket.gethostbyname_ex(name)  # gethostbyname_ex


def by_gethostbyaddr(name: Any) -> None:
    socket.gethostbyaddr(name)  # gethostbyaddr


def by_getfqdn(name: Any) -> None:
    socket.getfqdn(name)  # getfqdn


def by_getnameinfo(name: Any) -> None:
    socket.getnameinfo((name, 443), socket.NI_NUMERICHOST)  # getnameinfo


def by_create_connection(name: Any) -> None:
    socket.create_connection((name, 443))  # create_connection


def by_urllib(name: Any) -> None:
    urllib.request.urlopen(f"http://{name}/")  # urllib


def by_asyncio(name: Any) -> None:
    async def main() -> None:
        await asyncio.open_connection(name, 443)  # asyncio

    asyncio.run(main())


def by_asyncio_beside_others(name: Any) -> None:
    async def main() -> None:
        others = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
        try:
            await asyncio.get_running_loop().getaddrinfo(name, 443)  # beside others
        finally:
            for other in others:
                other.cancel()

    asyncio.run(main())


def by_thread(name: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work, name).result()


def work(name: Any) -> None:
    socket.gethostbyname(name)  # thread


def by_plain_pool(name: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(socket.getaddrinfo, name, 443).result()  # pool


@pytest.mark.parametrize(
    ("look_up", "name", "library", "mark", "function"),
    [
        (by_getaddrinfo, NOBODY, "socket", "getaddrinfo", "by_getaddrinfo"),
        (by_getaddrinfo, NOBODY.encode(), "socket", "getaddrinfo", "by_getaddrinfo"),
        (by_gethostbyname, NOBODY, "a socket", "gethostbyname", "by_gethostbyname"),
        (by_gethostbyname_ex, NOBODY, "a socket", "gethostbyname_ex", "by_gethostbyname_ex"),
        (by_gethostbyaddr, NOBODY, "a socket", "gethostbyaddr", "by_gethostbyaddr"),
        (by_gethostbyaddr, FAR, "a socket", "gethostbyaddr", "by_gethostbyaddr"),
        (by_getfqdn, FAR, "socket", "getfqdn", "by_getfqdn"),
        (by_getnameinfo, FAR, "a socket", "getnameinfo", "by_getnameinfo"),
        (by_create_connection, NOBODY, "socket", "create_connection", "by_create_connection"),
        (by_urllib, NOBODY, "urllib", "urllib", "by_urllib"),
        (by_asyncio, NOBODY, "asyncio", "asyncio", "main"),
        (by_asyncio_beside_others, NOBODY, "asyncio", "beside others", "main"),
        (by_thread, NOBODY, "a socket", "thread", "work"),
        (by_plain_pool, NOBODY, "concurrent", "pool", "by_plain_pool"),
    ],
)
def test_looking_a_name_up(
    gate: Gate, look_up: Callable[[Any], None], name: Any, library: str, mark: str, function: str
) -> None:
    shown = name if isinstance(name, str) else name.decode()
    with pytest.raises(NetworkRefused) as refused:
        look_up(name)
    assert str(refused.value) == told(f"{library} looks up {shown}", mark, function)
    assert gate.take() == [refused.value]


def test_asyncio_connects_and_sends_nowhere(gate: Gate) -> None:
    async def stream() -> None:
        await asyncio.open_connection(FAR, 443)

    async def datagram() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(FAR, 53))

    for main in (stream, datagram):
        with pytest.raises(NetworkRefused, match=f"asyncio connects to {FAR}:") as refused:
            asyncio.run(main())
        assert gate.take() == [refused.value]


def test_a_name_given_straight_to_a_socket_is_looked_up_unseen(gate: Gate) -> None:
    """The interpreter looks it up before it tells of the act: a limit, which the docs name."""
    with socket.socket() as sock, pytest.raises(socket.gaierror):
        sock.connect((NOBODY, 443))
    assert gate.take() == []


def test_a_refusal_is_an_assertion_and_no_oserror() -> None:
    """Code that expects networks to fail catches OSError."""
    assert issubclass(NetworkRefused, (McpsmokeError, AssertionError))
    assert not issubclass(NetworkRefused, OSError)


# what is not


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "0.0.0.0", "127.1"])
def test_loopback_is_open(gate: Gate, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        port = server.getsockname()[1]
        client.connect((host, port))
        server.accept()[0].close()
        socket.create_connection((host or "localhost", port)).close()
        server.accept()[0].close()
    with socket.socket(V4, DATAGRAM) as receiver, socket.socket(V4, DATAGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        sender.sendto(b"1", (host, receiver.getsockname()[1]))
        sender.sendmsg([b"2"], [], 0, (host, receiver.getsockname()[1]))
        sender.connect((host, receiver.getsockname()[1]))
        sender.sendmsg([b"3"])
        assert [receiver.recv(9) for _ in range(3)] == [b"1", b"2", b"3"]
    assert gate.take() == []


def test_local_families_are_open(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the names of such sockets are short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("here")
        server.listen()
        client.connect("here")
        server.accept()[0].close()
    for end in socket.socketpair():
        end.close()
    asyncio.run(asyncio.sleep(0))
    assert gate.take() == []


def test_names_that_nobody_is_asked_for(gate: Gate) -> None:
    socket.getaddrinfo(None, 0, flags=socket.AI_PASSIVE)
    socket.getaddrinfo(FAR, 443)
    socket.getaddrinfo("fe80::1%1", 443)
    socket.getaddrinfo("localhost", 443)
    socket.gethostbyname("127.0.0.1")
    socket.gethostbyname("localhost")
    socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    socket.getfqdn("127.0.0.1")
    with contextlib.suppress(OSError):  # a machine need not know its own name
        socket.getaddrinfo(socket.gethostname(), None)
    assert gate.take() == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "::1%lo", "::ffff:127.0.0.1", "::", "0.0.0.0"]
)
def test_addresses_of_loopback(host: str) -> None:
    assert is_loopback(host)
    assert is_local_name(host)


@pytest.mark.parametrize(
    "host", ["LOCALHOST", "localhost.", "app.localhost", "0x7f000001", "2130706433", "0"]
)
def test_other_spellings_of_loopback(host: str) -> None:
    assert is_loopback(host)
    assert is_local_name(host)


@pytest.mark.parametrize(
    "host", ["localhost.example", "127.0.0.1.example", "1.2.3.4.5", "", "ö.invalid", "a b"]
)
def test_what_only_looks_like_loopback(host: str) -> None:
    assert is_loopback(host) is (host == "")
    assert is_local_name(host) is (host == "")


@given(st.ip_addresses())
def test_addresses_are_loopback_or_not_however_they_are_written(address: Any) -> None:
    inner = getattr(address, "ipv4_mapped", None) or address
    expected = inner.is_loopback or int(inner) == 0
    assert is_loopback(str(address)) is expected
    assert is_loopback(address.exploded) is expected
    assert is_local_name(str(address))
    if address.version == 4:
        assert is_loopback(str(int(address))) is expected
        assert is_loopback(f"::ffff:{address}") is expected


# when


def by_name() -> None:
    socket.gethostbyname(NOBODY)


def test_nothing_is_refused_outside() -> None:
    """The resolver is asked: whatever it answers, it is not ours."""
    gate = Gate()
    for step in (gate.open, lambda: (gate.enter(NODE), gate.leave()), gate.close, gate.close):
        step()
        with pytest.raises(OSError):
            by_name()
    assert gate.take() == []


def test_other_threads_are_refused_too(gate: Gate) -> None:
    caught: list[BaseException] = []

    def stray() -> None:
        try:
            by_name()
        except NetworkRefused as refused:
            caught.append(refused)

    thread = threading.Thread(target=stray)
    thread.start()
    thread.join()
    assert gate.take() == caught != []


def test_of_two_gates_the_inner_one_refuses(gate: Gate) -> None:
    with pytest.raises(NetworkRefused, match="inner: ") as refused, hermetic("inner"):
        by_name()
    assert gate.take() == []
    with pytest.raises(NetworkRefused, match=f"{NODE}: ") as outer:
        by_name()
    assert gate.take() == [outer.value] != [refused.value]


def test_a_recorder_in_use_refuses_first_and_what_it_lets_through_is_refused_all_the_same(gate: Gate) -> None:
    with Recorder() as recorder:
        recorder.allow(f"{FAR}:443")
        with pytest.raises(UnexpectedCall), socket.socket() as sock:
            sock.connect((FAR, 80))
        assert gate.take() == []
        with pytest.raises(NetworkRefused) as refused, socket.socket() as sock:
            sock.connect((FAR, 443))
        assert gate.take() == [refused.value]
        assert len(recorder.failures) == 1
        recorder.failures.clear()


def swallowing() -> None:
    with hermetic("the block"), contextlib.suppress(NetworkRefused):
        by_name()


def test_a_block_raises_what_it_swallowed() -> None:
    with pytest.raises(NetworkRefused, match=f"the block: a socket looks up {NOBODY}"):
        swallowing()
    with hermetic("the block"):
        socket.gethostbyname("localhost")


def test_a_hook_that_cannot_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def install() -> None:
        raise RuntimeError("another audit hook of this process refuses ours")

    monkeypatch.setattr(audit, "_install", install)
    with pytest.raises(UsageProblem) as problem:
        Gate().open()
    assert str(problem.value) == (
        "smoke: another audit hook of this process refuses ours; take it away, or deselect the smoke tests:"
        " -m 'not smoke'"
    )


def test_what_goes_wrong_in_the_gate_is_raised_and_not_kept_silent(gate: Gate) -> None:
    sys.audit("socket.connect", None, None)
    with pytest.raises(AttributeError):
        gate.leave()


def test_the_line_is_found_while_the_task_is_about_to_wait(gate: Gate, frequent_switches: None) -> None:
    """The pool's thread may look before the task is suspended: no stack is whole then."""
    for _ in range(60):
        with pytest.raises(NetworkRefused, match=r"asyncio looks up nobody\.invalid\n  at .* in main\n"):
            by_asyncio(NOBODY)


def test_the_line_is_found_when_the_task_is_suspended_late(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the loop's thread may stand still before that, while the pool's looks."""
    looks = []

    def late() -> Iterator[callers.Line]:
        looks.append("one more")
        return who_wait() if len(looks) > 5 else iter(())

    who_wait = callers._who_wait_for_names
    monkeypatch.setattr(callers, "_who_wait_for_names", late)
    with pytest.raises(NetworkRefused, match=r"asyncio looks up nobody\.invalid\n  at .* in main\n"):
        by_asyncio(NOBODY)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads that take turns all the time."""
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            sum(range(500))

    threads = [threading.Thread(target=busy) for _ in range(3)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)

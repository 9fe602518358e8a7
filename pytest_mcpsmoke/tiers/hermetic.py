"""Keeps a smoke test on this machine: what Python's socket layer opens beyond loopback is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pytest_mcpsmoke.doubles.addresses import is_literal, is_local_name, is_loopback, shown
from pytest_mcpsmoke.doubles.callers import who
from pytest_mcpsmoke.errors import NetworkRefused, UsageProblem
from pytest_mcpsmoke.state.audit import Ear

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)  # what other families reach lies on this machine
_REMEDY: Final = (
    "a smoke test stays on this machine. Remedies: a double in the place of what it talks to (fake_invoker,"
    " scripted_model, mcp_upstream, or a recorder with an app or transport: recording_client,"
    " record_headers); or, if it has to be real, mark the test nd_real instead of smoke"
)


class Gate:
    """Refuses the network to one test after the other, and remembers what it refused.

    While the gate is open and between enter() and leave(), these raise NetworkRefused, on any thread and in
    any task: a stream or a datagram to an address that is not loopback, and looking up a name that is not
    this machine's. Of several open gates the one that was opened last refuses.
    """

    def __init__(self) -> None:
        self._test = ""
        self._is_entered = False
        self._refused: list[NetworkRefused] = []
        self._ear = Ear(
            {
                "socket.connect": self._judge_connect,
                "socket.sendto": self._judge_send,
                "socket.sendmsg": self._judge_send,
                "socket.getaddrinfo": self._judge_look_up,
                "socket.gethostbyname": self._judge_look_up,
                "socket.gethostbyaddr": self._judge_reverse_look_up,
                "socket.getnameinfo": self._judge_reverse_look_up,
            }
        )

    def open(self) -> None:
        """Listen to what the process does. Raises UsageProblem when no audit hook can be installed."""
        self._ear.open()
        try:
            self._ear.check()
        except RuntimeError as refusal:
            raise UsageProblem(
                f"smoke: {refusal}; take it away, or deselect the smoke tests: -m 'not smoke'"
            ) from None

    def close(self) -> None:
        """Listen no more. Closing twice is fine."""
        self._is_entered = False
        self._ear.close()

    def enter(self, test: str) -> None:
        """Refuse from now on, in the name of this test."""
        self._test = test
        self._is_entered = True

    def leave(self) -> None:
        """Refuse no more; raise what went wrong inside the gate itself, if anything did."""
        self._is_entered = False
        self._ear.check()

    def take(self) -> list[NetworkRefused]:
        """What was refused since the last take(), in order, whether it was swallowed or not."""
        taken, self._refused = self._refused, []
        return taken

    # judging, inside an audit hook

    def _judge_connect(self, args: tuple[Any, ...]) -> NetworkRefused | None:
        sock, address = args
        refusal = self._judge_address(sock, address, "connects to")
        if refusal is not None:
            sock.close()  # its owner expects no exception but OSError, and would leave it open
        return refusal

    def _judge_send(self, args: tuple[Any, ...]) -> NetworkRefused | None:
        sock, address = args  # no address: the socket is connected
        return None if address is None else self._judge_address(sock, address, "sends a datagram to")

    def _judge_address(self, sock: Any, address: Any, does: str) -> NetworkRefused | None:
        if not self._is_entered or sock.family not in _INTERNET:
            return None
        host, port = _text(address[0]), address[1]
        return None if is_loopback(host) else self._refuse(f"{does} {shown(host, port)}")

    def _judge_look_up(self, args: tuple[Any, ...]) -> NetworkRefused | None:
        if not self._is_entered or args[0] is None:
            return None
        name = _text(args[0])
        return None if is_local_name(name) else self._refuse(f"looks up {name}")

    def _judge_reverse_look_up(self, args: tuple[Any, ...]) -> NetworkRefused | None:
        """Of an address that is not loopback; whether getnameinfo is to give digits only, no event shows."""
        if not self._is_entered:
            return None
        host = _text(args[0][0] if isinstance(args[0], tuple) else args[0])
        is_local = is_loopback(host) if is_literal(host) else is_local_name(host)
        return None if is_local else self._refuse(f"looks up {host}")

    def _refuse(self, what: str) -> NetworkRefused:
        library, user = who()
        at = f"\n  at {user}" if user else ""
        refusal = NetworkRefused(f"{self._test}: {library or 'a socket'} {what}{at}\n{_REMEDY}")
        self._refused.append(refusal)
        return refusal


@contextmanager
def hermetic(test: str) -> Iterator[Gate]:
    """Refuse the network while the block runs; test: whose name a refusal bears. Yields the Gate.

    Raises UsageProblem when no audit hook can be installed; at the end the first refusal that the block
    swallowed.
    """
    gate = Gate()
    gate.open()
    try:
        gate.enter(test)
        yield gate
        gate.leave()
    finally:
        gate.close()
    for refusal in gate.take():
        raise refusal


def _text(host: str | bytes | bytearray) -> str:
    return host if isinstance(host, str) else bytes(host).decode("latin-1")

"""Refuses connections that no recorder sees, whichever library makes them, without patching anything."""

from __future__ import annotations

import concurrent.futures.thread
import socket
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final

from pytest_mcpsmoke.doubles.addresses import is_local_name, is_served, shown
from pytest_mcpsmoke.doubles.callers import who
from pytest_mcpsmoke.errors import UnexpectedCall, UsageProblem
from pytest_mcpsmoke.state import audit

EVERYWHERE: Final = "*"
_POOLED: Final = concurrent.futures.thread._WorkItem.run.__code__

recorded: ContextVar[bool] = ContextVar("mcpsmoke_recorded", default=False)

_guards: tuple[weakref.ref[Guard], ...] = ()
_outward: set[object] = set()  # recorded requests that may be connecting now


def going_out(request: object) -> Token[bool]:
    """Say that a recorded request may connect from here, until gone_out()."""
    _outward.add(request)
    return recorded.set(True)


def gone_out(request: object, token: Token[bool]) -> None:
    """Say that it connects no more."""
    recorded.reset(token)
    _outward.discard(request)


class Guard:
    """While it is open, a stream connection to the network that no recorder sees is refused and remembered.

    refuse: is given each failure, on the thread and in the task of whoever connects; it raises nothing.
    """

    def __init__(self, refuse: Callable[[UnexpectedCall], None]) -> None:
        self._refuse = refuse
        self._allowed: set[tuple[str, int | None]] = set()
        self._allows_all = False

    def allow(self, address: str) -> None:
        """Let connections to "host:port", to any port of "host", or to everything ("*") through.

        A name is looked up now, for a connection shows addresses only. Raises UsageProblem when the address
        cannot be read or found.
        """
        if address == EVERYWHERE:
            self._allows_all = True
            return
        host, port = _split(address)
        token = going_out(self)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UsageProblem(f"allow({address!r}): {host} is not found: {error}") from None
        finally:
            gone_out(self, token)
        self._allowed |= {(name, port) for name in [host, *(str(entry[4][0]) for entry in found)]}

    def allows(self, host: str, port: int) -> bool:
        """Whether a connection to there was allowed."""
        return self._allows_all or not self._allowed.isdisjoint([(host, port), (host, None)])

    def remember(self, failure: UnexpectedCall) -> None:
        """Tell whose guard it is."""
        self._refuse(failure)

    def open(self) -> None:
        """Refuse from now on. Raises UsageProblem when no audit hook can be installed."""
        global _guards
        try:
            if not _open_guards():
                for event, judge in _JUDGES.items():
                    audit.listen(event, judge)
        except RuntimeError as refusal:
            raise UsageProblem(f"{refusal}: pass guard=False") from None
        _guards = (*_guards, weakref.ref(self, _forget))

    def close(self) -> None:
        """Refuse no more. Closing twice is fine."""
        _forget(weakref.ref(self))


def _forget(gone: weakref.ref[Guard]) -> None:
    global _guards
    guard = gone()
    _guards = tuple(ref for ref in _guards if ref() is not None and ref() is not guard)
    if not _guards:
        for event, judge in _JUDGES.items():
            audit.unlisten(event, judge)


def _open_guards() -> list[Guard]:
    return [guard for ref in _guards if (guard := ref()) is not None]


def _split(address: str) -> tuple[str, int | None]:
    host, colon, port = address.rpartition(":")
    if address.count(":") > 1 and not address.startswith("["):  # a bare IPv6 address
        return address, None
    if not colon or address.endswith("]"):
        return address.strip("[]"), None
    if not port.isdecimal():
        raise UsageProblem(f'allow({address!r}): expected "host:port", "host" or "*"')
    return host.strip("[]"), int(port)


# judging, inside an audit hook


def _judge_connect(args: tuple[Any, ...]) -> UnexpectedCall | None:
    """Return the refusal of a connection; the audit hook raises it in the place of connecting."""
    sock, address = args
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return None
    if not sock.type & socket.SOCK_STREAM or recorded.get():  # a datagram's connect sends nothing
        return None
    if getattr(audit.code_here(), "co_name", "").endswith("socketpair"):  # made of two sockets on Windows
        return None
    refusal = _refused(str(address[0]), address[1])
    if refusal is not None:
        sock.close()  # its owner expects no exception but OSError, and would leave it open
    return refusal


def _judge_lookup(args: tuple[Any, ...]) -> UnexpectedCall | None:
    """Return the refusal of looking a name up, which would fail first where there is no network.

    A loop looks names up in a thread of its pool, which does not show for whom: while a recorded request is
    on its way, any look-up there may be for it.
    """
    host, port, _, kind = args[:4]
    name = host.decode("latin-1") if isinstance(host, bytes) else host
    if kind not in (0, socket.SOCK_STREAM) or recorded.get():
        return None
    if not isinstance(name, str) or is_local_name(name):
        return None
    if _outward and audit.stack_here(2)[2:3] == (_POOLED,):
        return None
    return _refused(name, int(port) if str(port).isdecimal() else 0)


_JUDGES: Final = {"socket.connect": _judge_connect, "socket.getaddrinfo": _judge_lookup}


def _refused(host: str, port: int) -> UnexpectedCall | None:
    """Note a refusal with the guard that was opened last; None when some guard allows it."""
    guards = _open_guards()
    if not guards or is_served(host, port) or any(guard.allows(host, port) for guard in guards):
        return None
    failure = UnexpectedCall(_message(host, port))
    guards[-1].remember(failure)
    return failure


def _message(host: str, port: int) -> str:
    where = shown(host, port)
    library, user = who()
    by = f"{library} connects" if library else "a socket connects"
    at = f"\n  at {user}" if user else ""
    return (
        f"{by} to {where}, and no recorder sees what it sends{at}\n"
        "while a recorder is in use, every request goes through one. Remedies: give this client to"
        " record_headers(client), or the module that makes it to record_headers.into(module); or let it"
        f' through: .allow("{where}")'
    )

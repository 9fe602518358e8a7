"""Addresses: those that doubles serve themselves (who connects there is in a journal), and local ones."""

from __future__ import annotations

import ipaddress
import socket

_served: dict[tuple[str, int], int] = {}  # how many doubles serve there now
_ANY = ("", "0.0.0.0", "::")


def announce(host: str, port: int) -> None:
    """Say that a double serves there, until as many withdraw(): connections there need no recorder.

    host: as the server is bound: an address, "localhost", or "" for all of them.
    port: the port it listens on.
    """
    _served[host, port] = _served.get((host, port), 0) + 1


def withdraw(host: str, port: int) -> None:
    """Say that a double no longer serves there."""
    _served[host, port] -= 1
    if not _served[host, port]:
        del _served[host, port]


class served:
    """While the block runs, a double serves at this address; as announce() and withdraw()."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    def __enter__(self) -> None:
        announce(*self._address)

    def __exit__(self, *_: object) -> None:
        withdraw(*self._address)


def is_served(host: str, port: int) -> bool:
    """Whether a double serves at the address that somebody connects to."""
    hosts = [host, *_ANY]
    if host == "::1" or host.startswith("127."):
        hosts.append("localhost")
    return any((name, port) in _served for name in hosts)


def is_loopback(host: str) -> bool:
    """Whether what connects to a host, given as address or name, stays on this machine's loopback interface.

    0.0.0.0 and :: stand for loopback where something connects to them; "" is 0.0.0.0.
    """
    address = _literal(host)
    if address is None:
        return _is_localhost(_bare(host))
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def is_local_name(name: str) -> bool:
    """Whether a name is found without asking anybody: an address, localhost, this machine."""
    bare = _bare(name)
    return _literal(name) is not None or _is_localhost(bare) or bare == socket.gethostname().lower()


def is_literal(host: str) -> bool:
    """Whether a host is given as an address, in any form that the system reads."""
    return _literal(host) is not None


def shown(host: str, port: int) -> str:
    """How an address is written: host:port, [IPv6]:port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bare(name: str) -> str:
    return name.rstrip(".").lower()


def _is_localhost(bare: str) -> bool:
    return bare in ("", "localhost") or bare.endswith(".localhost")


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])  # without the scope
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001
    except (OSError, UnicodeEncodeError, ValueError):
        return None

"""Addresses that doubles serve themselves on loopback: whoever connects there is in a journal already."""

from __future__ import annotations

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

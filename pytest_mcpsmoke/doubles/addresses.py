"""Addresses that doubles serve themselves on loopback: whoever connects there is in a journal already."""

from __future__ import annotations

_served: dict[tuple[str, int], int] = {}  # how many doubles serve there now
_ANY = ("", "0.0.0.0", "::")


class served:
    """While the block runs, connections to this address need no recorder.

    host: as the server is bound: an address, "localhost", or "" for all of them.
    port: the port it listens on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    def __enter__(self) -> None:
        _served[self._address] = _served.get(self._address, 0) + 1

    def __exit__(self, *_: object) -> None:
        left = _served[self._address] - 1
        if left:
            _served[self._address] = left
        else:
            del _served[self._address]


def is_served(host: str, port: int) -> bool:
    """Whether a double serves at the address that somebody connects to."""
    hosts = [host, *_ANY]
    if host == "::1" or host.startswith("127."):
        hosts.append("localhost")
    return any((name, port) in _served for name in hosts)

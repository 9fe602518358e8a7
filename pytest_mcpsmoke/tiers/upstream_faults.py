"""Why a provider did not answer, and what the program is told instead."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.doubles.causes import causes_of

# No fault of the program's request: the key, the account, time, the rate. Every other 4xx is its own.
_CONFIGURATION_OR_LOAD: Final = frozenset((401, 402, 403, 407, 408, 429))
_REMEDY: Final = "start the model's server, or set ND_REAL_BASE_URL"


class Fault(NamedTuple):
    """A request that the provider did not answer."""

    name: str  # as in a table: "refused"
    status: int  # that the program is answered with
    why: str  # the second half of a sentence about the URL, with the remedy


def fault_of_status(status: int) -> str | None:
    """Return "HTTP 503" for a status that is an infrastructure fault; None for an answer."""
    return f"HTTP {status}" if status >= 500 or status in _CONFIGURATION_OR_LOAD else None


def fault_of(error: Exception, module: Any, timeout_s: float) -> Fault:
    """Return what an exception of the HTTP library means. module: the library."""
    if isinstance(error, module.ConnectTimeout):
        return Fault("timed out", 504, f"took no connection within {timeout_s:g} s; {_REMEDY}")
    if isinstance(error, module.TimeoutException):
        return Fault("timed out", 504, f"was silent for {timeout_s:g} s; look there, or ask for less")
    if isinstance(error, module.ProxyError):
        return Fault("proxy", 502, "is not reached through the proxy of the environment; see NO_PROXY")
    if isinstance(error, module.ConnectError):
        return _unconnected(error)
    return Fault("disconnected", 502, "closed the connection before its answer had ended; look there")


def _unconnected(error: Exception) -> Fault:
    causes = list(causes_of(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Fault("name not found", 502, f"has a host that no look-up finds; {_REMEDY}")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Fault("TLS", 502, "did not agree on TLS; check http:// or https://, and the certificate")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Fault("refused", 502, f"refused the connection; {_REMEDY}")
    return Fault("unreachable", 502, f"cannot be reached; {_REMEDY}")

"""What a client is told of a failure between the gateway and an upstream."""

from __future__ import annotations

import httpx2
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR, REQUEST_TIMEOUT
from pydantic import ValidationError

from reference_app.gateway.credentials import NoToken
from reference_app.gateway.settings import McpServer

NO_ANSWER_COMES = ("Connection closed", "SSE stream ended")  # how the SDK's client says so
BROKEN_OFF = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)  # once it was reached
# What the SDK's client says itself, where the server answered with another status, or with no JSON-RPC.
FOR_A_STATUS = ("Server returned an error response", "Not Found", "Session terminated", "Redirect to ")
FOR_NONSENSE = ("Failed to parse ", "Unexpected content type: ")


def innermost(error: BaseException) -> BaseException:
    """Returns the first error in a group, and in groups within it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def told(server: str, settings: McpServer, failure: BaseException, status: int) -> MCPError:
    """Returns what the client is told; never a header, URL or command, which may hold secrets."""
    if isinstance(failure, MCPError):
        if status and failure.message.startswith(FOR_A_STATUS):
            return MCPError(INTERNAL_ERROR, f"{server} answered HTTP {status}")
        if failure.code in (PARSE_ERROR, INVALID_REQUEST) and failure.message.startswith(FOR_NONSENSE):
            return MCPError(INTERNAL_ERROR, f"{server} answered what its protocol does not allow")
        if not is_lost(failure):
            return failure
        if failure.code == REQUEST_TIMEOUT:
            return MCPError(REQUEST_TIMEOUT, _no_answer(server, settings))
        return MCPError(CONNECTION_CLOSED, _ended(server))
    if isinstance(failure, BROKEN_OFF):
        return MCPError(CONNECTION_CLOSED, _ended(server))
    if isinstance(failure, TimeoutError | httpx2.TimeoutException):
        return MCPError(REQUEST_TIMEOUT, _no_answer(server, settings))
    if isinstance(failure, httpx2.HTTPStatusError):
        return MCPError(INTERNAL_ERROR, f"{server} answered HTTP {failure.response.status_code}")
    if isinstance(failure, httpx2.HTTPError):
        return MCPError(INTERNAL_ERROR, f"{server} cannot be reached: {type(failure).__name__}")
    if isinstance(failure, NoToken):
        return MCPError(INTERNAL_ERROR, f"no token for {server}: {failure}")
    if isinstance(failure, OSError):
        return MCPError(
            INTERNAL_ERROR, f"{server} cannot be started: {failure.strerror or type(failure).__name__}"
        )
    if isinstance(failure, ValidationError):
        return MCPError(INTERNAL_ERROR, f"{server} answered what its protocol does not allow")
    return MCPError(INTERNAL_ERROR, f"{server} failed: {type(failure).__name__}")


def is_lost(error: MCPError) -> bool:
    """Returns whether it is the SDK that says so; a server may use the same codes for what it likes."""
    is_late = error.code == REQUEST_TIMEOUT and error.message.endswith(" timed out")
    return is_late or (error.code == CONNECTION_CLOSED and error.message.startswith(NO_ANSWER_COMES))


def _ended(server: str) -> str:
    return f"{server} ended before it answered"


def _no_answer(server: str, settings: McpServer) -> str:
    return f"{server} did not answer within {settings.timeout_seconds:g} s"

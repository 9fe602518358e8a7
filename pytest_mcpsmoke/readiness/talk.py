"""One conversation with a server, held by the official SDK: initialise, list, and call if asked to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from mcp import Client
from mcp.types import Implementation

from pytest_mcpsmoke.readiness.events import Evidence
from pytest_mcpsmoke.readiness.verdict import Call, Called

_PAGES: Final = 100  # of one catalogue
_FAREWELL: Final = 1.0  # seconds for the end of a session, when all is said
_LOGGERS: Final = ("mcp", "client", "httpx2")  # that would tell on standard error what the verdict tells


@dataclass(eq=False)
class Said:
    """What was said so far; it stays when the conversation is cut off.

    Attributes:
        step: What is being asked.
        server: Name and version of the server.
        protocol: The protocol version that was agreed on.
        tools: The names of the tools that were listed.
        is_listed: Whether the catalogue came to its end.
        called: What became of the call.
        failure: Why the conversation ended early.
    """

    step: str = "initialize"
    server: str | None = None
    protocol: str | None = None
    tools: list[str] = field(default_factory=list)
    is_listed: bool = False
    called: Called | None = None
    failure: BaseException | None = None


class EndlessCatalogue(Exception):
    """The catalogue has no end; its text says how that was seen."""


async def converse(
    transport: AbstractAsyncContextManager[Any],
    said: Said,
    evidence: Evidence,
    call: Call | None,
    settled: anyio.Event,
) -> None:
    """Hold the conversation over a transport of the SDK's, until its end or until `settled`.

    Raises nothing but cancellation: what went wrong stands in `said`.
    """
    async with anyio.create_task_group() as group:

        async def end_when_settled() -> None:
            await settled.wait()
            group.cancel_scope.cancel()

        group.start_soon(end_when_settled)
        try:
            await _speak(transport, said, evidence, call)
        except Exception as error:
            said.failure = _innermost(error)
        group.cancel_scope.cancel()


async def _speak(
    transport: AbstractAsyncContextManager[Any], said: Said, evidence: Evidence, call: Call | None
) -> None:
    from pytest_mcpsmoke import __version__

    with anyio.CancelScope() as until:
        info = Implementation(name="mcpsmoke", version=__version__)
        async with Client(transport, client_info=info, cache=None) as client:
            server = client.server_info
            said.server = None if server is None else evidence.line(f"{server.name} {server.version}".strip())
            said.protocol = str(client.protocol_version)
            said.step = "tools/list"
            await _list(client, said)
            if call is not None:
                said.step = f"tools/call of {call.tool}"
                await _call(client, said, evidence, call)
            until.deadline = anyio.current_time() + _FAREWELL


async def _list(client: Client, said: Said) -> None:
    """List all pages. Raises EndlessCatalogue."""
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await client.list_tools(cursor=cursor)
        said.tools += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            said.is_listed = True
            return
        if cursor in seen:
            raise EndlessCatalogue(f"the catalogue has no end: page {len(seen) + 1} leads to an earlier page")
        seen.add(cursor)
    raise EndlessCatalogue(f"the catalogue has no end: {_PAGES} pages, and one more is announced")


async def _call(client: Client, said: Said, evidence: Evidence, call: Call) -> None:
    said.called = Called(call.tool, True, "no answer in time")  # until there is one
    try:
        result = await client.call_tool(call.tool, call.arguments)
    except Exception as error:
        said.called = Called(call.tool, True, evidence.line(str(_innermost(error)), 600))
        return
    texts = [getattr(part, "text", None) or f"({part.type})" for part in result.content]
    said.called = Called(call.tool, bool(result.is_error), evidence.line(" ".join(texts), 600))


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what the SDK logs from standard error, where no program has set up logging."""
    keeper = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(keeper)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(keeper)

"""An upstream's conversations in lines, one JSON-RPC message each: over stdio, and in memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import mcp.types as types
from mcp.shared.message import SessionMessage

from pytest_mcpsmoke.doubles.faults import Faults
from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.doubles.rpc import McpJournal, calls_of
from pytest_mcpsmoke.doubles.shown import without_secrets

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.server.lowlevel import Server

_LONGEST: Final = 64 * 1024 * 1024  # bytes of a line
_FAREWELL: Final = 2.0  # seconds for a child to end by itself

ReadStream: TypeAlias = "MemoryObjectReceiveStream[SessionMessage | Exception]"
WriteStream: TypeAlias = "MemoryObjectSendStream[SessionMessage]"
Write = Callable[[bytes], Awaitable[None]]


@dataclass(eq=False)
class Child:
    """A child process that a client of the upstream started.

    Attributes:
        args: Its own arguments, those of `stdio(args=…)` and whatever the client added.
        env: Its whole environment.
        cwd: Its working directory.
        pid: Its process id.
        connection: The number that its lines have in the journal.
        at: When it had started, in seconds of time.monotonic().
        ended: When it had ended; None while it runs.
    """

    args: list[str]
    env: dict[str, str]
    cwd: str
    pid: int
    connection: int
    at: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def __repr__(self) -> str:
        """Tell it without secrets; of the environment only the names."""
        args = without_secrets(self.args)
        return f"<Child {self.pid} args={args!r} cwd={self.cwd!r} env={sorted(self.env)!r}>"


class Conversation:
    """One client that sends and receives lines; the SDK's server answers it."""

    def __init__(self, server: Server[Any], journal: McpJournal, faults: Faults, transport: str) -> None:
        self.number = journal.open_connection()
        self._server = server
        self._journal = journal
        self._faults = faults
        self._transport = transport
        self._doomed: set[int | str | None] = set()  # requests whose answers are cut half-way

    async def serve(self, lines: AsyncIterator[bytes], write: Write) -> None:
        """Serve until the client sends no more, or a fault ends it."""
        to_server, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_stream, from_server = anyio.create_memory_object_stream[SessionMessage](0)

        async def hear() -> None:
            async for line in lines:
                await self._hear(line, to_server, write, group)
            await to_server.aclose()  # which ends the server

        async def speak() -> None:
            async for message in from_server:
                line = _line(message)
                if self._doomed and getattr(message.message, "id", "") in self._doomed:
                    await write(line[: len(line) // 2])
                    group.cancel_scope.cancel()
                    return
                await write(line)

        async with to_server, read, write_stream, from_server, anyio.create_task_group() as group:
            group.start_soon(hear)
            group.start_soon(speak)
            await self._server.run(read, write_stream, self._server.create_initialization_options())
            group.cancel_scope.cancel()

    async def _hear(self, line: bytes, to_server: Any, write: Write, group: Any) -> None:
        now = time.monotonic()
        body = line.rstrip(b"\r\n")
        entry = Entry("", "", [], body, self.number, at=now, ended=now, transport=self._transport)
        self._journal.note(entry)
        calls = calls_of(entry)
        fault = next(filter(None, (self._faults.take(call, http=False) for call in calls)), None)
        if fault is not None and fault.kind == "malformed":
            await write(fault.body.replace(b"\n", b" ") + b"\n")
        elif fault is not None and fault.kind == "slow":
            group.start_soon(_pass_on_later, fault.seconds, line, to_server)
        else:
            if fault is not None:
                self._doomed.add(calls[0].id)
            await to_server.send(_parsed(line))


class StdioListener:
    """Listens for the children that clients start, and answers each over its standard streams."""

    def __init__(self, server: Server[Any], journal: McpJournal, faults: Faults, key: str) -> None:
        self.children: list[Child] = []
        self.errors: list[Exception] = []
        self.port = 0
        self._server = server
        self._journal = journal
        self._faults = faults
        self._key = key
        self._listener: asyncio.Server | None = None
        self._talks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Listen on 127.0.0.1 and a free port."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LONGEST)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and end every child that still runs."""
        if self._listener is not None:
            self._listener.close()
            await asyncio.sleep(0)
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the child has ended, or is to end
        except Exception as error:
            self.errors.append(error)
        finally:
            self._talks.discard(talk)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello = json.loads(await reader.readline())
        except ValueError:
            return
        if not isinstance(hello, dict) or hello.get("key") != self._key:
            return  # not a child of ours
        conversation = Conversation(self._server, self._journal, self._faults, "stdio")
        args, env, cwd, pid = (hello[name] for name in ("argv", "env", "cwd", "pid"))
        child = Child(args, env, cwd, pid, conversation.number)
        self.children.append(child)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            await conversation.serve(_lines(reader), write)
        except Exception as error:
            if not isinstance(error, ConnectionError):  # which says that the child has ended
                self.errors.append(error)  # before the child ends: who waits for its end finds it here
        finally:
            await _see_off(child, reader, writer)


@asynccontextmanager
async def in_memory(
    server: Server[Any], journal: McpJournal, faults: Faults
) -> AsyncIterator[tuple[ReadStream, WriteStream]]:
    """A transport for the SDK's client: the server runs on the client's own loop, asyncio's or trio's."""
    to_client, client_reads = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    client_writes, from_client = anyio.create_memory_object_stream[SessionMessage](1)

    async def lines() -> AsyncIterator[bytes]:
        async for message in from_client:
            yield _line(message)

    async def write(line: bytes) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the client has left
            await to_client.send(_parsed(line))

    async def serve() -> None:
        await Conversation(server, journal, faults, "memory").serve(lines(), write)
        await to_client.aclose()  # which ends the client
        await from_client.aclose()

    async with to_client, client_reads, client_writes, from_client, anyio.create_task_group() as group:
        group.start_soon(serve)
        try:
            yield client_reads, client_writes
        finally:
            group.cancel_scope.cancel()


async def _pass_on_later(seconds: float, line: bytes, to_server: Any) -> None:
    await anyio.sleep(seconds)
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the client left in between
        await to_server.send(_parsed(line))


def _line(message: SessionMessage) -> bytes:
    return message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _parsed(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await reader.readline():
        yield line


async def _see_off(child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tell the child that no more comes, and wait until it has ended; end it when it does not."""
    try:
        with suppress(OSError):
            writer.write_eof()
        async with asyncio.timeout(_FAREWELL):
            while await reader.read(65536):
                pass
    except TimeoutError:
        with suppress(ProcessLookupError):  # it has ended just now: its connection is open no longer
            os.kill(child.pid, signal.SIGTERM)  # else the process id is still its own
    except OSError:
        pass
    child.ended = time.monotonic()

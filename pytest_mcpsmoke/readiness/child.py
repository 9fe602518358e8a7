"""A server as a child process: its lines, its end, and the end of whatever it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import ByteReceiveStream, Process
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from pytest_mcpsmoke.readiness.events import Evidence

_GRACE: Final = 0.5  # seconds to end by itself, and once more after it was asked to
_POLL: Final = 0.01
_LAST: Final = 5.0  # seconds to end by itself when its output has ended: only what hangs there uses them up
_LONGEST: Final = 32 * 1024 * 1024  # bytes of one line
_GONE: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, OSError)


class Child:
    """A command that is to speak MCP over its standard streams.

    Attributes:
        exit_status: Of the process when it ended by itself before it was told to; else None.
        messages: How many lines it wrote that are JSON-RPC.
        garbage: How many it wrote to standard output that are not.
        first: The first of these.
        complaint: The last line that it wrote to standard error.
    """

    def __init__(
        self, command: list[str], env: dict[str, str], cwd: str | Path | None, evidence: Evidence
    ) -> None:
        self.exit_status: int | None = None
        self.messages = 0
        self.garbage = 0
        self.first = ""
        self.complaint = ""
        self._command = command
        self._env = env
        self._cwd = cwd
        self._evidence = evidence

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Any]:
        """Start it, and give the two streams that the SDK's client speaks over; end its group at the end.

        The SDK's own client for standard streams leaves the children of a server that ended by itself
        alone, and tells neither an exit status nor what stood on standard error.

        Raises:
            OSError: It cannot be started.
            ValueError: The command holds a NUL.
        """
        with anyio.CancelScope(shield=True):  # cut off half-way it would be left to itself
            process = await anyio.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=get_default_environment() | self._env,
                cwd=self._cwd,
                start_new_session=True,  # a group of its own, to be ended as one
            )
        try:
            to_session, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            to_process, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
            async with to_session, messages, to_process, outgoing, anyio.create_task_group() as group:
                group.start_soon(self._read_messages, process, to_session)
                group.start_soon(self._read_complaints, process)
                group.start_soon(self._write, process, outgoing)
                yield messages, to_process
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)

    async def _read_messages(self, process: Process, to_session: Any) -> None:
        async with to_session:
            assert process.stdout is not None
            await _each_line(process.stdout, lambda line: self._take(line, to_session))
            with anyio.move_on_after(_LAST):  # its output has ended, so it mostly has, too
                await process.wait()
            self.exit_status = process.returncode
            if self.exit_status is not None:
                self._evidence.note("ended", f"the process, with exit status {self.exit_status}")

    async def _take(self, line: str, to_session: Any) -> None:
        self._evidence.note("stdout", line)
        try:
            message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            self.garbage += 1
            self.first = self.first or line[:1_000]
            return
        self.messages += 1
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # nobody listens any more
            await to_session.send(message)

    async def _read_complaints(self, process: Process) -> None:
        async def take(line: str) -> None:
            self._evidence.note("stderr", line)
            self.complaint = line[:1_000]

        assert process.stderr is not None
        await _each_line(process.stderr, take)

    async def _write(self, process: Process, outgoing: Any) -> None:
        assert process.stdin is not None
        with suppress(*_GONE):  # whoever reads the other stream sees the end
            async for message in outgoing:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._evidence.note("stdin", line)
                await process.stdin.send(line.encode() + b"\n")


async def _each_line(stream: ByteReceiveStream, take: Callable[[str], Any]) -> None:
    """Hand on the lines of a stream until it ends; one that is too long ends it."""
    rest = b""
    with suppress(*_GONE):
        while len(rest) <= _LONGEST:
            *lines, rest = (rest + await stream.receive()).split(b"\n")
            for line in filter(None, (line.strip() for line in lines)):
                await take(line.decode("utf-8", "replace"))
    if rest.strip():
        await take(rest[:_LONGEST].decode("utf-8", "replace"))


async def _end(process: Process) -> None:
    """Let the process end by itself, then ask its group to, then make it; nothing of it stays behind."""
    if process.stdin is not None:
        with suppress(*_GONE):
            await process.stdin.aclose()
    await _wait(lambda: process.returncode is not None)
    for way in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        _signal(process, way)
        await _wait(lambda: process.returncode is not None and not _signal(process, 0))
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(*_GONE):
                await stream.aclose()
    with anyio.move_on_after(_GRACE):  # a process that left the group may hold the pipes
        await process.wait()


async def _wait(is_done: Callable[[], bool]) -> None:
    with anyio.move_on_after(_GRACE):
        while not is_done():
            await anyio.sleep(_POLL)


def _signal(process: Process, number: int) -> bool:
    """Signal the process and whatever it started; returns whether anything of it is there."""
    if not hasattr(os, "killpg"):  # Windows: there are no groups
        if number and process.returncode is None:
            process.terminate()
        return process.returncode is None
    try:
        os.killpg(process.pid, number)  # its id is its group's, also when it has ended
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # something is there that is not ours any more
    return True

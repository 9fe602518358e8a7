"""A relay that puts a header on every request: the suite's client has no key to show to a gateway.

All else passes byte for byte, `Host` and `Origin` included, for the suite looks at what becomes of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pytest_mcpsmoke.doubles.background import BackgroundLoop

_CONNECTION: Final = re.compile(rb"(?im)^(?:connection|keep-alive):[^\r\n]*\r\n")
_HEAD_SECONDS: Final = 30.0
_HEAD_BYTES: Final = 2**20


@contextmanager
def relay(host: str, port: int, header: tuple[str, str]) -> Iterator[str]:
    """Relay to an address for as long as the block lasts; give the URL, "http://127.0.0.1:PORT"."""
    loop = BackgroundLoop("mcpsmoke conformance relay")
    passing = _Relay(host, port, "{}: {}".format(*header).encode("latin-1"))
    loop.start()
    loop.at_end.append(passing.close)
    try:
        yield f"http://127.0.0.1:{loop.call(passing.listen())}"
    finally:
        loop.close()


class _Relay:
    def __init__(self, host: str, port: int, line: bytes) -> None:
        self._target = (host, port)
        self._line = line
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0, limit=_HEAD_BYTES)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Take no more connections; those that are open are cut with the loop's tasks."""
        if self._server is not None:
            self._server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request, with the header, and its answer; then both sides are closed."""
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            there, back = await asyncio.open_connection(*self._target)
            try:
                back.write(self._with_header(head))
                await _until_one_ends(_pump(reader, back), _pump(there, writer))
            finally:
                back.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # either side has left, or is not there: the other one sees its connection closed
        finally:
            writer.close()

    def _with_header(self, head: bytes) -> bytes:
        """The head with the header, and for this one request: a connection that stays could carry others."""
        first, rest = _CONNECTION.sub(b"", head).split(b"\r\n", 1)
        return b"\r\n".join([first, self._line, b"Connection: close", rest])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # one that broke has lost its side, no more

"""Many runs of the agent at once, over a tool server that writes down what arrives, byte for byte."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from reference_app import agent_proxy

ENVIRONMENT_HEADERS = {"authorization": "Bearer of-the-environment", "X-Shared": "for all"}
CASINGS = ("X-Run", "x-run", "X-RUN")


@dataclass(frozen=True)
class Arrived:
    """One request; header names are cased as they were sent."""

    asked: str
    headers: list[tuple[str, str]]
    arguments: dict[str, Any]

    def sent(self, name: str) -> list[tuple[str, str]]:
        """Returns the headers of that name in any case."""
        return [(key, value) for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class ToolServer:
    """A tool server in this event loop, which keeps connections open as long as the client does.

    Every fifth run's first call is told to come back; each reply repeats the key that came with the call.
    """

    arrived: list[Arrived] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    async def __aenter__(self) -> Self:
        self._told_to_come_back: set[int] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while await self._answer_one(reader, writer):
                pass
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass  # it was cut off, and not closed
            self.open -= 1

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        request_line, *lines = head.strip().split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = json.loads(await reader.readexactly(length) or b"{}")
        asked = request_line.rpartition(" ")[0]
        self.arrived.append(Arrived(asked, headers, body.get("arguments", {})))
        status, reply = self._reply(self.arrived[-1])
        await asyncio.sleep(0.001)  # others get their turn between a request and its answer
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(reply)}\r\n\r\n".encode() + reply)
        await writer.drain()
        return True

    def _reply(self, request: Arrived) -> tuple[int, bytes]:
        if request.asked == "GET /tools":
            return 200, b'[{"type": "function", "function": {"name": "look"}}]'
        run = request.arguments["run"]
        if run % 5 == 0 and run not in self._told_to_come_back:
            self._told_to_come_back.add(run)
            return 429, b"busy"
        return 200, json.dumps({"text": dict(request.headers)["Authorization"]}).encode()


async def model(*, messages: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
    """Stands in for `mini_agent.arouter_call`: two tool calls with the run's number, then an answer."""
    await asyncio.sleep(0)
    run = int(messages[0]["content"])
    if any(message["role"] == "tool" for message in messages):
        return {"choices": [{"message": {"role": "assistant", "content": f"run {run} is done"}}]}
    arguments = [json.dumps({"run": run, "call": call}) for call in range(2)]
    calls = [{"id": f"c{i}", "function": {"name": "look", "arguments": a}} for i, a in enumerate(arguments)]
    return {"choices": [{"message": {"role": "assistant", "content": "", "tool_calls": calls}}]}


@dataclass(frozen=True)
class Outcome:
    """What a crowd came to: the answers by run, what arrived, and what was left at the end."""

    answers: list[httpx.Response]
    arrived: list[Arrived]
    most_open: int
    open_after: int
    tasks_after: int


async def gather(size: int) -> Outcome:
    """Starts `size` runs at once, each with its key, header and arguments; half are chat completions."""
    before = len(asyncio.all_tasks())
    async with ToolServer() as server:
        transport = httpx.ASGITransport(agent_proxy.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app", timeout=None) as client:
            answers = await asyncio.gather(*(_run(client, server.url, run) for run in range(size)))
        serving = server.open
        for _ in range(3000):  # the ends of connections arrive a moment after they were closed
            if not server.open:
                break
            await asyncio.sleep(0.01)
        left = len(asyncio.all_tasks()) - before - server.open
        return Outcome(answers, server.arrived, max(server.most_open, serving), server.open, left)


async def _run(client: httpx.AsyncClient, url: str, run: int) -> httpx.Response:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": str(run)}],
        "tool_backend": "http",
        "tool_http_base_url": url,
        "tool_http_headers": {"Authorization": f"Bearer key-{run:03}", CASINGS[run % 3]: str(run)},
    }
    return await client.post("/agent/run" if run % 2 else "/v1/chat/completions", json=body)

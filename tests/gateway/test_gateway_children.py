"""The children of stdio upstreams: started at the first call, shared, started anew after their end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import waiting
from mcp import Client, MCPError

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.journal import Entry
from reference_app.gateway import farewell
from reference_app.gateway.settings import McpServer

Start = Callable[..., Any]
PATIENCE = 20.0
wait_until = partial(waiting.wait_until, seconds=PATIENCE)
MODES = ("legacy", "2026-07-28")


@pytest.fixture
def files(start_upstream: Callable[[str], McpUpstream]) -> McpUpstream:
    upstream = start_upstream("files")
    upstream.tool("read", result="text")
    return upstream


def by_stdio(upstream: McpUpstream, **settings: Any) -> McpServer:
    command = upstream.stdio()
    return McpServer("stdio", command=command.command, args=tuple(command.args), **settings)


def python(program: str, *args: str, **settings: Any) -> McpServer:
    """Returns a server that is a Python program."""
    return McpServer("stdio", command=sys.executable, args=("-c", program, *args), **settings)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def read(client: Client) -> str:
    """Returns what the tool answers, or the error's text."""
    try:
        result = await client.call_tool("files-read", {})
    except MCPError as error:
        return error.error.message
    return str(result.content[0].text)


async def read_by_five(client: Client) -> list[str]:
    return list(await asyncio.gather(*(read(client) for _ in range(5))))


@pytest.mark.parametrize("mode", MODES)
def test_it_is_started_at_the_first_call_and_shared(start: Start, files: McpUpstream, mode: str) -> None:
    gateway = start({"files": by_stdio(files)})
    assert gateway.http("GET", "/healthz").status_code == 200
    assert files.children == []
    for _ in range(2):
        assert gateway.ask(read_by_five, mode=mode) == ["text"] * 5
    assert len(files.children) == 1
    assert len(files.tool_calls) == 10


def test_it_ends_with_the_gateway(start: Start, files: McpUpstream) -> None:
    gateway = start({"files": by_stdio(files)})
    gateway.ask(read)
    [child] = files.children
    assert child.ended is None
    gateway.server.close()
    assert is_gone(child.pid)


def test_what_it_is_started_with(
    start: Start, files: McpUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PASSED_ON", "from the gateway's environment")
    monkeypatch.setenv("KEPT", "the gateway's own")
    command = files.stdio(args=["--root", "/data"])
    settings = McpServer(
        "stdio",
        command=command.command,
        args=tuple(command.args),
        env={"OWN": "configured"},
        env_from=("PASSED_ON",),
        cwd=str(tmp_path),
    )
    start({"files": settings}).ask(read)
    [child] = files.children
    assert child.args == ["--root", "/data"]
    assert Path(child.cwd).samefile(tmp_path)
    usual = {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE"}
    given = {name: value for name, value in child.env.items() if name not in usual}
    assert given == {"OWN": "configured", "PASSED_ON": "from the gateway's environment"}
    assert "KEY_OPS" in os.environ  # the gateway's own key, which the child must not get


@pytest.mark.parametrize("mode", MODES)
def test_one_that_dies_while_nobody_calls_is_started_anew(
    start: Start, files: McpUpstream, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = start({"files": by_stdio(files)})
    assert gateway.ask(read, mode=mode) == "text"
    os.kill(files.children[0].pid, signal.SIGKILL)
    wait_until(lambda: "the child of files has ended; the next call starts another" in caplog.text)
    assert gateway.ask(read, mode=mode) == "text"
    assert len(files.children) == 2
    assert is_gone(files.children[0].pid)


@pytest.mark.parametrize("mode", MODES)
def test_one_that_dies_during_a_call_is_told_and_the_call_is_not_sent_again(
    start: Start, files: McpUpstream, mode: str
) -> None:
    @files.tool("read")
    async def dies_the_first_time() -> str:
        if len(files.tool_calls) == 1:
            os.kill(files.children[0].pid, signal.SIGKILL)
            await anyio.sleep(PATIENCE)
        return "text"

    gateway = start({"files": by_stdio(files)})
    assert gateway.ask(read, mode=mode) == "files ended before it answered"
    assert len(files.tool_calls) == 1
    assert gateway.ask(read, mode=mode) == "text"
    assert len(files.children) == 2


ENDS_AFTER_ITS_GREETING = """
import json, sys
asked = json.loads(sys.stdin.readline())
while asked["method"] != "initialize":
    refused = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "unknown"}}
    print(json.dumps(refused), flush=True)
    asked = json.loads(sys.stdin.readline())
hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": hello}), flush=True)
"""
NEVER_ANSWERS = """
import sys, os
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
sys.stdin.read()
"""
WAITS = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
os.execv(sys.argv[2], sys.argv[2:])
"""
IGNORES_EVERYTHING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(60)
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("server", "told"),
    [
        (
            McpServer("stdio", command="/no/such/program"),
            "files cannot be started: No such file or directory",
        ),
        (python(""), "files ended before it answered"),
        (python(ENDS_AFTER_ITS_GREETING), "files ended before it answered"),
        (
            python("print(1, flush=True)\nimport sys; sys.stdin.read()", timeout_seconds=0.5),
            "files did not answer within 0.5 s",
        ),
        (python(r"import sys; sys.stdout.buffer.write(b'\xff\n')"), "files ended before it answered"),
    ],
    ids=["bad command", "ends at once", "ends after its greeting", "no JSON-RPC", "no UTF-8"],
)
def test_one_that_does_not_start_is_told_each_time(
    start: Start, server: McpServer, told: str, mode: str
) -> None:
    gateway = start({"files": server})
    for _ in range(3):  # it stays so: none waits for one that is gone
        assert gateway.ask(read, mode=mode) == told


TEXTS = [b'{"jsonrpc": "2.0", "id": 1, "result": {"cont\n', b"\xff\n", b"\x00\n", b"[" * 5000 + b"\n"]


class Held:
    """An upstream whose child starts when it is told to, and the calls that have come to its gateway."""

    def __init__(self, start: Start, files: McpUpstream, folder: Path) -> None:
        self._may_start = folder / "may-start"
        command = files.stdio()
        held_back = python(WAITS, str(self._may_start), command.command, *command.args)
        self.gateway = start({"files": held_back})

    def go_on(self) -> None:
        self._may_start.touch()

    @property
    def calls(self) -> list[Entry]:
        return [post for post in self.gateway.server.journal.posts() if b"tools/call" in post.body]

    async def have_come(self, number: int) -> None:
        await asyncio.to_thread(wait_until, lambda: len(self.calls) == number)


@pytest.fixture
def held(start: Start, files: McpUpstream, tmp_path: Path) -> Iterator[Held]:
    held = Held(start, files, tmp_path)
    yield held
    held.go_on()


def test_those_who_call_while_it_starts_wait_for_the_same_one(held: Held, files: McpUpstream) -> None:
    async def run(client: Client) -> list[str]:
        calls = asyncio.create_task(read_by_five(client))
        await held.have_come(5)
        held.go_on()
        return await calls

    assert held.gateway.ask(run) == ["text"] * 5
    assert len(files.children) == 1


def pid_in(file: Path) -> int:
    """Returns what a child wrote, which may come to it later than its time-out."""
    wait_until(lambda: file.exists() and bool(file.read_text()))
    [pid] = map(int, file.read_text().split())
    return pid


def test_one_that_never_answers_is_ended(start: Start, tmp_path: Path) -> None:
    started = tmp_path / "started"
    gateway = start({"files": python(NEVER_ANSWERS, str(started), timeout_seconds=1.5)})
    assert gateway.ask(read) == "files did not answer within 1.5 s"
    pid = pid_in(started)
    wait_until(lambda: is_gone(pid))


def test_nobody_waits_longer_for_one_that_will_not_end(start: Start, tmp_path: Path) -> None:
    started = tmp_path / "started"
    gateway = start({"files": python(IGNORES_EVERYTHING, str(started), timeout_seconds=1.0)})
    assert gateway.ask(read) == "files did not answer within 1 s"
    # The SDK gives it 2 s after its input has ended, and 2 s more after SIGTERM.
    pid = pid_in(started)
    assert not is_gone(pid)
    gateway.server.close()
    assert is_gone(pid)


def test_the_gateway_ends_while_one_is_starting(start: Start, tmp_path: Path) -> None:
    started = tmp_path / "started"
    gateway = start({"files": python(NEVER_ANSWERS, str(started))})

    async def run() -> None:
        async with gateway.client() as client:
            call = asyncio.create_task(read(client))
            await asyncio.to_thread(wait_until, lambda: started.exists() and bool(started.read_text()))
            await asyncio.to_thread(gateway.server.close)
            await call

    cut_off = []
    try:
        asyncio.run(run())
    except* httpx2.TransportError as group:
        cut_off.append(group)
    assert cut_off
    [pid] = map(int, started.read_text().split())
    assert is_gone(pid)


def test_a_start_goes_on_when_the_first_who_called_has_left(held: Held, files: McpUpstream) -> None:
    async def run() -> str:
        async with held.gateway.client() as client, held.gateway.client() as other:
            first = asyncio.create_task(read(client))
            await held.have_come(1)
            second = asyncio.create_task(read(other))
            await held.have_come(2)
            first.cancel()
            await asyncio.to_thread(wait_until, lambda: held.calls[0].lost is not None)
            held.go_on()
            return await second

    assert asyncio.run(run()) == "text"
    assert len(files.children) == 1


@pytest.mark.parametrize("text", TEXTS, ids=["half a line", "no UTF-8", "NUL", "deep"])
@pytest.mark.parametrize("mode", MODES)
def test_a_line_that_is_no_json_loses_one_answer_and_no_child(
    start: Start, files: McpUpstream, mode: str, text: bytes
) -> None:
    files.fault.malformed(text, on="tools/call")
    gateway = start({"files": by_stdio(files)})

    async def run(client: Client) -> str:
        lost = asyncio.create_task(read(client))
        await asyncio.to_thread(wait_until, lambda: len(files.tool_calls) == 1)
        answer = await read(client)
        assert not lost.done()
        lost.cancel()
        return answer

    assert gateway.ask(run, mode=mode) == "text"
    assert len(files.tool_calls) == 2
    assert len(files.children) == 1


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_that_is_lost_is_told_in_the_end(start: Start, files: McpUpstream, mode: str) -> None:
    files.fault.malformed(on="tools/call", times="any")
    gateway = start({"files": by_stdio(files, timeout_seconds=1.0)})
    assert gateway.ask(read, mode=mode) == "files did not answer within 1 s"


def test_what_it_says_before_its_first_message_is_passed_over(start: Start, files: McpUpstream) -> None:
    chatty = "import os, sys; print('starting …', flush=True); os.execv(sys.argv[1], sys.argv[1:])"
    command = files.stdio()
    gateway = start({"files": python(chatty, command.command, *command.args)})
    assert gateway.ask(read) == "text"


@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_its_client_gives_up_is_cancelled_at_the_child(
    start: Start, files: McpUpstream, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farewell, "FAREWELL_SECONDS", PATIENCE)  # a busy machine may take a second
    ended: list[str] = []

    @files.tool
    async def wait() -> None:
        try:
            await anyio.sleep(PATIENCE)
        finally:
            ended.append("wait")

    gateway = start({"files": by_stdio(files)})

    async def run(client: Client) -> str:
        call = asyncio.create_task(client.call_tool("files-wait", {}))
        await asyncio.to_thread(wait_until, lambda: len(files.tool_calls) == 1)
        call.cancel()
        await asyncio.to_thread(wait_until, lambda: ended == ["wait"])
        return await read(client)

    assert gateway.ask(run, mode=mode) == "text"
    [cancelled] = files.journal.rpc("notifications/cancelled")
    assert cancelled.params["requestId"] == files.tool_calls[0].id
    assert len(files.children) == 1

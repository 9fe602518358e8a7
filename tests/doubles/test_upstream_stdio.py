"""The upstream over stdio: a real child process that relays, and never outlives either side."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client.stdio import stdio_client
from patience import SECONDS, no_longer_than

from pytest_mcpsmoke.doubles import lines
from pytest_mcpsmoke.doubles.upstream import McpUpstream

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
MESSAGE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
LIST = json.dumps(MESSAGE).encode() + b"\n"


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        made.tool("add", result="3")
        yield made


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child may take its time to end by itself."""
    monkeypatch.setattr(lines, "_FAREWELL", SECONDS)


def start(up: McpUpstream, **options: Any) -> subprocess.Popen[bytes]:
    """Start a child as a gateway would, without the SDK."""
    command = up.stdio(**options)
    return subprocess.Popen(
        [command.command, *command.args],
        env=command.env or {},
        cwd=command.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def asked(child: subprocess.Popen[bytes], line: bytes = LIST) -> Any:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line)
    child.stdin.flush()
    return json.loads(child.stdout.readline())


def ended(child: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a child that was told to end, and close its pipes."""
    for pipe in (child.stdin, child.stdout, child.stderr):
        assert pipe is not None
        pipe.close()
    return child.wait(timeout=SECONDS)


def test_lines_arrive_as_they_were_sent(up: McpUpstream) -> None:
    child = start(up)
    answer = asked(child)
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["add"]
    entry = up.journal[0]
    assert (entry.transport, entry.method, entry.headers, entry.body + b"\n") == ("stdio", "", [], LIST)
    assert ended(child) == 0


def test_what_is_no_json_arrives_too(up: McpUpstream) -> None:
    child = start(up)
    assert child.stdin is not None
    child.stdin.write(b"what?\r\n")
    assert asked(child)["id"] == 1
    assert [entry.body for entry in up.journal] == [b"what?", LIST.rstrip()]
    assert ended(child) == 0


def test_the_child_tells_what_it_was_started_with(up: McpUpstream, tmp_path: Path) -> None:
    child = start(
        up, args=["--root", "/data", "--api-key", "s3cret"], env={"API_KEY": "s3cret"}, cwd=tmp_path
    )
    asked(child)
    told = up.children[0]
    assert (told.args, told.pid) == (["--root", "/data", "--api-key", "s3cret"], child.pid)
    assert told.env["API_KEY"] == "s3cret"
    assert Path(told.cwd).samefile(tmp_path)
    assert told.connection == up.journal[0].connection
    assert "s3cret" not in repr(told)
    assert "--root" in repr(told)
    assert ended(child) == 0


def test_children_of_one_command_are_told_apart(up: McpUpstream) -> None:
    children = []
    for number in range(2):
        children.append(start(up, args=[str(number)]))
        asked(children[-1])
    assert [child.args for child in up.children] == [["0"], ["1"]]
    assert [entry.connection for entry in up.journal] == [child.connection for child in up.children]
    assert [ended(child) for child in children] == [0, 0]


def test_a_long_message_passes_whole(up: McpUpstream) -> None:
    up.tool("length")(_length)
    text = "ä" * 1_000_000

    async def use() -> None:
        async with Client(stdio_client(up.stdio())) as client:
            result = await client.call_tool("length", {"text": text})
            assert result.structured_content == {"result": text}

    asyncio.run(use())


def _length(text: str) -> str:
    return text


@pytest.mark.parametrize("fault", ["slow", "disconnect", "malformed"])
def test_faults_that_lines_can_have(up: McpUpstream, fault: str) -> None:
    declared = up.fault.slow(600, on="add") if fault == "slow" else getattr(up.fault, fault)(on="add")
    up.fault(status=500, on="add", times="any")  # of HTTP: no line meets it
    failures: list[BaseException] = []

    async def use() -> None:
        try:
            async with no_longer_than(declared), Client(stdio_client(up.stdio())) as client:
                await client.call_tool("add")
        except* (MCPError, TimeoutError) as group:
            failures.append(group)

    asyncio.run(use())
    assert len(failures) == 1
    assert f"fault: {fault}" in up.journal.assert_called("add")[0].entry.note


@pytest.mark.parametrize("fault", ["slow", "disconnect", "malformed"])
def test_faults_in_memory(up: McpUpstream, fault: str) -> None:
    declared = up.fault.slow(600, on="add") if fault == "slow" else getattr(up.fault, fault)(on="add")

    async def use() -> None:
        async with up.client() as client:
            with pytest.raises((MCPError, TimeoutError)):
                async with no_longer_than(declared):
                    await client.call_tool("add")

    asyncio.run(use())
    up.verify()


def test_the_child_ends_when_its_input_ends(up: McpUpstream) -> None:
    child = start(up)
    asked(child)
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=SECONDS) == 0
    ended(child)


def test_the_child_ends_when_nobody_reads_its_output(up: McpUpstream) -> None:
    up.tool("noise", result="x" * 1_000_000)
    child = start(up)
    asked(child)
    assert child.stdout is not None
    assert child.stdin is not None
    child.stdout.close()
    child.stdin.write(LIST)
    child.stdin.flush()
    assert child.wait(timeout=SECONDS) == 0
    ended(child)


def test_the_child_ends_with_the_upstream(up: McpUpstream) -> None:
    child = start(up)
    asked(child)
    up.close()
    assert up.children[0].ended is not None
    assert child.wait(timeout=SECONDS) == 0
    ended(child)


def test_a_child_that_hangs_is_ended(up: McpUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_FAREWELL", 0.1)
    child = start(up)
    asked(child)
    child.send_signal(signal.SIGSTOP)
    up.close()
    child.send_signal(signal.SIGCONT)
    assert child.wait(timeout=SECONDS) in (0, -signal.SIGTERM)
    ended(child)


def test_a_child_that_is_gone_already_is_no_error(up: McpUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """As seen by a process that is paused: the end of the child and that of its time come together."""
    monkeypatch.setattr(lines, "_FAREWELL", 0.0)
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    *_, port, key = up.stdio().args
    hello = {"key": key, "argv": [], "env": {}, "cwd": "/", "pid": gone.pid}
    with socket.create_connection(("127.0.0.1", int(port))) as child:
        child.sendall(json.dumps(hello).encode() + b"\n" + LIST)
        assert child.recv(65536)
        up.close()
    assert up.errors == []
    assert up.children[0].ended is not None


def test_a_child_without_its_upstream_says_so(up: McpUpstream) -> None:
    command = up.stdio()
    up.close()
    result = subprocess.run(
        [command.command, *command.args], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith(b"the upstream of this test is gone: ")


def test_a_stranger_gets_no_answer(up: McpUpstream) -> None:
    command = up.stdio()
    args = [*command.args[:-1], "another-key"]
    result = subprocess.run([command.command, *args], input=LIST, capture_output=True, check=False)
    assert (result.returncode, result.stdout, up.children) == (0, b"", [])
    for nonsense in (b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n"):
        with socket.create_connection(("127.0.0.1", int(command.args[-2]))) as stranger:
            stranger.sendall(nonsense)
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(10) == b""
    up.journal.assert_no_requests()
    assert up.errors == []


def test_what_breaks_inside_is_kept(up: McpUpstream) -> None:
    up.fault.slow(1, on=lambda seen: seen == 1 // 0, times="any")
    child = start(up)
    assert child.stdin is not None
    child.stdin.write(LIST)
    child.stdin.flush()
    assert child.wait(timeout=SECONDS) == 0
    ended(child)
    assert len(up.errors) == 1
    with pytest.raises(ZeroDivisionError):
        up.verify()
    up.fault._broken = None


def test_the_child_does_not_outlive_a_test_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    alive, held = os.pipe()  # its end is seen when the last process that holds it has ended
    with subprocess.Popen(
        [sys.executable, str(script), str(held)], stdout=subprocess.PIPE, pass_fds=[held]
    ) as parent:
        os.close(held)
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        assert select.select([alive], [], [], 0)[0] == []
        parent.kill()
    assert select.select([alive], [], [], SECONDS)[0] == [alive]
    os.close(alive)


KILLED = """
import os, subprocess, sys, time
from pytest_mcpsmoke.doubles.upstream import McpUpstream

upstream = McpUpstream()
command = upstream.stdio()
reads, writes = os.pipe()  # the child holds both ends: its input never ends
subprocess.Popen(
    [command.command, *command.args],
    stdin=reads,
    stdout=subprocess.DEVNULL,
    pass_fds=[writes, int(sys.argv[1])],
)
while not upstream.children:
    time.sleep(0.01)
print("started", flush=True)
time.sleep(600)
"""

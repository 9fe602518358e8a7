"""How the served gateway ends: by a signal in good order; and killed, when its children see to themselves."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import waiting
import yaml
from by_hand import ACCEPT, BY_KEY, INITIALIZE, MODERN, OPS

from pytest_mcpsmoke import McpUpstream
from reference_app.gateway import own_process

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
wait_until = partial(waiting.wait_until, seconds=PATIENCE)
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Upstream:
    """An upstream over HTTP and one over stdio, with a tool that answers when it is told to."""

    def __init__(self, start_upstream: Callable[[str], McpUpstream]) -> None:
        self.web, self.files = start_upstream("web"), start_upstream("files")
        self.may_answer = threading.Event()
        for upstream in (self.web, self.files):
            upstream.tool("wait")(self.wait)

    async def wait(self) -> str:
        while not self.may_answer.is_set():
            await anyio.sleep(0.02)
        return "done"


@pytest.fixture
def upstream(start_upstream: Callable[[str], McpUpstream]) -> Upstream:
    return Upstream(start_upstream)


class Program:
    """The gateway in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def told(self, number: int) -> float:
        """Sends a signal; returns when."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self) -> tuple[int, str]:
        """Waits for the end; returns exit status and stderr."""
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@pytest.fixture
def serve(upstream: Upstream, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the gateway: `serve(shutdown_seconds=10)`."""
    processes: list[subprocess.Popen[str]] = []

    def begin(**server: Any) -> Program:
        command = upstream.files.stdio()
        config = {
            "server": {"port": 0, **server},
            "gateway": {"keys": {"ops": {"key_env": "OPS_KEY", "servers": ["*"]}}},
            "mcp_servers": {
                "web": {"transport": "http", "url": upstream.web.http()},
                "files": {"transport": "stdio", "command": command.command, "args": list(command.args)},
            },
        }
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
        process = subprocess.Popen(
            [sys.executable, "-m", "reference_app", "--config", str(file)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "OPS_KEY": OPS},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        url = process.stdout.readline().strip()
        watchdog.cancel()
        watchdog.join()
        assert url, process.communicate()[1]
        return Program(process, url)

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def is_gone(pid: int) -> bool:
    """Returns whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends between opening and reading
        return True


async def session_of(http: httpx2.AsyncClient, app: Program) -> dict[str, str]:
    """Opens a session of a protocol with handshake; returns the headers that it asks for."""
    opened = await http.post(f"{app.url}/mcp", json=INITIALIZE, headers=ACCEPT)
    own = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(f"{app.url}/mcp", json=ready, headers={**ACCEPT, **own})
    return {**ACCEPT, **own}


def listen() -> dict[str, Any]:
    params = {"notifications": {"toolsListChanged": True}, "_meta": META}
    return {"jsonrpc": "2.0", "id": "listening", "method": "subscriptions/listen", "params": params}


async def called(
    http: httpx2.AsyncClient, app: Program, server: str, headers: dict[str, str] | None = None
) -> httpx2.Response:
    """Calls the tool of a server by 2026-07-28, or by another protocol with the headers given."""
    params = {"name": f"{server}-wait", "arguments": {}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params}
    headers = headers or modern("tools/call", **{"Mcp-Name": f"{server}-wait"})
    return await http.post(f"{app.url}/mcp", json=message, headers=headers)


def modern(method: str, **more: str) -> dict[str, str]:
    return {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": method, **more}


class Stream:
    """An event stream that is read in a task of its own."""

    def __init__(self, http: httpx2.AsyncClient, method: str, url: str, **options: Any) -> None:
        self.lines: list[str] = []
        self.status: int | None = None
        self._begun = asyncio.Event()
        self.task = asyncio.create_task(self._read(http, method, url, options))

    async def _read(self, http: httpx2.AsyncClient, method: str, url: str, options: dict[str, Any]) -> None:
        async with http.stream(method, url, **options) as response:
            self.status = response.status_code
            async for line in response.aiter_lines():
                self.lines.append(line)

    async def says(self, word: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(word in line for line in self.lines):
                assert not self.task.done(), self.lines
                await asyncio.sleep(0.01)

    async def is_open(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.status is None:
                await asyncio.sleep(0.01)
        assert self.status == 200
        assert not self.task.done()

    @property
    def events(self) -> list[Any]:
        return [json.loads(line.removeprefix("data: ")) for line in self.lines if line.startswith("data: {")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_streams_end_by_themselves_and_a_call_under_way_is_answered(
    serve: Callable[..., Program], upstream: Upstream, number: int
) -> None:
    app = serve(shutdown_seconds=PATIENCE)

    async def run() -> tuple[list[Stream], list[str]]:
        async with httpx2.AsyncClient(headers=BY_KEY, timeout=PATIENCE) as http:
            own = Stream(http, "GET", f"{app.url}/mcp", headers=await session_of(http, app))
            await own.is_open()
            tools = Stream(http, "GET", f"{app.url}/mcp/tools")
            await tools.says("event: tools")
            listening = Stream(
                http, "POST", f"{app.url}/mcp", json=listen(), headers=modern("subscriptions/listen")
            )
            await listening.says("notifications/subscriptions/acknowledged")
            calls = [asyncio.create_task(called(http, app, server)) for server in ("web", "files")]
            waiting = (upstream.web, upstream.files)
            await asyncio.to_thread(wait_until, lambda: all(len(one.tool_calls) == 1 for one in waiting))
            app.told(number)
            streams = [own, tools, listening]
            async with asyncio.timeout(PATIENCE / 2):  # long before the calls would be cut off
                await asyncio.gather(*(stream.task for stream in streams))
            assert app.process.poll() is None
            assert not any(one.done() for one in calls)
            upstream.may_answer.set()
            answers = await asyncio.gather(*calls)
            return streams, [one.json()["result"]["content"][0]["text"] for one in answers]

    streams, answers = asyncio.run(run())
    status, err = app.end()
    assert answers == ["done", "done"]
    assert status == 0
    assert "Traceback" not in err
    # It is said that the end was meant: the client need not take it for a broken connection.
    final = streams[2].events[-1]
    assert (final["id"], final["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"]) == (
        "listening",
        "listening",
    )
    [child] = upstream.files.children
    assert is_gone(child.pid)


@pytest.mark.parametrize("server", ["web", "files"])
@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_a_call_that_does_not_end_in_time_is_cut_off(
    serve: Callable[..., Program], upstream: Upstream, server: str, mode: str
) -> None:
    app = serve(shutdown_seconds=1)

    async def run() -> tuple[float, httpx2.Response]:
        async with httpx2.AsyncClient(headers=BY_KEY, timeout=PATIENCE) as http:
            headers = None if mode == MODERN else await session_of(http, app)
            asked = asyncio.create_task(called(http, app, server, headers))
            of = {"web": upstream.web, "files": upstream.files}[server]
            await asyncio.to_thread(wait_until, lambda: len(of.tool_calls) == 1)
            return app.told(signal.SIGTERM), await asked

    before, answer = asyncio.run(run())
    status, err = app.end()
    assert time.monotonic() - before < PATIENCE / 2
    assert status == 0
    assert "Traceback" not in err
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the server was shut down before the run was over"}
    for child in upstream.files.children:
        assert is_gone(child.pid)


def test_killed_it_leaves_no_child(serve: Callable[..., Program], upstream: Upstream) -> None:
    app = serve()

    async def run() -> None:
        async with httpx2.AsyncClient(headers=BY_KEY, timeout=PATIENCE) as http:
            asked = asyncio.create_task(called(http, app, "files"))
            await asyncio.to_thread(wait_until, lambda: len(upstream.files.tool_calls) == 1)
            app.told(signal.SIGKILL)
            with pytest.raises(httpx2.TransportError):
                await asked

    asyncio.run(run())
    assert app.end()[0] == -signal.SIGKILL
    [child] = upstream.files.children
    wait_until(lambda: child.ended is not None and is_gone(child.pid))  # its input has ended


def test_a_request_that_was_given_up_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    sdk = logging.getLogger("mcp.client.streamable_http")
    sdk.addFilter(own_process.is_news)
    try:
        for error in (anyio.BrokenResourceError(), anyio.ClosedResourceError(), ValueError("no JSON")):
            try:
                raise error
            except Exception:
                sdk.exception("Error parsing SSE message")
    finally:
        sdk.removeFilter(own_process.is_news)
    [told] = caplog.records
    assert told.exc_info is not None
    assert isinstance(told.exc_info[1], ValueError)

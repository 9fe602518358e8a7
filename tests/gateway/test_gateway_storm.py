"""Two hundred tool calls at once, of twenty keys, over four upstreams: none gets what is another's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import waiting
from fastapi import FastAPI, Request
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from reference_app.gateway.settings import McpServer

KEYS = int(os.environ.get("STORM_KEYS", "20"))
CALLS = 10  # of each key, at servers that answer
DOOMED = KEYS // 2  # keys that call servers that do not, too
HEALTHY = ("web", "events", "local", "api")
LOST = ("killed", "hanging", "cut")
StartUpstream = Callable[[str], McpUpstream]
MODES = ("legacy", "2026-07-28")
NAME = re.compile(rb"call-\d+-\d+")  # in an argument, and in a header: which call of which key
PATIENCE = 240.0  # seconds: all come in a few, but on a busy machine it took 40
wait_until = partial(waiting.wait_until, seconds=PATIENCE)


class Together:
    """Lets nobody go before all have come: so many calls are under way at one moment."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.come = 0
        self._lock = threading.Lock()

    async def wait(self) -> None:
        """Waits for the others, whatever loop they are on."""
        with self._lock:
            self.come += 1
        while self.come < self.size:
            await anyio.sleep(0.05)


def key(number: int) -> str:
    return f"sk-key-{number:02}"


def echo_at(upstream: McpUpstream, together: Together) -> None:
    """Offers a tool that says what it was called with, and the headers that it came with."""

    @upstream.tool
    async def echo(text: str, ctx: Context) -> dict[str, str]:
        await together.wait()
        headers = ctx.headers or {}
        return {"text": text, "key": headers.get("x-key", ""), "call": headers.get("x-call", "")}


def api(together: Together) -> FastAPI:
    """Returns an API with the same tool."""
    app = FastAPI()

    @app.get("/echo", operation_id="echo")
    async def echo(text: str, request: Request) -> dict[str, str]:
        await together.wait()
        headers = request.headers
        return {"text": text, "key": headers.get("x-key", ""), "call": headers.get("x-call", "")}

    return app


class Upstreams:
    """Four upstreams, one of each transport, with one tool; and three whose answers never come."""

    def __init__(
        self, start_upstream: Callable[[str], McpUpstream], together: Together, folder: Path
    ) -> None:
        self.web, self.events, self.local = map(start_upstream, ("web", "events", "local"))
        self.killed, self.hanging, self.cut = map(start_upstream, LOST)
        for upstream in (self.web, self.events, self.local):
            echo_at(upstream, together)
        for upstream in (self.killed, self.hanging, self.cut):
            echo_at(upstream, Together(DOOMED + 1))
        for upstream in (self.local, self.killed):
            upstream.tool("ping", result="pong")
        app = api(together)
        self.api = LoopbackServer(app).start()
        spec = folder / "openapi.json"
        spec.write_text(json.dumps(app.openapi()))
        # The first to come wait for the last: with 30 s they were given up where that took longer.
        passed: dict[str, Any] = {"extra_headers": ("X-Key", "X-Call"), "timeout_seconds": PATIENCE}
        self.settings = {
            "web": McpServer("http", url=self.web.http(), **passed),
            "events": McpServer("sse", url=self.events.sse(), **passed),
            "local": by_stdio(self.local),
            "api": McpServer("openapi", spec_path=str(spec), url=self.api.url, **passed),
            "killed": by_stdio(self.killed),
            "hanging": McpServer("http", url=self.hanging.http(), **{**passed, "timeout_seconds": 2.0}),
            "cut": McpServer("http", url=self.cut.http(), **passed),
        }

    def arrived(self, server: str) -> list[Entry]:
        """Returns everything that a server was sent."""
        of = {"web": self.web, "events": self.events, "local": self.local, "api": self.api}
        return of[server].journal.entries


def by_stdio(upstream: McpUpstream) -> McpServer:
    command = upstream.stdio()
    return McpServer("stdio", command=command.command, args=tuple(command.args), timeout_seconds=PATIENCE)


pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Looks, when gateway and upstreams have ended, for what they leave in this process and beside it.

    Not for what others leave behind that is gone meanwhile; and a thread that has told of the end of a child,
    as asyncio's does on 3.11, may need a moment for its own.
    """
    before = present()
    yield
    deadline = time.monotonic() + PATIENCE
    while present() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert present() - before == set()


def present() -> set[Any]:
    """Returns the threads, descriptors and children of this process."""
    return {*threading.enumerate(), *descriptors().items(), *children()}


def descriptors() -> dict[str, str]:
    """Returns what is open, by number; not what looks at this process, as the detector does."""
    opened = {}
    for one in Path("/proc/self/fd").iterdir():
        try:
            opened[one.name] = os.readlink(one)
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return {number: target for number, target in opened.items() if not target.startswith("/proc/")}


def children() -> set[int]:
    """Returns the processes that this one has started and not seen off."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        if parent == os.getpid():
            found.add(int(stat.parent.name))
    return found


@pytest.fixture
def upstreams(
    start_upstream: Callable[[str], McpUpstream], tmp_path: Path
) -> Iterator[Callable[..., Upstreams]]:
    made: list[Upstreams] = []

    def make(together: Together) -> Upstreams:
        made.append(Upstreams(start_upstream, together, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.api.close()


class Loop:
    """A hook that is told on which loop the gateway runs, to count what runs there."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, _: Any) -> None:
        self._loop = asyncio.get_running_loop()

    def tasks(self) -> Counter[str]:
        """Returns what runs, by the names of the coroutines."""

        async def named() -> Counter[str]:
            here = asyncio.current_task()
            return Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not here)

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(named(), self._loop).result(PATIENCE)

    def tasks_at_rest(self) -> Counter[str]:
        """Returns what runs when the last request has been answered."""
        wait_until(lambda: "RequestResponseCycle.run_asgi" not in self.tasks())
        return self.tasks()


@asynccontextmanager
async def client_of(url: str, number: int, mode: str) -> AsyncIterator[Client]:
    """Connects with one of the keys; each of its calls bears a header of its own."""

    async def mark(request: httpx2.Request) -> None:
        if found := NAME.search(request.content if request.method == "POST" else b""):
            request.headers["X-Call"] = found[0].decode()

    headers = {"x-litellm-api-key": key(number), "X-Key": f"key-{number}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE, event_hooks={"request": [mark]}) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def storm(url: str, mode: str) -> dict[str, Any]:
    """Returns what each call came to: the answer, or the error's text."""
    answers: dict[str, Any] = {}

    async def call(client: Client, server: str, text: str) -> None:
        try:
            answers[text] = (await client.call_tool(f"{server}-echo", {"text": text})).structured_content
        except MCPError as error:
            answers[text] = error.error.message

    async def use(of: int) -> None:
        async with client_of(url, of, mode) as client:
            await client.list_tools()  # as clients do: the SDK's would list them after each first call
            mine = [(server, text) for text, server in plan().items() if text.split("-")[1] == str(of)]
            await asyncio.gather(*(call(client, server, text) for server, text in mine))

    await asyncio.gather(*map(use, range(KEYS)))
    return answers


def plan() -> dict[str, str]:
    """Returns which call goes to which server; the calls of a key take turns with the healthy ones."""
    planned = {
        f"call-{of}-{number}": HEALTHY[(of + number) % len(HEALTHY)]
        for of in range(KEYS)
        for number in range(CALLS)
    }
    doomed = {f"call-{of}-{CALLS + at}": server for of in range(DOOMED) for at, server in enumerate(LOST)}
    return {**planned, **doomed}


def calls_of(server: str) -> list[str]:
    return [call for call, planned in plan().items() if planned == server]


def strike(all_of_them: Upstreams, together: Together) -> None:
    """Kills the child and cuts the server off when all their calls have come, and all others wait."""
    lost = (all_of_them.killed, all_of_them.cut)
    wait_until(lambda: all(len(one.journal.rpc("tools/call", "echo")) == DOOMED for one in lost))
    wait_until(lambda: together.come == together.size - 1)
    os.kill(all_of_them.killed.children[0].pid, signal.SIGKILL)
    all_of_them.cut.close()
    together.come += 1


def echoed(call: str) -> dict[str, str]:
    """Returns what a call is answered by its server; over stdio there are no headers."""
    if plan()[call] == "local":
        return {"text": call, "key": "", "call": ""}
    return {"text": call, "key": f"key-{call.split('-')[1]}", "call": call}


def check_journal(entries: list[Entry], expected: list[str]) -> None:
    """Asserts that each call came once, with nothing of another's, and never a key of the gateway."""
    came: Counter[str] = Counter()
    for entry in entries:
        sent = b"\n".join([*(value for _, value in entry.headers), entry.path.encode(), entry.body])
        assert b"sk-key" not in sent
        names = {found.decode() for found in NAME.findall(sent)}
        assert len(names) <= 1, sent
        owners = {call.split("-")[1] for call in names} | {
            value.removeprefix("key-") for value in entry.header("x-key")
        }
        assert len(owners) <= 1, sent
        if b"tools/call" in entry.body or entry.path.startswith("/echo"):
            came.update(names)
    assert came == Counter(expected)


def pinged(gateway: Any, mode: str) -> None:
    """Lets each child be called once, so that it runs."""

    async def work(client: Client) -> None:
        for server in ("local", "killed"):
            assert (await client.call_tool(f"{server}-ping", {})).content[0].text == "pong"

    gateway.ask(work, {"x-litellm-api-key": key(0)}, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_two_hundred_calls_keep_to_themselves_while_other_servers_die(
    start: Callable[..., Any], upstreams: Callable[[Together], Upstreams], mode: str
) -> None:
    together = Together(KEYS * CALLS + 1)
    all_of_them = upstreams(together)
    loop = Loop()
    keys = {f"key{number}": (key(number), {"servers": ("*",)}) for number in range(KEYS)}
    gateway = start(all_of_them.settings, keys=keys, hooks=[loop])

    pinged(gateway, mode)
    before = loop.tasks_at_rest()

    async def run() -> dict[str, Any]:
        striking = asyncio.create_task(asyncio.to_thread(strike, all_of_them, together))
        answers = await storm(gateway.url, mode)
        await striking
        return answers

    answers = asyncio.run(run())
    healthy = [call for call, server in plan().items() if server in HEALTHY]
    assert {call: answers[call] for call in healthy} == {call: echoed(call) for call in healthy}
    for server in HEALTHY:
        check_journal(all_of_them.arrived(server), calls_of(server))
    assert {answers[call] for call in calls_of("killed")} == {"killed ended before it answered"}
    assert {answers[call] for call in calls_of("hanging")} == {"hanging did not answer within 2 s"}
    assert {answers[call] for call in calls_of("cut")} == {"cut ended before it answered"}
    for upstream in (all_of_them.killed, all_of_them.cut):
        check_journal(upstream.journal.entries, calls_of(upstream.name))  # lost, and not sent again
    pinged(gateway, mode)
    assert len(all_of_them.killed.children) == 2
    assert len(all_of_them.local.children) == 1
    wait_until(lambda: loop.tasks() <= before)  # less, where something of the first calls was not over yet


# --- and the detector says the same


def watched(folder: Path, *options: str, size: int = KEYS) -> list[dict[str, Any]]:
    """Runs the storm in a process of its own, with the detector's eye on it; returns its report."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(folder)]))
    test = f"{__file__}::{test_two_hundred_calls_keep_to_themselves_while_other_servers_die.__name__}"
    # -P: the working directory must not come before what is installed.
    command = [sys.executable, "-P", "-m", "pytest", "-p", "mcpsmoke", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--leaks=report", "--leaks-report=report.jsonl", *options, test],
        cwd=folder,
        env={**kept, "STORM_KEYS": str(size), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]


def test_the_detector_finds_no_leak(tmp_path: Path) -> None:
    report = watched(tmp_path, "-k", "legacy")  # which has sessions, and so more to leave behind
    findings = [record for record in report if record["type"] == "finding"]
    assert [finding["place"] for finding in findings if finding["verdict"] == "leak"] == []
    assert findings  # warm-ups: it has looked
    assert report[-1] | {"leaks": 0, "tests": 1} == report[-1]


ROOT = Path(__file__).resolve().parents[2]
LEAVES_ANSWERS_BEHIND = f"""\
import sys

sys.path.append({str(ROOT)!r})  # behind what is installed
import reference_app.gateway.upstreams as upstreams
import os

ask = upstreams.Upstreams.ask

async def keeping(self, *arguments, **options):
    os.environ["LAST_ASKED"] = arguments[0]
    return await ask(self, *arguments, **options)

upstreams.Upstreams.ask = keeping
"""


def test_the_detector_would_find_an_answer_left_behind(tmp_path: Path) -> None:
    (tmp_path / "leaves_answers_behind.py").write_text(LEAVES_ANSWERS_BEHIND)
    report = watched(tmp_path, "-p", "leaves_answers_behind", "-k", "2026", size=2)
    leaks = [record for record in report if record.get("verdict") == "leak"]
    assert {leak["place"] for leak in leaks} == {"os.environ['LAST_ASKED']"}

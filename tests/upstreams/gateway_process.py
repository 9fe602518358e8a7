"""The gateway in a process of its own, as whoever deploys it starts it, and the official client before it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult
from process_tree import Process, descendants

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "real-upstreams.md").read_text("utf-8")
PATIENCE = 60.0  # seconds until a gateway that does not do as it should is given up


def of_the_page(caption: str) -> str:
    """A file of the page docs/how-to/real-upstreams.md: what a reader copies is what is tried here."""
    block = re.search(
        rf"^```.*\n:caption: {re.escape(caption)}\n\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
    assert block is not None, caption
    return block[1]


class GatewayProcess:
    """`python -m reference_app` with the configuration of the page, serving until `stop`."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], keys: Mapping[str, str], more: str
    ) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir()
        (folder / "config.yaml").write_text(of_the_page("config.yaml") + more, "utf-8")
        self._errors = folder / "stderr.txt"
        self.keys = keys
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reference_app", "--port", "0", "--config", "config.yaml"],
                cwd=folder,
                env={**environment, **keys},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        self.url = self.process.stdout.readline().strip()
        watchdog.cancel()
        watchdog.join()
        if not self.url:
            self.stop()
            raise AssertionError(self.errors)

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.url.rpartition(":")[2])

    @property
    def errors(self) -> str:
        """What it and its children wrote to stderr so far."""
        return self._errors.read_text("utf-8", errors="replace")

    def child(self, program: str) -> Process:
        """The one child that runs a program."""
        (found,) = [one for one in descendants(self.process.pid) if program in one.command]
        return found

    def wait_for_error(self, text: str, behind: int) -> None:
        """Returns once a text stands on stderr, behind so many characters."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.errors[behind:]:
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.02)

    @asynccontextmanager
    async def client(self, mode: str, key: str = "TEAM_KEY", **headers: str) -> AsyncIterator[Client]:
        """The official client, over streamable HTTP."""
        sent = {"x-litellm-api-key": self.keys[key], **headers}
        async with (
            httpx2.AsyncClient(headers=sent, timeout=PATIENCE) as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    def tools(self, mode: str, key: str = "TEAM_KEY", **headers: str) -> list[str]:
        """The names of the tools that a client is offered."""

        async def ask() -> list[str]:
            async with self.client(mode, key, **headers) as client:
                return [tool.name for tool in (await client.list_tools()).tools]

        return asyncio.run(ask())

    def call(
        self, mode: str, tool: str, arguments: dict[str, Any], key: str = "TEAM_KEY", **headers: str
    ) -> CallToolResult:
        """What a client is answered that calls a tool.

        Raises:
            MCPError: It is answered an error of the protocol.
        """

        async def ask() -> CallToolResult:
            async with self.client(mode, key, **headers) as client:
                failure: Exception
                try:
                    return await client.call_tool(tool, arguments)
                except Exception as error:
                    failure = error
            raise failure  # out here: in there the client's task group would wrap it

        return asyncio.run(ask())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit status; kills it where it does not end."""
        assert self.process.stdout is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def environment(**more: str) -> dict[str, str]:
    """The environment of a gateway that finds the reference app, and no setting of the developer's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINI_AGENT_")}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return {**kept, "PYTHONPATH": path, "NO_COLOR": "1", "NO_PROXY": "127.0.0.1", **more}

"""The gateway of the reference app, as a process of its own, with the profile as its one upstream."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from conformance.processes import started
from conformance.relay import relay
from conformance.suite import Broken

KEY: Final = "MCPSMOKE_CONFORMANCE_KEY"
PATH: Final = "/mcp"
_READY_SECONDS: Final = 60.0
_ROOT: Final = Path(__file__).parent.parent  # where `python -m reference_app` finds it


def config(upstream: str) -> dict[str, Any]:
    """The gateway's config: one upstream, whose names stay as they are, and one key that may use it."""
    server = {"transport": "http", "url": upstream, "prefix": ""}
    return {
        "server": {"port": 0, "log_level": "warning"},
        "gateway": {"keys": {"conformance": {"key_env": KEY, "servers": ["*"]}}},
        "mcp_servers": {"profile": server},
    }


@contextmanager
def through_gateway(upstream: str) -> Iterator[str]:
    """Start a gateway before an upstream for as long as the block lasts; give the URL to ask it at.

    Raises Broken when it does not start; the text is what it said.
    """
    key = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="mcpsmoke-gateway-") as folder, tempfile.TemporaryFile() as said:
        file = Path(folder, "config.yaml")
        file.write_text(yaml.safe_dump(config(upstream)), "utf-8")
        command = [sys.executable, "-m", "reference_app", "--config", str(file)]
        found = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, KEY: key, "PYTHONPATH": found}
        with started(command, stdout=subprocess.PIPE, stderr=said, env=env) as process:
            url = urlsplit(_announced(process))
            if not url.port:
                said.seek(0)
                raise Broken(f"the gateway does not start:\n{said.read().decode('utf-8', 'replace')[-2000:]}")
            with relay(str(url.hostname), url.port, ("Authorization", f"Bearer {key}")) as base:
                yield base + PATH


def _announced(process: subprocess.Popen[bytes]) -> str:
    """The first line that the gateway prints: its URL; "" when it ends, or is ended, before."""
    assert process.stdout is not None
    alarm = Timer(_READY_SECONDS, process.kill)
    alarm.start()
    try:
        return process.stdout.readline().decode().strip()
    finally:
        alarm.cancel()
        alarm.join()
        process.stdout.close()  # it prints no more than this line

"""A throwaway program: packages in a temporary folder, gone from sys.modules when the test is over."""

from __future__ import annotations

import importlib
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

Write = Callable[[dict[str, str]], None]

GATEWAY = {
    "gw/__init__.py": "",
    "gw/net.py": """
        import json

        class Client:
            timeout = 5

            @staticmethod
            def connect():
                return "connected"

            @classmethod
            def make(cls):
                return cls()

        class Quick(Client):
            pass

        def send(text):
            return f"sent {text}"

        MODE = "live"
        LIMITS = {"calls": 1}
    """,
    "gw/proxy.py": """
        from gw.net import MODE, Client, send
        from gw.net import send as deliver

        class Proxy:
            client_class = Client

        def run():
            return send("x")
    """,
    "gw/other.py": "from .net import Client, send\nMODE_HERE = 'live'\n",
    "gw/apart.py": "MODE = 'live'\nNONE = None\n",
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules that can be imported until the test is over; {"package/module.py": source}."""
    before = sys.modules.copy()
    monkeypatch.syspath_prepend(tmp_path)

    def _write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        importlib.invalidate_caches()

    yield _write
    for name, module in sys.modules.copy().items():
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            if name in before:
                sys.modules[name] = before[name]
            else:
                del sys.modules[name]
    linecache.checkcache()


@pytest.fixture
def gateway(write: Write) -> None:
    """The packages of GATEWAY, loaded."""
    write(GATEWAY)
    for name in ("gw.net", "gw.proxy", "gw.other", "gw.apart"):
        importlib.import_module(name)

"""Installing the suite, by npm, as package.json here pins it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from conformance.processes import output_of
from pytest_mcpsmoke.errors import UsageProblem

PINNED: Final = Path(__file__).with_name("package.json")
SUITE: Final = "@modelcontextprotocol/conformance"
_SECONDS: Final = 600.0
_CERTIFICATES: Final = "NODE_EXTRA_CA_CERTS"
_SYSTEM: Final = "/etc/ssl/certs/ca-certificates.crt"  # Debian's


def pinned() -> str:
    """The suite's version that is installed."""
    told: Any = json.loads(PINNED.read_text("utf-8"))
    return str(told["dependencies"][SUITE])


def install(folder: Path) -> None:
    """Install the suite, and a Node that it runs on, into a folder; nothing is done where it is there.

    Raises UsageProblem when npm is not there, or does not do it.
    """
    if _installed(folder) == pinned():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise UsageProblem("npm is not installed: apt-get install npm (Debian's package of that name)")
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != PINNED.parent:
        shutil.copy(PINNED, folder)
    command = [npm, "install", "--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund"]
    status, printed = output_of(command, at_most=_SECONDS, env=_environment())
    if status != 0:
        why = f"still ran after {_SECONDS:g} s" if status is None else f"ended with status {status}"
        raise UsageProblem(f"npm {why}: {' '.join(printed[-1000:].split())}")


def _environment() -> dict[str, str]:
    """Node has certificates of its own; behind a proxy that has others npm would try again, in silence."""
    trusted = {_CERTIFICATES: _SYSTEM} if os.access(_SYSTEM, os.R_OK) else {}
    return {**trusted, **os.environ}


def _installed(folder: Path) -> str | None:
    try:
        told: Any = json.loads((folder / "node_modules" / SUITE / "package.json").read_text("utf-8"))
    except OSError:
        return None
    return str(told["version"])

"""Where configurations usually stand, and whose a file is."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pytest_mcpsmoke.readiness.configurations.clients import (
    CLAUDE_CODE,
    CLAUDE_DESKTOP,
    CODEX,
    CURSOR,
    OPEN_WEBUI,
    VSCODE,
    Client,
)
from pytest_mcpsmoke.readiness.configurations.open_webui import NAMES

_BY_NAME: Final = {
    "claude_desktop_config.json": CLAUDE_DESKTOP,
    ".mcp.json": CLAUDE_CODE,
    ".claude.json": CLAUDE_CODE,
    "settings.json": VSCODE,
}
_BY_FOLDER: Final = {".cursor": CURSOR, ".vscode": VSCODE, "User": VSCODE, ".codex": CODEX}


def usual_places(
    home: Path, project: Path, environ: Mapping[str, str], platform: str = sys.platform
) -> list[Path]:
    """List where the clients look, in a user's home and in a project; whether or not there is anything."""
    settings = {
        "darwin": home / "Library" / "Application Support",
        "win32": Path(environ.get("APPDATA") or home / "AppData" / "Roaming"),
    }.get(platform, Path(environ.get("XDG_CONFIG_HOME") or home / ".config"))
    return [
        Path(environ.get("CODEX_HOME") or home / ".codex") / "config.toml",
        home / ".claude.json",
        settings / "Claude" / "claude_desktop_config.json",
        home / ".cursor" / "mcp.json",
        settings / "Code" / "User" / "mcp.json",
        settings / "Code" / "User" / "settings.json",
        project / ".codex" / "config.toml",
        project / ".mcp.json",
        project / "mcp_servers.json",
        project / ".cursor" / "mcp.json",
        project / ".vscode" / "mcp.json",
        project / ".vscode" / "settings.json",
        project / ".env",
    ]


def is_of_interest(path: Path) -> bool:
    """Whether a file of the usual places says something about servers: an `.env` may be anybody's."""
    if not path.is_file():
        return False
    return path.name != ".env" or any(
        re.search(rf"^\s*(export\s+)?{name}\s*=", path.read_text("utf-8", "replace"), re.MULTILINE)
        for name in NAMES
        if "KEY" not in name
    )


def client_of(path: Path, text: str) -> Client | None:
    """Tell by its name and content whose configuration a file is; None when neither tells."""
    if path.suffix == ".toml":
        return CODEX
    if path.suffix == ".env" or path.name.startswith(".env"):
        return OPEN_WEBUI
    if path.name in _BY_NAME:
        return _BY_NAME[path.name]
    if path.parent.name in _BY_FOLDER:
        return _BY_FOLDER[path.parent.name]
    if re.search(r'"mcpServers"\s*:', text):
        return CLAUDE_CODE
    if re.search(r'"servers"\s*:', text):
        return VSCODE
    return None


def project_of(path: Path, home: Path, here: Path) -> Path:
    """The folder of the project that a configuration is about: where it stands, unless that is the home."""
    folder = path.parent.parent if path.parent.name in (".cursor", ".vscode", ".codex") else path.parent
    is_project = path.parent.name in (".cursor", ".vscode", ".codex") or path.name == ".mcp.json"
    return folder if is_project and folder != home else here

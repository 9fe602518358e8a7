"""What a run was made of: the commit and the versions."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

# Beside pytest and its plugins.
_MATTER: Final = (
    *("anyio", "fastapi", "h11", "httpcore", "httpcore2", "httpx", "httpx2", "litellm", "mcp", "openai"),
    *("pluggy", "pydantic", "pytest", "pytest-mcpsmoke", "requests", "sse-starlette", "starlette", "uvicorn"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python, pytest, its plugins, and what agents and gateways are made of."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        is_plugin = any(entry.group == "pytest11" for entry in distribution.entry_points)
        if name and (is_plugin or name.lower() in _MATTER):
            found.setdefault(name, distribution.version)  # the first on the path is the one that is imported
    ordered = dict(sorted(found.items(), key=lambda item: item[0].lower()))
    return {"python": f"{platform.python_implementation()} {platform.python_version()}", **ordered}


def commit(root: Path) -> dict[str, Any] | None:
    """Return the commit that is checked out, and whether the tree differs from it; None without git."""
    found = _git(root, "rev-parse", "HEAD")
    if found is None:
        return None
    return {"id": found.strip(), "dirty": bool(_git(root, "status", "--porcelain"))}


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, encoding="utf-8", errors="replace", timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None

"""tests/upstreams/install: what it refuses, and that it does nothing twice."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke

INSTALL = Path(__file__).parent / "install"


def install(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Runs the script; returns its exit status, stdout and stderr."""
    done = subprocess.run(
        ["bash", str(INSTALL), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [[], [""], ["a", "b"]])
def test_it_wants_one_folder(arguments: list[str]) -> None:
    usage = "tests/upstreams/install: usage: tests/upstreams/install FOLDER\n"
    assert install(*arguments) == (1, "", usage)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = f"tests/upstreams/install: {tmp_path}/file/x: cannot be made; name another folder\n"
    assert install(f"{tmp_path}/file/x") == (1, "", told)


def test_what_cannot_be_installed_is_told_in_one_line(programs: Path, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm warn old lockfile'\necho 'npm error code E404' >&2\nexit 1\n")
    npm.chmod(0o755)
    status, out, err = install(f"{tmp_path}/to", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (status, out) == (1, "PostgreSQL: there already\n")
    assert err == (
        "tests/upstreams/install: @modelcontextprotocol/server-filesystem: could not be installed "
        f"(npm error code E404); see {tmp_path}/to/install.log\n"
    )


@pytest.mark.skipif(
    "MCPSMOKE_UPSTREAMS" not in os.environ, reason="nothing is installed: no MCPSMOKE_UPSTREAMS"
)
def test_what_is_there_stays() -> None:
    there = ("PostgreSQL", "@modelcontextprotocol/server-filesystem", "postgres-mcp")
    assert install(os.environ["MCPSMOKE_UPSTREAMS"]) == (
        0,
        "".join(f"{what}: there already\n" for what in there),
        "",
    )

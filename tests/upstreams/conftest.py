"""A real PostgreSQL, and the gateway with two real MCP servers behind it; what is missing is told."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_process import GatewayProcess, environment
from postgres_cluster import Cluster
from process_tree import Started

SERVERS = ("postgres-mcp", "mcp-server-filesystem")
REMEDY = "run tests/upstreams/install FOLDER, and set MCPSMOKE_UPSTREAMS=FOLDER"
SCHEMA = """
    CREATE TABLE todo (id integer PRIMARY KEY, task text NOT NULL, done boolean NOT NULL);
    INSERT INTO todo VALUES
        (1, 'water the plants', true), (2, 'größere Töpfe', false), (3, 'it''s May', false);
    CREATE SCHEMA garden;
"""


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of PostgreSQL's programs; skips where it, or one of the servers, is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    missing = [name for name in SERVERS if shutil.which(name, path=search_path()) is None]
    missing += [] if folders else ["PostgreSQL"]
    missing += [] if sys.platform == "linux" else ["Linux"]
    if missing and "MCPSMOKE_NO_SKIP" in os.environ:
        pytest.fail(f"not installed: {', '.join(missing)}; {REMEDY}", pytrace=False)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: {REMEDY}")
    return folders[-1].parent


def _version(initdb: Path) -> int:
    version = initdb.parents[1].name
    return int(version) if version.isdecimal() else 0


def search_path() -> str:
    """PATH, and before it the commands that `install` has put into its folder."""
    installed = os.environ.get("MCPSMOKE_UPSTREAMS")
    path = os.environ.get("PATH", os.defpath)
    return os.pathsep.join([str(Path(installed).resolve() / "bin"), path]) if installed else path


@pytest.fixture(scope="session")
def started(programs: Path) -> Iterator[Started]:
    """What the tests start; it is an error when something of it is left after the last of them."""
    started = Started()
    yield started
    assert started.left() == []


@pytest.fixture(scope="session")
def cluster(programs: Path, started: Started) -> Iterator[Cluster]:
    """PostgreSQL with a small table; no test changes it."""
    with tempfile.TemporaryDirectory(prefix="mcpsmoke-") as folder:
        cluster = Cluster(programs, Path(folder))
        try:
            cluster.start()
            cluster.sql(SCHEMA)
            started.look(cluster.port)
            yield cluster
            started.look()
        finally:
            cluster.stop()


Start = Callable[..., GatewayProcess]


@pytest.fixture(scope="session")
def start(cluster: Cluster, started: Started) -> Iterator[Start]:
    """Starts a gateway: `start(folder of its own, "more: of the configuration")`; ends it if need be."""
    keys = {name: secrets.token_hex(16) for name in ("TEAM_KEY", "EDITOR_KEY")}

    def begin(folder: Path, more: str = "") -> GatewayProcess:
        settings = environment(PATH=search_path(), DATABASE_URI=cluster.uri)
        gateway = GatewayProcess(folder, settings, keys, more)
        ends.callback(gateway.stop)
        started.look(gateway.port)
        return gateway

    with ExitStack() as ends:
        yield begin
        started.look()


@pytest.fixture(scope="session")
def gateway(start: Start, tmp_path_factory: pytest.TempPathFactory) -> GatewayProcess:
    """One gateway for all tests that leave it as it was."""
    return start(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(params=["legacy", "2026-07-28"])
def mode(request: pytest.FixtureRequest) -> str:
    """The protocol that the client speaks: with the handshake, or without."""
    return str(request.param)

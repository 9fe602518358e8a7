"""How it ends: a child that is killed, a gateway that is told to stop, and who is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_process import PATIENCE, GatewayProcess
from mcp import MCPError
from postgres_cluster import Cluster
from process_tree import Process, descendants, is_open, running

pytestmark = pytest.mark.smoke

CHILDREN = ("postgres-mcp", "mcp-server-filesystem")
COUNT: tuple[str, dict[str, Any]] = ("postgres-execute_sql", {"sql": "SELECT count(*) AS rows FROM todo"})
ALLOWED: tuple[str, dict[str, Any]] = ("files-list_allowed_directories", {})


def works(gateway: GatewayProcess, mode: str) -> None:
    """Both servers answer, with what they have to say."""
    assert "{'rows': 3}" in str(gateway.call(mode, *COUNT).content)
    assert str(gateway.shared) in str(gateway.call(mode, *ALLOWED).content)


@contextmanager
def locked(cluster: Cluster) -> Iterator[None]:
    """Nobody can read the table meanwhile: who asks for it waits."""
    psql = subprocess.Popen(
        cluster.psql(), env=cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert psql.stdin is not None
    assert psql.stdout is not None
    try:
        psql.stdin.write("BEGIN; LOCK TABLE todo; SELECT 'locked';\n")
        psql.stdin.flush()
        assert psql.stdout.readline() == "locked\n"
        yield
    finally:
        psql.communicate(timeout=PATIENCE)  # the end of its input ends its transaction


def wait_for_waiting(cluster: Cluster) -> None:
    """Returns once a query waits for the lock."""
    deadline = time.monotonic() + PATIENCE
    while cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == ["0"]:
        assert time.monotonic() < deadline, "no query waits"
        time.sleep(0.02)


def are_gone(processes: list[Process]) -> bool:
    """Whether none of them, nor anybody of their groups, is left."""
    pids, groups = {one.pid for one in processes}, {one.group for one in processes}
    return not any(one.pid in pids or one.group in groups for one in running())


@pytest.mark.parametrize("program", CHILDREN)
def test_an_idle_child_that_is_killed_is_told_of_and_the_next_call_works(
    gateway: GatewayProcess, mode: str, program: str
) -> None:
    works(gateway, mode)
    before = {name: gateway.child(name).pid for name in CHILDREN}
    told = len(gateway.errors)
    os.kill(before[program], signal.SIGKILL)
    gateway.wait_for_error("has ended; the next call starts another", told)
    works(gateway, mode)
    after = {name: gateway.child(name).pid for name in CHILDREN}
    assert {name for name in CHILDREN if after[name] != before[name]} == {program}


def test_a_call_whose_child_is_killed_is_told_so_and_the_next_one_works(
    gateway: GatewayProcess, cluster: Cluster, mode: str
) -> None:
    works(gateway, mode)
    with locked(cluster), ThreadPoolExecutor() as pool:
        call = pool.submit(gateway.call, mode, *COUNT)
        wait_for_waiting(cluster)
        assert not call.done()
        assert str(gateway.shared) in str(gateway.call(mode, *ALLOWED).content)
        os.kill(gateway.child("postgres-mcp").pid, signal.SIGKILL)
        with pytest.raises(MCPError, match=r"^postgres ended before it answered$"):
            call.result(PATIENCE)
    works(gateway, mode)


@pytest.fixture
def own_gateway(start: Any, tmp_path: Path) -> GatewayProcess:
    """A gateway to be stopped, that waits for no call longer than a second."""
    gateway: GatewayProcess = start(tmp_path, "server: {shutdown_seconds: 1}\n")
    return gateway


def stop(gateway: GatewayProcess, number: int) -> None:
    """Sends a signal; the gateway ends as it should, and nobody and nothing of it is left."""
    family = descendants(gateway.process.pid)
    assert all(any(program in one.command for one in family) for program in CHILDREN)
    assert is_open(gateway.port)
    assert gateway.stop(number) == 0
    assert are_gone(family)
    assert not is_open(gateway.port)
    assert "Traceback" not in gateway.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_gateway_and_its_children(own_gateway: GatewayProcess, number: int) -> None:
    works(own_gateway, "legacy")
    stop(own_gateway, number)


def test_a_call_that_goes_on_for_ever_keeps_nobody_alive(
    own_gateway: GatewayProcess, cluster: Cluster, mode: str
) -> None:
    works(own_gateway, mode)
    with locked(cluster), ThreadPoolExecutor() as pool:
        call = pool.submit(own_gateway.call, mode, *COUNT)
        wait_for_waiting(cluster)
        stop(own_gateway, signal.SIGTERM)
        assert call.exception(PATIENCE) is not None

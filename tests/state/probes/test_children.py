"""Child processes left running or never waited for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from boundary import Boundary

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes import children
from pytest_mcpsmoke.state.probes.children import Children
from pytest_mcpsmoke.state.probes.descriptors import Descriptors

pytestmark = pytest.mark.skipif(
    not os.path.exists(children.own_list()), reason="needs /proc/*/task/*/children"
)


@pytest.fixture
def run() -> Iterator[Boundary]:
    with Boundary(Children()) as boundary:
        yield boundary


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Ended and reaped at the end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_child_that_still_runs_is_named_and_ended(
    run: Boundary, processes: list[subprocess.Popen[bytes]]
) -> None:
    process = subprocess.Popen(["sleep", "60"])
    processes.append(process)
    assert run.leaks() == [(f"child process {process.pid} (sleep)", None, "running")]
    assert run.line(__file__) == 'process = subprocess.Popen(["sleep", "60"])'
    run.restore()
    assert not os.path.exists(f"/proc/{process.pid}")
    assert run.leaks() == []


def test_arguments_are_not_shown(run: Boundary, processes: list[subprocess.Popen[bytes]]) -> None:
    processes.append(
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "--token=hunter2"])
    )
    ((place, _, _),) = run.leaks()
    assert "hunter2" not in place


def test_a_program_that_gets_its_name_late(
    run: Boundary, processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a child may pause after Popen has returned, and before the kernel has renamed it."""
    text, sleep, slept = children._text, children._sleep, list[float]()

    def late(path: str) -> str | None:
        return text("/proc/self/comm" if path.endswith("/comm") and len(slept) < 100 else path)

    monkeypatch.setattr(children, "_text", late)
    monkeypatch.setattr(children, "_sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    process = subprocess.Popen(["sleep", "60"])
    processes.append(process)
    assert run.leaks() == [(f"child process {process.pid} (sleep)", None, "running")]


def test_a_fork_keeps_our_name_and_is_not_waited_for_long(
    run: Boundary, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(children, "_sleep", slept.append)
    subprocess.run(["true"], check=True)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writer)
        os.read(reader, 1)  # until our end is closed
        os._exit(0)
    try:
        ((place, _, _),) = run.leaks()
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)
    assert place.startswith(f"child process {pid} (")
    assert len(slept) == 5


def test_one_that_does_not_listen_is_killed(run: Boundary, processes: list[subprocess.Popen[bytes]]) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    processes.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    run.drain()
    run.restore()
    assert not os.path.exists(f"/proc/{process.pid}")


def test_a_child_that_was_never_waited_for(run: Boundary) -> None:
    pid = os.posix_spawnp("true", ["true"], {"PATH": os.environ["PATH"]})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert run.leaks() == [(f"child process {pid} (true)", None, "zombie")]
    assert run.line(__file__).startswith("pid = os.posix_spawnp")
    run.restore()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_child_of_another_thread(run: Boundary, processes: list[subprocess.Popen[bytes]]) -> None:
    started, done = threading.Event(), threading.Event()

    def start() -> None:
        processes.append(subprocess.Popen(["sleep", "60"]))
        started.set()
        done.wait()

    thread = threading.Thread(target=start)
    thread.start()
    started.wait()
    assert [after for _, _, after in run.leaks()] == ["running"]
    assert run.drain() == []
    done.set()
    thread.join()
    assert run.drain() == []


def test_ending_later_is_the_same_leak(run: Boundary, processes: list[subprocess.Popen[bytes]]) -> None:
    process = subprocess.Popen(["sleep", "60"])
    processes.append(process)
    run.drain()
    process.terminate()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert run.drain() == []
    process.wait()
    assert run.drain() == [(f"child process {process.pid} (sleep)", "running", None)]
    with pytest.raises(CannotRestore):
        run.restore()


def test_one_that_somebody_else_reaped_is_as_good_as_restored(
    run: Boundary, processes: list[subprocess.Popen[bytes]]
) -> None:
    processes.append(subprocess.Popen(["sleep", "60"]))
    run.drain()
    end(processes[0].pid)
    run.restore()


def test_mere_use_is_nothing(run: Boundary) -> None:
    subprocess.run(["true"], check=True)
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert run.drain() == []


def test_helpers_of_multiprocessing_do_not_count(run: Boundary) -> None:
    lock = multiprocessing.get_context("spawn").Lock()
    with lock, Boundary(Descriptors(lambda path: False)) as others:
        assert run.drain() == []
        assert others.drain() == []


def test_two_children_are_two(run: Boundary, processes: list[subprocess.Popen[bytes]]) -> None:
    processes.append(subprocess.Popen(["sleep", "60"]))
    assert len(run.leaks()) == 1
    processes.append(subprocess.Popen(["sleep", "60"]))
    assert [place for place, _, _ in run.leaks()] == [f"child process {processes[1].pid} (sleep)"]


def test_it_survives_a_test_that_closes_its_descriptor(
    run: Boundary, processes: list[subprocess.Popen[bytes]]
) -> None:
    probe: Any = run.probe
    processes.append(subprocess.Popen(["sleep", "60"]))
    run.drain()
    os.close(probe._list)
    processes.append(subprocess.Popen(["sleep", "60"]))
    assert len(run.leaks()) == 1


def test_stopping_closes_its_descriptor(processes: list[subprocess.Popen[bytes]]) -> None:
    before = os.listdir("/proc/self/fd")
    with Boundary(Children()) as run:
        processes.append(subprocess.Popen(["sleep", "60"]))
        run.drain()
        with Boundary(Descriptors(lambda path: False)) as others:
            assert not any("children" in target for target in others.probe.read().values())
    assert os.listdir("/proc/self/fd") == before


def test_patched_functions_are_not_used(
    run: Boundary, processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.append(subprocess.Popen(["sleep", "60"]))
    with monkeypatch.context() as patch:
        for name in ("waitid", "listdir", "open", "read", "kill", "readlink"):
            patch.setattr(os, name, lambda *args: 1 / 0)
        patch.setattr(time, "sleep", lambda seconds: 1 / 0)
        assert len(run.leaks()) == 1
        run.restore()


def test_a_failure_is_told(
    run: Boundary, processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.append(subprocess.Popen(["sleep", "60"]))
    monkeypatch.setattr(children, "_pids", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.drain()

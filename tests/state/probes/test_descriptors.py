"""Descriptors left open."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boundary import Boundary

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes import descriptors
from pytest_mcpsmoke.state.probes.descriptors import Descriptors

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture(params=["count", "lowest"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boundary]:
    """With a kernel that tells the count, and with one that does not."""
    if request.param == "lowest":
        real = os.fstat
        monkeypatch.setattr(descriptors, "_fstat", lambda number: without_size(real(number)))
    with Boundary(Descriptors(lambda path: path.endswith("report.jsonl"))) as boundary:
        yield boundary


def without_size(status: os.stat_result) -> os.stat_result:
    return os.stat_result([*status[:6], 0, *status[7:10]])


def is_open(descriptor: int) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def test_a_bare_descriptor_of_a_file(run: Boundary, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    run.drain()
    number = os.open(tmp_path / "x", os.O_RDONLY)
    assert run.leaks() == [(f"file descriptor {number} ({tmp_path}/x)", None, f"{tmp_path}/x")]
    assert run.line(__file__) == 'number = os.open(tmp_path / "x", os.O_RDONLY)'
    run.restore()
    assert not is_open(number)
    assert run.leaks() == []


def test_a_file_object_is_closed_so_that_it_knows(run: Boundary, tmp_path: Path) -> None:
    file = open(tmp_path / "x", "w")  # noqa: SIM115
    file.write("kept")
    assert [place for place, _, _ in run.leaks()] == [f"file descriptor {file.fileno()} ({tmp_path}/x)"]
    assert run.line(__file__) == 'file = open(tmp_path / "x", "w")  # noqa: SIM115'
    run.restore()
    assert file.closed
    assert (tmp_path / "x").read_text() == "kept"


def test_a_socket_is_detached_so_that_it_knows(run: Boundary) -> None:
    left = socket.socket()
    number = left.fileno()
    target = os.readlink(f"/proc/self/fd/{number}")
    assert run.leaks() == [(f"file descriptor {number} (socket)", None, target)]
    assert run.line(__file__) == "left = socket.socket()"
    run.restore()
    assert (left.fileno(), is_open(number)) == (-1, False)


def test_one_that_was_reserved_by_a_thread_that_waits(run: Boundary) -> None:
    """While accept() waits, its number counts and is not listed; then it is listed, and the count stays."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        waiting = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
        before = os.stat("/proc/self/fd").st_size
        waiting.start()
        deadline = time.monotonic() + 1  # a kernel that counts nothing reserves nothing we could see
        while os.stat("/proc/self/fd").st_size == before and time.monotonic() < deadline:
            time.sleep(0.001)
        run.drain()
        socket.create_connection(server.getsockname()).close()
        waiting.join()
        with accepted[0] as left:
            target = os.readlink(f"/proc/self/fd/{left.fileno()}")
            assert run.leaks() == [(f"file descriptor {left.fileno()} (socket)", None, target)]


def test_one_end_of_a_pipe_above_the_lowest_free_number(run: Boundary) -> None:
    ends = os.pipe()
    os.close(ends[0])
    if os.stat("/proc/self/fd").st_size == 0 or descriptors._fstat is not os.fstat:
        run.probe._is_fresh = True  # type: ignore[attr-defined]  # blind without the count
    assert [place for place, _, _ in run.leaks()] == [f"file descriptor {ends[1]} (pipe)"]
    run.restore()
    assert not is_open(ends[1])


def test_duplicates_and_event_descriptors(run: Boundary) -> None:
    numbers = [os.dup(1), os.eventfd(0), os.memfd_create("x"), os.pidfd_open(os.getpid())]
    kinds = [place.partition("(")[2] for place, _, _ in run.leaks()]
    assert kinds[1:3] == ["eventfd)", "memfd)"]
    assert kinds[3].startswith("pidfd")
    run.restore()
    assert not any(map(is_open, numbers))


def test_what_only_a_c_object_holds_is_not_closed(run: Boundary, tmp_path: Path) -> None:
    with select.epoll(), select.epoll() as left:
        assert len(run.drain()) == 2
        assert {after for *_, after, _ in [write[:5] for write in run.writes]} == {"anon_inode:[eventpoll]"}
        with pytest.raises(CannotRestore):
            run.restore()
        assert is_open(left.fileno())
    run.drain()
    connection = sqlite3.connect(tmp_path / "db")
    try:
        connection.execute("create table t (x)")
        assert [after for _, _, after in run.leaks()] == [f"{tmp_path}/db"]
        with pytest.raises(CannotRestore):
            run.restore()
    finally:
        connection.close()


def test_the_descriptors_of_a_living_event_loop(run: Boundary) -> None:
    loop = asyncio.new_event_loop()
    try:
        kinds = [place.partition("(")[2] for place, _, _ in run.leaks()]
        assert sorted(kinds) == ["epoll)", "socket)", "socket)"]
        for probe, key, before, after, *_ in run.writes:
            with pytest.raises(CannotRestore):
                probe.restore(key, before, after)
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    assert run.leaks() == []


def test_undone_and_mere_use_are_nothing(run: Boundary, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    os.close(os.open(tmp_path / "x", os.O_RDONLY))
    asyncio.run(asyncio.sleep(0))
    with socket.socket():
        pass
    assert run.drain() == []


def test_another_file_under_the_same_number(run: Boundary, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    number = os.open(tmp_path / "a", os.O_RDONLY)
    run.drain()
    os.close(number)
    assert os.open(tmp_path / "b", os.O_RDONLY) == number
    assert run.leaks() == [(f"file descriptor {number} ({tmp_path}/b)", None, f"{tmp_path}/b")]
    os.close(number)


def test_only_what_it_still_refers_to_is_closed(run: Boundary, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    number = os.open(tmp_path / "a", os.O_RDONLY)
    run.drain()
    os.close(number)
    run.restore()
    os.open(tmp_path / "b", os.O_RDONLY)
    with pytest.raises(CannotRestore, match="something else by now"):
        run.restore()
    os.close(number)


def test_the_report_and_our_own_reading_do_not_count(run: Boundary, tmp_path: Path) -> None:
    with open(tmp_path / "report.jsonl", "w"):
        assert run.drain() == []


def test_a_runner_may_turn_the_standard_streams_to_and_fro(run: Boundary) -> None:
    number, other = os.pipe()
    saved = os.dup(1)
    try:
        run.drain()
        os.dup2(other, 1)
        run.probe._is_fresh = True  # type: ignore[attr-defined]
        assert run.drain() == []
        os.dup2(saved, 1)
        run.probe._is_fresh = True  # type: ignore[attr-defined]
        assert run.drain() == []
    finally:
        os.dup2(saved, 1)
        for left in (number, other, saved):
            os.close(left)


def test_a_standard_stream_that_goes_elsewhere(run: Boundary) -> None:
    saved = os.dup(0)
    before = os.readlink("/proc/self/fd/0")
    run.drain()
    number, other = os.pipe()
    os.dup2(number, 0)
    os.close(number)
    os.close(other)
    try:
        run.probe._is_fresh = True  # type: ignore[attr-defined]
        ((place, was, now),) = run.leaks()
        assert (place, was) == ("file descriptor 0 (standard input)", before)
        assert now.startswith("pipe:")
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_it_survives_a_test_that_closes_its_descriptor(run: Boundary) -> None:
    probe: Any = run.probe
    os.close(probe._own)
    number = os.dup(1)
    assert [place.split()[2] for place, _, _ in run.leaks()] == [str(number)]
    os.close(number)


def test_stopping_closes_its_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    with Boundary(Descriptors(lambda path: False)) as run:
        pass
    run.probe.stop()
    assert os.listdir("/proc/self/fd") == before


def test_a_failure_is_told() -> None:
    def fail(path: str) -> bool:
        raise ValueError("told")

    run = Boundary(Descriptors(fail))
    with run, pytest.raises(ValueError, match="told"):
        run.drain()

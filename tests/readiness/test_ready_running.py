"""One child process: how it ends, and that nothing of it is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_mcpsmoke.readiness.gate import running
from pytest_mcpsmoke.readiness.gate.running import Ended, Outputs, run_child

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")


def run(
    folder: Path, code: str, timeout: float = 60.0, tick: Callable[[float], None] = lambda seconds: None
) -> Ended:
    """Run a piece of Python; its output is in folder/log."""
    argv = [sys.executable, "-S", "-c", textwrap.dedent(code)]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return run_child(argv, folder, environ, timeout, Outputs(folder / "log", folder / "log"), tick)


def log(folder: Path) -> str:
    return (folder / "log").read_text("utf-8")


def when_said(folder: Path, words: str, do: Callable[[], None]) -> Callable[[float], None]:
    """Do something, once, at the first tick after the child has said some words."""
    waiting = [do]

    def tick(seconds: float) -> None:
        if waiting and words in log(folder):
            waiting.pop()()

    return tick


def test_the_exit_status_and_both_outputs(tmp_path: Path) -> None:
    ended = run(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ended.status, ended.by, ended.problem) == (3, "itself", None)
    assert log(tmp_path) == "out\nerr\n"


def test_a_child_reads_nothing_and_runs_in_the_folder(tmp_path: Path) -> None:
    run(tmp_path, "import os, sys; print(sys.stdin.read() == '', os.getcwd())")
    assert log(tmp_path) == f"True {os.path.realpath(tmp_path)}\n"


def test_a_signal_is_a_status_below_zero(tmp_path: Path) -> None:
    assert run(tmp_path, "import os; os.kill(os.getpid(), 9)").status == -9


@pytest.mark.parametrize("name", ["no-such-program", "."])
def test_what_cannot_be_run_says_why(tmp_path: Path, name: str) -> None:
    outputs = Outputs(tmp_path / "log", tmp_path / "log")
    ended = run_child([name], tmp_path, os.environ, 1.0, outputs, lambda seconds: None)
    assert ended.status is None
    assert ended.problem in (
        "no-such-program: cannot be run: No such file or directory",
        ".: cannot be run: Permission denied",
    )


DEAF = """
    import os, signal, socket, subprocess, sys, time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    pause = "import time; print('up', flush=True); time.sleep(600)"
    child = [sys.executable, "-S", "-c", pause]  # it inherits both ignored signals and the socket
    process = subprocess.Popen(child, pass_fds=[server.fileno()])
    print("port", port)
"""


def is_gone(port: int) -> bool:
    """Whether nobody holds the socket any more; a killed process takes a moment to go."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # it was accepted for one who was just then on his way out
        time.sleep(0.05)
    return False


def port_in(text: str) -> int:
    return int(text.partition("port ")[2].split()[0])


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GRACE", 0.1)


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GRACE", 60.0)


@pytest.mark.usefixtures("_impatient")
def test_a_hang_is_ended_with_the_grandchild_however_deaf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(running, "time", clock)
    an_hour_later = when_said(tmp_path, "up", lambda: passed.append(passed.pop() + 3600.0))
    ended = run(tmp_path, DEAF + "    time.sleep(600)\n", timeout=1800.0, tick=an_hour_later)
    assert (ended.status, ended.by) == (-9, "timeout")
    assert ended.seconds > 3600
    assert is_gone(port_in(log(tmp_path)))


def test_what_a_child_leaves_running_ends_with_it(tmp_path: Path) -> None:
    ended = run(tmp_path, DEAF + "    while b'up' not in open('log', 'rb').read(): time.sleep(0.01)\n")
    assert (ended.status, ended.by) == (0, "itself")
    assert is_gone(port_in(log(tmp_path)))


@pytest.mark.usefixtures("_patient")
def test_who_is_interrupted_may_still_say_what_was_found(tmp_path: Path) -> None:
    code = """
        import time
        try:
            print("begun")
            time.sleep(600)
        except KeyboardInterrupt:
            print("found: 3")
        """

    def interrupt() -> None:
        raise KeyboardInterrupt

    ended = run(tmp_path, code, tick=when_said(tmp_path, "begun", interrupt))
    assert (ended.status, ended.by) == (0, "interrupt")
    assert log(tmp_path) == "begun\nfound: 3\n"


class Interrupted(subprocess.Popen[bytes]):
    """A process in whose first moment Ctrl-C is pressed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def _interrupted_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupted_at_once")
def test_who_is_interrupted_while_a_child_starts_ends_it(tmp_path: Path) -> None:
    ended = run(tmp_path, "import time; time.sleep(600)")
    assert (ended.status != 0, ended.by) == (True, "interrupt")


@pytest.mark.usefixtures("_patient")
def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    """The child holds out; the second Ctrl-C comes while it is waited for: it is the child that sends it."""
    code = f"""{DEAF}
    signal.signal(signal.SIGINT, lambda *_: os.kill(os.getppid(), signal.SIGALRM))
    print("holding out")
    time.sleep(600)
    """

    def interrupt() -> None:
        raise KeyboardInterrupt

    def again(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, again)
    try:
        ended = run(tmp_path, code, tick=when_said(tmp_path, "holding out", interrupt))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (ended.status, ended.by) == (-9, "interrupt")
    assert is_gone(port_in(log(tmp_path)))


def test_ticks_tell_the_time(tmp_path: Path) -> None:
    told: list[float] = []

    def tick(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 3:
            (tmp_path / "enough").touch()

    run(tmp_path, "import os, time\nwhile not os.path.exists('enough'): time.sleep(0.01)", tick=tick)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1]

"""A probe of a server as a child process: what it says, and that nothing of it stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from clocks import LONG, run
from endpoints import SDK_CHILD, SOON

from pytest_mcpsmoke.readiness.events import Event
from pytest_mcpsmoke.readiness.probing import probe_stdio
from pytest_mcpsmoke.readiness.verdict import Call, Called, Probed, Verdict


def probed(program: str, *args: str, late_after: str | None = None, **options: Any) -> Probed:
    """Probe a program; time is over as soon as an event with these words has come."""
    command, came = ["-c", program, *args], list[Event]()
    options = {"timeout_s": LONG, "on_event": came.append, **options}
    return run(
        lambda: probe_stdio(sys.executable, command, **options),
        lambda: late_after is not None and any(late_after in f"{each.what} {each.text}" for each in came),
    )


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # an orphan that has ended may wait for its new parent to notice
        return " Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or read
        return not Path("/proc").is_dir()


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


def test_the_sdks_server() -> None:
    found = probed(SDK_CHILD, call=Call("add", {"a": 1, "b": 2}))
    assert (found.transport, found.verdict, found.tools, found.remedy) == (
        "stdio",
        Verdict.CATALOG,
        ("add",),
        None,
    )
    assert found.call == Called("add", False, "3")
    assert found.detail == "a catalogue of 1 tool"
    assert {"stdin", "stdout"} <= {each.what for each in found.events}


def test_lines_that_are_no_json_rpc_are_told_though_all_is_well() -> None:
    found = probed("print('starting up', flush=True)\n" + SDK_CHILD)
    assert (found.verdict, found.detail) == (
        Verdict.CATALOG,
        "a catalogue of 1 tool; 1 line on standard output that are not JSON-RPC, first: starting up",
    )


def test_ends_at_once() -> None:
    found = probed("import sys; sys.exit('no DATABASE_URL')")
    assert (found.verdict, found.detail, found.remedy) == (
        Verdict.ERROR,
        "the process ended with exit status 1 before it answered initialize; standard error: no DATABASE_URL",
        "run the command by hand, with the same environment",
    )


def test_takes_a_while_to_end_after_its_last_word() -> None:
    found = probed("import os, sys, time; os.close(1); time.sleep(0.7); sys.exit(3)")
    assert (found.verdict, found.detail) == (
        Verdict.ERROR,
        "the process ended with exit status 3 before it answered initialize",
    )


def test_hangs() -> None:
    found = probed("import time; time.sleep(600)", timeout_s=SOON)
    assert (found.verdict, found.detail) == (Verdict.TIMEOUT, "no answer to initialize")


def test_writes_garbage() -> None:
    found = probed("import time; print('hello\\nyou', flush=True); time.sleep(600)", late_after="stdout you")
    assert (found.verdict, found.detail, found.remedy) == (
        Verdict.ERROR,
        "2 lines on standard output that are not JSON-RPC, first: hello",
        "write logs to standard error: standard output is for JSON-RPC alone",
    )


@pytest.mark.parametrize(
    ("command", "cwd", "detail"),
    [
        ("no-such-program-here", None, "it cannot be started: No such file or directory"),
        (sys.executable, "/no/such/folder", "it cannot be started: No such file or directory"),
        ("a\0b", None, "it cannot be started: embedded null byte"),
    ],
)
def test_cannot_be_started(command: str, cwd: str | None, detail: str) -> None:
    found = anyio.run(lambda: probe_stdio(command, cwd=cwd))
    assert (found.verdict, found.detail) == (Verdict.ERROR, detail)


def test_gets_its_environment_and_folder(tmp_path: Path) -> None:
    program = "import os, sys; sys.exit(os.environ['MODE'] + ' ' + os.getcwd())"
    found = probed(program, env={"MODE": "blue"}, cwd=tmp_path)
    assert found.detail.endswith(f"standard error: blue {os.path.realpath(tmp_path)}")


def test_secrets_of_its_environment_and_arguments_are_not_shown() -> None:
    program = "import os, sys; sys.exit(f'bad: {os.environ[\"API_TOKEN\"]} {sys.argv}')"
    found = probed(program, "--api-key", "argument-secret", env={"API_TOKEN": "environment-secret"})
    assert "environment-secret" not in repr(found)
    assert "argument-secret" not in repr(found)
    assert "bad: *** " in found.detail


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, file=sys.stderr, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="groups of processes are POSIX")
@pytest.mark.parametrize("then", ["time.sleep(600)", "sys.exit(3)"])
def test_no_child_of_the_child_stays_behind(then: str) -> None:
    """Neither of a server that hangs and does not obey, nor of one that ended by itself."""
    found = probed(STUBBORN + then, late_after="stderr" if "sleep" in then else None)
    pid = next(int(each.text) for each in found.events if each.what == "stderr")
    assert ends(pid)
    assert found.verdict is (Verdict.ERROR if "exit" in then else Verdict.TIMEOUT)


@pytest.mark.skipif(os.name != "posix", reason="groups of processes are POSIX")
def test_an_interruption_ends_it_too() -> None:
    pids: list[int] = []

    async def interrupt() -> None:
        async with anyio.create_task_group() as group:

            def on_event(event: Any) -> None:
                if event.what == "stderr":
                    pids.append(int(event.text))
                    group.cancel_scope.cancel()

            await probe_stdio(sys.executable, ["-c", STUBBORN + "time.sleep(600)"], on_event=on_event)

    anyio.run(interrupt)
    assert ends(pids[0])


def test_an_interruption_while_it_starts_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            started.append(self)
            super().__init__(*args, **options)

    async def interrupt() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(probe_stdio, sys.executable, ["-c", "import time; time.sleep(600)"])
            while not started:
                await anyio.sleep(0)
            group.cancel_scope.cancel()

    monkeypatch.setattr(subprocess, "Popen", Noted)
    anyio.run(interrupt)
    assert started[0].returncode is not None

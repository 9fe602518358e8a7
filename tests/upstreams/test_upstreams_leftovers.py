"""The check at the end of these tests finds what is left, so that finding nothing says something."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from process_tree import Started, running

pytestmark = pytest.mark.smoke

PATIENCE = 60.0
# A child that starts one of its own, in a session of its own, and ends before it.
DESERTER = """
import subprocess, sys
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin, start_new_session=True, **quiet)
print(left.pid)
"""


def test_an_orphan_that_nobody_has_seen_and_an_open_port_are_found(started: Started) -> None:
    own = Started()
    assert own.left() == []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        own.look(port)
        reading, writing = os.pipe()
        command = [sys.executable, "-c", DESERTER]
        done = subprocess.run(
            command, stdin=reading, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        os.close(reading)
        orphan = int(done.stdout)
        assert own.left() == [f"process {orphan}: {sys.executable} -c input()", f"port {port} is open"]
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)  # it is ours now
        os.close(writing)
    assert own.left() == []


def test_a_process_that_has_ended_and_is_not_waited_for_does_not_run(started: Started) -> None:
    with subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.pid not in {one.pid for one in running()}

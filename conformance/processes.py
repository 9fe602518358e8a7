"""Processes that are ended with all that they have started, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Final

from pytest_mcpsmoke.readiness.gate.holding import held

_GRACE: Final = 15.0  # seconds that a process may take to end when it is asked to


@contextmanager
def started(
    command: Sequence[str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own; afterwards end it, and then what is left of its session."""
    with ExitStack() as starting:
        starting.enter_context(held())
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, start_new_session=True
        )
        try:
            starting.close()  # an interruption that was held comes here
            yield process
        finally:
            try:
                if process.poll() is None:
                    process.terminate()
                    process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                pass  # killed below, with the rest
            finally:
                _kill_session(process.pid)
                process.wait()


def output_of(
    command: Sequence[str], *, at_most: float, env: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Run a command to its end; return its exit status, None when time was over, and all that it printed."""
    with tempfile.TemporaryFile() as printed:
        with started(command, stdout=printed, stderr=subprocess.STDOUT, env=env) as process:
            try:
                status: int | None = process.wait(at_most)
            except subprocess.TimeoutExpired:
                status = None
        printed.seek(0)
        return status, printed.read().decode("utf-8", "replace")


def _kill_session(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # nobody is left

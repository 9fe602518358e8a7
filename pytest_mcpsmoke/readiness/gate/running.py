"""One child process: a session of its own, a wall clock, its output in a file; it is ended as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pytest_mcpsmoke.readiness.gate.holding import held

_TICK: Final = 0.1  # seconds
_GRACE: Final = 3.0  # seconds in which who is interrupted may still write down what was found


class Ended(NamedTuple):
    """How a child ended. status: its exit status, below 0 for a signal; None: it could not be started."""

    status: int | None
    seconds: float
    by: Literal["itself", "timeout", "interrupt"] = "itself"
    problem: str | None = None  # why it could not be started


class Outputs(NamedTuple):
    """The files that a child writes to; both the same for one log of everything."""

    stdout: Path
    stderr: Path


def run_child(
    argv: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    timeout: float,
    outputs: Outputs,
    tick: Callable[[float], None],
) -> Ended:
    """Run a program to its end, that of its wall clock, or a KeyboardInterrupt.

    tick is called about ten times a second with the seconds that have passed. A child that is ended is
    interrupted first; whatever is then left of its process group, grandchildren too, is killed. So is what a
    child leaves running that ends by itself. What makes a session of its own gets away.
    """
    began = time.monotonic()
    with ExitStack() as starting:
        starting.enter_context(held())
        try:
            process = _start(argv, folder, environ, outputs)
        except OSError as error:
            problem = f"{argv[0]}: cannot be run: {error.strerror}"
            return Ended(None, time.monotonic() - began, problem=problem)
        by: Literal["itself", "timeout", "interrupt"] = "itself"
        try:
            starting.close()  # an interruption that was held comes here
            if not _wait(process, timeout, began, tick):
                by = "timeout"
                tick(time.monotonic() - began)
                _interrupt(process)
        except KeyboardInterrupt:
            by = "interrupt"
            _interrupt(process)
        finally:
            _signal_group(process, "SIGKILL")
            status = process.wait()
    return Ended(status, time.monotonic() - began, by)


def _start(
    argv: Sequence[str], folder: Path, environ: Mapping[str, str], outputs: Outputs
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own. Raises OSError."""
    with open(outputs.stdout, "ab") as stdout, open(outputs.stderr, "ab") as stderr:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )


def _wait(
    process: subprocess.Popen[bytes], timeout: float, began: float, tick: Callable[[float], None]
) -> bool:
    """Wait for the end; False when the time is over."""
    while (left := timeout - (time.monotonic() - began)) > 0:
        try:
            process.wait(min(_TICK, left))
        except subprocess.TimeoutExpired:
            tick(time.monotonic() - began)
        else:
            return True
    return False


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ask a child to end; a second Ctrl-C does not wait for it."""
    try:
        _signal_group(process, "SIGINT")
        process.wait(_GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass  # it is killed next


def _signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    """Signal all that is left of a child's process group; elsewhere than on POSIX end the child alone."""
    if os.name != "posix":
        process.terminate()
        return
    try:
        os.killpg(process.pid, signal.Signals[name])
    except ProcessLookupError:
        pass  # nobody is left
    except PermissionError:
        pass  # macOS says so of a group of which only the dead are left

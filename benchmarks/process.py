"""Running a Python process and measuring it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any, Final

# What would change what is measured; the child starts without it.
_DROPPED: Final = frozenset(
    {
        "PYTHONPATH",
        "PYTHONDEVMODE",
        "PYTHONMALLOC",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONOPTIMIZE",
        "PYTHONWARNINGS",
    }
    | {
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
        "PYTEST_ADDOPTS",
        "PYTEST_PLUGINS",
        "COVERAGE_PROCESS_START",
    }
)


class RunFailed(Exception):
    """A process that should have passed did not; the text says which and ends with its output."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One process: seconds of wall clock, seconds of user and system time, what it wrote down."""

    wall: float
    cpu: float
    facts: Mapping[str, float]


def environment(**more: str) -> dict[str, str]:
    """The environment of every child: no plugin but those named, nothing inherited that distorts."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0", **more}


def pytest_command(*arguments: str) -> list[str]:
    """The command of a run; its folder is the first place on sys.path, never the checkout's root."""
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]


def run(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    expected: Sequence[int] = (0,),
    output: Path | None = None,
) -> Sample:
    """Run a command to its end and measure it; what it prints can be kept in a file.

    Raises RunFailed for an exit status not expected.
    """
    facts = folder.parent / "facts.json"
    facts.unlink(missing_ok=True)
    env = environment(BENCH_FACTS=str(facts), **(variables or {}))
    with tempfile.TemporaryFile(dir=folder.parent) if output is None else output.open("w+b") as printed:
        status, wall, cpu = timed(command, folder, env, printed)
        if status not in expected:
            printed.seek(0)
            text = printed.read().decode("utf-8", "replace")[-3000:]
            raise RunFailed(f"{' '.join(command[1:])}: exit status {status}\n{text}")
    return Sample(wall, cpu, _read(facts))


def timed(
    command: Sequence[str | Path],
    folder: Path,
    env: Mapping[str, str],
    output: IO[bytes],
    at_most: float | None = None,
) -> tuple[int, float, float]:
    """Run a command in this environment; return its exit status, its wall clock and its CPU time in seconds.

    After `at_most` seconds it is killed, with all that it has started.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=at_most is not None,
    )
    alarm = Timer(at_most or 0, os.killpg, (process.pid, signal.SIGKILL))
    if at_most is not None:
        alarm.start()
    try:
        status, cpu = _wait(process)
    finally:
        alarm.cancel()
    return status, time.perf_counter() - started, cpu


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for a process; return its exit status and its own CPU time. An interrupt ends it, too."""
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def _read(facts: Path) -> dict[str, float]:
    """What the suite's conftest.py wrote down, if there is one."""
    if not facts.exists():
        return {}
    found: dict[str, float] = json.loads(facts.read_text(encoding="utf-8"))
    return found


def ask(code: str, *arguments: str, folder: Path) -> Any:
    """Run a snippet in a fresh interpreter and return the JSON of the last line that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunFailed(f"python -c …: exit status {done.returncode}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().rpartition("\n")[2])

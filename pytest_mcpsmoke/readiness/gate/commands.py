"""What a check runs, and what to paste to run it again."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pytest_mcpsmoke.errors import MissingExtra
from pytest_mcpsmoke.readiness.gate.checks import Check
from pytest_mcpsmoke.readiness.gate.wanted import Wanted

# As with the command `pytest`, the project's folder is not on sys.path: it may hold a folder `mcp`.
_PYTHON: Final = (sys.executable, "-P", "-m")


class Reports(NamedTuple):
    """Where a run of pytest writes its reports."""

    junit: Path
    lines: Path


def argv(check: Check, wanted: Wanted, reports: Reports) -> list[str]:
    """Return the command of a check, for the interpreter that runs the gate."""
    if check.kind == "command":
        return list(check.args)
    if check.kind == "pytest":
        paths = [f"--junitxml={reports.junit}", f"--leaks-report={reports.lines}"]
        # -v: the log names a test before it runs, and so the one that hangs
        return [*_PYTHON, *_pytest(check, wanted), "-v", *paths, *check.args]
    return [*_PYTHON, "pytest_mcpsmoke.cli", check.kind, *check.args, "--json"]


def again(check: Check, wanted: Wanted, words: Iterable[str]) -> str:
    """Return one line to paste in the project's root; words: the check's arguments as they may be shown."""
    told = wanted.environment()
    before = [f"{name}={told[name]}" for name in ("ND_REAL", "STRICT_READY") if told[name]]
    if check.kind == "command":
        command = list(words)
    elif check.kind == "pytest":
        command = [*_pytest(check, wanted), *words]
    else:
        command = ["mcpsmoke", check.kind, *words]
    return " ".join([*before, shlex.join(command)])


def _pytest(check: Check, wanted: Wanted) -> list[str]:
    """The words that decide what is run, and in which order; the check's own come after, and win."""
    tier = [] if check.tier is None else [f"--tier={check.tier}"]
    order = [] if seed_of(check, wanted) is None else ["-p", "randomly", f"--randomly-seed={wanted.seed}"]
    return ["pytest", "-p", "mcpsmoke", f"--leaks={wanted.leaks}", *tier, *order]


def seed_of(check: Check, wanted: Wanted) -> int | None:
    """Return the seed of a check's order; None where it has none, or asks for none with -p no:randomly."""
    pairs = zip(("", *check.args), check.args, strict=False)
    is_ordered = any(word == "-pno:randomly" or (last, word) == ("-p", "no:randomly") for last, word in pairs)
    return None if check.kind != "pytest" or is_ordered else wanted.seed


def need_random(checks: Iterable[Check], wanted: Wanted) -> None:
    """Raise MissingExtra where a check needs pytest-randomly and it is not installed."""
    needy = next((check for check in checks if seed_of(check, wanted) is not None), None)
    if needy is not None and importlib.util.find_spec("pytest_randomly") is None:
        raise MissingExtra(
            f"check {needy.name} runs its tests in random order, which needs pytest-randomly:"
            " pip install 'pytest-mcpsmoke[random]', or give --no-random"
        )

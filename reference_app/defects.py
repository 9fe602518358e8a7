"""Plants, one by one, the bugs that a test harness must catch. None is planted unless somebody asks.

In a test: `with planted(Defect.DOUBLE_POST): ...`. For a whole process: the environment variable
`MINI_AGENT_DEFECTS=double-post,trace-leak`, or `python -m reference_app --defect double-post`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

ENV_DEFECTS = "MINI_AGENT_DEFECTS"


class Defect(Enum):
    """A bug that can be planted; its value is its name on the command line and in the environment."""

    DOUBLE_POST = "double-post"
    """A tool call is posted twice, whatever the first answer was."""
    MASKED_500 = "masked-500"
    """A tool call that met a 500 is posted again, and nobody hears of it when that succeeds."""
    BARE_RETRY = "bare-retry"
    """The retry after a 429 is sent without the headers."""
    TWO_CASINGS = "two-casings"
    """A header that two sources spell differently is sent twice: `authorization` and `Authorization`."""
    TRACE_LEAK = "trace-leak"
    """Traces are stored with the secrets that the conversation and the tools let slip."""
    HOOK_UNDER_STATIC = "hook-under-static"
    """A hook's headers are overridden by the static ones."""
    HOOK_ARGUMENTS_LOST = "hook-arguments-lost"
    """The arguments that a hook changed are discarded: the tool is called with the client's."""
    PROBE_UNAUTHORISED = "probe-unauthorised"
    """Servers are probed, with the client's token, that the key may not use or the request did not select."""
    PROBE_IGNORES_401 = "probe-ignores-401"
    """An upstream's 401 to the probe is swallowed, and the request goes on."""
    PROBE_403_AS_401 = "probe-403-as-401"
    """An upstream's 403 is told as 401: the client gets new credentials, for ever."""
    SERIAL_PROBES = "serial-probes"
    """The probes are made one after another."""
    PINGS_ONLY = "pings-only"
    """The catalogue stream says that it is alive, and nothing else."""
    UNKNOWN_WIDENS = "unknown-widens"
    """An `x-mcp-servers` that names no server that there is selects all."""


class UnknownDefect(ValueError):
    """There is no defect of that name; the message has the nearest one and all there are."""


_planted: frozenset[Defect] = frozenset()


def is_planted(defect: Defect) -> bool:
    """Returns whether the program is to behave wrongly in this way.

    Raises:
        UnknownDefect: The environment names one that does not exist.
    """
    return defect in _planted or defect in planted_by_environment()


@contextmanager
def planted(*defects: Defect) -> Iterator[None]:
    """Plants defects for the block, in the whole process, beside those that are planted already."""
    global _planted
    before = _planted
    _planted = before.union(defects)
    try:
        yield
    finally:
        _planted = before


def planted_by_environment() -> frozenset[Defect]:
    """Returns the defects that `MINI_AGENT_DEFECTS` names, separated by commas.

    Raises:
        UnknownDefect: It names one that does not exist.
    """
    names = os.environ.get(ENV_DEFECTS, "")
    try:
        return frozenset(named(name.strip()) for name in names.split(",") if name.strip())
    except UnknownDefect as error:
        raise UnknownDefect(f"{ENV_DEFECTS}: {error}") from None


def named(name: str) -> Defect:
    """Returns the defect of that name.

    Raises:
        UnknownDefect: There is none.
    """
    known = [defect.value for defect in Defect]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownDefect(f"no defect is called {name!r}; {hint}known: {', '.join(known)}")
    return Defect(name)

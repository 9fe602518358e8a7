"""Arguments that several commands take."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_mcpsmoke.errors import UsageProblem

if TYPE_CHECKING:
    from pytest_mcpsmoke.readiness.verdict import Call


def read_call(given: Sequence[str] | None) -> Call | None:
    """Read `--call TOOL JSON`; None where it is not given. Raises UsageProblem."""
    from pytest_mcpsmoke.readiness.verdict import Call

    if given is None:
        return None
    tool, text = given
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"--call {tool}: the arguments are not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise UsageProblem(f"--call {tool}: the arguments are no JSON object; give one like '{{\"a\": 1}}'")
    return Call(tool, arguments)


def read_number(name: str, text: str) -> int:
    """Read the value of an option that counts something. Raises UsageProblem."""
    if not (text.isascii() and text.isdecimal()):
        raise UsageProblem(f"{name} {text}: not a whole number from 0 on")
    return int(text)


def read_seconds(text: str) -> float:
    """Read `--timeout SECONDS`. Raises UsageProblem."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageProblem(f"--timeout {text}: not a number of seconds above 0")
    return seconds

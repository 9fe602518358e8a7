"""How calls and messages read in a double's failures: bounded, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff
from typing import Any

from pytest_mcpsmoke.doubles.replies import Delay, Disconnect, Malformed, RateLimited, Status, body_bytes
from pytest_mcpsmoke.doubles.shown import without_secrets
from pytest_mcpsmoke.state.describe import describe


def call_text(name: str, arguments: Mapping[str, Any] | None) -> str:
    """A call as one would write it: `weather(city='Kyiv')`; None for arguments of any kind."""
    if arguments is None:
        return f"{name}(…)"
    return f"{name}({', '.join(f'{key}={describe(value, key)}' for key, value in arguments.items())})"


def reply_text(reply: Any) -> str:
    """A scripted reply in a few words."""
    if isinstance(reply, Status):
        return f"{reply.code} {describe(body_bytes(reply.body).decode('utf-8', 'replace'))}"
    if isinstance(reply, Delay):
        return f"after {reply.seconds:g} s: {reply_text(reply.then)}"
    if isinstance(reply, RateLimited):
        return f"429, then {reply_text(reply.then)}"
    if isinstance(reply, Disconnect):
        return f"a connection closed after {reply.after} bytes"
    if isinstance(reply, Malformed):
        return f"malformed {describe(reply.body)}"
    return describe(reply)


def json_lines(value: Any) -> list[str]:
    """A value as indented JSON, line by line, without secrets; what JSON has no word for is described."""
    text = json.dumps(without_secrets(value), indent=2, ensure_ascii=False, default=describe)
    return text.splitlines()


def diff(expected: Iterable[str], came: Iterable[str], names: tuple[str, str], context: int = 3) -> list[str]:
    """A unified diff of two lists of lines, without the headers' line numbers; empty when they are equal."""
    lines = list(unified_diff(list(expected), list(came), *names, n=context, lineterm=""))
    return ["  ..." if line.startswith("@@") else line for line in lines if not line.startswith("@@ -1")]


def numbered(lines: Sequence[str], none: str) -> list[str]:
    """Lines with their numbers from 1 on, indented; or what to say where there are none."""
    return [f"  {number}. {line}" for number, line in enumerate(lines, 1)] or [f"  {none}"]

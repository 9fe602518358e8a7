"""Values with the line they stand in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pytest_mcpsmoke.errors import McpsmokeError

Step = str | int  # a key of a table, or an index of a list
Path = tuple[Step, ...]


class Located(NamedTuple):
    """A value, and the line of its key; that of its first character where it has none.

    Attributes:
        value: A dict of names to Located, a list of Located, or a str, int, float, bool, None, date or time.
        line: From 1 on.
    """

    value: Any
    line: int


class Fault(NamedTuple):
    """What is wrong at a place of a text; `key` is empty where the fault is not about one."""

    line: int
    key: str
    text: str
    remedy: str


class Unreadable(McpsmokeError):
    """A text that is not of its notation."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


def plain(located: Located) -> Any:
    """Return the value without its lines."""
    if isinstance(located.value, dict):
        return {name: plain(item) for name, item in located.value.items()}
    if isinstance(located.value, list):
        return [plain(item) for item in located.value]
    return located.value


def key_text(path: Iterable[Step]) -> str:
    """Write a path as one reads it: `servers.litellm.args[0]`; names with other characters are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = (
                step
                if re.fullmatch(r"[\w@/-]+", step)
                else json.dumps(step, ensure_ascii=not step.isprintable())
            )
            text += f".{name}" if text else name
    return text


def at(root: Located, path: Sequence[str]) -> Located | None:
    """Return what stands at a path of names; None where there is nothing."""
    for name in path:
        if not isinstance(root.value, dict) or name not in root.value:
            return None
        root = root.value[name]
    return root

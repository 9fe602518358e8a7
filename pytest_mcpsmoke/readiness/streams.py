"""Reads an event stream as it comes, comments too: they are what a gateway sends that only pings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

LARGEST: Final = 1024 * 1024  # bytes of one event; the official SDK reads no larger ones either
_NAMES: Final = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class TooLarge(Exception):
    """One event is larger than any client would read; its text says how large."""


class Came(NamedTuple):
    """What came: an event, or a comment (name None)."""

    name: str | None
    data: str

    @property
    def is_ping(self) -> bool:
        """Whether it says no more than that somebody is there."""
        if self.name is None or self.name.lower() in _NAMES or not self.data.strip():
            return True
        if self.data.strip().lower() in _NAMES:
            return True
        return is_mapping(message := read_json(self.data)) and message.get("method") == "ping"


class EventReader:
    """Splits the bytes of an event stream, in whatever pieces they come, into what came."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Came]:
        """Yield what the bytes complete. Raises TooLarge."""
        held = self._rest + chunk
        # a carriage return at the end may be half of a line's end
        cut = held[:-1] if held.endswith(b"\r") else held
        *lines, rest = _LINE_END.split(cut)
        self._rest = rest + held[len(cut) :]
        for line in lines:
            yield from self._read(line.decode("utf-8", "replace"))
        if self._size + len(self._rest) > LARGEST:
            raise TooLarge(f"one event of more than {LARGEST:,} bytes")

    def _read(self, line: str) -> Iterator[Came]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line.startswith(":"):
            yield Came(None, value)
        elif line:
            self._size += len(line)
            if name == "event":
                self._name = value
            elif name == "data":
                self._data.append(value)
        elif self._name or self._data:
            came = Came(self._name or "message", "\n".join(self._data))
            self._name, self._data, self._size = "", [], 0
            yield came
        else:
            self._size = 0


def tools_of(came: Came) -> tuple[str, ...] | None:
    """The names in a catalogue that an event carries without MCP around it, None when it carries none.

    That is {"tools": [tool, …]} as `event: tools` or as an event without a name, or only the list as
    `event: tools`; a tool is an object with a text `name`.
    """
    found: Any = read_json(came.data)
    if is_mapping(found) and "jsonrpc" not in found and came.name in ("tools", "message"):
        found = found.get("tools")
    elif came.name != "tools":
        return None
    if not isinstance(found, list):
        return None
    names = [tool.get("name") if is_mapping(tool) else None for tool in found]
    return tuple(map(str, names)) if all(isinstance(name, str) for name in names) else None


def is_mapping(value: Any) -> bool:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def read_json(text: str | bytes) -> Any:
    """A JSON value, None for what is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

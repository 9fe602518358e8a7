"""How a test failed: where, and what its assertion says."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.state.describe import redact_value

_LINES: Final = 3  # of a message
_LIMIT: Final = 300  # characters


class Failure(NamedTuple):
    """Where a test failed, with its path as pytest prints it, and the redacted beginning of the message."""

    path: str
    line: int
    text: str

    @classmethod
    def of(cls, path: str, line: int, message: str) -> Failure:
        """Keep of a message what a line or three can say."""
        lines = [line.rstrip() for line in message.splitlines() if line.strip()]
        shown = redact_value("\n".join(lines[:_LINES]))
        return cls(path, line, shown if len(shown) <= _LIMIT else f"{shown[: _LIMIT - 1]}…")

    @classmethod
    def of_record(cls, fields: Any) -> Failure | None:
        """Read what a report says; None where it says nothing that can be understood."""
        if not isinstance(fields, dict):
            return None
        path, line, text = (fields.get(name) for name in cls._fields)
        if not (isinstance(path, str) and isinstance(line, int) and isinstance(text, str)):
            return None
        return cls(path, line, text)

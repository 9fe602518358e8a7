"""Takes secrets out of what is stored, logged or reported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[redacted]"
SHORTEST_SECRET = 4  # masking every occurrence of something shorter would leave no text to read
_SECRET_NAME = (
    r"authorization|cookie|credential|passw(?:or)?d|secret|(?:api|access|private)[-_]?key"
    r"|(?:access|auth|bearer|id|refresh|session)[-_]?token|(?<![a-z])token"
)
_IS_SECRET_NAME = re.compile(_SECRET_NAME, re.IGNORECASE)
# Lengths are bounded so that no text, however hostile, takes more than linear time.
_ASSIGNMENT = rf"""((?:{_SECRET_NAME})[\w-]{{0,40}}\\?["']?\s{{0,9}}[:=]\s{{0,9}})"""
_QUOTED = r"""(?P<quote>\\?["'])(?:(?!(?P=quote))(?:\\.|.)){0,2000}(?P=quote)"""
_BARE = r"""(\\?["']?)(?!bearer |basic )[^\s"'\\&,}]+"""
# What a secret looks like in running text: a credential, a URL's user info, `name=value`, `"name": "value"`.
_PATTERNS = (
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\bsk-[\w-]{8,}"), MASK),
    (re.compile(r"(?<=://)[^/\s@]+(?=@)"), MASK),
    (re.compile(_ASSIGNMENT + _QUOTED, re.IGNORECASE), rf"\1\g<quote>{MASK}\g<quote>"),
    (re.compile(_ASSIGNMENT + _BARE, re.IGNORECASE), rf"\1\2{MASK}"),
)


def _json_container(text: str) -> list[Any] | dict[str, Any] | None:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        inner = json.loads(text)
    except ValueError:
        return None
    return inner if isinstance(inner, list | dict) else None


def header_secrets(headers: Mapping[str, str]) -> set[str]:
    """Returns what must not be seen of a header set: each value, and a credential without its scheme."""
    return {part for value in headers.values() for part in (value, value.rpartition(" ")[2])}


class Redactor:
    """Masks known secrets wherever they stand, and whatever looks like a secret.

    Args:
        secrets: Known values; those shorter than four characters are masked only where they stand beside a
            telling name.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first, or a secret that contains another one would keep its remainder.
        self._secrets = sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Returns the text without its secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any) -> Any:
        """Returns a copy of a JSON value without its secrets, in keys too."""
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.value(key): self._under(key, item) for key, item in value.items()}
        return value

    def _string(self, text: str) -> str:
        # Tool arguments and replies are JSON inside a string: read, their quotes cannot mislead a pattern.
        inner = _json_container(text)
        masked = self.value(inner)
        return self.text(text if masked == inner else json.dumps(masked, ensure_ascii=False))

    def _under(self, key: object, value: Any) -> Any:
        if isinstance(key, str) and isinstance(value, str) and _IS_SECRET_NAME.search(key):
            return MASK
        return self.value(value)

"""The tokens an upstream knows, and what it answers to each, as RFC 6750 and the MCP specification say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_mcpsmoke.doubles.journal import Entry


@dataclass(frozen=True)
class Refusal:
    """An answer to a request that may not pass."""

    status: int
    error: str
    description: str

    def headers(self, metadata: str) -> list[tuple[bytes, bytes]]:
        """Return the answer's headers; `metadata` is where the protected resource describes itself."""
        told = [f'error="{self.error}"', f'error_description="{self.description}"'] if self.error else []
        challenge = "Bearer " + ", ".join([*told, f'resource_metadata="{metadata}"'])
        pairs = [("content-type", "application/json")]
        if self.status in (401, 403):
            pairs.append(("www-authenticate", challenge))
        return [(name.encode(), value.encode("latin-1")) for name, value in pairs]

    @property
    def body(self) -> bytes:
        """The answer's body, JSON."""
        told = {"error": self.error, "error_description": self.description}
        return json.dumps({key: value for key, value in told.items() if value}).encode()


@dataclass(frozen=True)
class TokenTable:
    """Who may pass: everybody while the table is empty."""

    good: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, good: str | Iterable[str], expired: str | Iterable[str], forbidden: str | Iterable[str]
    ) -> TokenTable:
        """Make a table; each is a token, or several."""
        return cls(_several(good), _several(expired), _several(forbidden))

    def __bool__(self) -> bool:
        return bool(self.good or self.expired or self.forbidden)

    def __repr__(self) -> str:
        sizes = (f"{name}={len(getattr(self, name))}" for name in ("good", "expired", "forbidden"))
        return f"TokenTable({', '.join(sizes)})"

    def refusal(self, entry: Entry) -> Refusal | None:
        """Return why this request may not pass, None when it may."""
        if not self:
            return None
        sent = entry.header("authorization")
        if len(sent) > 1:
            return Refusal(400, "invalid_request", "more than one Authorization header")
        scheme, _, token = (sent[0] if sent else "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Refusal(401, "", "")  # no token at all: RFC 6750 says to give no error code
        token = token.strip()
        if token in self.good:
            return None
        if token in self.forbidden:
            return Refusal(403, "insufficient_scope", "the token does not grant this")
        if token in self.expired:
            return Refusal(401, "invalid_token", "the token has expired")
        return Refusal(401, "invalid_token", "the token is unknown")


def _several(tokens: str | Iterable[str]) -> frozenset[str]:
    return frozenset([tokens] if isinstance(tokens, str) else tokens)

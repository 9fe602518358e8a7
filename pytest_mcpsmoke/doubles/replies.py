"""What a double may be scripted to answer, beside a plain value: the ways in which an upstream goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

ERROR_BODY_CHARS = 256  # of a body, in the text of an error


@dataclass(frozen=True)
class Status:
    """An answer with this HTTP status; without HTTP, an exception that reads `HTTP <code>: <body>`.

    Attributes:
        code: The status, 100 to 599.
        body: A text or bytes, sent as they are, or any other JSON value.
        headers: Further response headers.
    """

    code: int
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 100 <= self.code <= 599:
            raise ValueError(f"{self.code} is no HTTP status: give one from 100 to 599")

    def __str__(self) -> str:
        return f"HTTP {self.code}: {body_bytes(self.body).decode('utf-8', 'replace')[:ERROR_BODY_CHARS]}"


@dataclass(frozen=True)
class Delay:
    """An answer that comes `seconds` later."""

    seconds: float
    then: Any

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"a delay of {self.seconds} s: give seconds from 0 on")


@dataclass(frozen=True)
class RateLimited:
    """A 429 with `Retry-After`, and `then` for whoever asks again.

    Attributes:
        retry_after: Seconds, a moment (sent as an HTTP date), a text sent as it is, or None: no such header.
        then: The answer to the next request.
    """

    retry_after: float | datetime | str | None
    then: Any

    def refusal(self) -> Status:
        """The first answer."""
        value = self.retry_after
        if value is None:
            return Status(429, "rate limited")
        if isinstance(value, datetime):
            value = format_datetime(value.astimezone(UTC), usegmt=True)
        return Status(429, "rate limited", {"Retry-After": value if isinstance(value, str) else f"{value:g}"})


@dataclass(frozen=True)
class Malformed:
    """A body that says it is JSON and is not."""

    body: bytes = b'{"text": "cut off'


@dataclass(frozen=True)
class Disconnect:
    """The connection is closed after `after` bytes of the answer; without HTTP, a ConnectionError.

    Attributes:
        then: The answer that is begun, and not ended.
        after: How many bytes of its body go out; 0 closes before the status line.
    """

    then: Any = ""
    after: int = 0


async def waited(reply: Any) -> Any:
    """Wait as long as a reply says, and return what comes then."""
    while isinstance(reply, Delay):
        await asyncio.sleep(reply.seconds)
        reply = reply.then
    return reply


def is_raised(reply: Any) -> bool:
    """Whether a reply is an exception, or a class of exceptions."""
    return isinstance(reply, BaseException) or (isinstance(reply, type) and issubclass(reply, BaseException))


def without_exceptions(reply: Any) -> Any:
    """A reply as a server can give it: what a caller would see raised without HTTP becomes a status."""
    if not is_raised(reply):
        return reply
    error = reply() if isinstance(reply, type) else reply
    if isinstance(error, ConnectionError):
        return Disconnect()
    return Status(500, str(error) or type(error).__name__)


def body_bytes(body: Any) -> bytes:
    """The bytes of a body: bytes as they are, a text in UTF-8, any other value as JSON."""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()

"""Failed samples that failed alike: the same message but for what varies, on the same path of tool calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from pytest_mcpsmoke.report.nd import Cluster
from pytest_mcpsmoke.state.describe import redact, redact_value

LONGEST: Final = 120  # characters of a message, and of a path
_READ: Final = 1_000  # characters of a message that are looked at

# What varies from sample to sample, in the order in which it is taken out. Numbers that stand alone go before
# identifiers, which their digits look like.
_NUMBER: Final = r"(?>-?\d+(?:[.,_]\d+)*(?:[eE][+-]?\d+)?)"
_VARYING: Final = (
    (r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
    (r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "#"),
    (rf"(?<![\w.]){_NUMBER}(?!\w)", "#"),
    (r"(?i)\b0x[0-9a-f]+\b", "#"),
    (r"(?i)\b(?=[a-f]*\d)[0-9a-f]{8,}\b", "#"),
    (r"\b(?=(?:\w*?\d){3})\w{12,}\b", "#"),  # such as call_8Zk20Qp1aX
    (r"(?<!\w)'[^']{20,}(?:'(?!\w)|$)", "<text>"),
    (r'(?<!\w)"[^"]{20,}(?:"(?!\w)|$)', "<text>"),
    (rf"(?<![A-Za-z0-9.]){_NUMBER}", "#"),  # the rest: 10ms, call_42
)


class Failure(NamedTuple):
    """A sample that failed: its number, what its exception says, and the tools that were called, in order."""

    sample: int
    message: str
    tools: tuple[str, ...] = ()


def clusters(failures: Iterable[Failure]) -> list[Cluster]:
    """Return the failures in clusters, the biggest first, and among equals the one seen first.

    Alike are failures with the same tools whose messages have the same first line once numbers, addresses,
    identifiers, times, and quoted texts of 20 characters or more are taken out.
    """
    alike: dict[tuple[str, tuple[str, ...]], list[Failure]] = {}
    for failure in failures:
        alike.setdefault((normalised(failure.message), failure.tools), []).append(failure)
    found = [
        Cluster(
            _bounded(_line(first.message)),
            tuple(_bounded(redact(_printable(tool[:_READ]))) for tool in first.tools),
            tuple(one.sample for one in (first, *others)),
        )
        for first, *others in alike.values()
    ]
    return sorted(found, key=lambda cluster: -len(cluster.samples))


def normalised(message: str) -> str:
    """Return the first line of a message without what varies from sample to sample, and without secrets."""
    text = _line(message)
    for pattern, stand_in in _VARYING:
        text = re.sub(pattern, stand_in, text)
    return text


def _line(message: str) -> str:
    """The first line that is not blank, redacted."""
    lines = message.lstrip()[:_READ].splitlines()
    return redact_value(_printable(lines[0])) if lines else "(no message)"


def _printable(text: str) -> str:
    """A text without escape sequences and control characters, its spaces single."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

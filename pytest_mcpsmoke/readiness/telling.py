"""What a probe found, as lines for people and as an object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from pytest_mcpsmoke.readiness.events import Event
from pytest_mcpsmoke.readiness.routes import Route
from pytest_mcpsmoke.readiness.verdict import Probed, Verdict
from pytest_mcpsmoke.report.text import few, plural

_TRANSPORTS: Final = {"http": "streamable HTTP", "sse": "SSE", "events": "event stream", "stdio": "stdio"}
_NAMES: Final = 20  # of tools that are told
_STEPS: Final = 12  # lines of evidence
_WIDTH: Final = 160  # characters of one of them
_UNTOLD: Final = frozenset({"body", "ended"})  # kept in the log only


def probe_lines(
    probed: Probed, wanted: Sequence[str], routes: Sequence[Route], is_as_wanted: bool
) -> Iterator[str]:
    """Yield the lines that a terminal shows; the evidence only where something is not as wanted."""
    yield head(probed)
    yield f"  {probed.detail}"
    if probed.tools:
        shown = ", ".join(few(list(probed.tools), _NAMES, "tools"))
        yield f"  tools: {shown}"
    if probed.call is not None:
        yield f"  call of {probed.call.tool}: {'error: ' if probed.call.is_error else ''}{probed.call.text}"
    for route in routes:
        yield f"  {route.wanted} {route.path}: {'' if route.is_fine else 'not so: '}{route.detail}"
    if is_as_wanted:
        return
    yield from (f"  {line}" for line in evidence_lines(probed.events))
    yield f"  wanted: {' or '.join(wanted)}"
    if probed.remedy is not None:
        yield f"  do: {probed.remedy}"


def head(probed: Probed) -> str:
    """The verdict on one line: "CATALOG (2 tools)  http://…  streamable HTTP, protocol …, 0.12 s"."""
    count = f" ({plural(len(probed.tools), 'tool')})" if probed.verdict is Verdict.CATALOG else ""
    facts = [
        _TRANSPORTS[probed.transport],
        probed.protocol and f"protocol {probed.protocol}",
        probed.server and f"server {probed.server}",
        f"{probed.seconds:.2f} s",
    ]
    return f"{probed.verdict}{count}  {probed.url}  {', '.join(filter(None, facts))}"


def evidence_lines(events: Sequence[Event]) -> list[str]:
    """The events in short, equal neighbours folded: "0.01 s  request   POST http://…"."""
    told = [event for event in events if event.what not in _UNTOLD]
    lines = []
    for (what, text), same in groupby(told, key=lambda event: (event.what, event.text)):
        first, *others = same
        times = f"  ({len(others) + 1} times)" if others else ""
        short = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
        lines.append(f"{first.at:.2f} s  {what:<8}  {short}{times}")
    return few(lines, _STEPS, "in the log (--log PATH)")


def as_object(
    probed: Probed, wanted: Sequence[str], routes: Sequence[Route], is_as_wanted: bool
) -> dict[str, Any]:
    """What `--json` prints: the schema stands in docs/reference/probe.md."""
    return {
        "type": "probe",
        "schema": 1,
        **probed._asdict(),
        "verdict": str(probed.verdict),
        "tools": list(probed.tools),
        "seconds": round(probed.seconds, 3),
        "call": None if probed.call is None else probed.call._asdict(),
        "routes": [route._asdict() for route in routes],
        "wanted": list(wanted),
        "is_as_wanted": is_as_wanted,
        "events": [event_object(event) for event in probed.events],
    }


def event_object(event: Event) -> dict[str, Any]:
    """One line of the log."""
    return event._asdict() | {"headers": list(event.headers)}

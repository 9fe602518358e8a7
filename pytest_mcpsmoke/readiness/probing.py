"""Probes of live endpoints: what answers there, and whether it offers tools."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pytest_mcpsmoke.doubles.extras import need
from pytest_mcpsmoke.doubles.shown import without_secrets
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.events import (
    Event,
    Evidence,
    secrets_of_headers,
    secrets_of_settings,
    secrets_of_url,
    show_url,
)
from pytest_mcpsmoke.readiness.verdict import Call, Judged, Probed
from pytest_mcpsmoke.readiness.verdict import Verdict as Verdict

if TYPE_CHECKING:
    from pytest_mcpsmoke.readiness.talk import Said
    from pytest_mcpsmoke.readiness.wire import Wire

Transport = Literal["auto", "http", "sse"]
_GET_NEXT: Final = (400, 404, 405)  # to a POST: the specification says to try the older transport then
_WHO: Final = "mcpsmoke probe"


async def probe(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    transport: Transport = "auto",
    timeout_s: float = 10.0,
    call: Call | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Probed:
    """Say what answers at a URL; nothing that the endpoint does raises.

    Streamable HTTP is tried first; where POST is refused, GET for an event stream: the transport SSE, or a
    plain stream that carries `event: tools`. Redirects are followed within the URL's origin only.

    Args:
        url: http:// or https://, whole.
        headers: Sent with each request.
        transport: "http" or "sse" to try only that.
        timeout_s: Wall-clock seconds for all of it.
        call: A tool to call once the catalogue is there.
        on_event: Called with each event when it happens, for a log that survives an interruption.

    Raises:
        UsageProblem: The URL is none.
        MissingExtra: The package mcp is not installed.
    """
    check_url(url)
    need("mcp", "mcp", _WHO)
    import anyio

    from pytest_mcpsmoke.readiness.judging import refused_twice, tells_more
    from pytest_mcpsmoke.readiness.talk import hushed

    sent = dict(headers or {})
    evidence = Evidence([*secrets_of_url(url), *secrets_of_headers(sent)], on_event)
    asked = _Asked(url, sent, call, evidence, anyio.current_time() + timeout_s)
    with hushed():
        attempt = await _attempt(asked, is_sse=transport == "sse")
        posted = attempt.wire.decisive
        if transport == "auto" and posted is not None and posted.status in _GET_NEXT and not attempt.is_fine:
            got = await _attempt(asked, is_sse=True)
            if tells_more(got.judged, got.wire.stream):
                attempt = got
            else:
                judged = refused_twice(attempt.judged, posted, got.wire.stream)
                attempt = attempt._replace(judged=judged)
    kind = "events" if attempt.wire.is_plain_stream else "sse" if attempt.is_sse else "http"
    return _probed(show_url(url), kind, attempt.judged, attempt.said, evidence, attempt.wire.catalogue)


async def probe_stdio(
    command: str,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    *,
    timeout_s: float = 10.0,
    call: Call | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Probed:
    """Start a server as a child process and say what it offers; end it, with all processes of its group.

    Args:
        command: The program.
        args: Its arguments.
        env: Its environment, beside the few variables that the SDK's client gives every child.
        cwd: Its working directory.
        timeout_s: Wall-clock seconds for the conversation; ending the processes takes at most 3 more.
        call: A tool to call once the catalogue is there.
        on_event: Called with each event when it happens.

    Raises:
        MissingExtra: The package mcp is not installed.
    """
    need("mcp", "mcp", _WHO)
    import anyio

    from pytest_mcpsmoke.readiness.child import Child
    from pytest_mcpsmoke.readiness.judging import judge_child
    from pytest_mcpsmoke.readiness.talk import Said, converse, hushed

    evidence = Evidence(secrets_of_settings(env or {}, args), on_event)
    child = Child([command, *args], dict(env or {}), cwd, evidence)
    said = Said()
    with hushed(), anyio.move_on_after(timeout_s) as clock:
        await converse(child.running(), said, evidence, call, anyio.Event())
    judged = judge_child(said, child, evidence, is_late=clock.cancelled_caught)
    shown = evidence.line(shlex.join(without_secrets([command, *args])), 1_000)
    return _probed(shown, "stdio", judged, said, evidence)


def check_url(url: str) -> None:
    """Raise UsageProblem, in one line, for what is no URL of a web server."""
    shown = "" if any(ord(one) <= 32 for one in url) else url
    try:
        parts = urlsplit(shown)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine:
        raise UsageProblem(f"{_safely(url)}: not a URL; give one like http://127.0.0.1:8000/mcp")


def _safely(url: str) -> str:
    try:
        return show_url(url)
    except ValueError:
        return repr(url.rpartition("@")[2])


class _Asked(NamedTuple):
    """What is probed, and until when."""

    url: str
    headers: dict[str, str]
    call: Call | None
    evidence: Evidence
    deadline: float


class _Attempt(NamedTuple):
    """One transport that was tried."""

    said: Said
    wire: Wire
    judged: Judged
    is_sse: bool

    @property
    def is_fine(self) -> bool:
        """Whether it came to a catalogue."""
        return self.judged.verdict in (Verdict.CATALOG, Verdict.EMPTY_CATALOG)


async def _attempt(asked: _Asked, *, is_sse: bool) -> _Attempt:
    import anyio
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    from pytest_mcpsmoke.readiness.judging import judge
    from pytest_mcpsmoke.readiness.talk import Said, converse
    from pytest_mcpsmoke.readiness.wire import Wire

    said, wire = Said(), Wire(asked.evidence, asked.headers, is_sse)
    with anyio.CancelScope(deadline=asked.deadline) as clock:
        async with wire.client() as client:
            if is_sse:
                transport = sse_client(asked.url, httpx_client_factory=wire.client)
            else:
                transport = streamable_http_client(asked.url, http_client=client)
            await converse(transport, said, asked.evidence, asked.call, wire.settled)
    judged = judge(
        said,
        wire,
        asked.evidence,
        url=asked.url,
        is_late=clock.cancelled_caught,
        has_key=bool(secrets_of_headers(asked.headers) or secrets_of_url(asked.url)),
    )
    return _Attempt(said, wire, judged, is_sse)


def _probed(
    shown: str,
    transport: str,
    judged: Judged,
    said: Said,
    evidence: Evidence,
    catalogue: tuple[str, ...] | None = None,
) -> Probed:
    return Probed(
        url=shown,
        transport=transport,
        verdict=judged.verdict,
        tools=tuple(said.tools) if catalogue is None else catalogue,
        server=said.server,
        protocol=said.protocol,
        detail=judged.detail,
        remedy=judged.remedy,
        events=tuple(evidence.events),
        seconds=evidence.seconds,
        call=said.called,
    )

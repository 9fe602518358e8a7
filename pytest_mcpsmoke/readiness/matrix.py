"""The client matrix: one row per client and server, each after what that client would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from pytest_mcpsmoke.readiness.configurations.model import HIDDEN, Server
from pytest_mcpsmoke.readiness.events import Event, Evidence, secrets_of_url, show_url
from pytest_mcpsmoke.readiness.verdict import Call, Called, Judged, Verdict

if TYPE_CHECKING:
    from pytest_mcpsmoke.readiness.verdict import Probed

NOT_TRIED: Final = "NOT_TRIED"  # the entry is broken, or asks the user something
NOT_ASKED: Final = "NOT_ASKED"  # nobody was to be asked
DISABLED: Final = "DISABLED"  # the configuration switches it off
AT_ONCE: Final = 8
_WAYS: Final = {"codex": "bearer_token_env_var or env_http_headers", "open-webui": "auth_type and key"}
_GRACE: Final = 5.0  # seconds beyond its time for a row to come to its end: processes are ended in them


class Row(NamedTuple):
    """What one client would see of one server. Its texts hold no secrets.

    Attributes:
        server: The server.
        verdict: A Verdict, or NOT_TRIED, NOT_ASKED, DISABLED.
        offered: How many tools, or models, it offers; None where that is not known.
        noun: "tool" or "model".
        seconds: How long it took.
        detail: What was seen, one line.
        remedy: What to do; "" where nothing is to be done.
        call: What became of the call that was asked for.
        events: What travelled.
    """

    server: Server
    verdict: str
    offered: int | None = None
    noun: str = "tool"
    seconds: float = 0.0
    detail: str = ""
    remedy: str = ""
    call: Called | None = None
    events: tuple[Event, ...] = ()

    @property
    def is_green(self) -> bool | None:
        """Whether the client can work with the server; None where that was not asked."""
        if self.verdict in (NOT_ASKED, DISABLED):
            return None
        return self.verdict == Verdict.CATALOG and not (self.call is not None and self.call.is_error)


async def ask_all(
    servers: Sequence[Server], rows: list[Row], *, timeout_s: float, call: Call | None = None
) -> None:
    """Talk to servers, at most 8 at a time, and fill in their rows, in their order.

    Args:
        servers: Which.
        rows: Is filled at once with a row for each that says that it was interrupted, and these are replaced
            one by one: what is cut off leaves what was found.
        timeout_s: Wall-clock seconds for each server; ending a child process takes at most 5 more.
        call: A tool to call at each MCP server that lists its tools.

    Raises:
        MissingExtra: The package mcp is not installed.
    """
    import anyio

    rows[:] = [Row(server, NOT_TRIED, detail="interrupted", remedy="run it again") for server in servers]
    turns = anyio.Semaphore(AT_ONCE)

    async def fill(at: int, server: Server) -> None:
        async with turns:
            rows[at] = await ask(server, timeout_s=timeout_s, call=call)

    async with anyio.create_task_group() as group:
        for at, server in enumerate(servers):
            group.start_soon(fill, at, server)


async def ask(server: Server, *, timeout_s: float, call: Call | None = None) -> Row:
    """Talk to one server as its client would: initialise, list, and call if asked to."""
    if server.is_disabled:
        return Row(server, DISABLED, detail="switched off in the configuration")
    if server.not_tried:
        return Row(server, NOT_TRIED, detail=server.not_tried, remedy=_remedy(server))
    import anyio

    row = Row(
        server,
        Verdict.TIMEOUT,
        seconds=timeout_s + _GRACE,
        detail="the row did not come to its end",
        remedy="run mcpsmoke probe on this server alone",
    )
    with anyio.move_on_after(timeout_s + _GRACE):
        if server.transport in ("openapi", "openai"):
            row = await _get(server, timeout_s)
        else:
            row = _of_probe(server, await _probe(server, timeout_s, call))
    return _without_secrets(row)


def _remedy(server: Server) -> str:
    if server.not_tried.startswith("the user is asked for"):
        return "answer for the user with a variable MCPSMOKE_INPUT_ID"
    return "mend the configuration" if server.not_tried.startswith("line ") else "try it in the client"


async def _probe(server: Server, timeout_s: float, call: Call | None) -> Probed:
    from pytest_mcpsmoke.readiness.probing import probe, probe_stdio

    if server.transport == "stdio":
        return await probe_stdio(
            server.command, server.args, server.env, server.cwd, timeout_s=timeout_s, call=call
        )
    falls_back = server.falls_back and server.transport == "http"
    transport = cast(Literal["auto", "http", "sse"], "auto" if falls_back else server.transport)
    return await probe(
        server.url, headers=server.headers, transport=transport, timeout_s=timeout_s, call=call
    )


def _of_probe(server: Server, probed: Probed) -> Row:
    judged = Judged(probed.verdict, probed.detail, probed.remedy)
    if probed.transport == "events" and probed.verdict in (Verdict.CATALOG, Verdict.EMPTY_CATALOG):
        text = f"{probed.detail}: {server.client} reads no such stream"
        judged = Judged(Verdict.ERROR, text, "give the address where the gateway speaks MCP, often /mcp")
    judged = judged._replace(remedy=_remedies(server).get(judged.verdict, judged.remedy))
    is_listed = judged.verdict in (Verdict.CATALOG, Verdict.EMPTY_CATALOG)
    return Row(
        server,
        judged.verdict,
        len(probed.tools) if is_listed else None,
        "tool",
        probed.seconds,
        judged.detail,
        judged.remedy or "",
        probed.call,
        probed.events,
    )


def _remedies(server: Server) -> dict[str, str]:
    """Remedies that stand in a configuration, where a probe names options of its own."""
    remedies: dict[str, str] = {}
    if "authorization" not in map(str.lower, server.headers):
        way = _WAYS.get(server.client, "headers")
        remedies[Verdict.AUTH_REQUIRED] = (
            f"give the server its key: {way} in {server.file}, line {server.line}"
        )
    if server.client in ("codex", "open-webui"):
        remedies[Verdict.WRONG_METHOD] = (
            f"check the path: {server.client} speaks streamable HTTP only, which takes POST, often at /mcp"
        )
    else:
        remedies[Verdict.WRONG_METHOD] = (
            'check the path and type: "http" takes POST, often at /mcp; "sse" takes GET, often at /sse'
        )
    return remedies


async def _get(server: Server, timeout_s: float) -> Row:
    """Fetch what Open WebUI fetches: the OpenAPI document, or the models."""
    from pytest_mcpsmoke.readiness.fetching import fetch, judge_document, judge_models

    evidence = Evidence([*server.secrets, *secrets_of_url(server.url)])
    is_models = server.transport == "openai"
    url = f"{server.url.rstrip('/')}/models" if is_models else server.url
    answer = await fetch(url, server.headers, evidence, timeout_s)
    judged, count = (judge_models if is_models else judge_document)(answer)
    return Row(
        server,
        judged.verdict,
        count,
        "model" if is_models else "tool",
        evidence.seconds,
        judged.detail,
        judged.remedy or "",
        events=tuple(evidence.events),
    )


def _without_secrets(row: Row) -> Row:
    """The row without the secrets of its server; of the headers that it was given no value is shown."""
    hide = row.server.hide
    given = {name.lower() for name in row.server.headers}
    events = tuple(
        event._replace(
            text=hide(event.text),
            headers=tuple(
                f"{name}: {HIDDEN}" if name.lower() in given else hide(f"{name}: {value}")
                for name, _, value in (header.partition(": ") for header in event.headers)
            ),
        )
        for event in row.events
    )
    call = row.call and row.call._replace(text=hide(row.call.text))
    return row._replace(detail=hide(row.detail), remedy=hide(row.remedy), call=call, events=events)


def shown_url(server: Server) -> str:
    """The server's URL without secrets."""
    if not server.url:
        return ""
    try:
        return server.hide(show_url(server.url))
    except ValueError:
        return HIDDEN

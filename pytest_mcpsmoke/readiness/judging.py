"""From what was seen to a verdict, with its detail and its remedy. Pure: nothing is asked here any more."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pytest_mcpsmoke.readiness.child import Child
from pytest_mcpsmoke.readiness.events import Evidence, show_url
from pytest_mcpsmoke.readiness.talk import EndlessCatalogue, Said
from pytest_mcpsmoke.readiness.verdict import Judged, Verdict
from pytest_mcpsmoke.readiness.wire import Exchange, Wire
from pytest_mcpsmoke.report.text import plural

_STOCK: Final = (
    "Server returned an error response",
    "Not Found",
    "Session terminated",
)  # the SDK's own words
_LOG: Final = "see the server's log for this request"

NO_TOOLS: Final = "check which servers the configuration registers, and which of them this key may use"
REMEDIES: Final = {
    Verdict.EMPTY_CATALOG: NO_TOOLS,
    Verdict.PINGS_ONLY: "it is up but has no catalogue to give: check in its log which upstream servers"
    " did not start or cannot be reached",
    Verdict.WRONG_METHOD: "check the path and --transport: streamable HTTP takes POST, often at /mcp;"
    " SSE takes GET, often at /sse",
    Verdict.FORBIDDEN: "the key is known but may not do this: widen what it may use, or take another",
    Verdict.TIMEOUT: "check that the process behind the address is alive and not stuck,"
    " or give it more time with --timeout",
}


def catalogue(tools: tuple[str, ...], where: str = "") -> Judged:
    """The verdict on a catalogue that came whole."""
    if not tools:
        return Judged(Verdict.EMPTY_CATALOG, f"a catalogue without tools{where}", NO_TOOLS)
    return Judged(Verdict.CATALOG, f"a catalogue of {plural(len(tools), 'tool')}{where}")


def judge(said: Said, wire: Wire, evidence: Evidence, *, url: str, is_late: bool, has_key: bool) -> Judged:
    """The verdict on one attempt over HTTP.

    Args:
        said: What was said.
        wire: What travelled.
        evidence: Which knows the secrets that must not be shown.
        url: The URL that was probed.
        is_late: Whether the attempt was cut off by the clock.
        has_key: Whether credentials were sent.
    """
    if said.is_listed:
        return catalogue(tuple(said.tools))
    if wire.catalogue is not None:
        return catalogue(wire.catalogue, " on a plain event stream, without MCP")
    exchange = wire.decisive
    if exchange is None or exchange.status is None:
        return _unanswered(said, exchange, evidence, url, is_late)
    if exchange.is_refused:
        return _refused(said, exchange, evidence, has_key)
    if exchange.problem is not None:
        return _error(f"{_asked(exchange)} was answered {exchange.told}: {exchange.problem}", _LOG)
    if exchange.is_stream and exchange.pings and not exchange.named:
        return _of(
            Verdict.PINGS_ONLY, f"{_stream(said, exchange)}: {plural(exchange.pings, 'ping')}, no event"
        )
    if exchange.is_stream and said.step == "initialize" and (is_late or exchange.is_ended):
        return _strange_stream(exchange)
    if is_late and exchange.kind == "application/json" and exchange.is_ended:
        return _error(f"{_asked(exchange)} was answered {exchange.told}, but not under the id it asked", _LOG)
    if is_late:
        return _of(Verdict.TIMEOUT, f"{said.step} was not answered in time ({exchange.told})")
    return _odd_answer(said, exchange, evidence)


def _of(verdict: Verdict, detail: str) -> Judged:
    return Judged(verdict, detail, REMEDIES.get(verdict))


def _error(detail: str, remedy: str) -> Judged:
    return Judged(Verdict.ERROR, detail, remedy)


def _asked(exchange: Exchange) -> str:
    return f"{exchange.method} ({exchange.asked})" if exchange.asked else exchange.method


def _stream(said: Said, exchange: Exchange) -> str:
    """What the event stream was to answer."""
    if said.step == "initialize":
        return f"{_asked(exchange)} was answered {exchange.told}"
    return f"the server introduced itself, but did not answer {said.step}"


def _unanswered(said: Said, exchange: Exchange | None, evidence: Evidence, url: str, is_late: bool) -> Judged:
    if is_late:
        asked = "the connection" if exchange is None else _asked(exchange)
        return _of(Verdict.TIMEOUT, f"no answer to {asked}")
    told = evidence.line(_told(said.failure))
    if "SSL" in told or "TLS" in told.upper():
        where = urlsplit(url)
        plain = show_url(where._replace(scheme="http").geturl())
        remedy = f"if the port speaks plain HTTP, probe {plain}; else check its certificate"
        return _error(f"no TLS connection: {told}", remedy)
    if type(said.failure).__name__ == "ConnectError":
        return _error(f"no connection: {told}", "start the server, or check host and port")
    return _error(
        f"no answer: {told}", "check that the port speaks HTTP (or HTTPS), and see the server's log"
    )


def _refused(said: Said, exchange: Exchange, evidence: Evidence, has_key: bool) -> Judged:
    status = exchange.status or 0
    detail = f"{_asked(exchange)} was answered {exchange.told}"
    if status == 401:
        challenge = exchange.headers.get("www-authenticate")
        told = f"WWW-Authenticate: {challenge}" if challenge else "without WWW-Authenticate"
        remedy = (
            "the key is not accepted: check that it is current and meant for this server"
            if has_key
            else "give a key: --bearer-env VAR, or --header 'Authorization: …'"
        )
        return Judged(Verdict.AUTH_REQUIRED, f"{detail}, {told}", remedy)
    if status == 403:
        return _of(Verdict.FORBIDDEN, detail)
    if status == 405:
        allow = exchange.headers.get("allow")
        return _of(Verdict.WRONG_METHOD, f"{detail}, {f'Allow: {allow}' if allow else 'without Allow'}")
    if "location" in exchange.headers and 300 <= status < 400:
        return _redirected(exchange, detail)
    words = evidence.line(_told(said.failure))
    if said.failure is not None and words not in _STOCK and type(said.failure).__name__ == "MCPError":
        detail = f"{detail}: {words}"
    if status == 404:
        return _error(detail, "check the path: streamable HTTP is often at /mcp, SSE at /sse")
    return _error(detail, _LOG)


def _redirected(exchange: Exchange, detail: str) -> Judged:
    location = show_url(exchange.headers["location"])
    return _error(
        f"{detail}, Location: {location}",
        "give the address itself: a redirect is followed only within its origin, and not in circles",
    )


def _strange_stream(exchange: Exchange) -> Judged:
    """An event stream that neither pings only nor answers."""
    detail = f"{_asked(exchange)} was answered {exchange.told}"
    if not exchange.named:
        if exchange.is_ended:
            return _error(f"{detail}: it ended without an event", _LOG)
        return _of(Verdict.TIMEOUT, f"{detail}: it stayed silent")
    names = ", ".join(sorted(set(exchange.named))[:5])
    return _error(f"{detail}: {plural(len(exchange.named), 'event')} ({names}), but no answer", _LOG)


def _odd_answer(said: Said, exchange: Exchange, evidence: Evidence) -> Judged:
    words = evidence.line(_told(said.failure))
    if isinstance(said.failure, EndlessCatalogue):
        return _endless(said.failure)
    if exchange.kind not in ("application/json", "text/event-stream"):
        kind = exchange.kind or "without a content type"
        page = "a web page" if "html" in kind else kind
        detail = f"{_asked(exchange)} was answered {exchange.told}: {page}, not MCP"
        return _error(detail, "check the path: streamable HTTP is often at /mcp, SSE at /sse")
    if "validation error" in words:
        return _error(f"{_asked(exchange)} was answered {exchange.told}, but with no message of MCP", _LOG)
    return _error(f"{said.step} failed: {words}", _LOG)


def _endless(failure: EndlessCatalogue) -> Judged:
    return _error(str(failure), "check the cursors of the server's tools/list: its last page has none")


def _told(failure: BaseException | None) -> str:
    """What an exception says, without the many lines of a validation; what the system said, if it did."""
    if failure is None:
        return "the conversation ended"
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        group = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else None
        cause = group or cause.__cause__ or cause.__context__
    first = str(failure).strip().partition("\n")[0]
    return first or type(failure).__name__


def tells_more(got: Judged, gets: Exchange | None) -> bool:
    """Whether what GET gave decides, where POST was refused: not when it was refused, too."""
    if gets is None:
        return False
    return gets.is_stream or got.verdict not in (Verdict.ERROR, Verdict.WRONG_METHOD)


def refused_twice(posted: Judged, posts: Exchange, gets: Exchange | None) -> Judged:
    """The verdict where POST was refused, and GET gave no event stream either."""
    if gets is None or gets.status is None:
        return posted
    detail = f"{posted.detail}; GET was answered {gets.told}"
    if posts.status == 404 and not gets.is_refused:
        return _of(Verdict.WRONG_METHOD, detail)  # 404 for a method: some frameworks do that
    return posted._replace(detail=detail)


def judge_child(said: Said, child: Child, evidence: Evidence, *, is_late: bool) -> Judged:
    """The verdict on a server that was started as a child process."""
    noise = ""
    if child.garbage:
        first = evidence.line(child.first, 80)
        noise = f"{plural(child.garbage, 'line')} on standard output that are not JSON-RPC, first: {first}"
    if said.is_listed:
        found = catalogue(tuple(said.tools))
        return found._replace(detail=f"{found.detail}; {noise}") if noise else found
    complaint = evidence.line(child.complaint)
    told = f"; standard error: {complaint}" if complaint else ""
    if isinstance(said.failure, OSError | ValueError):
        words = getattr(said.failure, "strerror", None) or _told(said.failure)
        return _error(
            f"it cannot be started: {evidence.line(words)}", "check the command, its path and the cwd"
        )
    if child.exit_status is not None:
        detail = f"the process ended with exit status {child.exit_status} before it answered {said.step}"
        return _error(detail + told, "run the command by hand, with the same environment")
    if noise and not child.messages:
        return _error(noise, "write logs to standard error: standard output is for JSON-RPC alone")
    if is_late:
        return _of(Verdict.TIMEOUT, f"no answer to {said.step}{told}")
    if isinstance(said.failure, EndlessCatalogue):
        return _endless(said.failure)
    return _error(f"{said.step} failed: {evidence.line(_told(said.failure))}{told}", _LOG)

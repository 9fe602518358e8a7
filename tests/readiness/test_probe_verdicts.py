"""A probe's verdict on real servers, one in each state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from clocks import LONG, run
from endpoints import (
    PINGS,
    REFUSED,
    PagedServer,
    answering,
    by_method,
    event,
    failing,
    refusing,
    served,
    silent,
    streaming,
)
from mcp.shared import _httpx_utils

from pytest_mcpsmoke.doubles.loopback import App
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness import talk
from pytest_mcpsmoke.readiness.events import Event
from pytest_mcpsmoke.readiness.probing import probe
from pytest_mcpsmoke.readiness.verdict import Call, Called, Probed, Verdict

Late = Callable[[list[Event]], object]


def after(words: str, times: int = 1) -> Late:
    """Time is over when so many events with these words have come."""
    return lambda came: sum(words in f"{each.what} {each.text}" for each in came) >= times


def never(came: list[Event]) -> bool:
    return False


def probed(url: str, late: Late = never, **options: Any) -> Probed:
    """Probe; time is over as soon as `late` holds of the events that have come."""
    came: list[Event] = []
    return run(lambda: probe(url, timeout_s=LONG, on_event=came.append, **options), lambda: late(came))


def seen(app: App, late: Late = never, **options: Any) -> Probed:
    with served(app) as url:
        return probed(url, late, **options)


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        made.tool("add", result="3")
        made.tool("read", result="text")
        yield made


class TestOfTheSdksServer:
    @pytest.mark.parametrize("transport", ["auto", "http"])
    @pytest.mark.parametrize("options", [{}, {"stateless": True}, {"json_response": True}])
    def test_streamable_http(self, up: McpUpstream, transport: Any, options: dict[str, bool]) -> None:
        found = probed(up.http(**options), transport=transport)
        assert found[1:9] == (
            "http",
            Verdict.CATALOG,
            ("add", "read"),
            "files",
            up_protocol(),
            "a catalogue of 2 tools",
            None,
            found.events,
        )
        assert found.call is None

    @pytest.mark.parametrize("transport", ["auto", "sse"])
    def test_sse(self, up: McpUpstream, transport: Any) -> None:
        found = probed(up.sse(), transport=transport)
        assert (found.transport, found.verdict, found.tools) == ("sse", Verdict.CATALOG, ("add", "read"))

    def test_the_handshake_of_older_servers(self) -> None:
        found = seen(PagedServer(lambda page: page + 1 if page < 2 else None))
        assert (found.verdict, found.tools) == (Verdict.CATALOG, ("tool_0", "tool_1", "tool_2"))
        assert (found.server, found.protocol) == ("paged 7", "2025-11-25")

    @pytest.mark.parametrize("transport", ["http", "sse"])
    def test_without_tools(self, transport: str) -> None:
        with McpUpstream() as up:
            found = probed(getattr(up, transport)())
        assert (found.transport, found.verdict, found.tools) == (transport, Verdict.EMPTY_CATALOG, ())
        assert found.remedy == (
            "check which servers the configuration registers, and which of them this key may use"
        )

    def test_the_wrong_transport(self, up: McpUpstream) -> None:
        found = probed(up.sse(), transport="http")
        assert found.verdict is Verdict.WRONG_METHOD
        assert found.detail.startswith("POST (initialize) was answered 405 Method Not Allowed")
        assert "Allow: " in found.detail
        assert probed(up.http(), transport="sse").detail == (
            "GET was answered 400 Bad Request application/json"
        )


def up_protocol() -> str:
    from mcp.types import LATEST_PROTOCOL_VERSION

    return str(LATEST_PROTOCOL_VERSION)


class TestCalls:
    @pytest.mark.parametrize("transport", ["http", "sse"])
    def test_a_tool(self, up: McpUpstream, transport: str) -> None:
        found = probed(getattr(up, transport)(), call=Call("add", {"a": 1}))
        assert (found.verdict, found.call) == (Verdict.CATALOG, Called("add", False, "3"))
        assert [each.arguments for each in up.tool_calls] == [{"a": 1}]

    def test_an_error_of_the_tool(self, up: McpUpstream) -> None:
        up.tool("bad", result=ValueError("out of paper"))
        assert probed(up.http(), call=Call("bad", {})).call == Called("bad", True, "out of paper")

    def test_an_unknown_tool(self, up: McpUpstream) -> None:
        assert probed(up.http(), call=Call("nope", {})).call == Called("nope", True, "Unknown tool: nope")

    def test_a_refusal_does_not_unsay_the_catalogue(self, up: McpUpstream) -> None:
        up.fault(status=400, on="tools/call")
        found = probed(up.http(), call=Call("add", {}))
        assert (found.transport, found.verdict) == ("http", Verdict.CATALOG)
        assert found.call is not None
        assert found.call.is_error

    def test_no_answer_in_time(self, up: McpUpstream) -> None:
        slow = up.fault.slow(60, on="tools/call")
        found = probed(up.http(), lambda _: slow.met, call=Call("add", {}))
        assert (found.verdict, found.call) == (Verdict.CATALOG, Called("add", True, "no answer in time"))


class TestFaultsOfTheUpstream:
    @pytest.mark.parametrize("transport", ["http", "sse"])
    def test_pings_instead_of_the_catalogue(self, up: McpUpstream, transport: str) -> None:
        up.fault.pings_only(on="tools/list")
        found = probed(getattr(up, transport)(), after("comment", times=2))
        assert (found.verdict, found.transport, found.server) == (Verdict.PINGS_ONLY, transport, "files")
        assert found.detail.startswith("the server introduced itself, but did not answer tools/list: ")
        assert found.detail.endswith(" pings, no event")

    def test_pings_from_the_beginning(self, up: McpUpstream) -> None:
        up.fault.pings_only(times="any")
        found = probed(up.http(), after("comment", times=2))
        assert (found.verdict, found.server) == (Verdict.PINGS_ONLY, None)
        assert "was answered 200 OK text/event-stream: " in found.detail

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_status(self, up: McpUpstream, status: int) -> None:
        up.fault(status=status, on="tools/list", times="any")
        found = probed(up.http())
        assert (found.verdict, found.remedy) == (Verdict.ERROR, "see the server's log for this request")
        assert found.detail.startswith(f"POST (tools/list) was answered {status} ")

    def test_a_status_to_what_is_posted_over_sse(self, up: McpUpstream) -> None:
        up.fault(status=502, on="tools/list")
        found = probed(up.sse(), transport="sse")
        assert (found.verdict, found.detail) == (
            Verdict.ERROR,
            "POST (tools/list) was answered 502 Bad Gateway text/plain",
        )

    def test_slow(self, up: McpUpstream) -> None:
        slow = up.fault.slow(60, times="any")
        found = probed(up.http(), lambda _: slow.met)
        assert found.verdict is Verdict.TIMEOUT
        assert found.detail.startswith("no answer to POST (")

    @pytest.mark.parametrize("transport", ["http", "sse"])
    def test_a_connection_that_is_cut(self, up: McpUpstream, transport: str) -> None:
        up.fault.disconnect(on="tools/list")
        found = probed(getattr(up, transport)())
        assert (found.verdict, found.transport) == (Verdict.ERROR, transport)
        assert ": the connection was closed: " in found.detail

    def test_malformed(self, up: McpUpstream) -> None:
        up.fault.malformed(on="tools/list")
        assert probed(up.http()).detail == (
            "POST (tools/list) was answered 200 OK application/json, but with no message of MCP"
        )


class TestKeys:
    @pytest.fixture(autouse=True)
    def tokens(self, up: McpUpstream) -> None:
        up.tokens(good="good-token-1", expired="old-token-1", forbidden="weak-token-1")

    @pytest.mark.parametrize("transport", ["http", "sse"])
    @pytest.mark.parametrize(
        ("token", "verdict", "remedy"),
        [
            (None, Verdict.AUTH_REQUIRED, "give a key: --bearer-env VAR, or --header 'Authorization: …'"),
            (
                "old-token-1",
                Verdict.AUTH_REQUIRED,
                "the key is not accepted: check that it is current and meant for this server",
            ),
            (
                "weak-token-1",
                Verdict.FORBIDDEN,
                "the key is known but may not do this: widen what it may use, or take another",
            ),
            ("good-token-1", Verdict.CATALOG, None),
        ],
    )
    def test_are_judged(
        self, up: McpUpstream, transport: str, token: str | None, verdict: Verdict, remedy: str | None
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        found = probed(getattr(up, transport)(), headers=headers)
        assert (found.verdict, found.remedy) == (verdict, remedy)
        assert token is None or token not in repr(found)
        if verdict is Verdict.AUTH_REQUIRED:
            assert ", WWW-Authenticate: Bearer " in found.detail

    def test_401_without_a_challenge(self) -> None:
        assert seen(answering(401)).detail == (
            "POST (initialize) was answered 401 Unauthorized, without WWW-Authenticate"
        )


class TestPlainEventStreams:
    """What the seeds' gateway had at /mcp/tools: a GET, without MCP around it."""

    TOOLS = event("tools", {"tools": [{"name": "query"}, {"name": "list_files"}]})

    @pytest.mark.parametrize("transport", ["auto", "sse"])
    def test_that_carries_a_catalogue(self, transport: Any) -> None:
        app = by_method(streaming(b": hello\n\n", self.TOOLS, repeat=PINGS), REFUSED)
        found = seen(app, transport=transport)
        assert (found.transport, found.verdict, found.tools) == (
            "events",
            Verdict.CATALOG,
            ("query", "list_files"),
        )
        assert found.detail == "a catalogue of 2 tools on a plain event stream, without MCP"

    def test_that_carries_an_empty_catalogue(self) -> None:
        found = seen(by_method(streaming(event("tools", []), repeat=PINGS), REFUSED))
        assert (found.transport, found.verdict) == ("events", Verdict.EMPTY_CATALOG)

    @pytest.mark.parametrize("ends", [True, False])
    def test_that_only_pings(self, ends: bool) -> None:
        app = by_method(streaming(PINGS, repeat=PINGS, ends=ends), REFUSED)
        found = seen(app, never if ends else after("comment", times=2))
        assert (found.transport, found.verdict, found.tools) == ("events", Verdict.PINGS_ONLY, ())
        assert found.detail.startswith("GET was answered 200 OK text/event-stream: ")
        assert found.detail.endswith(" pings, no event")
        assert found.remedy == (
            "it is up but has no catalogue to give: check in its log which upstream servers"
            " did not start or cannot be reached"
        )

    def test_that_tells_an_error(self) -> None:
        found = seen(by_method(streaming(event("error", "postgres did not start"), repeat=PINGS), REFUSED))
        assert (found.verdict, found.detail) == (
            Verdict.ERROR,
            "GET was answered 200 OK text/event-stream: event: error: postgres did not start",
        )

    def test_that_says_something_else(self) -> None:
        found = seen(by_method(streaming(event("hello", "you"), repeat=PINGS), REFUSED), after("event hello"))
        assert (found.verdict, found.detail) == (
            Verdict.ERROR,
            "GET was answered 200 OK text/event-stream: 1 event (hello), but no answer",
        )

    def test_that_stays_silent(self) -> None:
        found = seen(by_method(streaming(), REFUSED), after("response 200 OK text/event-stream"))
        assert (found.verdict, found.detail) == (
            Verdict.TIMEOUT,
            "GET was answered 200 OK text/event-stream: it stayed silent",
        )

    def test_that_ends_at_once(self) -> None:
        found = seen(by_method(streaming(ends=True), REFUSED))
        assert (found.verdict, found.detail) == (
            Verdict.ERROR,
            "GET was answered 200 OK text/event-stream: it ended without an event",
        )

    @pytest.mark.parametrize("via", ["get", "post"])
    def test_with_an_event_of_ten_megabytes(self, via: str) -> None:
        large = streaming(b"data: ", *[b"x" * 1024 * 1024] * 10, b"\n\n")
        found = seen(by_method(large, REFUSED) if via == "get" else large)
        assert found.verdict is Verdict.ERROR
        assert found.detail.endswith("200 OK text/event-stream: one event of more than 1,048,576 bytes")
        assert len(repr(found)) < 100_000


class TestWhatIsNoMcp:
    def test_a_web_page(self) -> None:
        found = seen(answering(200, b"<html>Welcome</html>", content_type="text/html; charset=utf-8"))
        assert (found.verdict, found.detail, found.remedy) == (
            Verdict.ERROR,
            "POST (initialize) was answered 200 OK text/html: a web page, not MCP",
            "check the path: streamable HTTP is often at /mcp, SSE at /sse",
        )

    def test_a_page_that_takes_only_get(self) -> None:
        page = answering(200, b"<html>", content_type="text/html")
        found = seen(by_method(page, answering(405, allow="GET, HEAD")))
        assert (found.verdict, found.detail) == (
            Verdict.WRONG_METHOD,
            "POST (initialize) was answered 405 Method Not Allowed, Allow: GET, HEAD;"
            " GET was answered 200 OK text/html",
        )

    def test_404_for_a_method(self) -> None:
        found = seen(by_method(answering(200, b"{}", content_type="application/json"), answering(404)))
        assert (found.verdict, found.detail) == (
            Verdict.WRONG_METHOD,
            "POST (initialize) was answered 404 Not Found; GET was answered 200 OK application/json",
        )

    def test_nothing_at_this_path(self) -> None:
        found = seen(answering(404))
        assert (found.verdict, found.detail) == (
            Verdict.ERROR,
            "POST (initialize) was answered 404 Not Found; GET was answered 404 Not Found",
        )

    @pytest.mark.parametrize(
        ("status", "detail"),
        [
            (200, "initialize failed: no database"),
            (500, "POST (initialize) was answered 500 Internal Server Error application/json: no database"),
        ],
    )
    def test_an_error_of_json_rpc(self, status: int, detail: str) -> None:
        found = seen(failing(status, -32603, "no database"))
        assert (found.verdict, found.detail) == (Verdict.ERROR, detail)

    def test_an_answer_under_another_id(self) -> None:
        found = seen(failing(200, -32603, "no database", shift=70), after("body", times=2))
        assert found.verdict is Verdict.ERROR
        assert found.detail.endswith("200 OK application/json, but not under the id it asked")

    @pytest.mark.parametrize(
        ("after", "detail"),
        [
            (lambda page: 1, "the catalogue has no end: page 2 leads to an earlier page"),
            (lambda page: page + 1, "the catalogue has no end: 100 pages, and one more is announced"),
        ],
    )
    def test_a_catalogue_without_end(self, after: Any, detail: str) -> None:
        found = seen(PagedServer(after))
        assert (found.verdict, found.detail, found.tools[:2]) == (Verdict.ERROR, detail, ("tool_0", "tool_1"))

    def test_a_redirect_loop(self) -> None:
        found = seen(answering(307, location="/mcp"))
        assert (found.verdict, found.detail, found.remedy) == (
            Verdict.ERROR,
            "POST (initialize) was answered 307 Temporary Redirect, Location: /mcp",
            "give the address itself: a redirect is followed only within its origin, and not in circles",
        )

    @pytest.mark.skipif(
        not hasattr(_httpx_utils, "stream_within_origin"), reason="older SDKs leave redirects to the client"
    )
    def test_a_redirect_within_the_origin_is_followed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            there = PagedServer(lambda page: None)
            await (there if scope["path"] == "/mcp/" else answering(307, location="/mcp/"))(
                scope, receive, send
            )

        assert seen(app).verdict is Verdict.CATALOG

    def test_a_redirect_elsewhere_carries_no_key_there(self) -> None:
        with McpUpstream() as other:
            found = seen(answering(307, location=other.http()), headers={"x-litellm-api-key": "key-for-here"})
            assert len(other.journal) == 0
        assert found.verdict is Verdict.ERROR


class TestConnections:
    def test_refused(self) -> None:
        with refusing() as url:
            found = probed(url)
        assert (found.verdict, found.remedy) == (Verdict.ERROR, "start the server, or check host and port")
        assert found.detail.startswith("no connection: ")

    def test_accepted_and_silent(self) -> None:
        with silent() as url:
            found = probed(url, after("request POST"))
        assert (found.verdict, found.detail) == (Verdict.TIMEOUT, "no answer to POST (server/discover)")

    def test_tls_on_a_plain_port(self) -> None:
        with served(answering()) as url:
            found = probed(url.replace("http:", "https:"))
        assert found.verdict is Verdict.ERROR
        assert found.detail.startswith("no TLS connection: ")
        assert found.remedy == f"if the port speaks plain HTTP, probe {url}; else check its certificate"

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("mcp", "mcp"),
            ("ftp://host/", "ftp://host/"),
            ("http:///mcp", "http:///mcp"),
            ("http://user:secret-word@host:99999999/", "http://***@host:99999999/"),
            ("http://[::1/", "'http://[::1/'"),
            ("http://a b/", "http://a b/"),
        ],
    )
    def test_what_is_no_url(self, url: str, shown: str) -> None:
        with pytest.raises(UsageProblem) as raised:
            probed(url)
        assert str(raised.value) == f"{shown}: not a URL; give one like http://127.0.0.1:8000/mcp"


class TestTheEnd:
    def test_sessions_are_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server of the handshake protocols holds a session until DELETE, or for ever."""
        monkeypatch.setattr(talk, "_FAREWELL", LONG)
        with served(PagedServer(lambda page: None, session="s-1")) as url:
            found = probed(url)
        requests = [each.text for each in found.events if each.what == "request"]
        assert (found.verdict, requests[-1]) == (Verdict.CATALOG, f"DELETE {url}")

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_on_either_loop(self, up: McpUpstream, backend: str) -> None:
        pytest.importorskip(backend)
        url = up.http()
        found = anyio.run(lambda: probe(url, timeout_s=LONG), backend=backend)
        assert found.verdict is Verdict.CATALOG

    def test_events_come_as_they_happen(self, up: McpUpstream) -> None:
        came: list[Any] = []
        url = up.http()
        found = anyio.run(lambda: probe(url, on_event=came.append))
        assert tuple(came) == found.events
        assert [each.what for each in came[:4]] == ["request", "body", "response", "body"]

"""The probe: who is asked, with what, when, and what comes of each answer; every fact by the journals."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from by_hand import BY_KEY, CATALOGUE, LEGACY, MODERN, OPS, PROTOCOLS, knock
from mcp import Client
from starlette.datastructures import Headers

from pytest_mcpsmoke import McpUpstream, assert_overlap
from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from reference_app.gateway.access import Access, Caller
from reference_app.gateway.probe import probe
from reference_app.gateway.settings import ClientCredentials, Key, McpServer

pytestmark = pytest.mark.smoke

Start = Callable[..., Any]
StartUpstream = Callable[[str], McpUpstream]
TOKEN = ("Authorization", "Bearer of-the-client")
HEADERS = [*BY_KEY.items(), TOKEN]
WAYS = (*PROTOCOLS, CATALOGUE)
PASSED = ("Authorization",)
GUEST = "sk-guest-0123456789"
PATIENCE = 20.0  # seconds, that only what hangs takes


def passing(url: str, transport: str = "http", **options: Any) -> McpServer:
    """Returns the configuration of a pass-through server."""
    return McpServer(transport, url=url, extra_headers=PASSED, **options)


def probes(upstream: McpUpstream) -> list[Entry]:
    """Returns the probes that arrived over streamable HTTP."""
    return [call.entry for call in upstream.journal.rpc("ping") if call.id == "probe"]


@pytest.fixture
def answering() -> Iterator[Callable[..., LoopbackServer]]:
    """Starts servers that answer everything in one way: `answering(401, ("WWW-Authenticate", "Basic"))`."""
    with ExitStack() as stack:

        def start_one(status: int, *headers: tuple[str, str], body: bytes = b"") -> LoopbackServer:
            raw = [(name.encode(), value.encode()) for name, value in headers]

            async def app(scope: Any, receive: Any, send: Any) -> None:
                await send({"type": "http.response.start", "status": status, "headers": raw})
                await send({"type": "http.response.body", "body": body})

            return stack.enter_context(LoopbackServer(app, who="upstream"))

        yield start_one


# Who is asked


@pytest.mark.parametrize("how", PROTOCOLS)
def test_only_the_selected_pass_through_servers_that_the_key_may_use_are_asked_each_once(
    start: Start,
    start_upstream: StartUpstream,
    answering: Callable[..., LoopbackServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setenv("SECRET", "of-the-machine")
    names = ("http", "sse", "unselected", "foreign", "plain", "machine", "static", "static-env", "child")
    up = {name: start_upstream(name) for name in names}
    child = up["child"].stdio()
    api, tokens = answering(200), answering(200, body=b'{"access_token": "of-the-gateway"}')
    spec = {"openapi": "3.1.0", "info": {"title": "api", "version": "1"}, "paths": {"/a": {"get": {}}}}
    (tmp_path / "api.json").write_text(json.dumps(spec))
    gateway = start(
        {
            "http": passing(up["http"].http()),
            "sse": McpServer("sse", url=up["sse"].sse(), extra_headers=("X-Trace", "authorization")),
            "unselected": passing(up["unselected"].http()),
            "foreign": passing(up["foreign"].http()),
            "plain": McpServer("http", url=up["plain"].http(), extra_headers=("X-Trace",)),
            "machine": passing(
                up["machine"].http(), client_credentials=ClientCredentials(tokens.url, "gateway", "SECRET")
            ),
            "static": passing(up["static"].http(), static_headers={"AUTHORIZATION": "Bearer static"}),
            "static-env": passing(
                up["static-env"].sse(), "sse", static_headers_env={"authorization": "SECRET"}
            ),
            "child": McpServer("stdio", command=child.command, args=tuple(child.args)),
            "api": McpServer(
                "openapi", url=api.url, spec_path=str(tmp_path / "api.json"), extra_headers=PASSED
            ),
        },
        keys={"ops": (OPS, {"servers": tuple(name for name in (*names, "api") if name != "foreign")})},
    )
    wish = ",".join(name for name in (*names, "api") if name != "unselected")
    answer = knock(gateway.url, how, [*HEADERS, ("x-mcp-servers", wish)])
    assert answer.status == 200
    assert {name: len(each.journal) for name, each in up.items()} == {
        **dict.fromkeys(names, 0),
        "http": 1,
        "sse": 1,
    }
    asked = [
        (entry.method, entry.header("authorization"))
        for name in ("http", "sse")
        for entry in up[name].journal
    ]
    assert asked == [("POST", [TOKEN[1]]), ("GET", [TOKEN[1]])]
    assert sum(up[name].journal.connections for name in names if name not in ("http", "sse")) == 0
    assert (api.journal.connections, tokens.journal.connections, up["child"].children) == (0, 0, [])


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_each_post_is_preceded_by_one_probe(start: Start, start_upstream: StartUpstream, mode: str) -> None:
    upstream = start_upstream("files")
    upstream.tool("read", result="hello")
    gateway = start({"files": passing(upstream.http())})

    async def work(client: Client) -> None:
        await client.list_tools()
        await client.call_tool("files-read")

    gateway.ask(work, dict(HEADERS), mode)
    posts = gateway.server.journal.posts("/mcp")
    assert [post.json["method"] for post in posts][-2:] == ["tools/list", "tools/call"]
    assert len(probes(upstream)) == len(posts)
    assert upstream.journal[0] is probes(upstream)[0]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Authorization", f"Bearer {OPS}")], id="the key came in it"),
        pytest.param([*BY_KEY.items(), ("Authorization", f"Bearer {OPS}")], id="the same key"),
        pytest.param([*BY_KEY.items(), ("Authorization", OPS)], id="the same key, bare"),
        pytest.param(
            [*BY_KEY.items(), ("authorization", f"bearer  {GUEST}")], id="another key of the gateway"
        ),
        pytest.param([*BY_KEY.items()], id="there is none"),
    ],
)
@pytest.mark.parametrize("how", PROTOCOLS)
def test_nobody_is_asked_when_authorization_may_be_a_key_of_the_gateway(
    start: Start, start_upstream: StartUpstream, how: str, headers: list[tuple[str, str]]
) -> None:
    upstream = start_upstream("files")
    gateway = start(
        {"files": passing(upstream.http())},
        keys={"ops": (OPS, {"servers": ("*",)}), "guest": (GUEST, {"servers": ("*",)})},
    )
    assert knock(gateway.url, how, headers).status == 200
    assert upstream.journal.connections == 0


# With what


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("how", PROTOCOLS)
def test_a_probe_carries_what_the_request_would(
    start: Start, start_upstream: StartUpstream, monkeypatch: pytest.MonkeyPatch, how: str, transport: str
) -> None:
    monkeypatch.setenv("TEAM", "blue")
    upstream = start_upstream("files")
    server = McpServer(
        transport,
        url=getattr(upstream, transport)(),
        extra_headers=("authoriZation", "X-Trace", "X-Not-Sent"),
        static_headers={"X-Region": "north"},
        static_headers_env={"X-Team": "TEAM"},
    )
    gateway = start({"files": server})
    assert (
        knock(gateway.url, how, [*HEADERS, ("x-trace", "t-1"), ("x-private", "p"), ("Cookie", "c=1")]).status
        == 200
    )
    [probe] = upstream.journal
    wanted = ("authorization", "x-trace", "x-region", "x-team", "x-not-sent", "x-private", "cookie")
    assert sorted(probe.sent(*wanted)) == [
        ("X-Region", "north"),
        ("X-Team", "blue"),
        ("X-Trace", "t-1"),
        ("authoriZation", TOKEN[1]),
    ]
    assert probe.sent("x-litellm-api-key", "x-mcp-servers", "mcp-session-id") == []
    assert OPS not in str(probe.headers) + probe.text


@pytest.mark.parametrize("how", PROTOCOLS)
def test_the_cookie_of_one_clients_probe_is_not_sent_with_the_next(
    start: Start, answering: Callable[..., LoopbackServer], how: str
) -> None:
    upstream = answering(200, ("Set-Cookie", "session=of-the-first; Path=/"))
    gateway = start({"files": passing(upstream.url)})
    for token in ("first", "second"):
        knock(gateway.url, how, [*BY_KEY.items(), ("Authorization", f"Bearer {token}")])
    sent = [(entry.header("authorization"), entry.header("cookie")) for entry in upstream.journal]
    assert sent == [(["Bearer first"], []), (["Bearer second"], [])]


# When


@pytest.mark.parametrize("how", PROTOCOLS)
def test_all_are_asked_at_the_same_time(start: Start, start_upstream: StartUpstream, how: str) -> None:
    upstreams = [start_upstream(name) for name in ("a", "b", "c")]
    all_have_come = threading.Barrier(len(upstreams))
    for upstream in upstreams:  # each by a thread of its own, which the predicate holds
        upstream.fault.slow(0, on=lambda _: all_have_come.wait(PATIENCE / 2) >= 0)
    servers = {upstream.name: passing(upstream.http()) for upstream in upstreams}
    gateway = start(servers, probe_seconds=PATIENCE)
    assert knock(gateway.url, how, HEADERS).status == 200
    # The last had arrived before the first was answered: together they take as long as one.
    assert_overlap({upstream.name: upstream.journal.assert_one("POST") for upstream in upstreams})


# What comes of it


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("how", WAYS)
def test_an_upstreams_401_is_the_answer_with_its_challenge(
    start: Start, start_upstream: StartUpstream, how: str, transport: str
) -> None:
    upstream = start_upstream("files")
    upstream.tokens(good="another")
    gateway = start({"files": passing(getattr(upstream, transport)(), transport)})
    answer = knock(gateway.url, how, HEADERS)
    assert answer.status == 401
    [challenge] = answer.headers.get_list("www-authenticate")
    assert challenge.startswith(
        'Bearer error="invalid_token", error_description="the token is unknown", resource'
    )
    assert json.loads(answer.text) == {"detail": "files does not take the client's token"}
    assert [entry.status for entry in upstream.journal] == [401]


@pytest.mark.parametrize("how", WAYS)
def test_two_challenges_stay_two_headers(
    start: Start, answering: Callable[..., LoopbackServer], how: str
) -> None:
    challenges = [("WWW-Authenticate", 'Bearer realm="a", scope="b c"'), ("www-authenticate", "Basic")]
    gateway = start({"files": passing(answering(401, *challenges).url)})
    answer = knock(gateway.url, how, HEADERS)
    assert answer.status == 401
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="a", scope="b c"', "Basic"]


@pytest.mark.parametrize("how", WAYS)
def test_a_401_without_a_challenge_gets_one(
    start: Start, answering: Callable[..., LoopbackServer], how: str
) -> None:
    gateway = start({"files": passing(answering(401).url)})
    answer = knock(gateway.url, how, HEADERS)
    assert (answer.status, answer.headers.get_list("www-authenticate")) == (401, ['Bearer realm="files"'])


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("how", WAYS)
def test_an_upstreams_403_is_the_answer_without_a_challenge(
    start: Start, start_upstream: StartUpstream, how: str, transport: str
) -> None:
    upstream = start_upstream("files")
    upstream.tokens(forbidden="of-the-client")
    gateway = start({"files": passing(getattr(upstream, transport)(), transport)})
    answer = knock(gateway.url, how, HEADERS)
    assert (answer.status, answer.headers.get_list("www-authenticate")) == (403, [])
    assert json.loads(answer.text) == {"detail": "files forbids this to the client's token"}
    assert [entry.status for entry in upstream.journal] == [403]


@pytest.mark.parametrize("how", WAYS)
def test_of_several_refusals_a_401_comes_before_a_403_and_then_the_first_server(
    start: Start, answering: Callable[..., LoopbackServer], how: str
) -> None:
    statuses = {"broken": 500, "forbids": 403, "first": 401, "second": 401}
    gateway = start({name: passing(answering(status).url) for name, status in statuses.items()})
    answer = knock(gateway.url, how, HEADERS)
    assert (answer.status, answer.headers.get_list("www-authenticate")) == (401, ['Bearer realm="first"'])


@pytest.mark.parametrize("status", [200, 204, 400, 404, 405, 429, 500, 503])
@pytest.mark.parametrize("how", WAYS)
def test_whatever_else_an_upstream_answers_the_request_goes_on(
    start: Start, answering: Callable[..., LoopbackServer], how: str, status: int
) -> None:
    upstream = answering(status, ("WWW-Authenticate", "Basic"))
    gateway = start({"files": passing(upstream.url)})
    answer = knock(gateway.url, how, HEADERS)
    assert (answer.status, answer.headers.get_list("www-authenticate")) == (200, [])
    assert upstream.journal[0].status == status


@pytest.mark.parametrize("how", WAYS)
def test_a_redirect_is_not_followed_with_the_clients_token(
    start: Start, answering: Callable[..., LoopbackServer], how: str
) -> None:
    elsewhere = answering(401)
    upstream = answering(307, ("Location", elsewhere.url))
    gateway = start({"files": passing(upstream.url)})
    assert knock(gateway.url, how, HEADERS).status == 200
    assert len(upstream.journal) >= 1
    assert elsewhere.journal.connections == 0


@pytest.mark.parametrize("how", WAYS)
def test_an_upstream_that_refuses_connections_does_not_keep_the_request(start: Start, how: str) -> None:
    with socket.socket() as held:  # bound, so that nobody else gets the port, but not listening
        held.bind(("127.0.0.1", 0))
        gateway = start({"files": passing(f"http://127.0.0.1:{held.getsockname()[1]}/mcp")})
        assert knock(gateway.url, how, HEADERS).status == 200


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("how", WAYS)
def test_an_upstream_that_does_not_answer_in_time_does_not_keep_the_request(
    start: Start, start_upstream: StartUpstream, how: str, transport: str
) -> None:
    upstream = start_upstream("slow")
    upstream.fault.slow(60, on=lambda _: True, times="any")
    servers = {"slow": passing(getattr(upstream, transport)(), transport)}
    assert knock(start(servers, probe_seconds=0.1).url, how, HEADERS).status == 200
    assert {entry.status for entry in upstream.journal} <= {None}


def test_a_probe_may_take_as_long_as_is_configured_and_not_as_the_http_client_likes() -> None:
    bounds: list[Any] = []

    def upstream(request: httpx2.Request) -> httpx2.Response:
        bounds.append(request.extensions["timeout"])
        return httpx2.Response(200)

    async def run() -> None:
        caller = Caller("ops", Key("KEY_OPS", servers=("*",)), authorization=TOKEN[1])
        access = Access(caller, ("files",), Headers(dict([TOKEN])))
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(upstream)) as client:
            await probe(access, {"files": passing("http://files.test/mcp")}, client, seconds=60)

    asyncio.run(run())
    assert [set(each.values()) for each in bounds] == [{None}]


def test_an_upstream_that_does_not_answer_in_time_does_not_hide_what_another_answered(
    start: Start, start_upstream: StartUpstream
) -> None:
    slow, refusing = start_upstream("slow"), start_upstream("refusing")
    slow.fault.slow(60, on=lambda _: True, times="any")
    refusing.tokens(good="another")
    gateway = start({each.name: passing(each.http()) for each in (slow, refusing)}, probe_seconds=5)
    assert knock(gateway.url, MODERN, HEADERS).status == 401
    assert [[entry.status for entry in each.journal] for each in (slow, refusing)] == [[None], [401]]


@pytest.mark.parametrize("how", [LEGACY, MODERN])
def test_a_refused_request_gets_no_further(start: Start, start_upstream: StartUpstream, how: str) -> None:
    refusing, other = start_upstream("refusing"), start_upstream("other")
    refusing.tokens(good="another")
    gateway = start({"refusing": passing(refusing.http()), "other": McpServer("http", url=other.http())})
    answer = knock(gateway.url, how, HEADERS)
    assert (answer.status, "mcp-session-id" in answer.headers) == (401, False)
    assert other.journal.connections == 0

"""What hooks do to a call, and the layers of headers below them; every fact by what arrived upstream."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from by_hand import BY_KEY, INITIALIZE, LEGACY, OPS, PROTOCOLS, call, call_in, post
from fastapi import HTTPException
from mcp import Client, MCPError

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from reference_app.gateway.hooks import PreMcpCall
from reference_app.gateway.settings import ClientCredentials, McpServer

pytestmark = pytest.mark.smoke

Start = Callable[..., Any]
StartUpstream = Callable[[str], McpUpstream]
ROOT = Path(__file__).resolve().parents[2]
MODES = ("legacy", "2026-07-28")
SECRET = "of-the-client-itself"
CLIENT_TOKEN = "Bearer of-the-client"


class TokenServer(LoopbackServer):
    """Gives the tokens token-1, token-2, …, or answers as it is told."""

    def __init__(self) -> None:
        super().__init__(self._give, who="token server")
        self.life: Any = 3600
        self.answer: tuple[int, bytes] | None = None
        self._given = 0

    async def _give(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self._given += 1
        token = {"access_token": f"token-{self._given}", "token_type": "Bearer", "expires_in": self.life}
        status, body = self.answer or (200, json.dumps(token).encode())
        headers = [(b"content-type", b"application/json"), (b"set-cookie", b"s=1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def token_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    with TokenServer() as server:
        yield server


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[LoopbackServer, McpServer]]:
    """An API, and the configuration by which a gateway reaches it: its tool is get_a."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from the API"})

    paths = {"/a": {"get": {"operationId": "get_a"}}}
    spec = {"openapi": "3.1.0", "info": {"title": "api", "version": "1"}, "paths": paths}
    (tmp_path / "api.json").write_text(json.dumps(spec))
    with LoopbackServer(answer, who="API") as server:
        yield server, McpServer("openapi", url=server.url, spec_path=str(tmp_path / "api.json"))


def credentials(tokens: TokenServer, **options: Any) -> ClientCredentials:
    return ClientCredentials(f"{tokens.url}/token", "the-gateway", "CLIENT_SECRET", **options)


def adding(**headers: str) -> Callable[[PreMcpCall], Any]:
    """Returns a hook that adds headers."""
    return lambda _: {"extra_headers": headers}


async def read(client: Client) -> Any:
    """Calls the one tool."""
    return await client.call_tool("files-read", {"path": "/a"})


async def listed(client: Client) -> Any:
    """Lists the tools: one request, and nothing more."""
    return await client.list_tools()


async def refused(client: Client) -> str:
    """Calls the one tool, and returns what the error says."""
    with pytest.raises(MCPError) as raised:
        await read(client)
    return raised.value.error.message


@pytest.fixture
def files(start_upstream: StartUpstream) -> McpUpstream:
    upstream = start_upstream("files")
    upstream.tool("read", result={"text": "hello"})
    return upstream


# The layers, weakest first: oauth2, extra_headers, static_headers, hook

AUTHORIZATION = ("aUTHORIZATION", "authorization", "AUTHORIZATION", "Authorization")
TEAM = ("", "x-team", "X-TEAM", "X-Team")
LAYERS = ("oauth2", "extra", "static", "hook")


def _casing(name: tuple[str, ...], layer: str) -> str:
    return "Authorization" if layer == "oauth2" else name[LAYERS.index(layer)]


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize(
    ("name", "weaker", "stronger", "wins"),
    [
        # The exception: a server with credentials of the gateway's own is never sent the client's.
        (AUTHORIZATION, "oauth2", "extra", "oauth2"),
        (AUTHORIZATION, "oauth2", "static", "static"),
        (AUTHORIZATION, "oauth2", "hook", "hook"),
        (AUTHORIZATION, "extra", "static", "static"),
        (AUTHORIZATION, "extra", "hook", "hook"),
        (AUTHORIZATION, "static", "hook", "hook"),
        (TEAM, "extra", "static", "static"),
        (TEAM, "extra", "hook", "hook"),
        (TEAM, "static", "hook", "hook"),
    ],
)
def test_of_a_header_that_two_layers_have_the_stronger_ones_arrives_alone_and_in_its_casing(
    start: Start,
    files: McpUpstream,
    token_server: TokenServer,
    transport: str,
    name: tuple[str, ...],
    weaker: str,
    stronger: str,
    wins: str,
) -> None:
    here = {layer: _casing(name, layer) for layer in (weaker, stronger)}
    server = McpServer(
        transport,
        url=getattr(files, transport)(),
        client_credentials=credentials(token_server) if "oauth2" in here else None,
        extra_headers=(here["extra"],) if "extra" in here else (),
        static_headers={here["static"]: "of static"} if "static" in here else {},
    )
    hooks = [adding(**{here["hook"]: "of hook"})] if "hook" in here else []
    gateway = start({"files": server}, hooks=hooks)
    gateway.ask(read, {**BY_KEY, "authorization": "of extra", "x-team": "of extra"})
    value = "Bearer token-1" if wins == "oauth2" else f"of {wins}"
    [arrived] = files.tool_calls
    assert arrived.entry.sent(name[-1]) == [(here[wins], value)]


def test_layers_that_have_different_headers_are_all_sent(
    start: Start, files: McpUpstream, token_server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION", "north")
    server = McpServer(
        "http",
        url=files.http(),
        client_credentials=credentials(token_server),
        extra_headers=("X-Trace",),
        static_headers={"X-Team": "blue"},
        static_headers_env={"X-Region": "REGION"},
    )
    start({"files": server}, hooks=[adding(**{"X-Hook": "h"})]).ask(
        read, {**BY_KEY, "x-trace": "t", "x-own": "o"}
    )
    [arrived] = files.tool_calls
    names = ("authorization", "x-trace", "x-team", "x-region", "x-hook", "x-own", "x-litellm-api-key")
    assert sorted(arrived.entry.sent(*names)) == [
        ("Authorization", "Bearer token-1"),
        ("X-Hook", "h"),
        ("X-Region", "north"),
        ("X-Team", "blue"),
        ("X-Trace", "t"),
    ]


# The gateway's own tokens


@pytest.mark.parametrize("mode", MODES)
def test_a_token_is_fetched_once_for_all_who_need_it_and_used_again(
    start: Start, files: McpUpstream, token_server: TokenServer, mode: str
) -> None:
    own = credentials(token_server, scope="files.read files.list")
    gateway = start({"files": McpServer("http", url=files.http(), client_credentials=own)})

    async def work(client: Client) -> None:
        await asyncio.gather(read(client), read(client), client.list_tools())
        await read(client)

    gateway.ask(work, mode=mode)
    [asked] = token_server.journal
    assert (asked.method, asked.path) == ("POST", "/token")
    assert parse_qs(asked.text) == {
        "grant_type": ["client_credentials"],
        "client_id": ["the-gateway"],
        "client_secret": [SECRET],
        "scope": ["files.read files.list"],
    }
    sent = {value for entry in files.journal for value in entry.header("authorization")}
    assert sent == {"Bearer token-1"}


def test_a_token_is_renewed_at_its_end(start: Start, files: McpUpstream, token_server: TokenServer) -> None:
    token_server.life = 30  # which is not used in its last 30 s, so never twice
    gateway = start(
        {"files": McpServer("http", url=files.http(), client_credentials=credentials(token_server))}
    )
    gateway.ask(listed)
    token_server.life = 3600
    gateway.ask(listed)
    gateway.ask(listed)
    sent = [arrived.entry.header("authorization") for arrived in files.journal.rpc("tools/list")]
    assert sent == [["Bearer token-1"], ["Bearer token-2"], ["Bearer token-2"]]
    assert [entry.header("cookie") for entry in token_server.journal] == [[], []]


@pytest.mark.parametrize("life", [None, "3600", "soon", float("nan"), float("inf"), 10**400, True, -5])
def test_a_token_serves_the_call_that_fetched_it_whatever_its_life(
    start: Start, files: McpUpstream, token_server: TokenServer, life: Any
) -> None:
    token_server.life = life
    gateway = start(
        {"files": McpServer("http", url=files.http(), client_credentials=credentials(token_server))}
    )
    gateway.ask(read)
    assert [arrived.entry.header("authorization") for arrived in files.tool_calls] == [["Bearer token-1"]]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((401, f'{{"error": "{SECRET}"}}'.encode()), "the token server answered 401"),
        ((302, b""), "the token server answered 302"),
        ((503, b"later"), "the token server answered 503"),
        ((200, b"no JSON"), "the token server's answer holds no access_token"),
        ((200, b"\xff\xfe"), "the token server's answer holds no access_token"),
        ((200, b'{"token": "x"}'), "the token server's answer holds no access_token"),
        ((200, b'{"access_token": 5}'), "the token server's answer holds no access_token"),
        ((200, b'{"access_token": ""}'), "the token server's answer holds no access_token"),
        ((200, b'["access_token"]'), "the token server's answer holds no access_token"),
        (
            (200, b'{"access_token": "of-the-server\\r\\nX-Own: 1"}'),
            "the token server's answer holds no access_token",
        ),
        (None, "the token server cannot be reached: ConnectError"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_token_server_that_gives_none_is_told_without_secrets(
    start: Start,
    files: McpUpstream,
    token_server: TokenServer,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    answer: tuple[int, bytes] | None,
    why: str,
) -> None:
    own = credentials(token_server)
    token_server.answer = answer
    gateway = start({"files": McpServer("http", url=files.http(), client_credentials=own)})
    if answer is None:
        token_server.close()
    with caplog.at_level(logging.DEBUG, "reference_app"):
        assert gateway.ask(refused, mode=mode) == f"no token for files: {why}"
    assert files.journal.connections == 0
    assert not any(secret in caplog.text for secret in (SECRET, "of-the-server"))


# What hooks are told, and what they change


@pytest.mark.parametrize("mode", MODES)
def test_a_hook_is_told_of_the_call_and_who_makes_it(start: Start, files: McpUpstream, mode: str) -> None:
    told: list[PreMcpCall] = []
    claims = {"sub": "ada", "groups": ["ops", "dev"], "deep": {"level": 2}}
    keys = {"ada": (OPS, {"servers": ("*",), "jwt_claims": claims})}
    start({"files": McpServer("http", url=files.http())}, keys, [told.append]).ask(read, mode=mode)
    assert told == [PreMcpCall("files", "read", {"path": "/a"}, "ada", claims)]
    assert [arrived.arguments for arrived in files.tool_calls] == [{"path": "/a"}]


def _synchronous(call: PreMcpCall) -> Mapping[str, Any]:
    return {"modified_arguments": {**call.arguments, "by": "sync"}}


async def _asynchronous(call: PreMcpCall) -> Mapping[str, Any]:
    await asyncio.sleep(0)
    return {"modified_arguments": {**call.arguments, "by": "async"}}


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [
        (_synchronous, {"path": "/a", "by": "sync"}),
        (_asynchronous, {"path": "/a", "by": "async"}),
        (lambda _: {"modified_arguments": {}}, {}),
        (lambda _: {"modified_arguments": {"é": [1, {"a": None}]}}, {"é": [1, {"a": None}]}),
        (lambda _: None, {"path": "/a"}),
        (lambda _: {}, {"path": "/a"}),
        (lambda _: {"modified_arguments": None, "extra_headers": None}, {"path": "/a"}),
        (adding(**{"X-Hook": "h"}), {"path": "/a"}),
    ],
    ids=["sync", "async", "emptied", "others", "None", "nothing", "Nones", "headers only"],
)
@pytest.mark.parametrize("mode", MODES)
def test_arguments_arrive_as_the_hook_leaves_them(
    start: Start, files: McpUpstream, mode: str, hook: Any, arguments: dict[str, Any]
) -> None:
    answer = start({"files": McpServer("http", url=files.http())}, hooks=[hook]).ask(read, mode=mode)
    assert answer.structured_content == {"text": "hello"}
    assert [arrived.arguments for arrived in files.tool_calls] == [arguments]


def test_a_later_hook_sees_what_an_earlier_one_made_and_wins(start: Start, files: McpUpstream) -> None:
    seen = []

    def first(call: PreMcpCall) -> Any:
        seen.append(("first", dict(call.arguments)))
        return {"modified_arguments": {"path": "/b"}, "extra_headers": {"x-team": "first", "X-First": "1"}}

    async def second(call: PreMcpCall) -> Any:
        seen.append(("second", dict(call.arguments)))
        return {"modified_arguments": {**call.arguments, "n": 2}, "extra_headers": {"X-Team": "second"}}

    start({"files": McpServer("http", url=files.http())}, hooks=[first, second]).ask(read)
    assert seen == [("first", {"path": "/a"}), ("second", {"path": "/b"})]
    [arrived] = files.tool_calls
    assert arrived.arguments == {"path": "/b", "n": 2}
    assert sorted(arrived.entry.sent("x-team", "x-first")) == [("X-First", "1"), ("X-Team", "second")]


def test_the_headers_of_one_calls_hook_are_not_sent_with_another(start: Start, files: McpUpstream) -> None:
    def hook(call: PreMcpCall) -> Any:
        return {"extra_headers": {"X-Path": call.arguments["path"]}}

    async def work(client: Client) -> None:
        await asyncio.gather(*(client.call_tool("files-read", {"path": f"/{n}"}) for n in range(8)))
        await client.list_tools()

    start({"files": McpServer("http", url=files.http())}, hooks=[hook]).ask(work)
    sent = {arrived.arguments["path"]: arrived.entry.header("x-path") for arrived in files.tool_calls}
    assert sent == {f"/{n}": [f"/{n}"] for n in range(8)}
    listings = files.journal.rpc("tools/list")
    assert {name for listing in listings for name in listing.entry.header("x-path")} == set()
    assert listings


# Upstreams that take no headers of hooks


@pytest.mark.parametrize("how", PROTOCOLS)
def test_openapi_with_headers_of_a_hook_is_a_400_and_nothing_is_sent(
    start: Start, api: tuple[LoopbackServer, McpServer], how: str
) -> None:
    server, settings = api
    is_adding = [True]
    hook = lambda _: {"extra_headers": {"X-Hook": "h"}} if is_adding[0] else None  # noqa: E731
    gateway = start({"api": settings}, hooks=[hook])
    answer = call(gateway.url, how, "api-get_a", BY_KEY.items())
    assert answer.status == 400
    assert answer.text == '{"detail":"api is backed by OpenAPI, which takes no headers from hooks"}'
    assert server.journal.connections == 0
    # Nor does it go out later, with the next call.
    is_adding[0] = False
    answer = call(gateway.url, how, "api-get_a", BY_KEY.items())
    assert (answer.status, "from the API" in answer.text) == (200, True)
    server.journal.assert_one("GET", "/a")


def test_a_session_outlives_a_refused_call(start: Start, api: tuple[LoopbackServer, McpServer]) -> None:
    server, settings = api
    hook = lambda call: {"extra_headers": {"X-Hook": "h"}} if call.arguments.pop("bad", 0) else None  # noqa: E731
    gateway = start({"api": settings}, hooks=[hook])
    session = post(gateway.url, INITIALIZE, BY_KEY.items()).headers["mcp-session-id"]
    statuses = [
        call_in(gateway.url, session, BY_KEY.items(), name="api-get_a", arguments=arguments).status
        for arguments in ({}, {"bad": 1}, {})
    ]
    assert statuses == [200, 400, 200]
    assert len(server.journal) == 2


@pytest.mark.parametrize("how", PROTOCOLS)
def test_openapi_may_be_called_without_the_headers_and_that_is_logged(
    start: Start, api: tuple[LoopbackServer, McpServer], caplog: pytest.LogCaptureFixture, how: str
) -> None:
    server, settings = api
    gateway = start({"api": settings}, hooks=[adding(**{"X-Hook": "h-1"})], openapi_hook_headers="warn")
    answer = call(gateway.url, how, "api-get_a", BY_KEY.items())
    assert (answer.status, "from the API" in answer.text) == (200, True)
    sent = server.journal.assert_one("GET", "/a")
    assert sent.header("x-hook") == []
    assert _logged(caplog) == ["headers of a hook for api are ignored: its transport is openapi"]


@pytest.mark.parametrize("mode", MODES)
def test_over_stdio_headers_of_a_hook_are_ignored_and_that_is_logged(
    start: Start, files: McpUpstream, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    child = files.stdio()
    server = McpServer("stdio", command=child.command, args=tuple(child.args))
    hook = lambda _: {"extra_headers": {"X-Hook": "h-1"}, "modified_arguments": {"path": "/b"}}  # noqa: E731
    answer = start({"files": server}, hooks=[hook]).ask(read, mode=mode)
    assert answer.structured_content == {"text": "hello"}
    [arrived] = files.tool_calls
    assert (arrived.arguments, "h-1" in arrived.entry.text) == ({"path": "/b"}, False)
    assert _logged(caplog) == ["headers of a hook for files are ignored: its transport is stdio"]


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the gateway's own warnings."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("reference_app") and record.levelno >= logging.WARNING
    ]


# A hook's credential


@pytest.mark.parametrize("layer", [None, "oauth2", "extra", "static", "static from the environment"])
@pytest.mark.parametrize("policy", ["override", "protect"])
@pytest.mark.parametrize("transport", ["http", "sse"])
def test_a_hooks_authorization_may_replace_a_credential_or_not(
    start: Start,
    files: McpUpstream,
    token_server: TokenServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
    policy: str,
    layer: str | None,
) -> None:
    monkeypatch.setenv("STATIC", "Bearer of-the-environment")
    below = {
        "oauth2": (dict(client_credentials=credentials(token_server)), "Bearer token-1"),
        "extra": (dict(extra_headers=("AUTHORIZATION",)), CLIENT_TOKEN),
        "static": (dict(static_headers={"AUTHORIZATION": "Bearer static"}), "Bearer static"),
        "static from the environment": (
            dict(static_headers_env={"AUTHORIZATION": "STATIC"}),
            "Bearer of-the-environment",
        ),
    }
    options, credential = below[layer] if layer else ({}, None)
    server = McpServer(transport, url=getattr(files, transport)(), **options)
    hook = adding(authorization="Bearer of-the-hook", **{"X-Hook": "h"})
    gateway = start({"files": server}, hooks=[hook], hook_authorization=policy)
    gateway.ask(read, {**BY_KEY, "Authorization": CLIENT_TOKEN})
    [arrived] = files.tool_calls
    is_protected = policy == "protect" and credential is not None
    assert arrived.entry.header("authorization") == [credential if is_protected else "Bearer of-the-hook"]
    assert arrived.entry.header("x-hook") == ["h"]  # only the credential is dropped
    dropped = "a hook's Authorization for files is dropped: the upstream has a credential"
    assert _logged(caplog) == [dropped] * is_protected
    assert "Bearer" not in "".join(_logged(caplog))


def test_a_client_that_brings_no_credential_has_none_to_protect(start: Start, files: McpUpstream) -> None:
    server = McpServer("http", url=files.http(), extra_headers=("Authorization",))
    hook = adding(Authorization="Bearer of-the-hook")
    start({"files": server}, hooks=[hook], hook_authorization="protect").ask(read)
    assert [arrived.entry.header("authorization") for arrived in files.tool_calls] == [["Bearer of-the-hook"]]


# Who may call is settled before


@pytest.mark.parametrize(
    ("tool", "headers", "why"),
    [
        ("files-write", {}, "the key ops may not call files-write"),
        ("foreign-read", {}, "Unknown tool: foreign-read"),
        ("files-read", {"x-mcp-servers": "other"}, "Unknown tool: files-read"),
        ("files-read", {"x-mcp-servers": "nobody"}, "Unknown tool: files-read"),
        ("read", {}, "Unknown tool: read"),
    ],
)
@pytest.mark.parametrize("with_hooks", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_is_not_permitted_reaches_no_hook_and_no_upstream(
    start: Start,
    start_upstream: StartUpstream,
    mode: str,
    with_hooks: bool,
    tool: str,
    headers: dict[str, str],
    why: str,
) -> None:
    upstreams = {name: start_upstream(name) for name in ("files", "other", "foreign")}
    for upstream in upstreams.values():
        upstream.tool("read", result="read")
        upstream.tool("write", result="written")
    asked: list[PreMcpCall] = []
    gateway = start(
        {name: McpServer("http", url=upstream.http()) for name, upstream in upstreams.items()},
        {"ops": (OPS, {"servers": ("files", "other"), "tools": {"files": ("read",)}})},
        [asked.append] if with_hooks else [],
    )

    async def work(client: Client) -> str:
        with pytest.raises(MCPError) as raised:
            await client.call_tool(tool, {})
        return raised.value.error.message

    assert gateway.ask(work, {**BY_KEY, **headers}, mode) == why
    assert asked == []
    assert {name: upstream.journal.connections for name, upstream in upstreams.items()} == dict.fromkeys(
        upstreams, 0
    )


# Hooks that refuse, and hooks that are broken


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("how", PROTOCOLS)
def test_the_status_and_headers_of_a_hooks_http_exception_reach_the_client(
    start: Start, files: McpUpstream, how: str, is_async: bool
) -> None:
    def refuse(call: PreMcpCall) -> Any:
        raise HTTPException(403, f"not {call.tool}", {"X-Policy": "no-read", "Retry-After": "7"})

    async def refuse_later(call: PreMcpCall) -> Any:
        refuse(call)

    last: list[PreMcpCall] = []
    hooks = [refuse_later if is_async else refuse, last.append]
    gateway = start({"files": McpServer("http", url=files.http())}, hooks=hooks)
    answer = call(gateway.url, how, "files-read", BY_KEY.items())
    assert (answer.status, answer.text) == (403, '{"detail":"not read"}')
    assert (answer.headers["x-policy"], answer.headers["retry-after"]) == ("no-read", "7")
    assert (files.journal.connections, last) == (0, [])


def _raises(_: PreMcpCall) -> Any:
    raise RuntimeError(f"could not log in with {SECRET}")


async def _raises_later(_: PreMcpCall) -> Any:
    raise OSError(f"could not log in with {SECRET}")


def _answers(answer: Any) -> Callable[[PreMcpCall], Any]:
    return lambda _: answer


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        (_raises, "RuntimeError"),
        (_raises_later, "OSError"),
        (_answers([SECRET]), "TypeError"),
        (_answers(SECRET), "TypeError"),
        (_answers({"arguments": {}}), "TypeError"),
        (_answers({1: {}}), "TypeError"),
        (_answers({"modified_arguments": [SECRET]}), "TypeError"),
        (_answers({"modified_arguments": SECRET}), "TypeError"),
        (_answers({"modified_arguments": {1: SECRET}}), "TypeError"),
        (_answers({"modified_arguments": {"a": {SECRET}}}), "TypeError"),
        (_answers({"modified_arguments": {"a": object()}}), "TypeError"),
        (_answers({"modified_arguments": {"a": float("nan")}}), "ValueError"),
        (_answers({"modified_arguments": {"a": "\ud800"}}), "UnicodeEncodeError"),
        (_answers({"extra_headers": [("X-A", SECRET)]}), "TypeError"),
        (_answers({"extra_headers": {"X-A": 5}}), "TypeError"),
        (_answers({"extra_headers": {"X-A": SECRET.encode()}}), "TypeError"),
        (_answers({"extra_headers": {5: SECRET}}), "TypeError"),
        (_answers({"extra_headers": {"X-A": f"{SECRET}\r\nX-B: 1"}}), "ValueError"),
        (_answers({"extra_headers": {"X-A": f"{SECRET}é"}}), "ValueError"),
        (_answers({"extra_headers": {"X A": SECRET}}), "ValueError"),
        (_answers({"extra_headers": {"": SECRET}}), "ValueError"),
        (_answers({"extra_headers": {"Host": SECRET}}), "ValueError"),
        (_answers({"extra_headers": {"CONTENT-LENGTH": "0"}}), "ValueError"),
        (_answers({"extra_headers": {"transfer-encoding": "chunked"}}), "ValueError"),
        (_answers({"extra_headers": {"X-LiteLLM-API-Key": SECRET}}), "ValueError"),
        (_answers({"extra_headers": {"Mcp-Name": "another"}}), "ValueError"),
        (_answers({"extra_headers": {"mcp-session-id": SECRET}}), "ValueError"),
    ],
)
@pytest.mark.parametrize("how", PROTOCOLS)
def test_a_broken_hook_is_told_and_nothing_is_sent(
    start: Start, files: McpUpstream, caplog: pytest.LogCaptureFixture, how: str, hook: Any, error: str
) -> None:
    hook.__module__, hook.__qualname__ = "my_hooks", "before_call"
    last: list[PreMcpCall] = []
    gateway = start({"files": McpServer("http", url=files.http())}, hooks=[hook, last.append])
    answer = call(gateway.url, how, "files-read", BY_KEY.items())
    assert answer.status == (200 if how == LEGACY else answer.status)
    message = json.loads(answer.text.removeprefix("event: message").strip().removeprefix("data: "))
    told = {"code": -32603, "message": f"the hook my_hooks:before_call failed: {error}"}
    assert message["error"] == told
    assert (files.journal.connections, last) == (0, [])
    [logged] = _logged(caplog)
    assert logged.startswith("hook my_hooks:before_call: ")
    assert SECRET not in answer.text + caplog.text


# Hooks of the configuration


def _serve(folder: Path, hook: str, **modules: str) -> subprocess.CompletedProcess[str]:
    """Runs the program with a file that names a hook; for what ends by itself."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "config.yaml").write_text(
        "server: {port: 0}\n"
        "mcp_servers:\n"
        "  files: {transport: http, url: 'http://127.0.0.1:9/mcp'}\n"
        "gateway:\n"
        "  keys:\n"
        "    ops: {key_env: OPS_KEY, servers: ['*']}\n"
        "  hooks:\n"
        "    - os.path:join\n"
        f"    - {hook}\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINI_AGENT_")}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return subprocess.run(
        [sys.executable, "-m", "reference_app", "--config", "config.yaml"],
        cwd=folder,
        env={**kept, "PYTHONPATH": path, "OPS_KEY": OPS},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("hook", "module", "told"),
    [
        (
            "nowhere:before",
            "",
            "'nowhere:before' cannot be imported: No module named 'nowhere'; write module:function",
        ),
        (
            "mine:before",
            "def after(call): ...",
            "'mine:before' cannot be imported: "
            "module 'mine' has no attribute 'before'; write module:function",
        ),
        ("mine:before", "before = 5", "'mine:before' is no function; write module:function"),
        (
            "mine:before",
            f"raise RuntimeError('no login with {SECRET}')",
            "'mine:before' cannot be imported: mine raises RuntimeError; mend it",
        ),
        ("mine:before", "def before(:", "'mine:before' cannot be imported: mine raises SyntaxError; mend it"),
    ],
)
def test_a_hook_that_cannot_be_imported_is_told_with_file_line_and_key(
    tmp_path: Path, hook: str, module: str, told: str
) -> None:
    done = _serve(tmp_path, hook, mine=module)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"config.yaml:9: gateway.hooks[1]: {told}\n"

"""Who may call, and which servers, tools and prompts a call may use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from by_hand import BY_KEY, INITIALIZE, LEGACY, MODERN, OPS, PROTOCOLS, Headers, call_in, knock, modern, post
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.types import TextContent
from starlette.datastructures import Headers as RequestHeaders

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from reference_app.gateway.access import Caller, selected
from reference_app.gateway.settings import Key, McpServer

pytestmark = pytest.mark.smoke

Start = Callable[..., Any]
StartUpstream = Callable[[str], McpUpstream]
MODES = ("legacy", "2026-07-28")
GUEST = "sk-guest-0123456789"
NO_KEY = {"detail": "no key; send one as x-litellm-api-key or Authorization: Bearer"}
UNKNOWN_KEY = {"detail": "unknown key"}


@pytest.fixture
def lonely(start: Start) -> Any:
    """A gateway whose one upstream nobody reaches."""
    return start({"files": McpServer("http", url="http://127.0.0.1:9/mcp")})


# Public and protected


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/ui", "text/html"),
        ("/docs", "text/html"),
        ("/docs/oauth2-redirect", "text/html"),
        ("/swagger", "text/html"),
        ("/openapi.json", "application/json"),
        ("/healthz", "application/json"),
        ("/ready", "application/json"),
    ],
)
def test_a_public_path_needs_no_key(lonely: Any, path: str, kind: str) -> None:
    for headers in ({}, {"x-litellm-api-key": "wrong"}, BY_KEY):
        answer = lonely.http("GET", path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("DELETE", "/mcp"),
        ("OPTIONS", "/mcp"),
        ("POST", "/mcp/"),
        ("GET", "/mcp/tools"),
        ("POST", "/agent/run"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/chat/completions"),
        ("GET", "/redoc"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/ui/"),
        ("GET", "/UI"),
        ("GET", "//ui"),
        ("GET", "/ui/%2e%2e/mcp/tools"),
        ("GET", "/ui%2f..%2fmcp%2ftools"),
        ("GET", "/ui;/mcp/tools"),
    ],
)
def test_everything_else_needs_one(lonely: Any, method: str, path: str) -> None:
    for headers, challenge, told in (
        ({}, "Bearer", NO_KEY),
        ({"x-litellm-api-key": "wrong"}, 'Bearer error="invalid_token"', UNKNOWN_KEY),
    ):
        answer = lonely.http(method, path, headers=headers)
        body = answer.json()
        if path.endswith("/chat/completions"):  # in the shape that OpenAI's clients read
            body = {"detail": body["error"]["message"]}
        assert (answer.status_code, body) == (401, told)
        assert answer.headers.get_list("www-authenticate") == [challenge]
        assert answer.headers.get("location") is None


# Keys

WRONG = [
    pytest.param([("x-litellm-api-key", "wrong")], id="unknown"),
    pytest.param([("x-litellm-api-key", "")], id="empty"),
    pytest.param([("x-litellm-api-key", "Bearer")], id="no key behind the scheme"),
    pytest.param([("x-litellm-api-key", OPS[:-1])], id="too short"),
    pytest.param([("x-litellm-api-key", OPS.upper())], id="another case"),
    pytest.param([("x-litellm-api-key", f"{OPS},{OPS}")], id="two in one"),
    pytest.param([("x-litellm-api-key", f"Basic {OPS}")], id="another scheme"),
    pytest.param([("Authorization", "Bearer wrong")], id="unknown in Authorization"),
    pytest.param([("Authorization", f"Basic {OPS}")], id="another scheme in Authorization"),
    pytest.param([("Authorization", "")], id="empty Authorization"),
    # The gateway's own header decides, whatever stands beside it.
    pytest.param(
        [("x-litellm-api-key", "wrong"), ("Authorization", f"Bearer {OPS}")], id="wrong beside right"
    ),
    pytest.param([("x-litellm-api-key", ""), ("Authorization", f"Bearer {OPS}")], id="empty beside right"),
]


@pytest.mark.parametrize("headers", WRONG)
@pytest.mark.parametrize("how", PROTOCOLS)
def test_a_key_that_is_not_one_is_refused(lonely: Any, how: str, headers: Headers) -> None:
    answer = knock(lonely.url, how, headers)
    assert (answer.status, json.loads(answer.text)) == (401, UNKNOWN_KEY)
    assert answer.headers.get_list("www-authenticate") == ['Bearer error="invalid_token"']


@pytest.mark.parametrize(
    "headers",
    [
        [("x-litellm-api-key", OPS)],
        [("X-LiteLLM-API-Key", f"Bearer {OPS}")],
        [("x-litellm-api-key", f"bearer   {OPS}")],
        [("Authorization", f"Bearer {OPS}")],
        [("authorization", f"bEARER {OPS}")],
        [("x-litellm-api-key", OPS), ("Authorization", "Bearer wrong")],
        [("x-litellm-api-key", OPS), ("Authorization", "Digest of-somebody")],
    ],
)
@pytest.mark.parametrize("how", PROTOCOLS)
def test_a_key_is_taken_from_the_gateways_header_first_then_from_authorization(
    lonely: Any, how: str, headers: Headers
) -> None:
    assert knock(lonely.url, how, headers).status == 200


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ([("Authorization", f"Bearer {OPS}"), ("Authorization", f"Bearer {OPS}")], "authorization"),
        ([("Authorization", f"Bearer {OPS}"), ("authorization", "Bearer x")], "authorization"),
        ([*BY_KEY.items(), ("Authorization", "Bearer x"), ("AUTHORIZATION", "Bearer y")], "authorization"),
        ([("Authorization", ""), ("Authorization", f"Bearer {OPS}")], "authorization"),
        ([*BY_KEY.items(), *BY_KEY.items()], "x-litellm-api-key"),
    ],
)
@pytest.mark.parametrize("how", [*PROTOCOLS, "GET /mcp/tools"])
def test_a_credential_that_is_there_twice_is_a_400(
    lonely: Any, how: str, headers: Headers, name: str
) -> None:
    answer = knock(lonely.url, how, headers)
    assert (answer.status, json.loads(answer.text)) == (
        400,
        {"detail": f"more than one {name} header; send one"},
    )


def test_no_refusal_repeats_a_key(lonely: Any) -> None:
    for headers in ([("x-litellm-api-key", "wr0ng-key")], [("Authorization", "Bearer wr0ng-key")] * 2):
        answer = knock(lonely.url, MODERN, headers)
        assert "wr0ng-key" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("how", PROTOCOLS)
def test_a_key_reaches_no_upstream(
    start: Start, start_upstream: StartUpstream, tmp_path: Path, how: str
) -> None:
    async def api(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    upstreams = [start_upstream(name) for name in ("over-http", "over-sse", "over-stdio")]
    for upstream in upstreams:
        upstream.tool("run", result="done")
    spec = {"openapi": "3.1.0", "info": {"title": "api", "version": "1"}}
    spec["paths"] = {"/run": {"get": {"operationId": "run"}}}
    (tmp_path / "api.json").write_text(json.dumps(spec))
    child = upstreams[2].stdio()
    passing = ("Authorization", "X-Trace", "Cookie")
    with LoopbackServer(api, who="API") as server:
        gateway = start(
            {
                "over-http": McpServer("http", url=upstreams[0].http(), extra_headers=passing),
                "over-sse": McpServer("sse", url=upstreams[1].sse(), extra_headers=passing),
                "over-stdio": McpServer("stdio", command=child.command, args=tuple(child.args)),
                "api": McpServer(
                    "openapi", url=server.url, spec_path=str(tmp_path / "api.json"), extra_headers=passing
                ),
            }
        )

        async def work(client: Client) -> list[str]:
            await client.list_prompts()
            names = [tool.name for tool in (await client.list_tools()).tools]
            for name in names:
                [block] = (await client.call_tool(name, {})).content
                assert isinstance(block, TextContent)
                assert block.text == "done"
            return names

        mode = "legacy" if how == LEGACY else how
        for headers in (
            BY_KEY,
            {"Authorization": f"Bearer {OPS}"},
            {**BY_KEY, "Authorization": f"Bearer {OPS}"},
            {**BY_KEY, "Authorization": "Bearer of-the-client"},
        ):
            assert len(gateway.ask(work, headers, mode)) == 4
        journals = [*(upstream.journal for upstream in upstreams), server.journal]
    for journal in journals:
        arrived = [str(entry.headers) + entry.path + entry.text for entry in journal]
        assert len(arrived) >= 4
        assert not any(OPS in text or "x-litellm-api-key" in text.lower() for text in arrived)
    tokens = {value for journal in journals for entry in journal for value in entry.header("authorization")}
    assert tokens == {"Bearer of-the-client"}
    [relayed] = upstreams[2].children
    assert OPS not in str(relayed.env)


# Sessions


def test_a_session_is_there_for_the_key_that_opened_it_only(
    start: Start, start_upstream: StartUpstream
) -> None:
    upstream = start_upstream("files")
    upstream.tool("read", result="hello")
    gateway = start(
        {"files": McpServer("http", url=upstream.http())},
        keys={"ops": (OPS, {"servers": ("*",)}), "guest": (GUEST, {"servers": ("*",)})},
    )
    session = post(gateway.url, INITIALIZE, BY_KEY.items()).headers["mcp-session-id"]
    guest = [("x-litellm-api-key", GUEST)]
    assert call_in(gateway.url, session, guest, name="files-read").status == 404
    for method in ("GET", "DELETE"):
        lines = [*guest, ("Accept", "text/event-stream"), ("Mcp-Session-Id", session)]
        assert gateway.http(method, "/mcp", headers=lines).status_code == 404
    assert upstream.tool_calls == []
    # It is still there for its owner, in whatever way the key is shown.
    for headers in (BY_KEY.items(), [("Authorization", f"Bearer {OPS}")]):
        assert call_in(gateway.url, session, headers, name="files-read").status == 200
    assert len(upstream.tool_calls) == 2


# Scopes


@pytest.fixture
def scoped(start: Start, start_upstream: StartUpstream) -> tuple[Any, dict[str, McpUpstream]]:
    """Four servers, each with the tools read and write and the prompt ask; b and c are of the group data."""
    upstreams = {name: start_upstream(name) for name in "abcd"}
    for name, upstream in upstreams.items():
        for tool in ("read", "write"):
            upstream.tool(tool, result=f"{tool} by {name}")
        upstream.prompt("ask", f"asked {name}")
        upstream.resource(f"x://{name}", f"resource of {name}")
    groups = {"a": (), "b": ("data",), "c": ("data", "more"), "d": ("spare",)}
    gateway = start(
        {
            name: McpServer("http", url=upstream.http(), access_groups=groups[name])
            for name, upstream in upstreams.items()
        },
        keys={
            "all": ("sk-all-0123456789", {"servers": ("*",)}),
            "some": ("sk-some-0123456789", {"servers": ("a", "b")}),
            "group": ("sk-group-0123456789", {"servers": ("data",)}),
            "both": ("sk-both-0123456789", {"servers": ("a", "more")}),
            "tools": (
                "sk-tools-0123456789",
                {"servers": ("*",), "tools": {"a": ("read",), "b": (), "c": ("write", "nothing")}},
            ),
            "none": ("sk-none-0123456789", {"servers": ()}),
        },
    )
    return gateway, upstreams


async def offered(client: Client) -> dict[str, list[str]]:
    """Returns what a client can see: tools, prompts and resources."""
    return {
        "tools": [tool.name for tool in (await client.list_tools()).tools],
        "prompts": [prompt.name for prompt in (await client.list_prompts()).prompts],
        "resources": [str(resource.uri) for resource in (await client.list_resources()).resources],
    }


async def usable(client: Client) -> dict[str, list[str]]:
    """Returns what a client can use, tried one by one."""
    tools = [f"{server}-{tool}" for server in "abcd" for tool in ("read", "write")]
    used: dict[str, list[str]] = {"tools": [], "prompts": [], "resources": []}
    for tool in tools:
        try:
            [block] = (await client.call_tool(tool, {})).content
        except MCPError:
            continue
        assert isinstance(block, TextContent)
        assert block.text == "{1} by {0}".format(*tool.split("-"))
        used["tools"].append(tool)
    for server in "abcd":
        try:
            await client.get_prompt(f"{server}-ask")
        except MCPError:
            continue
        used["prompts"].append(f"{server}-ask")
    for server in "abcd":
        try:
            await client.read_resource(f"x://{server}")
        except MCPError:
            continue
        used["resources"].append(f"x://{server}")
    return used


SCOPES = [
    # key, values of x-mcp-servers, servers, tools that are taken out again
    ("all", [], "abcd", []),
    ("some", [], "ab", []),
    ("group", [], "bc", []),
    ("both", [], "ac", []),
    ("none", [], "", []),
    ("tools", [], "abcd", ["a-write", "b-read", "b-write", "c-read"]),
    ("all", ["b"], "b", []),
    ("all", ["c,a"], "ac", []),
    ("all", ["c ,\ta"], "ac", []),
    ("all", ["c", "a"], "ac", []),
    ("all", ["data"], "bc", []),
    ("all", ["more, d"], "cd", []),
    ("all", ["unknown"], "", []),
    ("all", ["unknown, a"], "a", []),
    ("all", ["unknown", "more"], "c", []),
    ("all", [""], "", []),
    ("all", [", ,"], "", []),
    ("all", ["", "a"], "a", []),
    ("all", ["*"], "", []),
    ("all", ["A", "Data"], "", []),
    ("all", ["a b"], "", []),
    ("some", ["c"], "", []),
    ("some", ["c, a"], "a", []),
    ("some", ["data"], "b", []),
    ("group", ["a"], "", []),
    ("none", ["a, data"], "", []),
    ("tools", ["a, d"], "ad", ["a-write"]),
]


@pytest.mark.parametrize(("key", "wishes", "servers", "without"), SCOPES)
@pytest.mark.parametrize("mode", MODES)
def test_what_a_key_and_a_selection_leave_is_offered_and_usable_and_nothing_else(
    scoped: tuple[Any, dict[str, McpUpstream]],
    mode: str,
    key: str,
    wishes: list[str],
    servers: str,
    without: list[str],
) -> None:
    gateway, upstreams = scoped
    headers = [("x-litellm-api-key", f"sk-{key}-0123456789"), *(("x-mcp-servers", wish) for wish in wishes)]
    wanted = {
        "tools": [f"{server}-{tool}" for server in servers for tool in ("read", "write")],
        "prompts": [f"{server}-ask" for server in servers],
        "resources": [f"x://{server}" for server in servers],
    }
    wanted["tools"] = [name for name in wanted["tools"] if name not in without]

    async def work(client: Client) -> Any:
        return await offered(client), await usable(client)

    seen, used = gateway.ask(work, headers, mode)
    assert seen == wanted
    assert used == wanted
    assert {name for name, upstream in upstreams.items() if upstream.journal.connections} == set(servers)


def test_the_selection_is_that_of_each_request_not_of_its_session(
    scoped: tuple[Any, dict[str, McpUpstream]],
) -> None:
    gateway, upstreams = scoped
    key = ("x-litellm-api-key", "sk-all-0123456789")
    session = post(gateway.url, INITIALIZE, [key]).headers["mcp-session-id"]
    answers = [
        call_in(gateway.url, session, [key, *wish], name="a-read")
        for wish in ([], [("x-mcp-servers", "b")], [("x-mcp-servers", "a")])
    ]
    assert ["read by a" in answer.text for answer in answers] == [True, False, True]
    assert len(upstreams["a"].tool_calls) == 2


@pytest.mark.parametrize("wish", ["unknown", ""])
def test_the_catalogue_of_nothing_is_empty(scoped: tuple[Any, dict[str, McpUpstream]], wish: str) -> None:
    gateway, upstreams = scoped
    lines = [("x-litellm-api-key", "sk-all-0123456789"), ("x-mcp-servers", wish)]
    message, headers = modern("tools/list", lines)
    assert json.loads(post(gateway.url, message, headers).text)["result"]["tools"] == []
    assert {upstream.journal.connections for upstream in upstreams.values()} == {0}


# The selection, whatever is configured and asked for

NAMES = st.sampled_from(["a", "b", "c", "d", "g", "h", "i"])
SERVERS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.lists(st.sampled_from(["g", "h", "i"]), max_size=2, unique=True).map(
        lambda groups: McpServer("http", url="http://127.0.0.1:9", access_groups=tuple(groups))
    ),
)
KEYS = st.lists(NAMES | st.just("*"), max_size=4).map(lambda servers: Key("KEY", servers=tuple(servers)))
UNKNOWN = st.text(st.characters(codec="latin-1", exclude_characters=","), max_size=6).filter(
    lambda text: text.strip() not in set("abcdghi")
)
WISHES = st.lists(st.lists(NAMES | UNKNOWN, min_size=1, max_size=4), min_size=1, max_size=3)


def _selected(key: Key, servers: dict[str, McpServer], wishes: list[list[str]]) -> list[str]:
    lines = [(b"x-mcp-servers", ", ".join(wish).encode("latin-1")) for wish in wishes]
    return list(selected(Caller("k", key), servers, RequestHeaders(raw=lines)))


@given(SERVERS, KEYS, WISHES)
def test_a_selection_never_has_more_than_the_key(
    servers: dict[str, McpServer], key: Key, wishes: list[list[str]]
) -> None:
    whole = _selected(key, servers, [])
    chosen = _selected(key, servers, wishes)
    assert whole == [
        name
        for name, server in servers.items()
        if "*" in key.servers or {name, *server.access_groups} & set(key.servers)
    ]
    wanted = {name for wish in wishes for name in wish}
    assert chosen == [name for name in whole if {name, *servers[name].access_groups} & wanted]


@given(SERVERS, KEYS, WISHES, st.lists(UNKNOWN, min_size=1, max_size=3))
def test_unknown_names_widen_nothing(
    servers: dict[str, McpServer], key: Key, wishes: list[list[str]], unknown: list[str]
) -> None:
    assert _selected(key, servers, [unknown]) == []
    assert _selected(key, servers, [*wishes, unknown]) == _selected(key, servers, wishes)

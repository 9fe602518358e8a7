"""The gateway under bad input: no 5xx, only what is documented, and no session dies but the sender's own."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from reference_app.config import Config
from reference_app.gateway.app import build
from reference_app.gateway.settings import Gateway, Key, McpServer

PATIENCE = 60.0  # seconds after which a request that has no answer hangs
OPS = {"x-litellm-api-key": "sk-ops-0123456789"}  # the healthy client
FUZZ = {"x-litellm-api-key": "sk-fuzz-0123456789"}  # the one that sends anything
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LEGACY, MODERN = "2025-11-25", "2026-07-28"
WHO = {"name": "test", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": WHO,
    "io.modelcontextprotocol/clientCapabilities": {},
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
CONFIG = schemathesis.Config.from_dict({"generation": {"deterministic": True}})
document = build(Config(gateway=Gateway())).openapi()
schema = schemathesis.openapi.from_dict(document, config=CONFIG)


def few(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


class LeavesAfterTheFirstEvent:
    """Lets the client of an endless stream leave once it has heard something."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp/tools":
            await self.app(scope, receive, send)
            return
        left = False

        async def hear() -> Any:
            return {"type": "http.disconnect"} if left else await receive()

        async def tell(message: Any) -> None:
            nonlocal left
            if left:
                return
            left = bool(message.get("body"))
            await send({**message, "more_body": False} if left else message)

        await self.app(scope, hear, tell)


@pytest.fixture(scope="module")
def upstream() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        made.tool("read")(lambda path="/": f"text of {path}")
        made.resource("file:///a", "text of a")
        made.prompt("ask", "what?")
        yield made


@pytest.fixture(scope="module")
def gateway(upstream: McpUpstream) -> Iterator[str]:
    """Serves the gateway, and fails when something broke inside it."""
    command = upstream.stdio()
    servers = {
        "files": McpServer("http", url=upstream.http(), timeout_seconds=PATIENCE / 2),
        "local": McpServer(
            "stdio", command=command.command, args=tuple(command.args), timeout_seconds=PATIENCE / 2
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPS_KEY", OPS["x-litellm-api-key"])
        patch.setenv("FUZZ_KEY", FUZZ["x-litellm-api-key"])
        keys = {"ops": Key("OPS_KEY", ("*",)), "fuzz": Key("FUZZ_KEY", ("*",))}
        app = build(Config(gateway=Gateway(keys=keys), mcp_servers=servers))
        around = app.router.lifespan_context
        with LoopbackServer(
            LeavesAfterTheFirstEvent(app), who="gateway", around=lambda: around(app)
        ) as server:
            yield server.url
        assert server.errors == []


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=PATIENCE, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("headers", [{}, OPS], ids=["without a key", "with a key"])
@schema.parametrize()
@few(10)
def test_no_5xx_and_nothing_that_is_not_documented(case: Any, gateway: str, headers: Any) -> None:
    response = case.call(base_url=gateway, headers=headers, timeout=PATIENCE)
    case.validate_response(response, checks=CHECKS)


# --- JSON-RPC that nobody should send, beside a healthy session

METHODS: dict[str, dict[str, Any]] = {
    "initialize": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": WHO},
    "server/discover": {},
    "ping": {},
    "tools/list": {},
    "tools/call": {"name": "files-read", "arguments": {"path": "/a"}},
    "prompts/list": {},
    "prompts/get": {"name": "files-ask"},
    "resources/list": {},
    "resources/templates/list": {},
    "resources/read": {"uri": "file:///a"},
    "resources/subscribe": {"uri": "file:///a"},
    "resources/unsubscribe": {"uri": "file:///a"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "files-ask"},
        "argument": {"name": "a", "value": "b"},
    },
    "logging/setLevel": {"level": "debug"},
    "subscriptions/listen": {"notifications": {"toolsListChanged": True}},
    "notifications/initialized": {},
    "notifications/cancelled": {"requestId": 1},
    "notifications/progress": {"progressToken": 1, "progress": 1},
    "notifications/roots/list_changed": {},
}
GONE = ("initialize", "ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel")  # in 2026
TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def message(method: str, modern: bool = False, of: Any = 7) -> dict[str, Any]:
    """Returns a message as it should be."""
    params = copy.deepcopy(METHODS[method])
    if modern:
        params["_meta"] = copy.deepcopy(META)
    told = {"jsonrpc": "2.0", "method": method, "params": params}
    return told if method.startswith("notifications/") else {**told, "id": of}


@st.composite
def mutated(draw: Any, modern: bool) -> bytes:
    """A message with some of its values replaced or taken out, at whatever depth."""
    methods = [
        name for name in sorted(METHODS) if not (modern and name.startswith(("notifications/", *GONE)))
    ]
    made: Any = message(draw(st.sampled_from(methods)), modern, draw(st.integers(0, 9)))
    for _ in range(draw(st.integers(0, 3))):
        place = made
        while True:
            inner = [name for name in place if isinstance(place[name], dict)]  # where it is read last
            key = draw(st.sampled_from(sorted(place) + 2 * inner))
            if not isinstance(place[key], dict) or not place[key] or draw(st.integers(0, 3)) == 0:
                break
            place = place[key]
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            del place[key]
        if not place:
            break
    return json.dumps([made] if draw(st.integers(0, 9)) == 0 else made).encode()


BODIES = st.one_of(
    mutated(False), mutated(True), JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=99)
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "mcp-protocol-version": st.sampled_from(
            ["", LEGACY, MODERN, MODERN, "2024-11-05", "2099-01-01", "\xff"]
        ),
        "mcp-method": st.sampled_from(sorted(METHODS)) | TEXT.map(lambda text: text.encode("utf-8").hex()),
        "mcp-name": st.sampled_from(
            ["files-read", "file:///a", "=?base64?x?=", "é".encode().decode("latin-1")]
        ),
        "mcp-session-id": st.sampled_from(["", "none", "own", "own", "own", "healthy", "x" * 5000]),
        "content-type": st.sampled_from(
            ["application/json", "text/plain", "", "application/json; charset=x"]
        ),
        "accept": st.sampled_from(["*/*", "", "text/event-stream", "application/json", "a/b;q=x"]),
        "x-mcp-servers": st.sampled_from(["files", "local", "nobody", ",", ""]),
        "last-event-id": st.sampled_from(["1", ""]),
    },
)


class Peer:
    """A client by hand."""

    def __init__(self, http: httpx2.Client, url: str, key: dict[str, str]) -> None:
        self._http = http
        self._url = f"{url}/mcp"
        self._key = key
        self.session = ""

    def send(self, method: str, content: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Sends one request; returns the status and what comes first of the answer."""
        request = httpx2.Request(
            method,
            self._url,
            content=content,
            headers=[(name, value.encode("latin-1")) for name, value in {**self._key, **headers}.items()],
        )
        response = self._http.send(request, stream=True)
        try:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return response.status_code, response.read().decode()
            data = (line for line in response.iter_lines() if line.startswith("data: {"))
            return response.status_code, next(data, "").removeprefix("data: ")
        finally:
            response.close()

    def post(self, told: dict[str, Any], **headers: str) -> tuple[int, str]:
        return self.send("POST", json.dumps(told).encode(), {**ACCEPT, **headers})

    def open(self) -> None:
        """Opens a session of a protocol with handshake."""
        content = json.dumps(message("initialize")).encode()
        opened = self._http.post(self._url, content=content, headers={**ACCEPT, **self._key})
        assert opened.status_code == 200
        self.session = opened.headers["mcp-session-id"]
        assert self.post(message("notifications/initialized"), **self.own)[0] == 202

    @property
    def own(self) -> dict[str, str]:
        return {"mcp-session-id": self.session, "mcp-protocol-version": LEGACY}

    def is_served(self, *, modern: bool) -> None:
        """Asserts that a call is answered as it should be."""
        if modern:
            headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "files-read"}
        else:
            headers = self.own
        status, text = self.post(message("tools/call", modern), **headers)
        assert status == 200, text
        assert json.loads(text)["result"]["content"] == [{"type": "text", "text": "text of /a"}]


@pytest.fixture(scope="module")
def healthy(http: httpx2.Client, gateway: str) -> Peer:
    peer = Peer(http, gateway, OPS)
    peer.open()
    return peer


@pytest.fixture(scope="module")
def fuzzer(http: httpx2.Client, gateway: str) -> Peer:
    return Peer(http, gateway, FUZZ)


def check_one(fuzzer: Peer, healthy: Peer, content: bytes, headers: dict[str, str]) -> int:
    """Posts it, within a session where it has one, and looks whether others notice; returns the status."""
    if headers.get("mcp-session-id") == "own":
        fuzzer.open()
    sessions = {"own": fuzzer.session, "healthy": healthy.session}
    if "mcp-session-id" in headers:
        headers = {
            **headers,
            "mcp-session-id": sessions.get(headers["mcp-session-id"], headers["mcp-session-id"]),
        }
    status, text = fuzzer.send("POST", content, {**ACCEPT, **headers})
    assert status < 500, text
    for modern in (False, True):
        healthy.is_served(modern=modern)
    return status


@few(100)
@given(content=BODIES, headers=HEADERS)
def test_no_body_and_no_header_hurts_others(
    fuzzer: Peer, healthy: Peer, content: bytes, headers: dict[str, str]
) -> None:
    check_one(fuzzer, healthy, content, headers)


def named(content: bytes) -> dict[str, str]:
    """Returns the headers in which 2026-07-28 repeats what a message names, where it does so."""
    told = json.loads(content)
    told = told if isinstance(told, dict) else {}
    params = told.get("params") if isinstance(told.get("params"), dict) else {}
    named = {"mcp-method": told.get("method"), "mcp-name": params.get("name") or params.get("uri")}
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, str) and value.isprintable() and value.isascii()
    }


@pytest.mark.parametrize("modern", [False, True])
def test_no_message_that_gets_past_the_door_hurts_others(fuzzer: Peer, healthy: Peer, modern: bool) -> None:
    """The other half, with headers that fit: without it, a gateway that refuses everything would pass."""
    answered = 0

    @few(40)
    @given(content=mutated(modern))
    def post(content: bytes) -> None:
        nonlocal answered
        headers = {"mcp-session-id": "own", "mcp-protocol-version": LEGACY}
        if modern:
            headers = {"mcp-protocol-version": MODERN, **named(content)}
        answered += check_one(fuzzer, healthy, content, headers) in (200, 202)

    post()
    assert answered >= 8


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_the_session_of_another_key_is_nobody_s(fuzzer: Peer, healthy: Peer, method: str) -> None:
    headers = {**ACCEPT, **healthy.own}
    status, text = fuzzer.send(method, json.dumps(message("ping")).encode(), headers)
    assert (status, json.loads(text)["error"]["message"]) == (404, "Session not found")
    healthy.is_served(modern=False)

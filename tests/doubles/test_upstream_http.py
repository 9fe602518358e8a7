"""What the upstream does over HTTP on demand: tokens, faults per request, routing headers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from patience import SECONDS, no_longer_than, wait_until

from pytest_mcpsmoke.doubles.rpc import Call
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.errors import UnusedScript, UsageProblem

LIST = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        made.tool("add", result="3")
        yield made


def call(name: str = "add", number: int = 1, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def post(url: str, message: dict[str, Any] = LIST, **headers: str) -> httpx.Response:
    return httpx.post(url, json=message, headers={**ACCEPT, **headers})


def modern(name: str = "add", **headers: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A call of a tool as protocol 2026-07-28 has it: message and headers."""
    message = call(name)
    message["params"]["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    sent = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name}
    return message, {**ACCEPT, **sent, **headers}


# Tokens


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        ("Bearer good-1", 200, None),
        ("bearer good-2", 200, None),
        ("Bearer old", 401, 'Bearer error="invalid_token", error_description="the token has expired", '),
        ("Bearer never", 401, 'Bearer error="invalid_token", error_description="the token is unknown", '),
        (
            "Bearer guest",
            403,
            'Bearer error="insufficient_scope", error_description="the token does not grant',
        ),
        ("Basic good-1", 401, "Bearer resource_metadata="),
        ("", 401, "Bearer resource_metadata="),
    ],
)
@pytest.mark.parametrize("transport", ["http", "sse"])
def test_each_token_has_its_answer(
    up: McpUpstream, transport: str, token: str, status: int, challenge: str | None
) -> None:
    up.tokens(good=["good-1", "good-2"], expired="old", forbidden="guest")
    headers = {**ACCEPT, "Authorization": token} if token else ACCEPT
    if transport == "http":
        answer = httpx.post(up.http(stateless=True), json=LIST, headers=headers)
    else:
        with httpx.stream("GET", up.sse(), headers=headers) as answer:
            pass
    assert answer.status_code == status
    if challenge is None:
        assert "WWW-Authenticate" not in answer.headers
    else:
        assert answer.headers["WWW-Authenticate"].startswith(challenge)
    assert up.journal[0].status == status


def test_the_challenge_leads_to_the_resource_s_description(up: McpUpstream) -> None:
    url = up.http()
    up.tokens(good="good")  # also for what is served already
    where = post(url).headers["WWW-Authenticate"].partition('resource_metadata="')[2].rstrip('"')
    assert httpx.get(f"{where}/mcp").json()["resource"] == url
    up.tokens()
    assert post(url).status_code != 401


def test_two_credentials_are_no_credential(up: McpUpstream) -> None:
    up.tokens(good="good")
    headers = [*ACCEPT.items(), ("Authorization", "Bearer good"), ("authorization", "Bearer good")]
    assert httpx.post(up.http(), json=LIST, headers=headers).status_code == 400
    assert len(up.journal[0].header("authorization")) == 2


def test_the_sdk_s_client_passes_with_a_good_token(up: McpUpstream) -> None:
    up.tokens(good="good-token")

    async def use() -> None:
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer good-token"}) as http,
            Client(streamable_http_client(up.http(), http_client=http)) as client,
        ):
            assert (await client.call_tool("add")).content[0].text == "3"  # type: ignore[union-attr]

    asyncio.run(use())
    assert {value for entry in up.journal for value in entry.header("authorization")} == {"Bearer good-token"}
    assert "good-token" not in str(up.journal) + repr(up._tokens)


# Faults


def test_a_status_stands_in_for_the_server(up: McpUpstream) -> None:
    up.fault(status=429, body="slow down", headers={"Retry-After": "1"}, on="tools/call")
    up.fault(status=503, body={"why": "maintenance"}, on="add", times=2)
    up.fault(status=401, on="add")
    url = up.http(stateless=True, json_response=True)
    assert post(url).status_code == 200  # another method meets none of them
    answers = [post(url, call()) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 503, 503, 401, 200]
    assert (answers[0].text, answers[0].headers["Retry-After"]) == ("slow down", "1")
    assert (b"Retry-After", b"1") in answers[0].headers.raw
    assert answers[1].json() == {"why": "maintenance"}
    assert (answers[3].text, answers[3].headers["WWW-Authenticate"]) == ("401 Unauthorized", "Bearer")
    assert [entry.status for entry in up.journal] == [200, 429, 503, 503, 401, 200]
    assert "answered 429, fault: status 429 on tools/call" in repr(up.journal[1])


def test_a_fault_is_met_by_the_request_it_is_for(up: McpUpstream) -> None:
    up.tool("sub", result="1")

    def is_big(seen: Call) -> bool:
        return seen.arguments.get("a", 0) > 10

    up.fault(status=500, on=2)
    up.fault(status=501, on=is_big)
    up.fault(status=502, on="GET")
    up.fault(status=503, on="sub", times="any")
    url = up.http(stateless=True)
    sent = [call(), call("sub", a=11), call(), call(a=11), call("sub"), call("sub"), call(a=11)]
    assert [post(url, message).status_code for message in sent] == [200, 500, 200, 501, 503, 503, 200]
    assert httpx.get(url, headers=ACCEPT).status_code == 502


def test_slow_is_slow_and_waits_for_nobody_who_has_left(up: McpUpstream) -> None:
    ran = []
    up.tool("note")(lambda: ran.append(1) or "noted")
    up.fault.slow(0.1, on="note")
    slow = up.fault.slow(600, on="note")
    url = up.http(stateless=True)
    began = time.monotonic()
    assert post(url, call("note")).status_code == 200
    assert time.monotonic() - began >= 0.1
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=call("note"), headers=ACCEPT, timeout=httpx.Timeout(SECONDS, read=0.1))
    wait_until(lambda: slow.met)
    up.close()  # does not wait for the 600 s either
    assert ran == [1]
    assert up.journal[1].status is None


@pytest.mark.parametrize("json_response", [False, True])
def test_disconnect_comes_half_way_through_the_answer(up: McpUpstream, json_response: bool) -> None:
    ran = []
    up.tool("note")(lambda: ran.append(1) or "noted")
    up.fault.disconnect(on="note")
    with httpx.stream(
        "POST", up.http(stateless=True, json_response=json_response), json=call("note"), headers=ACCEPT
    ) as answer:
        assert answer.status_code == 200
        pieces: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            pieces.extend(answer.iter_raw())
    assert pieces
    assert b"noted" not in b"".join(pieces)
    assert ran == [1]  # the tool did run: only the answer was lost


def test_disconnect_of_a_stream_that_says_nothing_comes_after_its_head(up: McpUpstream) -> None:
    up.fault.disconnect(on="GET", times=2)
    for url in (up.sse(), up.http(stateless=True)):
        with httpx.stream("GET", url, headers=ACCEPT) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            with pytest.raises(httpx.RemoteProtocolError):
                list(answer.iter_raw())


def test_pings_only_over_sse_go_over_the_stream(up: McpUpstream) -> None:
    up.fault.pings_only(every=0.01, on="tools/list")
    with httpx.stream("GET", up.sse()) as stream:
        lines = stream.iter_lines()
        messages = next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")
        assert httpx.post(up.sse().removesuffix("/sse") + messages, json=LIST).status_code == 202
        assert {next(lines) for _ in range(10)} == {": ping", ""}


def test_pings_only_never_sends_an_event(up: McpUpstream) -> None:
    up.fault.pings_only(every=0.01, on="tools/list")
    lines = []
    with httpx.stream("POST", up.http(), json=LIST, headers=ACCEPT) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for line in answer.iter_lines():
            lines.append(line)
            if len(lines) == 6:
                break
    assert set(lines) == {": ping", ""}


def test_malformed_is_no_json(up: McpUpstream) -> None:
    up.fault.malformed(on="tools/list")
    up.fault.malformed("<html>", on="tools/list")
    answers = [post(up.http()) for _ in range(2)]
    assert [answer.headers["content-type"] for answer in answers] == ["application/json"] * 2
    assert answers[1].text == "<html>"
    with pytest.raises(ValueError):
        answers[0].json()


def test_headers_are_looked_for_in_the_messages_that_are_meant(up: McpUpstream) -> None:
    url = up.http(stateless=True)
    post(url, **{"X-Env": "of the listing"})
    post(url, call(), **{"X-Env": "of the call"})
    up.journal.assert_header("X-Env")
    up.journal.assert_header("X-Env", "of the call", on="tools/call")
    up.journal.assert_header("X-Env", "of the call", on="add", method="POST", path="/mcp")
    up.journal.assert_no_header("X-Hook", on="add")
    for on in ("add", "tools/call"):
        with pytest.raises(AssertionError) as failed:
            up.journal.assert_no_header("x-env", on=on)
        headline = str(failed.value).splitlines()[0]
        assert headline == f"files: {on} request arrived with X-Env: of the call; none expected:"
    with pytest.raises(AssertionError, match=r"^files: no remove request arrived; what did:"):
        up.journal.assert_header("X-Env", on="remove")


def test_a_wrong_mcp_name_is_refused_by_the_server_itself(up: McpUpstream) -> None:
    message, headers = modern()
    up.fault.wrong_mcp_name("sub")
    url = up.http()
    refused, passed = (httpx.post(url, json=message, headers=headers) for _ in range(2))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32020)
    assert "mcp-name header does not match" in refused.json()["error"]["message"]
    assert passed.status_code == 200
    assert [entry.header("mcp-name") for entry in up.journal] == [["add"], ["add"]]  # what did arrive
    up.journal.assert_routing_headers()


def test_a_wrong_mcp_name_of_the_gateway_s_own_is_seen(up: McpUpstream) -> None:
    message, headers = modern(**{"Mcp-Name": "files-add"})
    answer = httpx.post(up.http(), json=message, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
    with pytest.raises(AssertionError) as failed:
        up.journal.assert_routing_headers()
    assert str(failed.value) == (
        "files: headers and body do not say the same:\n"
        "  tools/call add(): Mcp-Name is 'files-add', 'add' expected"
    )
    up.journal.clear()
    with pytest.raises(
        AssertionError, match=r"^files: no request of protocol 2026-07-28 arrived over streamable"
    ):
        up.journal.assert_routing_headers()


def test_routing_headers_are_there_once_and_may_be_encoded(up: McpUpstream) -> None:
    up.tool("grüße", result="hallo")
    message, headers = modern("grüße", **{"Mcp-Name": "=?base64?Z3LDvMOfZQ==?="})
    assert httpx.post(up.http(), json=message, headers=headers).status_code == 200
    up.journal.assert_routing_headers()
    del headers["Mcp-Method"]
    twice = [*headers.items(), ("mcp-name", "other")]
    httpx.post(up.http(), json=message, headers=twice)
    with pytest.raises(AssertionError) as failed:
        up.journal.assert_routing_headers()
    assert [line.partition(": ")[2] for line in str(failed.value).splitlines()[1:]] == [
        "Mcp-Method is missing, 'tools/call' expected",
        "Mcp-Name is there 2 times: ['=?base64?Z3LDvMOfZQ==?=', 'other']",
    ]


# Faults as the SDK's client meets them


@pytest.mark.parametrize("fault", ["status", "disconnect", "malformed", "pings_only", "slow"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_sdk_s_client_gets_no_answer(up: McpUpstream, transport: str, mode: str, fault: str) -> None:
    if fault == "status":
        declared = up.fault(status=500, on="add")
    elif fault == "slow":
        declared = up.fault.slow(2, on="add")  # over SSE the SDK does not leave before its POST is answered
    else:
        declared = getattr(up.fault, fault)(on="add")
    failures: list[BaseException] = []

    async def use() -> None:
        target: Any = up.http() if transport == "http" else sse_client(up.sse())
        try:
            async with no_longer_than(declared), Client(target, mode=mode) as client:
                await client.call_tool("add")
        except* (MCPError, httpx2.HTTPError, TimeoutError) as group:  # the SDK has its own ways to fail
            failures.append(group)

    asyncio.run(use())
    assert len(failures) == 1
    up.journal.assert_called("add")
    up.verify()


# A script that was not needed


def test_a_fault_that_was_never_met_is_told_with_what_came_instead() -> None:
    up = McpUpstream()
    up.fault(status=503, on="tools/call", times=2)
    up.fault.slow(1, on="ad")
    up.fault.wrong_mcp_name(times="any")
    with up:
        httpx.post(up.http(stateless=True), json=LIST, headers=ACCEPT)
        up.fault(status=500, on=2)
        with pytest.raises(UnusedScript) as failed:
            up.verify()
        up.fault._faults.clear()
    assert str(failed.value) == (
        "3 faults were not met as often as declared:\n"
        "  status 503 on tools/call, met 0 of 2 times\n"
        "  slow 1 s on ad, met 0 of 1 times\n"
        "  status 500 on request 2, met 0 of 1 times\n"
        "1 messages arrived; all that did:\n"
        "  1. tools/list (streamable-http, answered 200)\n"
        'Take out a fault that is not needed, or give it times="any".'
    )


def test_as_a_context_manager_it_raises_what_is_left() -> None:
    with pytest.raises(UnusedScript, match=r"^1 fault was not met"), McpUpstream() as up:
        up.fault(status=500)
    with pytest.raises(ZeroDivisionError), McpUpstream() as up:
        up.fault(status=1 // 0)


def test_what_a_predicate_raises_is_not_lost() -> None:
    up = McpUpstream()
    up.fault(status=500, on=lambda seen: seen.arguments["missing"])
    with pytest.raises(KeyError, match="missing"), up:
        post(up.http(stateless=True), call())


def test_faults_that_can_never_be_met_are_refused(up: McpUpstream) -> None:
    with pytest.raises(UsageProblem, match="times=0"):
        up.fault(status=500, times=0)
    post(up.http(stateless=True))
    with pytest.raises(UsageProblem, match="1 requests have arrived already"):
        up.fault(status=500, on=1)

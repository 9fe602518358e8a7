"""The profile, asked by the SDK's client in both eras of the protocol, without the suite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError
from mcp.types import (
    CreateMessageResult,
    ElicitResult,
    InputRequiredResult,
    ListRootsResult,
    ResourceUpdatedNotification,
    Root,
    TextContent,
)

from conformance.contents import SCHEMA_2020_12
from conformance.profile import serve
from conformance.sessions import WATCHED
from pytest_mcpsmoke.doubles.upstream import McpUpstream

# What 2026-07-28 has deprecated is asked for on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
MODES = ("legacy", "2026-07-28")


async def model(*_: Any) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="Paris"), model="m")


async def user(_: Any, asked: Any) -> ElicitResult:
    fields = asked.requested_schema["properties"]
    if "username" in fields:
        return ElicitResult(action="accept", content={"username": "alice", "email": "alice@example.com"})
    kinds: dict[str, Any] = {"string": "blue", "boolean": True, "integer": 1, "number": 1.5}
    return ElicitResult(action="accept", content={name: kinds[one["type"]] for name, one in fields.items()})


async def roots(_: Any) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri="file:///home/alice")])


def asked(up: McpUpstream, mode: str, work: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
    """Do some work with a client that lets its model, its user and its roots be asked."""

    async def use() -> Any:
        answers = {"sampling_callback": model, "elicitation_callback": user, "list_roots_callback": roots}
        async with Client(serve(up), mode=mode, **{**answers, **options}) as client:
            return await work(client)

    return asyncio.run(use())


def text(result: Any) -> str:
    [content] = result.content
    assert not result.is_error, content
    return str(content.text)


@pytest.mark.parametrize("mode", MODES)
def test_the_client_is_asked_during_a_call(profile: McpUpstream, mode: str) -> None:
    async def work(client: Client) -> list[str]:
        sampled = await client.call_tool("test_sampling", {"prompt": "The capital of France?"})
        elicited = await client.call_tool("test_elicitation", {"message": "Who?"})
        return [text(sampled), text(elicited)]

    assert asked(profile, mode, work) == [
        "LLM response: Paris",
        'User response: action=accept, content={"username":"alice","email":"alice@example.com"}',
    ]


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_cannot_be_asked_is_told_what_it_lacks(profile: McpUpstream, mode: str) -> None:
    async def work(client: Client) -> None:
        await client.call_tool("test_missing_capability", {})

    with pytest.raises(ExceptionGroup) as raised:
        asked(profile, mode, work, sampling_callback=None)
    error = raised.value
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, MCPError)
    assert (error.error.code, error.error.data) == (-32021, {"requiredCapabilities": {"sampling": {}}})


@pytest.mark.parametrize("mode", MODES)
def test_progress_is_reported_in_order(profile: McpUpstream, mode: str) -> None:
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, _: str | None) -> None:
        seen.append((progress, total))

    async def work(client: Client) -> str:
        return text(await client.call_tool("test_tool_with_progress", {}, progress_callback=note))

    assert asked(profile, mode, work) == "Tool with progress executed successfully"
    assert seen == [(0, 100), (50, 100), (100, 100)]


def test_a_session_gets_the_messages_of_its_level(profile: McpUpstream) -> None:
    logged: list[str] = []

    async def note(message: Any) -> None:
        logged.append(str(message.data))

    async def work(client: Client) -> list[int]:
        counts = []
        for level in (None, "error", "info"):
            if level is not None:
                await client.session.set_logging_level(level)  # type: ignore[arg-type]
            await client.call_tool("test_logging_tool", {})
            counts.append(len(logged))
        return counts

    assert asked(profile, "legacy", work, logging_callback=note) == [1, 1, 2]


def test_a_session_hears_of_what_it_has_subscribed_to(profile: McpUpstream) -> None:
    heard: list[str] = []
    has_heard = asyncio.Event()

    async def note(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.append(str(message.params.uri))
            has_heard.set()

    async def work(client: Client) -> None:
        while not any(entry.status for entry in profile.journal.gets("/mcp")):
            await asyncio.sleep(0.01)  # until the client has opened the stream that it will hear of it on
        await client.call_tool("test_trigger_resource_change", {})
        await client.session.subscribe_resource(WATCHED)
        await client.call_tool("test_trigger_resource_change", {})
        await asyncio.wait_for(has_heard.wait(), 20)
        await client.session.unsubscribe_resource(WATCHED)
        await client.call_tool("test_trigger_resource_change", {})

    asked(profile, "legacy", work, message_handler=note)
    assert heard == [WATCHED]


def test_several_rounds_keep_their_state(profile: McpUpstream) -> None:
    async def work(client: Client) -> list[str]:
        names = (
            "request_state",
            "multiple_inputs",
            "multi_round",
            "elicitation",
            "list_roots",
            "capabilities",
        )
        return [text(await client.call_tool(f"test_input_required_result_{name}", {})) for name in names]

    assert asked(profile, "2026-07-28", work) == [
        "state-ok",
        "Paris blue in file:///home/alice",
        "blue likes blue",
        "Hello, blue!",
        "file:///home/alice",
        "Nothing is left to ask",
    ]


def test_a_state_that_was_changed_is_refused(profile: McpUpstream) -> None:
    name = "test_input_required_result_tampered_state"

    async def work(client: Client) -> int:
        first = await client.session.call_tool(name, {}, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        assert first.request_state is not None
        assert "confirming" not in first.request_state
        answers: Any = {"confirm": ElicitResult(action="accept", content={"ok": True})}
        changed = first.request_state + "x"
        with pytest.raises(MCPError) as raised:
            await client.session.call_tool(
                name, {}, input_responses=answers, request_state=changed, allow_input_required=True
            )
        return raised.value.error.code

    assert asked(profile, "2026-07-28", work) == -32602


def test_a_client_is_asked_only_in_the_ways_it_has_declared(profile: McpUpstream) -> None:
    async def work(client: Client) -> set[str]:
        result = await client.session.call_tool(
            "test_input_required_result_capabilities", {}, allow_input_required=True
        )
        assert isinstance(result, InputRequiredResult)
        return {question.method for question in (result.input_requests or {}).values()}

    assert asked(profile, "2026-07-28", work, elicitation_callback=None) == {"sampling/createMessage"}
    assert asked(profile, "2026-07-28", work, sampling_callback=None) == {"elicitation/create"}


@pytest.mark.parametrize("mode", MODES)
def test_schemas_arrive_whole(profile: McpUpstream, mode: str) -> None:
    async def work(client: Client) -> Any:
        return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = asked(profile, mode, work)
    assert tools["json_schema_2020_12_tool"].input_schema == SCHEMA_2020_12
    assert tools["test_header_parameter"].input_schema["properties"]["region"]["x-mcp-header"] == "Region"
    assert all(tool.description for tool in tools.values())


def test_results_say_how_long_they_are_fresh(profile: McpUpstream) -> None:
    async def work(client: Client) -> Any:
        return await client.list_tools(), await client.read_resource("test://static-text")

    for result in asked(profile, "2026-07-28", work):
        assert (result.ttl_ms, result.cache_scope) == (60_000, "public")


def test_lists_change_on_request(profile: McpUpstream) -> None:
    async def work(client: Client) -> list[bool]:
        found = []
        for _ in range(3):
            tools = (await client.list_tools(cache_mode="refresh")).tools
            found.append("test_now_and_then" in {tool.name for tool in tools})
            await client.call_tool("test_trigger_tool_change", {})
        return found

    assert asked(profile, "legacy", work) == [False, True, False]


def test_a_lost_stream_is_gone_on_with(profile: McpUpstream) -> None:
    async def work(client: Client) -> str:
        return text(await client.call_tool("test_reconnection", {}))

    assert asked(profile, "legacy", work) == "Reconnection test completed"
    assert any(entry.header("last-event-id") for entry in profile.journal.gets("/mcp"))


def test_a_page_elsewhere_that_resolves_to_loopback_is_refused(profile: McpUpstream) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream", "Host": "evil.example.com"}
    assert httpx.post(serve(profile), json=message, headers=headers).status_code == 421

"""What is said while a request is under way, and between requests, passes the gateway in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
import waiting
from mcp import Client, MCPError
from mcp.server.mcpserver import Context
from mcp.server.subscriptions import ResourceUpdated, ToolsListChanged
from mcp.types import (
    Completion,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmptyResult,
    InputRequiredResult,
    ListRootsResult,
    PromptReference,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    ResourceUpdatedNotificationParams,
    Root,
    SamplingMessage,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)

from pytest_mcpsmoke import McpUpstream
from pytest_mcpsmoke.doubles.journal import Entry
from reference_app.gateway import farewell, subscriptions
from reference_app.gateway.settings import McpServer

# The protocol says so; it still has to be carried.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")

Start = Callable[..., Any]
PATIENCE = 20.0
wait_until = partial(waiting.wait_until, seconds=PATIENCE)
LEGACY, MODERN = "legacy", "2026-07-28"
MODES = (LEGACY, MODERN)
TRANSPORTS = ("http", "sse")


@pytest.fixture
def time_for_farewells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a busy machine take more than a second to say farewell to an upstream."""
    monkeypatch.setattr(farewell, "FAREWELL_SECONDS", PATIENCE)


@pytest.fixture
def files(start_upstream: Callable[[str], McpUpstream]) -> McpUpstream:
    return start_upstream("files")


def reached(upstream: McpUpstream, transport: str = "http", **settings: Any) -> dict[str, McpServer]:
    """Returns the configuration by which a gateway reaches an upstream."""
    if transport == "stdio":
        command = upstream.stdio()
        server = McpServer("stdio", command=command.command, args=tuple(command.args), **settings)
    else:
        url = upstream.http() if transport == "http" else upstream.sse()
        server = McpServer(transport, url=url, **settings)
    return {"files": server}


async def until(done: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, done)


async def text_of(client: Client, tool: str, **options: Any) -> str:
    result = await client.call_tool(f"files-{tool}", {}, **options)
    assert not result.is_error, result.content
    return str(result.content[0].text)


# --- what an upstream tells


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", [*TRANSPORTS, "stdio"])
def test_progress_reaches_who_asked_for_it(
    start: Start, files: McpUpstream, transport: str, mode: str
) -> None:
    @files.tool
    async def work(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        await ctx.report_progress(2, 2, "all")
        return "done"

    heard: dict[str, list[Any]] = {"one": [], "other": []}

    async def run(client: Client) -> None:
        def hears(who: str) -> Any:
            async def hear(*told: Any) -> None:
                heard[who].append(told)

            return hear

        calls = [text_of(client, "work", progress_callback=hears(who)) for who in heard]
        assert await asyncio.gather(*calls, text_of(client, "work")) == ["done"] * 3
        await until(lambda: all(len(told) == 2 for told in heard.values()))

    start(reached(files, transport)).ask(run, mode=mode)
    assert heard == {who: [(1.0, 2.0, "half"), (2.0, 2.0, "all")] for who in heard}


def talks(files: McpUpstream) -> None:
    @files.tool
    async def talk(ctx: Context) -> str:
        for level in ("debug", "info", "warning", "error"):
            await ctx.log(level, f"at {level}", logger_name="files")
        return "done"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_hears_what_it_set_its_level_to(start: Start, files: McpUpstream, transport: str) -> None:
    talks(files)
    heard: list[tuple[str, Any]] = []

    async def log(params: Any) -> None:
        heard.append((params.level, params.data, params.logger))

    async def run(client: Client) -> None:
        await text_of(client, "talk")
        await until(lambda: len(heard) == 4)
        await client.set_logging_level("warning")
        await text_of(client, "talk")
        await until(lambda: len(heard) == 6)

    gateway = start(reached(files, transport))
    gateway.ask(run, mode=LEGACY, logging_callback=log)
    levels = ["debug", "info", "warning", "error", "warning", "error"]
    assert heard == [(level, f"at {level}", "files") for level in levels]
    heard.clear()
    gateway.ask(lambda client: text_of(client, "talk"), mode=LEGACY, logging_callback=log)
    assert len(heard) == 4  # another session has a level of its own


@pytest.mark.parametrize(
    ("level", "levels"), [(None, []), ("debug", ["debug", "info", "warning", "error"]), ("error", ["error"])]
)
def test_a_request_hears_the_level_it_asks_for(
    start: Start, files: McpUpstream, level: Any, levels: list[str]
) -> None:
    talks(files)
    heard: list[str] = []

    async def log(params: Any) -> None:
        heard.append(params.level)

    async def run(client: Client) -> None:
        assert await text_of(client, "talk") == "done"

    start(reached(files)).ask(run, mode=MODERN, logging_callback=log, log_level=level)
    assert heard == levels


# --- what an upstream asks, by a protocol with sessions


def asks(files: McpUpstream) -> None:
    @files.tool
    async def sample(ctx: Context) -> str:
        question = SamplingMessage(role="user", content=TextContent(type="text", text="2 + 2?"))
        answer = await ctx.session.create_message(
            [question], max_tokens=10, related_request_id=ctx.request_id
        )
        return f"{answer.model}: {answer.content.text}"

    @files.tool
    async def elicit(ctx: Context) -> str:
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        answer = await ctx.session.elicit_form("who?", schema, related_request_id=ctx.request_id)
        return f"{answer.action} {answer.content}"

    @files.tool
    async def roots(ctx: Context) -> str:
        return ", ".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


async def sampled(_: Any, params: Any) -> CreateMessageResult:
    text = f"{params.messages[0].content.text} 4"
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text=text), model="m")


async def elicited(_: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": f"{params.message} me"})


async def rooted(_: Any) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri="file:///home")])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("tool", "answer", "callback"),
    [
        ("sample", "m: 2 + 2? 4", {"sampling_callback": sampled}),
        ("elicit", "accept {'name': 'who? me'}", {"elicitation_callback": elicited}),
        ("roots", "file:///home", {"list_roots_callback": rooted}),
    ],
)
def test_an_upstream_asks_the_client_during_a_call(
    start: Start, files: McpUpstream, transport: str, tool: str, answer: str, callback: Any
) -> None:
    asks(files)
    gateway = start(reached(files, transport))
    assert gateway.ask(lambda client: text_of(client, tool), mode=LEGACY, **callback) == answer
    shown = [call.params["capabilities"] for call in files.journal.rpc("initialize")]
    [name] = {"sample": ["sampling"], "elicit": ["elicitation"], "roots": ["roots"]}[tool]
    assert all(set(capabilities) == {name} for capabilities in shown)


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("sample", "Sampling not supported"),
        ("elicit", "Elicitation not supported"),
        ("roots", "List roots not supported"),
    ],
)
def test_a_client_that_cannot_is_not_asked(start: Start, files: McpUpstream, tool: str, told: str) -> None:
    asks(files)

    async def run(client: Client) -> None:
        with pytest.raises(MCPError, match=told):
            await client.call_tool(f"files-{tool}", {})

    start(reached(files)).ask(run, mode=LEGACY)
    assert [call.params["capabilities"] for call in files.journal.rpc("initialize")][-1] == {}


def test_two_clients_are_each_asked_their_own(start: Start, files: McpUpstream) -> None:
    asks(files)
    gateway = start(reached(files))

    def named(name: str) -> Any:
        async def answer(*_: Any) -> ElicitResult:
            return ElicitResult(action="accept", content={"name": name})

        return answer

    async def use(name: str) -> list[str]:
        async with gateway.client(mode=LEGACY, elicitation_callback=named(name)) as client:
            return list(await asyncio.gather(*(text_of(client, "elicit") for _ in range(5))))

    async def run() -> list[list[str]]:
        return list(await asyncio.gather(use("one"), use("other")))

    assert asyncio.run(run()) == [[f"accept {{'name': '{name}'}}"] * 5 for name in ("one", "other")]


# --- what an upstream asks in its answers, by 2026-07-28


def asks_in_its_answer(files: McpUpstream, states: list[str | None]) -> None:
    @files.tool
    async def elicit(ctx: Context) -> Any:
        states.append(ctx.request_state)
        if ctx.input_responses is None:
            params = ElicitRequestFormParams(
                message="who?", requested_schema={"type": "object", "properties": {}}
            )
            return InputRequiredResult(
                input_requests={"who": ElicitRequest(params=params)}, request_state="state é ✓"
            )
        return f"hello {ctx.input_responses['who'].content['name']}"


def test_an_answer_that_asks_and_its_state_pass_as_they_are(start: Start, files: McpUpstream) -> None:
    states: list[str | None] = []
    asks_in_its_answer(files, states)

    async def run(client: Client) -> str:
        first = await client.session.call_tool("files-elicit", {}, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        assert first.input_requests is not None
        assert first.input_requests["who"].params.message == "who?"
        second = await client.session.call_tool(
            "files-elicit",
            {},
            input_responses={"who": ElicitResult(action="accept", content={"name": "me"})},
            request_state=first.request_state,
            allow_input_required=True,
        )
        sent = [call.params.get("requestState") for call in files.tool_calls]
        assert sent == [None, first.request_state]  # as the upstream had sealed it
        return str(second.content[0].text)

    assert start(reached(files)).ask(run, mode=MODERN) == "hello me"
    assert states == [None, "state é ✓"]


@pytest.mark.parametrize(
    ("mode", "protocol"), [(MODERN, "auto"), (MODERN, MODERN), (LEGACY, MODERN)], ids=str
)
def test_whoever_speaks_what_is_asked(start: Start, files: McpUpstream, mode: str, protocol: str) -> None:
    states: list[str | None] = []
    asks_in_its_answer(files, states)
    gateway = start(reached(files, protocol=protocol))
    answer = gateway.ask(lambda client: text_of(client, "elicit"), mode=mode, elicitation_callback=elicited)
    assert answer == "hello who? me"
    assert states == [None, "state é ✓"]


# --- between requests


class Subscribed:
    """Lets an upstream take subscriptions, and tell of updates to whoever has one."""

    def __init__(self, files: McpUpstream) -> None:
        self.sessions: dict[str, list[Any]] = {}
        server = files.server._lowlevel_server  # the SDK's own decorators know nothing of subscriptions
        server.add_request_handler("resources/subscribe", SubscribeRequestParams, self.subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self.unsubscribe)
        files.tool("touch")(self.touch)

    async def subscribe(self, ctx: Any, params: SubscribeRequestParams) -> EmptyResult:
        if params.uri != "file:///a":
            raise MCPError(-32002, "Resource not found")
        self.sessions.setdefault(params.uri, []).append(ctx.session)
        return EmptyResult()

    async def unsubscribe(self, ctx: Any, params: UnsubscribeRequestParams) -> EmptyResult:
        self.sessions[params.uri].pop()
        return EmptyResult()

    async def touch(self) -> str:
        for session in self.sessions.get("file:///a", []):
            told = ResourceUpdatedNotificationParams(uri="file:///a")
            await session.send_notification(ResourceUpdatedNotification(params=told))
        return "touched"


@pytest.mark.usefixtures("time_for_farewells")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_subscription_lasts_until_it_is_ended(start: Start, files: McpUpstream, transport: str) -> None:
    Subscribed(files)
    heard: list[str] = []

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.append(message.params.uri)

    async def run(client: Client) -> None:
        for turn in (1, 2):
            await client.subscribe_resource("file:///a")
            await client.subscribe_resource("file:///a")  # once is enough
            await text_of(client, "touch")
            await until(lambda: len(heard) == turn)  # noqa: B023 (awaited within the turn)
            await client.unsubscribe_resource("file:///a")
            await text_of(client, "touch")
        with pytest.raises(MCPError, match="not found"):
            await client.subscribe_resource("file:///b")

    start(reached(files, transport)).ask(run, mode=LEGACY, message_handler=hear)
    assert heard == ["file:///a"] * 2
    assert len(files.journal.rpc("resources/subscribe")) == 3
    assert len(files.journal.rpc("resources/unsubscribe")) == 2


@pytest.mark.usefixtures("time_for_farewells")
def test_a_subscription_ends_with_its_session(start: Start, files: McpUpstream) -> None:
    subscribed = Subscribed(files)

    async def run(client: Client) -> None:
        await client.subscribe_resource("file:///a")
        assert len(subscribed.sessions["file:///a"]) == 1

    start(reached(files)).ask(run, mode=LEGACY)
    wait_until(lambda: subscribed.sessions["file:///a"] == [])
    opened = {
        entry.header("mcp-session-id")[0] for entry in files.journal.posts() if entry.header("mcp-session-id")
    }
    wait_until(lambda: len(files.journal.requests("DELETE")) == len(opened))


def test_a_server_that_hangs_does_not_keep_a_subscription_that_was_given_up(
    start: Start, files: McpUpstream
) -> None:
    subscribed = Subscribed(files)
    files.fault.slow(PATIENCE, on="resources/subscribe")
    gateway = start(reached(files))

    async def run(client: Client) -> None:
        asking = asyncio.create_task(client.subscribe_resource("file:///a"))
        await until(lambda: bool(files.journal.rpc("resources/subscribe")))
        asking.cancel()
        [asked] = files.journal.rpc("resources/subscribe")
        async with asyncio.timeout(PATIENCE / 2):  # long before it would be answered
            await until(lambda: asked.entry.lost is not None)
        assert subscribed.sessions == {}

    gateway.ask(run, mode=LEGACY)


def test_changes_are_heard_for_as_long_as_the_client_listens(start: Start, files: McpUpstream) -> None:
    @files.tool
    async def change(ctx: Context) -> str:
        await ctx.notify_tools_changed()
        await ctx.notify_prompts_changed()  # which nobody asked for
        await ctx.notify_resource_updated("file:///b")
        await ctx.notify_resource_updated("file:///a")
        return "changed"

    heard: set[str] = set()
    files.fault.slow(0.3, on="subscriptions/listen")

    async def run(client: Client) -> None:
        async with client.listen(tools_list_changed=True, resource_subscriptions=["file:///a"]) as events:

            async def hear() -> None:
                async for event in events:
                    heard.add(str(event))

            hearing = asyncio.create_task(hear())
            await text_of(client, "change")  # at once: who was told that all listen misses nothing
            await until(lambda: len(heard) >= 2)
            hearing.cancel()

    start(reached(files)).ask(run, mode=MODERN)
    assert heard == {str(ToolsListChanged()), str(ResourceUpdated(uri="file:///a"))}
    [listening] = [entry for entry in files.journal.posts() if b"subscriptions/listen" in entry.body]
    assert listening.status == 200


def test_a_server_that_does_not_answer_is_not_waited_for(
    start: Start,
    files: McpUpstream,
    start_upstream: Callable[[str], McpUpstream],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = start_upstream("slow")
    slow.fault.slow(PATIENCE, on="subscriptions/listen")
    monkeypatch.setattr(subscriptions, "LISTEN_SECONDS", 0.2)

    @files.tool
    async def change(ctx: Context) -> str:
        await ctx.notify_tools_changed()
        return "changed"

    def listening() -> list[Entry]:
        return [entry for entry in slow.journal.posts() if b"subscriptions/listen" in entry.body]

    async def run(client: Client) -> str:
        async with client.listen(tools_list_changed=True) as events:
            heard = asyncio.ensure_future(anext(events))
            while not heard.done():  # the other server may not listen in so short a time either
                await text_of(client, "change")
            await until(lambda: len(listening()) == 1)
            return str(await heard)

    servers = {**reached(files), "slow": reached(slow)["files"]}
    assert start(servers).ask(run, mode=MODERN) == str(ToolsListChanged())
    assert listening()[0].answered is None


# --- what else there is to be had


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", [*TRANSPORTS, "stdio"])
def test_prompts_resources_templates_and_completion(
    start: Start, files: McpUpstream, transport: str, mode: str
) -> None:
    files.prompt("ask", "what?")
    files.resource("file:///a", "text of a")
    files.resource("file:///{name}.txt")(lambda name: f"text of {name}")

    @files.server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> Completion:
        name = ref.name if isinstance(ref, PromptReference) else ref.uri
        return Completion(values=[f"{name} {argument.value}"])

    async def run(client: Client) -> None:
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["files-ask"]
        assert (await client.get_prompt("files-ask")).messages[0].content.text == "what?"
        assert [str(one.uri) for one in (await client.list_resources()).resources] == ["file:///a"]
        templates = (await client.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == ["file:///{name}.txt"]
        assert (await client.read_resource("file:///b.txt")).contents[0].text == "text of b"
        asked = PromptReference(type="ref/prompt", name="files-ask")
        found = await client.complete(asked, {"name": "x", "value": "be"})
        assert found.completion.values == ["ask be"]
        template = ResourceTemplateReference(type="ref/resource", uri="file:///{name}.txt")
        found = await client.complete(template, {"name": "name", "value": "be"})
        assert found.completion.values == ["file:///{name}.txt be"]
        with pytest.raises(MCPError, match="Unknown prompt: other-ask"):
            await client.get_prompt("other-ask")
        with pytest.raises(MCPError):
            await client.read_resource("nothing://here")

    start(reached(files, transport)).ask(run, mode=mode)


@pytest.mark.usefixtures("time_for_farewells")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_call_that_its_client_gives_up_is_cancelled_at_the_upstream(
    start: Start, files: McpUpstream, transport: str, mode: str
) -> None:
    ended: list[str] = []

    @files.tool
    async def wait() -> None:
        try:
            await anyio.sleep(PATIENCE)
        finally:
            ended.append("wait")

    files.tool("read", result="text")

    async def run(client: Client) -> str:
        call = asyncio.create_task(client.call_tool("files-wait", {}))
        await until(lambda: len(files.tool_calls) == 1)
        call.cancel()
        async with asyncio.timeout(PATIENCE / 2):  # long before it would end by itself
            await until(lambda: ended == ["wait"])
        return await text_of(client, "read")

    assert start(reached(files, transport)).ask(run, mode=mode) == "text"

"""Tools and a prompt of 2026-07-28 that need several rounds: they ask by a result, and are called again.

They ask by hand, under the keys that the suite names; resolvers (see talks) choose theirs. The state of a
round is sealed by the SDK on its way out, and opened, or refused, on its way in.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from mcp.server.mcpserver import Context
from mcp.types import (
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

from pytest_mcpsmoke.doubles.upstream import McpUpstream

T = TypeVar("T")
_PREFIX: Final = "test_input_required_result_"


def offer(up: McpUpstream) -> None:
    """Put all of it on an upstream."""
    _one_round(up)
    _with_state(up)
    _by_capability(up)
    up.prompt(_PREFIX + "prompt")(_prompt)


async def _prompt(ctx: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask the user for the context first."""
    context = _field(ctx, "user_context", "context")
    if context is None:
        return _need(user_context=_form("What context should the prompt use?", "context"))
    return f"Answer in this context: {context}"


def _one_round(up: McpUpstream) -> None:
    @up.tool(_PREFIX + "elicitation")
    async def elicitation(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Ask the user for his name."""
        name = _field(ctx, "user_name", "name")
        return f"Hello, {name}!" if name is not None else _need(user_name=_form("What is your name?", "name"))

    @up.tool(_PREFIX + "sampling")
    async def sampling(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Ask the client's model."""
        said = _answer(ctx, "capital_question", CreateMessageResult)
        if said is None:
            return _need(capital_question=_sample("What is the capital of France?"))
        return _words(said)

    @up.tool(_PREFIX + "list_roots")
    async def list_roots(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Ask for the client's roots."""
        listed = _answer(ctx, "client_roots", ListRootsResult)
        return _need(client_roots=ListRootsRequest()) if listed is None else _roots(listed)


def _with_state(up: McpUpstream) -> None:
    for name in ("request_state", "tampered_state"):
        up.tool(_PREFIX + name)(_confirming())

    @up.tool(_PREFIX + "multiple_inputs")
    async def multiple_inputs(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Ask the user, the model and for the roots at once."""
        name = _field(ctx, "user_name", "name")
        said = _answer(ctx, "greeting", CreateMessageResult)
        listed = _answer(ctx, "client_roots", ListRootsResult)
        if ctx.request_state != "asked" or name is None or said is None or listed is None:
            return _need(
                "asked",
                user_name=_form("What is your name?", "name"),
                greeting=_sample("Generate a greeting"),
                client_roots=ListRootsRequest(),
            )
        return f"{_words(said)} {name} in {_roots(listed)}"

    @up.tool(_PREFIX + "multi_round")
    async def multi_round(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Ask for a name, then for a color."""
        step, _, kept = (ctx.request_state or "").partition(":")
        name, color = _field(ctx, "step1", "name"), _field(ctx, "step2", "color")
        if step == "2" and color is not None:
            return f"{kept} likes {color}"
        if step == "2" or (step == "1" and name is not None):
            return _need(f"2:{kept or name}", step2=_form("Step 2: What is your favorite color?", "color"))
        return _need("1:", step1=_form("Step 1: What is your name?", "name"))


def _confirming() -> Any:
    async def confirm(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Let the user confirm, and look whether the state has come back."""
        if ctx.request_state != "confirming" or _field(ctx, "confirm", "ok") is None:
            return _need("confirming", confirm=_form("Please confirm", "ok", "boolean"))
        return "state-ok"

    return confirm


def _by_capability(up: McpUpstream) -> None:
    @up.tool(_PREFIX + "capabilities")
    async def capabilities(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Ask only in the ways that the client has declared."""
        can = ctx.client_capabilities or ClientCapabilities()
        questions: dict[str, InputRequest] = {}
        if can.sampling is not None and _answer(ctx, "greeting", CreateMessageResult) is None:
            questions["greeting"] = _sample("Generate a greeting")
        if can.elicitation is not None and _field(ctx, "user_name", "name") is None:
            questions["user_name"] = _form("What is your name?", "name")
        return _need(**questions) if questions else "Nothing is left to ask"


def _need(state: str | None = None, /, **questions: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=questions, request_state=state)


def _form(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(question: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def _answer(ctx: Context[Any, Any], key: str, kind: type[T]) -> T | None:
    """The client's answer to a question; None when there is none of that kind: it is asked again."""
    answer = (ctx.input_responses or {}).get(key)
    return answer if isinstance(answer, kind) else None


def _field(ctx: Context[Any, Any], key: str, field: str) -> Any:
    """What the user filled into a field; None when he did not."""
    answer = _answer(ctx, key, ElicitResult)
    return None if answer is None else (answer.content or {}).get(field)


def _words(said: CreateMessageResult) -> str:
    return said.content.text if isinstance(said.content, TextContent) else f"({said.content.type})"


def _roots(listed: ListRootsResult) -> str:
    return ", ".join(str(root.uri) for root in listed.roots) or "no roots"

"""Tools that talk with the client while they run: progress, questions to its model and user, a lost stream.

What asks the client does so by the SDK's resolvers: by a request of the server's up to 2025-11-25, and by an
`input_required` result on 2026-07-28.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve, Sample
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    CreateMessageResult,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

from pytest_mcpsmoke.doubles.upstream import McpUpstream

_PAUSE: Final = 0.05  # seconds between messages: as the suite wants it, several can be told apart
_AWAY: Final = 0.2  # seconds in which a client comes back, told to wait half of it
_WORDS: Final = ("paris", "park", "party", "test", "testing")


class Contact(BaseModel):
    """Who the user is."""

    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    """A default of each primitive type (SEP-1034)."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


class Choices(BaseModel):
    """Each way to let the user choose (SEP-1330)."""

    untitledSingle: Literal["option1", "option2", "option3"]
    titledSingle: str = Field(
        json_schema_extra={"oneOf": _titled(("value1", "First Option"), ("value2", "Second Option"))}  # type: ignore[dict-item]
    )
    untitledMulti: list[Literal["option1", "option2", "option3"]]
    titledMulti: list[str] = Field(
        json_schema_extra={
            "items": {"anyOf": _titled(("value1", "First Choice"), ("value2", "Second Choice"))}  # type: ignore[dict-item]
        }
    )
    legacyEnum: str = Field(
        json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]}
    )


def offer(up: McpUpstream) -> None:
    """Put all of it on an upstream."""
    for tool in _TOOLS:
        up.tool(tool)
    offer_completion: Any = up.server.completion  # the SDK has no types for it
    offer_completion()(_complete)


async def _complete(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion:
    """Complete any argument to the words that begin with it."""
    found = [word for word in _WORDS if word.startswith(argument.value)]
    return Completion(values=found, total=len(found), has_more=False)


async def test_tool_with_progress(ctx: Context[Any, Any]) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(_PAUSE)
    return "Tool with progress executed successfully"


async def test_reconnection(ctx: Context[Any, Any]) -> str:
    """Close the stream of the call before the answer, which the client gets when it comes back."""
    await asyncio.sleep(_PAUSE)  # the stream's first event, which names where to go on, is still on its way
    await ctx.close_sse_stream()
    await asyncio.sleep(_AWAY)
    return "Reconnection test completed"


def _ask_model(prompt: str) -> Sample:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return Sample([message], max_tokens=100)


def test_sampling(prompt: str, said: Annotated[CreateMessageResult, Resolve(_ask_model)]) -> str:
    """Ask the client's model, and repeat what it said."""
    return f"LLM response: {_words(said)}"


def _ask_anything() -> Sample:
    return _ask_model("Is anybody there?")


def test_missing_capability(said: Annotated[CreateMessageResult, Resolve(_ask_anything)]) -> str:
    """Need a client that lets its model be asked."""
    return _words(said)


def _words(said: CreateMessageResult) -> str:
    return said.content.text if isinstance(said.content, TextContent) else f"({said.content.type})"


def _ask_user(message: str) -> Elicit[Contact]:
    return Elicit(message, Contact)


def test_elicitation(message: str, answer: Annotated[ElicitationResult[Contact], Resolve(_ask_user)]) -> str:
    """Ask the user who he is."""
    return f"User response: {_told(answer)}"


def _ask_defaults() -> Elicit[Defaults]:
    return Elicit("Please provide user information", Defaults)


def test_elicitation_sep1034_defaults(
    answer: Annotated[ElicitationResult[Defaults], Resolve(_ask_defaults)],
) -> str:
    """Ask the user, with a default for every field."""
    return f"Elicitation completed: {_told(answer)}"


def _ask_choices() -> Elicit[Choices]:
    return Elicit("Please choose", Choices)


def test_elicitation_sep1330_enums(
    answer: Annotated[ElicitationResult[Choices], Resolve(_ask_choices)],
) -> str:
    """Let the user choose, in each way there is."""
    return f"Elicitation completed: {_told(answer)}"


def test_streaming_elicitation(
    answer: Annotated[ElicitationResult[Defaults], Resolve(_ask_defaults)],
) -> str:
    """Ask the user; on 2026-07-28 by a result, never by a request on the stream."""
    return f"Elicitation completed: {_told(answer)}"


def _told(answer: Any) -> str:
    content = answer.data.model_dump_json() if isinstance(answer, AcceptedElicitation) else "{}"
    return f"action={answer.action}, content={content}"


_TOOLS: Final[tuple[Callable[..., Any], ...]] = (
    test_tool_with_progress,
    test_reconnection,
    test_sampling,
    test_missing_capability,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_streaming_elicitation,
)

"""A scripted model: answers turn by turn, and refuses a turn that the script does not hold."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mcpsmoke.doubles.completion import answer_of, chunks, completion
from pytest_mcpsmoke.doubles.history import fault_of, lines_of, message_text
from pytest_mcpsmoke.doubles.replies import Disconnect, Malformed, RateLimited, Status, is_raised, waited
from pytest_mcpsmoke.doubles.served import ServedDouble
from pytest_mcpsmoke.doubles.wording import call_text, diff, json_lines, reply_text
from pytest_mcpsmoke.errors import UnexpectedCall, UnusedScript
from pytest_mcpsmoke.state.describe import describe

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.loopback import App

Message = Mapping[str, Any]
_CLOSED = "the model's server closed the connection"


@dataclass
class Turn:
    """What one turn saw, copied when it was asked.

    Attributes:
        number: Counted from 1.
        model: The model that was asked for.
        messages: The history.
        tools: The tools that were offered; None without.
        stream: Whether a stream was asked for.
        options: Everything else that was given.
        answer: The assistant's message; None while it is not given, and when the turn failed.
    """

    number: int
    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    stream: bool
    options: dict[str, Any]
    answer: Mapping[str, Any] | None = None

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools that were offered, in order."""
        return [tool["function"]["name"] for tool in self.tools or []]

    def __repr__(self) -> str:
        asked = f"turn {self.number}: asks {self.model!r}, {len(self.messages)} messages"
        return f"{asked}, the last: {message_text(self.messages[-1])}" if self.messages else asked


@dataclass
class _Step:
    """A scripted turn: its answer, and what it must be asked with (None: anything)."""

    reply: Any
    model: str | None = None
    given: list[dict[str, Any]] | None = None

    def __str__(self) -> str:
        return _answer_text(self.reply) + (f" as {self.model!r}" if self.model else "")


@dataclass(frozen=True)
class _Calls:
    """Tool calls to answer with; their ids are those of the turn."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    text: str | None = field(default=None)

    def message(self, turn: int) -> dict[str, Any]:
        made = [
            {
                "id": f"call_{turn}_{at}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
            }
            for at, (name, arguments) in enumerate(self.calls, 1)
        ]
        return {"role": "assistant", "content": self.text, "tool_calls": made}


class ScriptedModel(ServedDouble):
    """Stands in for a router's callable, and, served, for an OpenAI-compatible server.

    Each turn is checked before it is answered: the history must be one that such a server takes, with
    exactly one reply to each tool call. A turn that the script does not hold is refused.

    Args:
        error: What a scripted `Status` raises where the model is called, not served.

    Attributes:
        turns: What each turn saw, in order, those that were refused included.
    """

    def __init__(self, error: type[Exception] = RuntimeError) -> None:
        super().__init__()
        self.error = error
        self.turns: list[Turn] = []
        self._steps: list[_Step] = []
        self._taken = 0
        self._default: _Step | None = None
        self._lock = threading.Lock()  # a served model is asked on the server's thread

    # --- the script

    def script(self, *replies: Any) -> ScriptedModel:
        """Add turns, one for each reply.

        A reply is a text; an assistant's message, sent as it is, however malformed; a whole completion (with
        `choices`); a function of the Turn that returns one of these; an exception, which is raised; or a
        `Status`, `Delay`, `RateLimited`, `Malformed` or `Disconnect`.
        """
        self._steps += [_Step(reply) for reply in replies]
        return self

    def says(
        self, text: str, *, model: str | None = None, given: Sequence[Message] | None = None
    ) -> ScriptedModel:
        """Add a turn that answers with a text.

        Args:
            text: The answer.
            model: The model that must be asked for; None: any.
            given: The history that the turn must be asked with; None: any that is well-formed.
        """
        self._steps.append(_Step(text, model, None if given is None else _copied(given)))
        return self

    def calls(
        self,
        *calls: tuple[str, Mapping[str, Any]],
        text: str | None = None,
        model: str | None = None,
        given: Sequence[Message] | None = None,
    ) -> ScriptedModel:
        """Add a turn that answers with tool calls: `calls(("weather", {"city": "Kyiv"}), ("clock", {}))`.

        Their ids are `call_<turn>_<place>`, both counted from 1. `model` and `given` as for `says`.

        Raises:
            TypeError: No call is given, or one is not a pair of a name and a mapping.
        """
        if not calls or not all(_is_call(call) for call in calls):
            raise TypeError('calls() takes pairs of a name and its arguments, such as ("clock", {})')
        self._steps.append(_Step(_Calls(calls, text), model, None if given is None else _copied(given)))
        return self

    def always(self, reply: Any) -> ScriptedModel:
        """Answer every turn after the scripted ones with this; it need not be asked for at all."""
        self._default = _Step(reply)
        return self

    # --- as a router's callable

    async def __call__(
        self,
        model: str,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        stream: bool = False,
        **options: Any,
    ) -> Any:
        """Answer one turn: a chat completion, or, with stream, an async iterator of its chunks.

        Both are dicts whose keys are attributes, too.

        Raises:
            UnexpectedCall: The history is malformed, or the script has no such turn; the test fails with
                it, whoever catches it.
            Exception: What the script says.
        """
        __tracebackhide__ = True
        turn, reply = self.begin(model, messages, tools, stream, options)
        if not stream:
            return answer_of(await self.whole(turn, reply))
        broken = reply if isinstance(reply, Disconnect) and reply.after > 0 else None
        whole = await self.whole(turn, reply if broken is None else broken.then)
        include_usage = bool((options.get("stream_options") or {}).get("include_usage"))
        return _streamed(chunks(whole, include_usage), None if broken is None else broken.after)

    def begin(
        self,
        model: str,
        messages: Any,
        tools: Any = None,
        stream: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Turn, Any]:
        """Note a turn and take its reply; raises UnexpectedCall for one that the script does not hold."""
        __tracebackhide__ = True
        with self._lock:
            turn = Turn(
                len(self.turns) + 1, model, _copied(messages), _copied(tools), stream, dict(options or {})
            )
            self.turns.append(turn)
            step = self._steps[self._taken] if self._taken < len(self._steps) else self._default
            failure = self._fault(turn, step)
            if failure is None and self._taken < len(self._steps):
                self._taken += 1
        if failure is not None or step is None:
            self.refuse(UnexpectedCall(failure or ""))
        return turn, step.reply

    async def whole(self, turn: Turn, reply: Any) -> dict[str, Any]:
        """Turn a reply into a completion; raises what the script says, as a router would."""
        reply = await waited(reply)
        if isinstance(reply, RateLimited):
            self.again(reply.then)
            reply = reply.refusal()
        if is_raised(reply):
            raise reply
        if isinstance(reply, Status):
            raise self.error(str(reply))
        if isinstance(reply, Disconnect):
            raise ConnectionError(_CLOSED)
        if isinstance(reply, Malformed):
            return dict(json.loads(reply.body))  # raises ValueError, as reading such an answer does
        return await self.rendered(turn, reply)

    async def rendered(self, turn: Turn, reply: Any) -> dict[str, Any]:
        """Turn a text, message, completion or function of the turn into a completion."""
        if callable(reply):
            reply = reply(turn)
            if inspect.isawaitable(reply):
                reply = await reply
        if isinstance(reply, _Calls):
            reply = reply.message(turn.number)
        if isinstance(reply, Mapping) and "choices" in reply:
            return dict(_copied(reply))
        message = {"content": reply} if isinstance(reply, str) else _copied(reply)
        if not isinstance(message, dict):
            raise TypeError(f"scripted_model: {describe(reply)} is no answer: a text or a message is")
        turn.answer = {"role": "assistant", **message}
        return completion(turn.number, turn.model, message, turn.messages)

    def again(self, reply: Any) -> None:
        """Script the very next turn: for a server that has refused it once."""
        with self._lock:
            self._steps.insert(self._taken, _Step(reply))

    # --- as a server

    def serve(self) -> str:
        """Serve the model on loopback, `/v1/chat/completions` and `/v1/models`; return the base URL, `…/v1`.

        Serving twice is the same server.

        Raises:
            MissingExtra: uvicorn is not installed.
        """
        return f"{self._url('scripted_model.serve()')}/v1"

    def app(self) -> App:
        """The model's server, as an ASGI application."""
        from pytest_mcpsmoke.doubles.model_server import ModelServer

        return ModelServer(self)

    def verify(self) -> None:
        """Raise UnusedScript, with a diff, when a scripted turn was never asked for."""
        left = len(self._steps) - self._taken
        if left:
            verb = "was" if left == 1 else "were"
            first = f"scripted_model: {left} of {len(self._steps)} turns {verb} never asked for"
            raise UnusedScript("\n".join([first, *self._difference([])]))

    # --- what is said of a turn that is refused

    def _fault(self, turn: Turn, step: _Step | None) -> str | None:
        broken = fault_of(turn.messages)
        if broken is not None:
            what, at = broken
            first = f"scripted_model: turn {turn.number} was sent a malformed history: {what}"
            return "\n".join([first, *lines_of(turn.messages, at)])
        if step is None:
            count = len(self._steps)
            first = f"scripted_model: unexpected turn, the script has {count or 'none'}"
            return "\n".join([first, *self._difference([repr(turn)])])
        if step.model is not None and step.model != turn.model:
            asks = f"turn {turn.number} asks model {turn.model!r}"
            return f"scripted_model: {asks}; the script expects {step.model!r}"
        if step.given is not None and step.given != turn.messages:
            lines = diff(json_lines(step.given), json_lines(turn.messages), ("expected", "asked"))
            return "\n".join(
                [f"scripted_model: turn {turn.number} was not asked as the script expects", *lines]
            )
        return None

    def _difference(self, unexpected: list[str]) -> list[str]:
        """The script against what was asked, as a diff."""
        scripted = [f"turn {number}: {step}" for number, step in enumerate(self._steps, 1)]
        return diff(scripted, scripted[: self._taken] + unexpected, ("script", "asked"))


def _answer_text(reply: Any) -> str:
    if isinstance(reply, str):
        return f"says {describe(reply)}"
    if isinstance(reply, _Calls):
        return "calls " + ", ".join(call_text(name, arguments) for name, arguments in reply.calls)
    if isinstance(reply, Mapping) and "role" in reply:
        return message_text(reply)
    return f"answers {reply_text(reply)}"


def _is_call(call: object) -> bool:
    return (
        isinstance(call, tuple)
        and len(call) == 2
        and isinstance(call[0], str)
        and isinstance(call[1], Mapping)
    )


def _copied(value: Any) -> Any:
    """A deep copy, in plain lists and dicts; pydantic models become what they stand for."""
    if hasattr(value, "model_dump"):  # a message as routers and clients hand it out
        value = value.model_dump(exclude_none=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return copy.deepcopy(value)


async def _streamed(pieces: Iterable[Any], cut_after: int | None) -> AsyncIterator[Any]:
    """Yield chunks; with cut_after, raise ConnectionError after so many bytes of their JSON."""
    sent = 0
    for piece in pieces:
        await asyncio.sleep(0)  # each comes in a turn of the loop of its own, as from a socket
        sent += len(json.dumps(piece, ensure_ascii=False))
        if cut_after is not None and sent > cut_after:
            raise ConnectionError(_CLOSED)
        yield answer_of(piece)

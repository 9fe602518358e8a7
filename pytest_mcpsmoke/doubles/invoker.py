"""A fake invoker: offers tools, answers scripted calls, and refuses every other."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pytest_mcpsmoke.doubles.replies import (
    Delay,
    Disconnect,
    Malformed,
    RateLimited,
    Status,
    body_bytes,
    is_raised,
)
from pytest_mcpsmoke.doubles.served import ServedDouble
from pytest_mcpsmoke.doubles.shown import without_secrets
from pytest_mcpsmoke.doubles.signature import description_of, openai_tool, parameters_of
from pytest_mcpsmoke.doubles.stand_in import Instance, stand_in
from pytest_mcpsmoke.doubles.wording import call_text, numbered, reply_text
from pytest_mcpsmoke.errors import UnexpectedCall, UnusedScript
from pytest_mcpsmoke.state.describe import describe

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.loopback import App

F = TypeVar("F", bound=Callable[..., Any])
_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass
class Call:
    """One tool call that was made.

    Attributes:
        name: The tool.
        arguments: What it was given, decoded.
        instance: The object that was asked; None for the fake itself, and over HTTP.
        reply: The text it was answered with; None while it runs, and when it failed.
        error: What it failed with.
        attempts: How often the tool server would have been asked: 2 after a 429, else 1.
    """

    name: str
    arguments: dict[str, Any]
    instance: Instance | None = None
    reply: str | None = None
    error: BaseException | None = None
    attempts: int = 1

    def __repr__(self) -> str:
        return call_text(self.name, self.arguments)


@dataclass
class _Step:
    """A scripted call: which call it is for, and its answer; `arguments` None: whatever they are."""

    name: str
    arguments: Mapping[str, Any] | None
    reply: Any

    def suits(self, name: str, arguments: Mapping[str, Any]) -> bool:
        return self.name == name and (self.arguments is None or self.arguments == arguments)

    def __str__(self) -> str:
        return f"{call_text(self.name, self.arguments)} -> {reply_text(self.reply)}"


@dataclass
class _Tool:
    schema: dict[str, Any]
    function: Callable[..., Any] | None = field(default=None, repr=False)


class FakeInvoker(ServedDouble):
    """Plays the invoker protocol, `list_openai_tools` and `call_openai_tool`.

    A call is answered by the first scripted step that suits it, else by the tool's function, else by what is
    always answered; any other call is refused. The order of calls to different tools is free; `calls` tells
    what it was.

    Args:
        error: What a scripted `Status` raises: give the class of the invoker that the fake stands for.
        strict: False: a call that nothing answers raises LookupError, as an unknown tool would, and no test
            fails for it or for what of the script was left over.

    Attributes:
        calls: The tool calls that were made, in order, those that were refused included.
        listings: How often the catalogue was asked for.
        instances: What the classes from `factory` were made into, in order.
    """

    def __init__(self, error: type[Exception] = RuntimeError, *, strict: bool = True) -> None:
        super().__init__()
        self.error = error
        self.strict = strict
        self.calls: list[Call] = []
        self.listings = 0
        self.instances: list[Instance] = []
        self._tools: dict[str, _Tool] = {}
        self._steps: list[_Step] = []
        self._default: list[Any] = []  # of one reply, or none
        self._catalogues: list[Any] = []
        self._lock = threading.Lock()  # a served fake is asked on the server's thread

    # --- the script

    @overload
    def tool(self, tool: F, /) -> F: ...
    @overload
    def tool(
        self, tool: str, /, *replies: Any, description: str = "", parameters: Mapping[str, Any] | None = None
    ) -> FakeInvoker: ...
    def tool(
        self, tool: Any, /, *replies: Any, description: str = "", parameters: Mapping[str, Any] | None = None
    ) -> Any:
        """Offer a tool.

        Args:
            tool: A function, sync or async, which answers every call with any reply, and whose signature and
                docstring are the schema (so it works as a decorator); or a name.
            replies: For a name: the answers to its calls, whatever their arguments, one after the other.
            description: For a name: what the catalogue says of it.
            parameters: For a name: the JSON schema of its arguments.

        Returns:
            The function itself, or, for a name, the fake.

        Raises:
            TypeError: It is neither, or a function that takes arguments without names.
        """
        if isinstance(tool, str):
            schema = openai_tool(tool, description, _ANYTHING if parameters is None else parameters)
            self._tools[tool] = _Tool(schema)
            self._steps += [_Step(tool, None, reply) for reply in replies]
            return self
        if not callable(tool) or replies:
            raise TypeError("tool() takes a function alone, or a name and its replies")
        name = tool.__name__
        self._tools[name] = _Tool(openai_tool(name, description_of(tool), parameters_of(tool)), tool)
        return tool

    def expect(self, name: str, arguments: Mapping[str, Any] | None, /, *replies: Any) -> FakeInvoker:
        """Script calls of one tool with exactly these arguments (None: any), one for each reply.

        A tool of that name is offered, if there is none yet. A reply is a text; any other JSON value; an
        exception, which is raised; or a `Status`, `Delay`, `RateLimited`, `Malformed` or `Disconnect`.

        Raises:
            TypeError: There is no reply.
        """
        if not replies:
            raise TypeError(f"expect({name!r}, …) needs at least one reply")
        if name not in self._tools:
            self.tool(name)
        self._steps += [_Step(name, arguments, reply) for reply in replies]
        return self

    def always(self, reply: Any) -> FakeInvoker:
        """Answer every call that nothing else answers, of whatever tool; it need not be made at all."""
        self._default = [reply]
        return self

    def catalogue(self, *replies: Any) -> FakeInvoker:
        """Script what the next listings get in place of the tools that are offered; one reply for each."""
        self._catalogues += replies
        return self

    def expect_first(self, name: str, arguments: Mapping[str, Any], reply: Any) -> None:
        """Script one call before all others: for a server that has refused it once."""
        with self._lock:
            self._steps.insert(0, _Step(name, arguments, reply))

    def catalogue_first(self, reply: Any) -> None:
        """Script the next listing: for a server that has refused it once."""
        with self._lock:
            self._catalogues.insert(0, reply)

    # --- the invoker protocol

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return the catalogue, OpenAI tool objects; raises what the script says."""
        reply = self.next_catalogue()
        if reply is None:
            return self.offered()
        while isinstance(reply, Delay | RateLimited):
            await asyncio.sleep(reply.seconds if isinstance(reply, Delay) else 0)
            reply = reply.then
        if isinstance(reply, Malformed):
            raise self.error("the catalogue is not a JSON list of objects")
        self._raise_scripted(reply)
        return list(reply)

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> str:
        """Answer one OpenAI tool call; `function.arguments` is a mapping or JSON text.

        Raises:
            UnexpectedCall: The script has no answer; the test fails with it, whoever catches it.
            Exception: What the script says.
        """
        __tracebackhide__ = True
        return await self.ask(openai_tool, None)

    async def ask(self, openai_tool: Mapping[str, Any], instance: Instance | None) -> str:
        """Answer one OpenAI tool call that was made of an instance; as call_openai_tool."""
        __tracebackhide__ = True
        call, reply = self.begin(*self._read(openai_tool), instance)
        try:
            call.reply = await self._perform(reply, call)
        except BaseException as error:
            call.error = error
            raise
        return call.reply

    async def _perform(self, reply: Any, call: Call) -> str:
        if isinstance(reply, Delay):
            await asyncio.sleep(reply.seconds)
            return await self._perform(reply.then, call)
        if isinstance(reply, RateLimited):  # an invoker asks again, and its caller never hears of it
            call.attempts += 1
            return await self._perform(reply.then, call)
        self._raise_scripted(reply)
        if isinstance(reply, Malformed | Status):
            return body_bytes(reply.body).decode("utf-8", "replace")
        if callable(reply):
            return await self._perform(await self.run(reply, call), call)
        return reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)

    def _raise_scripted(self, reply: Any) -> None:
        if is_raised(reply):
            raise reply
        if isinstance(reply, Status) and reply.code >= 400:
            raise self.error(str(reply))
        if isinstance(reply, Disconnect):
            raise ConnectionError("the tool server closed the connection")

    # --- what the HTTP server asks, too

    def offered(self) -> list[dict[str, Any]]:
        """The tools that are offered, as OpenAI tool objects."""
        return [tool.schema for tool in self._tools.values()]

    def next_catalogue(self) -> Any:
        """Count a listing and take its scripted reply; None where the offered tools are the answer."""
        with self._lock:
            self.listings += 1
            return self._catalogues.pop(0) if self._catalogues else None

    def begin(
        self, name: str, arguments: dict[str, Any], instance: Instance | None = None
    ) -> tuple[Call, Any]:
        """Log a call and take its reply: a scripted one, or the tool's function.

        Raises:
            UnexpectedCall: There is none.
            LookupError: There is none, and the fake is not strict.
        """
        __tracebackhide__ = True
        with self._lock:
            call = Call(name, arguments, instance)
            self.calls.append(call)
            for step in self._steps:
                if step.suits(name, arguments):
                    self._steps.remove(step)
                    return call, step.reply
            tool = self._tools.get(name)
            if tool is not None and tool.function is not None:
                return call, tool.function
            if self._default:
                return call, self._default[0]
            call.error = self._unscripted(call)
        self._refuse_or_raise(call.error)
        raise call.error

    async def run(self, function: Callable[..., Any], call: Call) -> Any:
        """Call a tool's function; raises UnexpectedCall when the arguments do not suit it."""
        try:
            inspect.signature(function).bind(**call.arguments)
        except TypeError as error:
            signature = f"{call.name}{inspect.signature(function)}"
            call.error = UnexpectedCall(f"fake_invoker: {call} does not suit {signature}: {error}")
            self._refuse_or_raise(call.error)
            raise TypeError(str(error)) from None
        result = function(**call.arguments)
        return await result if inspect.isawaitable(result) else result

    def _refuse_or_raise(self, error: Exception) -> None:
        __tracebackhide__ = True
        if self.strict and isinstance(error, AssertionError):
            self.refuse(error)

    def _unscripted(self, call: Call) -> Exception:
        if not self.strict:
            return LookupError(f"no tool answers {call}; offered: {', '.join(self._tools) or 'none'}")
        expected = [str(step) for step in self._steps] + [
            f"{name}{inspect.signature(tool.function)}, any number of times"
            for name, tool in self._tools.items()
            if tool.function is not None
        ]
        made = [repr(earlier) for earlier in self.calls[:-1]]
        arguments = json.dumps(without_secrets(call.arguments), ensure_ascii=False, default=describe)
        return UnexpectedCall(
            "\n".join(
                [
                    f"fake_invoker: unscripted tool call {call}",
                    "expected:",
                    *numbered(expected, "no call"),
                    "made before:",
                    *numbered(made, "none"),
                    f"to script it: expect({call.name!r}, {arguments}, <reply>)",
                ]
            )
        )

    def _read(self, openai_tool: Any) -> tuple[str, dict[str, Any]]:
        """The name and arguments of an OpenAI tool call; raises UnexpectedCall for what is none."""
        __tracebackhide__ = True
        function = openai_tool.get("function") if isinstance(openai_tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
            came = json.dumps(without_secrets(openai_tool), default=describe)
            self.refuse(UnexpectedCall(f"fake_invoker: no tool call, function.name is missing: {came}"))
        arguments = decoded(function.get("arguments"))
        if arguments is None:
            came = describe(function.get("arguments"))
            self.refuse(UnexpectedCall(f"fake_invoker: {name}: the arguments are no JSON object: {came}"))
        return name, arguments

    # --- standing in for a class, and for a server

    def factory(self, real: type | None = None) -> type:
        """Return a class to put in the place of an invoker's class; its objects ask this fake.

        Args:
            real: The class. Its constructor's signature is kept, so that a wrong call is the same TypeError,
                and each argument becomes an attribute. None: `(base_url, headers=None)`.
        """
        return stand_in(self, real)

    def serve(self) -> str:
        """Serve the fake on loopback, `GET /tools` and `POST /invoke`; return the base URL.

        A reply then has its HTTP form: a text is `{"text": …}`, another value its JSON, a `Status` that
        status, and a `RateLimited` refuses one request and answers the next. Serving twice is the same
        server.

        Raises:
            MissingExtra: uvicorn is not installed.
        """
        return self._url("fake_invoker.serve()")

    def app(self) -> App:
        """The tool server, as an ASGI application."""
        from pytest_mcpsmoke.doubles.invoker_server import InvokerServer

        return InvokerServer(self)

    def verify(self) -> None:
        """Raise UnusedScript when a scripted call or listing was never made."""
        left = [str(step) for step in self._steps]
        left += [f"a listing -> {reply_text(reply)}" for reply in self._catalogues]
        if self.strict and left:
            calls = "1 scripted call was" if len(left) == 1 else f"{len(left)} scripted calls were"
            raise UnusedScript(
                "\n".join(
                    [
                        f"fake_invoker: {calls} never made",
                        *numbered(left, ""),
                        "made:",
                        *numbered([repr(call) for call in self.calls], "none"),
                    ]
                )
            )


def decoded(arguments: object) -> dict[str, Any] | None:
    """A tool call's arguments as a new dict, given as a mapping or as JSON text; None for anything else."""
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    return dict(arguments) if isinstance(arguments, Mapping) else None

"""Invokers: whatever performs a tool call. The two here need no upstream."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class MCPInvoker(Protocol):
    """What the agent loop needs of an invoker."""

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Returns the catalogue as OpenAI tool objects."""
        ...

    async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
        """Performs one OpenAI tool call, `function.arguments` being a dict, and returns its reply."""
        ...


@dataclass(frozen=True)
class LocalTool:
    """A tool that is a function of this process; `parameters` maps each argument to its JSON type."""

    name: str
    description: str
    parameters: dict[str, str]
    function: Callable[..., str]

    def as_openai(self) -> dict[str, Any]:
        """Returns the OpenAI tool object."""
        schema = {
            "type": "object",
            "properties": {name: {"type": kind} for name, kind in self.parameters.items()},
            "required": list(self.parameters),
        }
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


def compress_runs(text: str) -> str:
    """Returns the run-length code of a text: `aab` gives `a2b1`."""
    return "".join(f"{char}{len(list(run))}" for char, run in itertools.groupby(text))


def add(a: float, b: float) -> str:
    """Returns the sum of two numbers as text."""
    return json.dumps(a + b)


LOCAL_TOOLS = (
    LocalTool("add", "Add two numbers.", {"a": "number", "b": "number"}, add),
    LocalTool("compress_runs", "Run-length encode a text.", {"text": "string"}, compress_runs),
)


class LocalInvoker:
    """Runs tools in this process. No tool here runs code that a model wrote."""

    def __init__(self, tools: Iterable[LocalTool] = LOCAL_TOOLS) -> None:
        self._tools = {tool.name: tool for tool in tools}

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Returns the catalogue."""
        return [tool.as_openai() for tool in self._tools.values()]

    async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
        """Runs one tool.

        Raises:
            LookupError: There is no tool of that name.
            ValueError: The arguments are not a JSON object.
            TypeError: The arguments do not suit the tool.
        """
        function = openai_tool["function"]
        tool = self._tools.get(function["name"])
        if tool is None:
            raise LookupError(f"no local tool is called {function['name']!r}; known: {sorted(self._tools)}")
        return tool.function(**decode_arguments(function["arguments"]))


class EchoInvoker:
    """Answers every tool call with its own arguments, as JSON."""

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Returns a catalogue of one tool, `echo`."""
        return [LocalTool("echo", "Say the text again.", {"text": "string"}, str).as_openai()]

    async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
        """Returns the arguments.

        Raises:
            ValueError: The arguments are not a JSON object.
        """
        return json.dumps(decode_arguments(openai_tool["function"]["arguments"]), ensure_ascii=False)


def checked_catalogue(tools: object) -> list[dict[str, Any]]:
    """Returns the catalogue as it is.

    Raises:
        ValueError: It is not a list of objects, or no JSON text can hold it: the model could not be sent it.
    """
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValueError("the tool catalogue is not a JSON list of objects")
    try:
        json.dumps(tools, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        raise ValueError("the tool catalogue holds what JSON cannot: NaN, a lone surrogate …") from None
    return tools


def decode_arguments(arguments: object) -> dict[str, Any]:
    """Returns a tool call's arguments, given as a dict or, as models send them, as JSON text.

    Raises:
        ValueError: They are not a JSON object.
    """
    # Models leave the arguments of a tool that takes none empty or out.
    if arguments is None or arguments == "":
        return {}
    decoded = _loads(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(decoded, dict):
        raise ValueError(f"tool arguments are not a JSON object: {str(arguments)[:100]!r}")
    return decoded


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

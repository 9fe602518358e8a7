"""Checks of ours, beside two scenarios that pass on a server without their tools (the suite's issue #515).

The suite takes any text for an answer, and any error for the tool's own: "Unknown tool" is both. So the same
tools are called once more, and have to be there and to say what they should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from mcp import Client, MCPError
from mcp.types import CallToolResult, TextContent

from conformance.contents import ERROR_TEXT, SIMPLE_TEXT
from conformance.results import FAILED, PAIRED, PASSED, Check

_MODES: Final = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
_SECONDS: Final = 20.0

# scenario -> tool, whether its answer is an error, what it says
_PAIRS: Final[Mapping[str, tuple[str, bool, str]]] = {
    "tools-call-simple-text": ("test_simple_text", False, SIMPLE_TEXT),
    "tools-call-error": ("test_error_handling", True, ERROR_TEXT),
}


def checks(url: str, version: str) -> tuple[Check, ...]:
    """Call the tools as the SDK's client does, by a version of the protocol; return a check for each pair."""
    return tuple(
        Check(scenario, f"{scenario}-says-so", FAILED if fault else PASSED, PAIRED, fault)
        for scenario, fault in asyncio.run(_faults(url, version)).items()
    )


async def _faults(url: str, version: str) -> dict[str, str]:
    try:
        async with asyncio.timeout(_SECONDS), Client(url, mode=_MODES[version]) as client:
            listed = {tool.name for tool in (await client.list_tools()).tools}
            return {scenario: await _fault(client, listed, *pair) for scenario, pair in _PAIRS.items()}
    except Exception as error:  # whatever keeps the tools from being called is the finding
        told = f"the tool could not be called: {_innermost(error)}"
        return dict.fromkeys(_PAIRS, told)


async def _fault(client: Client, listed: set[str], tool: str, is_error: bool, text: str) -> str:
    """What is wrong with a tool; "" when nothing is."""
    if tool not in listed:
        return f"the server lists no tool {tool}"
    try:
        result = await client.call_tool(tool, {})
    except MCPError as error:
        return f"{tool}: an answer was expected, not an error of the protocol: {error}"
    if bool(result.is_error) != is_error:
        return f"{tool}: isError {str(is_error).lower()} was expected, not {str(not is_error).lower()}"
    said = _text(result)
    return "" if said == text else f"{tool}: {text!r} was expected, not {said!r}"


def _text(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{type(error).__name__}: {error}".split())

"""Tool calls."""

from gateway.errors import ToolError


def call(tool):
    if tool != "search":
        raise ToolError(f"no such tool: {tool}")
    return "found"

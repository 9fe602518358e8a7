"""The fixtures: a few lines each over an object of `doubles/`, imported when a test asks for it.

All are function-scoped and none is autouse. They are sync, so that sync and async tests use them alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_mcpsmoke.glue.verdict import judged

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.upstream import McpUpstream


@pytest.fixture
def mcp_upstream(request: pytest.FixtureRequest) -> Iterator[McpUpstream]:
    """A real MCP server (McpUpstream) over streamable HTTP, SSE, stdio and in memory, with a journal.

    A transport starts when the test first asks for it: `mcp_upstream.http()`. At teardown connections,
    children and the thread are ended, and a fault that was declared and not met raises UnusedScript. Without
    the package `mcp` or `uvicorn` the test fails with the command that installs it.
    """
    from pytest_mcpsmoke.doubles.upstream import McpUpstream

    with judged(request, McpUpstream) as double:
        yield double

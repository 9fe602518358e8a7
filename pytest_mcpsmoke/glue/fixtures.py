"""The fixtures: a few lines each over an object of `doubles/`, imported when a test asks for it.

All are function-scoped and none is autouse. They are sync, so that sync and async tests use them alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_mcpsmoke.glue.verdict import judged

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.invoker import FakeInvoker
    from pytest_mcpsmoke.doubles.model import ScriptedModel
    from pytest_mcpsmoke.doubles.patching import Patches
    from pytest_mcpsmoke.doubles.upstream import McpUpstream


@pytest.fixture
def fake_invoker(request: pytest.FixtureRequest) -> Iterator[FakeInvoker]:
    """A FakeInvoker: offers tools, answers scripted tool calls, refuses every other.

    A refused call fails the test; a scripted call that was never made is an error at teardown.
    """
    from pytest_mcpsmoke.doubles.invoker import FakeInvoker

    with judged(request, FakeInvoker) as double:
        yield double


@pytest.fixture
def scripted_model(request: pytest.FixtureRequest) -> Iterator[ScriptedModel]:
    """A ScriptedModel: answers turn by turn, as a router's callable or as an OpenAI-compatible server.

    A turn with a malformed history, or none in the script, fails the test; one that was never asked for is
    an error at teardown.
    """
    from pytest_mcpsmoke.doubles.model import ScriptedModel

    with judged(request, ScriptedModel) as double:
        yield double


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


@pytest.fixture
def patch_globals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patches]:
    """Patch names, items, the environment, sys.modules and applications for one test (see `Patches`).

        patch_globals("reference_app.agent_proxy.HttpToolsInvoker", fake)
        patch_globals.env(MINI_AGENT_STORE_TRACES="1")

    Each call patches at once and gives a `Patch`: what is patched, and who was left alone. Raises NoSuchName
    (an AttributeError) or NoSuchModule (an ImportError) for a misspelt name. All is undone when the test is
    over, last in first out, and in one order with what monkeypatch does.
    """
    from pytest_mcpsmoke.glue.patches import patches_of

    with patches_of(request.node, monkeypatch) as patches:
        yield patches

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
    from pytest_mcpsmoke.doubles.recording import RecordHeaders, RecordingAsyncClient, RecordingClient
    from pytest_mcpsmoke.doubles.upstream import McpUpstream
    from pytest_mcpsmoke.tiers.provider import NdModel


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
def recording_client(request: pytest.FixtureRequest) -> Iterator[RecordingClient]:
    """Makes sync clients of httpx and httpx2 that record what they send.

    `recording_client(flavour="httpx", app=…, transport=…, **options)` returns an `httpx.Client` or
    `httpx2.Client`; the requests of all of them are in `recording_client.sent`, in order, and the
    `assert_…()` methods are about them. Raises MissingExtra, UsageProblem. While it is in use, a connection
    that no recorder sees raises UnexpectedCall, and fails the test. The clients are closed at the end.
    """
    from pytest_mcpsmoke.doubles.recording import RecordingClient

    with judged(request, RecordingClient) as recorder:
        yield recorder


@pytest.fixture
def recording_async_client(request: pytest.FixtureRequest) -> Iterator[RecordingAsyncClient]:
    """Makes async clients of httpx and httpx2 that record what they send, as recording_client does.

    The fixture is sync, so it works with every async plugin. It closes no client, for only a client's own
    loop can: use `async with`; a client that still holds connections at the end fails the test.
    """
    from pytest_mcpsmoke.doubles.recording import RecordingAsyncClient

    with judged(request, RecordingAsyncClient) as recorder:
        yield recorder


@pytest.fixture
def record_headers(request: pytest.FixtureRequest) -> Iterator[RecordHeaders]:
    """Records clients that exist, or that the code under test makes itself.

    `record_headers(client)` attaches to a client of httpx or httpx2; `record_headers.into("app.module")`
    records the clients that a module makes. What was sent is in `record_headers.sent`; else as
    recording_client. Every client and module is put back at the end. Raises MissingExtra, UsageProblem.
    """
    from pytest_mcpsmoke.doubles.recording import RecordHeaders

    with judged(request, RecordHeaders) as recorder:
        yield recorder


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


@pytest.fixture
def nd_model(request: pytest.FixtureRequest) -> NdModel:
    """The real model of an nd_real test: `base_url` (of an OpenAI-compatible API), `api_key`, `model`.

    All three are texts, to be given to the program under test in the place of the provider's: they lead to a
    relay on loopback that counts requests, tokens, cost and seconds for each sample, keeps to the marker's
    budget, and puts the real key in. In a test that is not marked nd_real, and where no model is to be had,
    it fails the test.
    """
    from pytest_mcpsmoke.glue.nd_model import model_of

    return model_of(request.node)

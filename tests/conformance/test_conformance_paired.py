"""The checks beside two scenarios that pass for nothing: they fail where the suite's own do not."""

from __future__ import annotations

import pytest

from conformance import paired
from conformance.contents import ERROR_TEXT, SIMPLE_TEXT
from conformance.profile import serve
from conformance.results import PAIRED, VERSIONS, Check
from pytest_mcpsmoke.doubles.upstream import McpUpstream

SIMPLE, ERROR = "tools-call-simple-text", "tools-call-error"


def faults(url: str, version: str) -> dict[str, str]:
    return {check.scenario: check.message for check in paired.checks(url, version)}


@pytest.mark.parametrize("version", VERSIONS)
def test_they_pass_on_the_profile(profile: McpUpstream, version: str) -> None:
    assert paired.checks(serve(profile), version) == (
        Check(SIMPLE, f"{SIMPLE}-says-so", "SUCCESS", PAIRED),
        Check(ERROR, f"{ERROR}-says-so", "SUCCESS", PAIRED),
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_they_fail_on_a_server_without_the_tools(version: str) -> None:
    """On which the suite's two scenarios pass: see test_conformance_npm."""
    with McpUpstream() as up:
        found = paired.checks(up.http(), version)
    assert [(check.status, check.message) for check in found] == [
        ("FAILURE", "the server lists no tool test_simple_text"),
        ("FAILURE", "the server lists no tool test_error_handling"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_they_fail_where_the_tools_say_something_else(version: str) -> None:
    with McpUpstream() as up:
        up.tool("test_simple_text", result="Unknown tool")
        up.tool("test_error_handling", result=RuntimeError("Unknown tool"))
        assert faults(up.http(), version) == {
            SIMPLE: f"test_simple_text: {SIMPLE_TEXT!r} was expected, not 'Unknown tool'",
            ERROR: f"test_error_handling: {ERROR_TEXT!r} was expected, not 'Unknown tool'",
        }


def test_they_fail_where_an_error_is_none_and_the_other_way_round() -> None:
    with McpUpstream() as up:
        up.tool("test_simple_text", result=RuntimeError(SIMPLE_TEXT))
        up.tool("test_error_handling", result=ERROR_TEXT)
        assert faults(up.http(), "2026-07-28") == {
            SIMPLE: "test_simple_text: isError false was expected, not true",
            ERROR: "test_error_handling: isError true was expected, not false",
        }


def test_an_error_of_the_protocol_is_no_answer() -> None:
    from mcp import MCPError

    with McpUpstream() as up:
        up.tool("test_simple_text", result=SIMPLE_TEXT)
        up.tool("test_error_handling", result=MCPError(-32602, ERROR_TEXT))
        assert faults(up.http(), "2026-07-28") == {
            SIMPLE: "",
            ERROR: f"test_error_handling: an answer was expected, not an error of the protocol: {ERROR_TEXT}",
        }


def test_a_server_that_is_not_there_fails_both() -> None:
    with McpUpstream() as up:
        url = up.http()
    told = faults(url, "2026-07-28")
    assert set(told) == {SIMPLE, ERROR}
    assert all(fault.startswith("the tool could not be called: ") for fault in told.values())

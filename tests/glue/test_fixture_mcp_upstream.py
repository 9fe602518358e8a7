"""The fixture mcp_upstream: what it leaves is nothing, and what was not needed fails its test."""

from __future__ import annotations

import pytest

FIRST_USE = """
import asyncio
from pytest_mcpsmoke.doubles.upstream import McpUpstream

with McpUpstream() as up:  # pydantic completes the SDK's models when they are first used
    up.tool("x", result="y")

    async def use():
        async with up.client() as client:
            await client.call_tool("x")

    asyncio.run(use())
"""
USES_ALL = """
import asyncio
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client

TRANSPORTS = {
    "http": lambda up: up.http(),
    "stateless": lambda up: up.http(stateless=True, json_response=True),
    "sse": lambda up: sse_client(up.sse()),
    "stdio": lambda up: stdio_client(up.stdio()),
    "memory": lambda up: up.in_memory(),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
def test_it(mcp_upstream, transport, mode):
    @mcp_upstream.tool
    def add(a: int, b: int) -> int:
        return a + b

    mcp_upstream.fault.slow(0.001, on="add", times=3)

    async def use():
        async with Client(TRANSPORTS[transport](mcp_upstream), mode=mode) as client:
            await client.list_tools()
            await asyncio.gather(*(client.call_tool("add", {"a": n, "b": 1}) for n in range(5)))

    asyncio.run(use())
    mcp_upstream.journal.assert_called("add", times=5)


def test_left_open(mcp_upstream):
    async def use():
        client = Client(mcp_upstream.http(), mode="legacy")
        await client.__aenter__()
        mcp_upstream.close()
        await client.__aexit__(None, None, None)

    asyncio.run(use())
"""


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["alone", "-n 2"])
def test_nothing_leaks(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    pytester.makeconftest(FIRST_USE)
    pytester.makepyfile(USES_ALL)
    plugins = ["-p", "mcpsmoke", *(["-p", "xdist"] if args else [])]
    result = pytester.runpytest_subprocess(*plugins, "--leaks=fail", "-W", "error", *args)
    result.assert_outcomes(passed=16)
    assert "state leaks" not in result.stdout.str()


def test_a_fault_that_was_not_met_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_passes(mcp_upstream):
            mcp_upstream.fault(status=503, on="tools/call")

        def test_fails_by_itself(mcp_upstream):
            mcp_upstream.fault(status=503, on="tools/call")
            assert not "a reason of its own"

        def test_fails_by_the_journal(mcp_upstream):
            import urllib.request
            mcp_upstream.fault(status=200, on="GET")
            urllib.request.urlopen(mcp_upstream.http()).close()
            mcp_upstream.journal.assert_no_requests(path="/mcp")
        """
    )
    result = pytester.runpytest_inprocess("-p", "mcpsmoke", "--leaks=off")
    result.assert_outcomes(passed=1, failed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "1 fault was not met as often as declared:",
            "  status 503 on tools/call, met 0 of 1 times",
            "Nothing arrived.",
            "E   *AssertionError: no /mcp request expected, 1 arrived:",
            "E   *  1. GET /mcp (connection 1, answered 200, fault: status 200 on GET)",
        ]
    )
    # The assertion is shown where the test makes it, not inside the journal.
    result.stdout.no_fnmatch_line("*def assert_requests*")


@pytest.mark.parametrize("package", ["mcp", "uvicorn"])
def test_a_missing_package_is_named_with_its_extra(
    pytester: pytest.Pytester, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(
        f"""
        import importlib, pytest
        true = importlib.import_module

        @pytest.fixture(autouse=True)
        def without(monkeypatch):
            def lacking(name, package=None):
                if name.partition(".")[0] == {package!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
                return true(name, package)
            monkeypatch.setattr(importlib, "import_module", lacking)
        """
    )
    pytester.makepyfile("def test_it(mcp_upstream): pass")
    result = pytester.runpytest_inprocess("-p", "mcpsmoke", "--leaks=off")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"mcp_upstream needs {package}, which is not installed: pip install 'pytest-mcpsmoke?mcp?'"]
    )


def test_interrupted_it_ends_all_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import subprocess, threading

        def test_it(mcp_upstream):
            mcp_upstream.http()
            command = mcp_upstream.stdio()
            child = subprocess.Popen([command.command, *command.args], stdin=subprocess.PIPE)
            while not mcp_upstream.children:
                pass
            test_it.child = child
            raise KeyboardInterrupt

        def teardown_module():
            assert not [thread for thread in threading.enumerate() if "mcpsmoke" in thread.name]
            assert test_it.child.wait(60) == 0
            test_it.child.stdin.close()
            print("all ended")
        """
    )
    result = pytester.runpytest_subprocess("-p", "mcpsmoke", "-s", "--leaks=off")
    result.stdout.fnmatch_lines(["*all ended*", "*KeyboardInterrupt*"])

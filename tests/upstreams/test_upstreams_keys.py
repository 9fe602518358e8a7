"""Scoped keys and `x-mcp-servers` before real servers: what a key is not for is neither seen nor reached."""

from __future__ import annotations

import pytest
from gateway_process import GatewayProcess
from mcp import MCPError
from postgres_cluster import Cluster

pytestmark = pytest.mark.smoke


def owners(tools: list[str]) -> set[str]:
    """The prefixes of tools."""
    return {name.partition("-")[0] for name in tools}


def test_each_key_sees_its_servers(gateway: GatewayProcess, mode: str) -> None:
    assert owners(gateway.tools(mode, "TEAM_KEY")) == {"postgres", "files"}
    assert owners(gateway.tools(mode, "EDITOR_KEY")) == {"files"}


@pytest.mark.parametrize(
    ("wished", "seen"),
    [
        ("files", {"files"}),
        ("postgres", {"postgres"}),
        ("postgres, files", {"postgres", "files"}),
        ("weeds", set()),
    ],
)
def test_the_header_narrows(gateway: GatewayProcess, mode: str, wished: str, seen: set[str]) -> None:
    assert owners(gateway.tools(mode, **{"x-mcp-servers": wished})) == seen


def test_the_header_does_not_widen(gateway: GatewayProcess, mode: str) -> None:
    assert gateway.tools(mode, "EDITOR_KEY", **{"x-mcp-servers": "postgres"}) == []


def test_a_call_without_the_right_does_not_reach_the_database(
    gateway: GatewayProcess, cluster: Cluster, mode: str
) -> None:
    may, may_not, narrowed = (f"SELECT '{who} by {mode}'" for who in ("allowed", "forbidden", "narrowed"))
    gateway.call(mode, "postgres-execute_sql", {"sql": may})
    with pytest.raises(MCPError, match="Unknown tool: postgres-execute_sql"):
        gateway.call(mode, "postgres-execute_sql", {"sql": may_not}, "EDITOR_KEY")
    with pytest.raises(MCPError, match="Unknown tool: postgres-execute_sql"):
        gateway.call(mode, "postgres-execute_sql", {"sql": narrowed}, **{"x-mcp-servers": "files"})
    assert may in cluster.log
    assert may_not not in cluster.log
    assert narrowed not in cluster.log

"""postgres-mcp, on a real PostgreSQL, through the gateway: what it answers is what stands in the tables."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from gateway_process import GatewayProcess
from mcp.types import CallToolResult, TextContent
from postgres_cluster import Cluster

pytestmark = pytest.mark.smoke

TOOLS = {"list_schemas", "list_objects", "get_object_details", "explain_query", "execute_sql"}


def text(result: CallToolResult) -> str:
    """The one text of a result that is no error."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert not result.is_error, content.text
    return content.text


def rows(result: CallToolResult) -> list[dict[str, Any]]:
    """The rows of a result, which the server writes as Python does."""
    found: list[dict[str, Any]] = ast.literal_eval(text(result))
    return found


def test_its_tools_are_listed_with_the_prefix(gateway: GatewayProcess, mode: str) -> None:
    own = {name for name in gateway.tools(mode) if not name.startswith("files-")}
    assert own >= {f"postgres-{tool}" for tool in TOOLS}
    assert all(name.startswith("postgres-") for name in own)


def test_the_schemas_are_those_of_the_database(gateway: GatewayProcess, cluster: Cluster, mode: str) -> None:
    listed = {row["schema_name"] for row in rows(gateway.call(mode, "postgres-list_schemas", {}))}
    assert listed == set(cluster.sql("SELECT schema_name FROM information_schema.schemata"))
    assert "garden" in listed


def test_a_query_gives_the_very_rows(gateway: GatewayProcess, mode: str) -> None:
    arguments = {"sql": "SELECT id, task, done FROM todo ORDER BY id"}
    assert rows(gateway.call(mode, "postgres-execute_sql", arguments)) == [
        {"id": 1, "task": "water the plants", "done": True},
        {"id": 2, "task": "größere Töpfe", "done": False},
        {"id": 3, "task": "it's May", "done": False},
    ]


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE todo", "SELECT 1; DROP TABLE todo", "DELETE FROM todo", "UPDATE todo SET done = true"],
)
def test_what_writes_is_refused_and_nothing_is_written(
    gateway: GatewayProcess, cluster: Cluster, mode: str, statement: str
) -> None:
    before = cluster.sql("SELECT * FROM todo ORDER BY id")
    refused = gateway.call(mode, "postgres-execute_sql", {"sql": statement})
    # Not as a tool error, which it ought to be: this server refuses in the words of a result.
    assert text(refused) == f"Error: Error validating query: {statement}"
    assert cluster.sql("SELECT * FROM todo ORDER BY id") == before
    assert len(before) == 3


def test_a_table_that_is_not_there_is_told(gateway: GatewayProcess, mode: str) -> None:
    told = text(gateway.call(mode, "postgres-execute_sql", {"sql": "SELECT * FROM weeds"}))
    assert told.startswith("Error: ")
    assert 'relation "weeds" does not exist' in told


def test_the_password_reaches_no_log(gateway: GatewayProcess, cluster: Cluster) -> None:
    gateway.call("legacy", "postgres-execute_sql", {"sql": "SELECT 1"})
    assert "Starting PostgreSQL MCP Server in" in gateway.errors
    assert cluster.password not in gateway.errors

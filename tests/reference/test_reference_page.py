"""The pages about the app list exactly what there is."""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from reference_app import agent_proxy, config, defects
from reference_app.bodies import AgentRunRequest
from reference_app.gateway.settings import TRANSPORTS_OF, ClientCredentials, Gateway, Key, McpServer
from reference_app.headers import ENV_HEADERS

pytestmark = pytest.mark.smoke

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGE = (DOCS / "reference-app.md").read_text("utf-8")
GATEWAY_PAGE = (DOCS / "gateway.md").read_text("utf-8")


def rows(heading: str, page: str = PAGE) -> list[list[str]]:
    """The cells of the table below a heading, without the quotes of code."""
    part = re.split(r"^#", page.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" |")] for line in lines]


def shown(default: Any) -> str:
    if default in (None, (), MISSING):  # a mapping that is empty has no default, but one made each time
        return ""
    return (
        f"{default:g}"
        if isinstance(default, float)
        else str(default).lower()
        if default in (True, False)
        else str(default)
    )


def test_routes() -> None:
    routes = [
        f"{method.upper()} {path}"
        for path, item in agent_proxy.app.openapi()["paths"].items()
        for method in item
    ]
    assert sorted(row[0] for row in rows("Routes")) == sorted(routes)


def test_fields_of_a_run() -> None:
    assert [row[0] for row in rows("`POST /agent/run`")] == list(AgentRunRequest.model_fields)


def test_keys_of_a_file_with_their_defaults() -> None:
    sections = [field for field in fields(config.Config) if is_dataclass(field.default)]
    keys = {
        f"{section.name}.{key.name}": key.default for section in sections for key in fields(section.default)
    }
    parts = [field.name for field in fields(config.Config) if not is_dataclass(field.default)]
    keys |= dict.fromkeys(parts)  # a page of their own
    listed = {row[0]: row[1] for row in rows("Configuration file")}
    assert list(listed) == list(keys)
    expected = {name: shown(default) for name, default in keys.items()}
    assert listed == {**expected, "agent.use_tools": "for `http` only"}


@pytest.mark.parametrize(
    ("heading", "section", "said"),
    [
        ("`mcp_servers.NAME`", McpServer, {"prefix": "the name"}),
        ("`mcp_servers.NAME.client_credentials`", ClientCredentials, {}),
        ("`gateway`", Gateway, {}),
        ("`gateway.keys.NAME`", Key, {}),
    ],
)
def test_keys_of_the_gateway_with_their_defaults(heading: str, section: type, said: dict[str, str]) -> None:
    listed = rows(heading, GATEWAY_PAGE)
    assert {row[0]: row[1] for row in listed} == {
        **{key.name: shown(key.default) for key in fields(section)},
        **said,
    }
    must = [row[0] for row in listed if "has to be there" in row[-1]]
    assert set(must) >= {key.name for key in fields(section) if is_required(key)}


def is_required(key: Field[Any]) -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def test_transports_of_the_keys_of_a_server() -> None:
    of_key = {row[0]: row[2] for row in rows("`mcp_servers.NAME`", GATEWAY_PAGE)}
    assert {name: transports for name, transports in of_key.items() if transports != "all"} == {
        name: ", ".join(transports) for name, transports in TRANSPORTS_OF.items()
    }


def test_variables() -> None:
    names = [config.MODEL_BASE_URL, config.MODEL_API_KEY, ENV_HEADERS, config.STORE_TRACES, config.STORE_PATH]
    assert [row[0] for row in rows("Environment")] == [*names, defects.ENV_DEFECTS]


def test_defects() -> None:
    assert [row[0] for row in rows("Defects")] == [defect.value for defect in defects.Defect]

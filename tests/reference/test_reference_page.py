"""The page about the app lists exactly what there is."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from reference_app import agent_proxy, config, defects
from reference_app.bodies import AgentRunRequest
from reference_app.headers import ENV_HEADERS

pytestmark = pytest.mark.smoke

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "reference-app.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without the quotes of code."""
    part = re.split(r"^#", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" |")] for line in lines]


def shown(default: Any) -> str:
    if default is None:
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
    listed = {row[0]: row[1] for row in rows("Configuration file")}
    assert list(listed) == list(keys)
    expected = {name: shown(default) for name, default in keys.items()}
    assert listed == {**expected, "agent.use_tools": "for `http` only"}


def test_variables() -> None:
    names = [config.MODEL_BASE_URL, config.MODEL_API_KEY, ENV_HEADERS, config.STORE_TRACES, config.STORE_PATH]
    assert [row[0] for row in rows("Environment")] == [*names, defects.ENV_DEFECTS]


def test_defects() -> None:
    assert [row[0] for row in rows("Defects")] == [defect.value for defect in defects.Defect]

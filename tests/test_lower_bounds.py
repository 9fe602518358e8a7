"""tox's environment `lowest` pins the lower bound of every dependency, no other version."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def requirements(table: dict[str, Any]) -> Iterator[str]:
    """All requirements of the package, its extras and its test group."""
    project = table["project"]
    yield from project["dependencies"]
    for extra, required in project["optional-dependencies"].items():
        if extra != "all":
            yield from required
    yield from table["dependency-groups"]["test"]


def split(requirement: str, operator: str) -> tuple[str, tuple[int, ...]]:
    """A requirement's name, and its version as numbers without trailing zeros: 2.0 and 2.0.0 are one."""
    name, version = re.fullmatch(rf"([\w.-]+){operator}([\d.]+)", requirement, re.ASCII).groups()  # type: ignore[union-attr]
    return name, tuple(int(part) for part in re.sub(r"(\.0)+$", "", version).split("."))


def pins() -> dict[str, tuple[int, ...]]:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    lines = tox["testenv:lowest"]["deps"].split("\n")
    return dict(split(line, "==") for line in lines if line and not line.startswith("#"))


def test_each_bound_is_pinned() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    bounds = dict(split(requirement, ">=") for requirement in requirements(table))
    pinned = pins()
    assert {name: pinned.get(name) for name in bounds} == bounds


def test_every_extra_is_in_all() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.fullmatch(r"pytest-mcpsmoke\[([\w,]+)\]", extras["all"][0])
    assert named is not None
    assert sorted(named[1].split(",")) == sorted(extras.keys() - {"all"})

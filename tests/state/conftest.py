"""Fixtures of the tests of the ground floor: a stage, and the engines that work here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage, forget_modules, working_engines


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A folder for a small program, importable for the time of the test."""
    forget_modules()
    monkeypatch.syspath_prepend(tmp_path)
    yield Stage(tmp_path)
    forget_modules()


@pytest.fixture(params=working_engines())
def engine(request: pytest.FixtureRequest) -> str:
    """The name of each engine that works on this interpreter."""
    name: str = request.param
    return name

"""What the tests of the conformance command share."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from played_suite import PlayedSuite

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from conformance.profile import conformance_upstream  # noqa: E402
from pytest_mcpsmoke.doubles.upstream import McpUpstream  # noqa: E402


@pytest.fixture
def played(tmp_path: Path) -> PlayedSuite:
    """A suite that does as it is told."""
    return PlayedSuite(tmp_path / "npm")


@pytest.fixture
def profile() -> Iterator[McpUpstream]:
    """The upstream with the suite's profile."""
    with conformance_upstream() as up:
        yield up


@pytest.fixture
def known(tmp_path: Path) -> Callable[[str], Path]:
    """Write a file of known failures."""

    def write(text: str) -> Path:
        path = tmp_path / "known.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return write

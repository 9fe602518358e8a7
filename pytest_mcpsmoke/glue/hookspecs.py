"""The hooks by which a plugin or a conftest extends the detector."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_mcpsmoke.report.model import Finding
    from pytest_mcpsmoke.state.change import Change
    from pytest_mcpsmoke.state.probes.base import Probe


@pytest.hookspec
def pytest_mcpsmoke_probes(config: pytest.Config) -> Iterable[Probe] | None:
    """Return probes of your own: instances of subclasses of pytest_mcpsmoke.state.probes.base.Probe.

    Called once, when the session starts, in each process that runs tests. They are read after the built-in
    ones, in the order in which they were returned.
    """


@pytest.hookspec(firstresult=True)
def pytest_mcpsmoke_classify(change: Change) -> tuple[str, str] | None:
    """Return (verdict, reason) for a change that an owner left, or None to leave it to others.

    change: its place, kind ("added", "removed", "rebound", "mutated"), before, after, owner and writer.
    verdict: "leak", "warm-up", "allowed" or "ignored"; reason: a text that stands in the report. The first
    result that is not None wins, before the rules of the policy are asked.
    """


@pytest.hookspec
def pytest_mcpsmoke_finding(finding: Finding) -> Any:
    """A finding has been recorded: called for each, where the report is made (with xdist: the controller)."""


@pytest.hookspec(firstresult=True)
def pytest_mcpsmoke_nd_model(config: pytest.Config) -> AbstractContextManager[str] | None:
    """Return the model of nd_real tests where ND_REAL_BASE_URL is not set, or None to leave it to others.

    It is a context manager that runs an OpenAI-compatible server and yields its base URL, as
    "http://127.0.0.1:40123/v1". Called at most once in each process that runs tests, when a selected test
    asks for the fixture nd_model; left when the run is over. The first result that is not None wins.
    """

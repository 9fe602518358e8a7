"""Ending a run with a usage error: at once, or in a worker of xdist as soon as the controller hears of it."""

from __future__ import annotations

from typing import Any

import pytest

_USAGE = "mcpsmoke_usage"


def register(config: pytest.Config) -> None:
    """Make refuse() work in this run, whether or not the detector is on."""
    config.pluginmanager.register(_Refusals(), "mcpsmoke-refusals")


def refuse(config: pytest.Config, message: str) -> None:
    """End the run with exit status 4 and one line; called while items are collected, no test runs.

    message: the thing, the place and the remedy, in one line.
    Raises pytest.UsageError in a run of one process. A worker of xdist cannot end the run: there it returns,
    and the worker hands out no item. The first message counts.
    """
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is None:
        raise pytest.UsageError(message)
    output.setdefault(_USAGE, message)


class _Refusals:
    @pytest.hookimpl(tryfirst=True)  # xdist's worker tells here what it has collected
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In a worker that refuses, leave nothing to run."""
        if _USAGE in getattr(session.config, "workeroutput", ()):
            session.items.clear()

    @pytest.hookimpl(optionalhook=True, trylast=True)  # what the worker found is recorded before
    def pytest_testnodedown(self, node: Any) -> None:
        """In the controller, end the run with what a worker refused; one that was killed sent nothing."""
        output = getattr(node, "workeroutput", None) or {}
        if _USAGE in output:
            raise pytest.UsageError(output[_USAGE])

"""What pytest's report of a stage says about a failure, and about the worker that ran it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_mcpsmoke.report.failure import Failure


def failure_of(report: pytest.TestReport, relative: Callable[[str], str]) -> Failure | None:
    """Return where and how a stage failed; None where it did not.

    relative makes paths as pytest prints them.
    """
    if not report.failed:
        return None
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return Failure.of(relative(str(crash.path)), int(crash.lineno), str(crash.message))
    path, line, _ = report.location  # the longrepr is a text: of a doctest, a crashed worker, a leak
    return Failure.of(path, (line or 0) + 1, report.longreprtext)


def worker_of(report: pytest.TestReport) -> str | None:
    """Return the name of the worker of pytest-xdist that ran a stage; None without workers."""
    gateway = getattr(getattr(report, "node", None), "gateway", None)
    return None if gateway is None else str(gateway.id)

"""What pytest's report of a stage says about a failure, and about the worker that ran it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from pytest_mcpsmoke.report.failure import Failure

_OF_DOCTEST: Final = re.compile(
    r"^(?P<said>Expected.*|UNEXPECTED EXCEPTION: [^\n]*)"
    r".*^\S[^\n]*:(?P<line>\d+): (?:DocTestFailure|UnexpectedException)",
    re.MULTILINE | re.DOTALL,
)


def failure_of(report: pytest.TestReport, relative: Callable[[str], str]) -> Failure | None:
    """Return where and how a stage failed; None where it did not.

    Where: the last line below the rootdir that was running, if there is one: what fails in a library, or in
    unittest's assertions, was called from there. relative makes paths as pytest prints them.
    """
    if not report.failed:
        return None
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        sites = ((relative(path), line) for path, line in _sites(report.longrepr, crash))
        inside = ((path, line) for path, line in sites if not os.path.isabs(path))
        path, line = next(inside, (relative(str(crash.path)), int(crash.lineno)))
        return Failure.of(path, line, str(crash.message))
    # the longrepr is a text: of a doctest, a crashed worker, a leak
    path, start, _ = report.location
    text = "" if report.longrepr is None else str(report.longrepr)
    doctest = _OF_DOCTEST.search(text)
    if doctest is not None:
        return Failure.of(path, int(doctest["line"]), " ".join(doctest["said"].split()))
    return Failure.of(path, (start or 0) + 1, text)


def _sites(longrepr: Any, crash: Any) -> Iterator[tuple[str, int]]:
    """Where a failure came through, the innermost first."""
    yield str(crash.path), int(crash.lineno)
    for entry in reversed(longrepr.reprtraceback.reprentries):
        found = getattr(entry, "reprfileloc", None)  # not with --tb=native
        if found is not None:
            yield os.path.abspath(found.path), int(found.lineno)


def worker_of(report: pytest.TestReport) -> str | None:
    """Return the name of the worker of pytest-xdist that ran a stage; None without workers."""
    gateway = getattr(getattr(report, "node", None), "gateway", None)
    return None if gateway is None else str(gateway.id)

"""no_leaks(): the detector around a block of code, without pytest: unittest, a script, a REPL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_mcpsmoke.errors import LeakError
from pytest_mcpsmoke.report.model import Finding, findings
from pytest_mcpsmoke.report.text import owner_lines
from pytest_mcpsmoke.state.engines import open_engine
from pytest_mcpsmoke.state.globs import matches
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.observer import Observer
from pytest_mcpsmoke.state.place import Holder, Namespace
from pytest_mcpsmoke.state.program import is_not_installed
from pytest_mcpsmoke.state.writer import Files, span_of_code

_CONTEXT_FILES = ("contextlib.py", os.path.join("unittest", "case.py"))


@contextmanager
def no_leaks(*allow: str, engine: str = "auto") -> Iterator[list[Finding]]:
    """Raise LeakError when the block leaves a module's or a class's attribute changed.

    allow: places, or globs over them, that may change ("zoo_app.settings.*").
    engine: "auto", "watch", "version" or "scan".
    Yields the list that the findings of the block go to, leaks and warm-ups, when it ends.
    Raises LeakError (an AssertionError) after the block; an exception of the block itself goes
    through untouched, and EngineUnavailable is raised before it when the engine does not work here.

        with no_leaks():
            settings.MODE = "test"      # LeakError: … left 1 place changed …
    """
    frame = sys._getframe(1)  # whoever wrote the with statement, or gave it to an ExitStack
    while frame.f_back is not None and frame.f_code.co_filename.endswith(_CONTEXT_FILES):
        frame = frame.f_back
    code = frame.f_code
    path = os.path.abspath(code.co_filename)
    files = Files()
    files.tests.add(code.co_filename)
    own = frame.f_globals if code.co_name == "<module>" else None  # a script's own variables are its own
    span = span_of_code(code)
    owner = Owner(f"{os.path.relpath(path)}::{code.co_name}", "test", find_spans=lambda: (span,))
    del frame
    observer = Observer(open_engine(engine, files.tests)[0], files, is_not_installed())
    found: list[Finding] = []
    observer.start()
    try:
        observer.switch(owner)
        yield found
        left = [
            entry for entry in observer.end(owner) if own is None or _contents_of(entry[0].holder) is not own
        ]
        found += [_allowed(finding, allow) for finding in findings(left, os.path.relpath)]
    finally:
        observer.stop()
    leaks = [finding for finding in found if finding.verdict == "leak"]
    if leaks:
        raise LeakError("\n".join(owner_lines(leaks, os.getcwd())))


def _contents_of(holder: Holder) -> dict[str, Any] | None:
    """The namespace that a place stands in; None for what stands in none."""
    root = holder.root[0] if isinstance(holder, Node) else holder
    return root.contents if isinstance(root, Namespace) else None


def _allowed(finding: Finding, allow: tuple[str, ...]) -> Finding:
    covered = finding.verdict == "leak" and any(matches(finding.place, glob) for glob in allow)
    return finding.allowed("allowed by no_leaks()") if covered else finding

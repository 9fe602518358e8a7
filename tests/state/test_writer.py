"""Who plays which role, and which lines belong to a function."""

from __future__ import annotations

import contextlib
import os
import unittest.mock
from pathlib import Path
from typing import Any

import _pytest.monkeypatch
import pluggy
import pytest
from stage import site_text

import pytest_mcpsmoke.guard
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.writer import Files, Span, is_runner_module, observed, span_of_code

TEST, PROGRAM = os.path.abspath("test_file.py"), os.path.abspath("program.py")


@pytest.fixture
def files() -> Files:
    found = Files()
    found.tests.add(TEST)
    return found


@pytest.mark.parametrize(
    ("path", "role"),
    [
        (TEST, "test"),
        (os.path.join("anywhere", "conftest.py"), "test"),
        (PROGRAM, "program"),
        (contextlib.__file__, "program"),
        (unittest.mock.__file__, "patcher"),
        (_pytest.monkeypatch.__file__, "patcher"),
        (pytest.__file__, "runner"),
        (pluggy.__file__, "runner"),
        (pytest_mcpsmoke.guard.__file__, "runner"),
        ("<frozen importlib._bootstrap>", "import"),
        ("<string>", "program"),
    ],
)
def test_a_file_plays_one_role(files: Files, path: str | None, role: str) -> None:
    assert path is not None
    assert files.role(path) == role


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("_pytest.config", True),
        ("pytest", True),
        ("xdist.remote", True),
        ("pytest_cov", False),
        ("shop", False),
    ],
)
def test_which_modules_are_the_runner_s(name: str, belongs: bool) -> None:
    assert is_runner_module(name) is belongs


def stack(*paths: str) -> tuple[Any, ...]:
    """Frames in these files, innermost first, each in line 1 of a function."""
    flat: list[Any] = []
    for path in paths:
        scope: dict[str, Any] = {}
        exec(compile("def function():\n    pass\n", path, "exec"), scope)
        flat += [scope["function"].__code__, 1]
    return tuple(flat)


MOCK, BOOTSTRAP = unittest.mock.__file__, "<frozen importlib._bootstrap>"


@pytest.mark.parametrize(
    ("paths", "by", "site"),
    [
        ([TEST], "test", TEST),
        ([MOCK, TEST], "test", TEST),
        ([MOCK, PROGRAM, TEST], "test", TEST),
        ([PROGRAM, TEST], "program", TEST),
        ([PROGRAM], "program", PROGRAM),
        ([PROGRAM, BOOTSTRAP, TEST], "import", TEST),
        ([BOOTSTRAP, PROGRAM], "import", BOOTSTRAP),
        ([pytest.__file__, TEST], "runner", TEST),
    ],
)
def test_the_innermost_frame_wrote_and_the_nearest_test_frame_is_shown(
    files: Files, paths: list[str], by: str, site: str
) -> None:
    writer = observed(files, stack(*paths), "route")
    assert writer.site is not None
    assert (writer.by, writer.site.path, writer.site.certainty) == (by, site, "observed")


def test_the_span_of_a_function_ends_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "spans.py"
    path.write_text("@str\n@str\ndef first():\n    x = 1\n    return x\n\ny = 2\n", encoding="utf-8")
    code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    inner = next(constant for constant in code.co_consts if hasattr(constant, "co_code"))
    assert span_of_code(inner) == Span(str(path), 1, 5, "first")
    assert span_of_code(code) == Span(str(path), 1, 8, "<module>")


def test_an_owner_begins_with_its_first_span() -> None:
    assert Owner("a", "test").start is None
    start = Owner("a", "test", find_spans=lambda: (Span("a.py", 3, 9, "test_a"), Span("b.py", 1, 2))).start
    assert start is not None
    assert (start.path, start.line, start.function, start.certainty) == ("a.py", 3, "test_a", "searched")
    assert site_text(None) == "nowhere"

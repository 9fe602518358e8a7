"""Doctests read as source code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcpsmoke.state import doctests
from pytest_mcpsmoke.state.source import index_of


def test_examples_keep_their_lines() -> None:
    lines = ["Text:", "    >>> a = 1", "    >>> def f():", "    ...     return a", "    1", ">>> f()", "done"]
    assert doctests.statements(lines).splitlines() == [
        "",
        "a = 1",
        "def f():",
        "    return a",
        "",
        "f()",
        "",
        "",
    ]


@pytest.mark.parametrize("example", [">>> 1 +", ">>> def f(:", ">>> '"], ids=str)
def test_an_example_that_is_no_python_spoils_no_other(example: str) -> None:
    text = doctests.statements([">>> a = 1", example, "SyntaxError", ">>> b = 2"])
    assert text.splitlines()[:4] == ["a = 1", "", "", "b = 2"]


def test_a_prompt_in_the_midst_of_a_line_is_none() -> None:
    assert doctests.statements(["see >>> a = 1", ">>>a = 1"]).strip() == ""


def test_the_doctests_of_a_file_are_indexed_under_a_name_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "page.txt"
    path.write_text("Page\n\n>>> app.MODE = 1\n", encoding="utf-8")
    name = doctests.named(str(path))
    assert [store.line for store in index_of(name).stores["MODE"]] == [3]
    assert doctests.file_of(name) == str(path)
    assert doctests.file_of(str(path)) == str(path)

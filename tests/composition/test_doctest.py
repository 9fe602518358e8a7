"""Doctests: what runs them is not blamed, and what they leak is named where it stands in the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CLEAN = {
    "conftest.py": """
        import pytest

        @pytest.fixture(autouse=True)
        def names(doctest_namespace):
            doctest_namespace["two"] = 2
        """,
    "app/doubling.py": '''
        """Doubles.

        >>> double(two)
        4
        >>> _
        4
        """
        SHOWN = []

        def double(number):
            """Doubles.

            >>> double(None)
            Traceback (most recent call last):
            ...
            TypeError: unsupported operand type(s) for *: 'NoneType' and 'int'
            >>> numbers = [1]; numbers
            [1]
            >>> def one():
            ...     return 1
            >>> one()
            1
            >>> import this_is_not_there
            Traceback (most recent call last):
            ModuleNotFoundError: No module named 'this_is_not_there'
            """
            return number * 2

        class Doubler:
            """
            >>> Doubler().double(2)
            4
            """

            def double(self, number):
                """
                >>> import sys
                >>> sys.displayhook(Doubler().double(3))
                6
                """
                return double(number)
        ''',
    "README.txt": """
        Doubling
        ========

        >>> from app import settings
        >>> settings.connect()
        'real'
        >>> SHOWN = 1
        """,
}

LEAKY = {
    "app/leaking.py": '''
        LIMIT = 3
        SEEN = []

        def leaks():
            """Leaks.

            >>> import app.leaking, os
            >>> app.leaking.LIMIT = (
            ...     4)                              # the statement's first line is named
            >>> for number in range(2):
            ...     SEEN.append(number)  # leak
            >>> os.environ["DOC"] = "1"  # leak
            """
        ''',
    "leaky.rst": """
        Some text, and a prompt that is no Python:

        >>> 1 +
        Traceback (most recent call last):
        SyntaxError: invalid syntax
        >>> from app import settings
        >>> settings.LEVEL += 1  # leak
        """,
}


def test_nothing_of_the_doctest_runner_is_blamed(suite: Any, engine: str) -> None:
    suite.write(CLEAN)
    run = suite.run("--doctest-modules", "--doctest-glob=*.txt", f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=5)
    assert run.told == []


def test_leaks_are_named_where_they_stand(
    suite: Any, sites: Callable[[Any], list[str]], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOC", "0")
    suite.write(LEAKY)
    run = suite.run("--doctest-modules", "--doctest-glob=*.rst", f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=2)
    module = "test/function app/leaking.py::app.leaking.leaks"
    assert sorted(run.told) == [
        f"{module} mutated app.leaking.SEEN",
        f"{module} rebound app.leaking.LIMIT",
        f"{module} rebound os.environ['DOC']",
        "test/function leaky.rst::leaky.rst rebound app.settings.LEVEL",
    ]
    assert sites(run.leaks) == sorted([*suite.marked(), "app/leaking.py:8", *rst_marks(suite)])


def rst_marks(suite: Any) -> list[str]:
    lines = (suite.path / "leaky.rst").read_text("utf-8").splitlines()
    return [f"leaky.rst:{number}" for number, line in enumerate(lines, 1) if "# leak" in line]


def test_a_test_module_that_is_read_for_its_doctests_is_one_all_the_same(
    suite: Any, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTH", "0")  # gone again when this is over
    suite.write(
        {
            "test_both.py": '''
                """
                >>> 1
                1
                """
                import os
                from app import settings

                os.environ["BOTH"] = "1"
                settings.LEVEL = 2

                def test_it():
                    pass
                '''
        }
    )
    run = suite.run("--doctest-modules", "test_both.py", f"--leaks-engine={engine}")
    found = [(leak["owner"], leak["place"], leak["site"]["line"]) for leak in run.leaks]
    assert found == [("test_both.py", "app.settings.LEVEL", 9), ("test_both.py", "os.environ['BOTH']", 8)]

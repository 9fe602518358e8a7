"""The command beside a leak shows that leak again, and nothing else."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

SUITE = {
    "conftest.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="session")
        def wide():
            settings.LEVEL = 2
        """,
    "tests/test_names.py": """
        import pytest
        from app import settings

        def test_clean():
            pass

        @pytest.mark.parametrize("value", ["a b", "[x]", "it's", "$HOME", "é"])
        def test_values(value):
            settings.MODE = value

        class TestIn:
            def test_method(self):
                settings.Client.retries = 5

            def test_fixture(self, wide):
                pass
        """,
    "tests/test_import.py": """
        from app import settings

        settings.NAMES = []

        def test_nothing(): pass
        """,
    "below/conftest.py": "from app import settings\n\nsettings.extra = 1\n",
    "below/test_below.py": "def test_nothing(): pass\n",
    "tests/test_unit.py": """
        import unittest
        from app import settings

        class Case(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                settings.from_class = 1

            def test_it(self):
                settings.from_test = 1
        """,
}


def told(leak: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(leak[name] for name in ("owner", "during", "place", "probe", "change", "after", "site"))


def run_again(suite: Any, command: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """Run a command as it was printed, and return the leaks that it finds."""
    words = shlex.split(command)
    assert words[0] == "pytest"
    file = suite.path / "again.jsonl"
    done = suite.pytester.run(
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--leaks-report={file}", *words[1:]
    )
    assert done.ret in (0, 5), done.outlines
    records = suite.read(file)
    return [one for one in records if one["type"] == "finding" and one["verdict"] == "leak"]


@pytest.mark.parametrize("spread", [[], ["-p", "xdist", "-n", "2"]], ids=["alone", "workers"])
def test_each_command_shows_the_same_leak_alone(suite: Any, spread: list[str]) -> None:
    suite.write(SUITE)
    run = suite.run(*spread, subprocess=True)
    assert len(run.leaks) == 11
    for leak in run.leaks:
        again = run_again(suite, leak["command"])
        same = [one for one in again if (one["owner"], one["place"]) == (leak["owner"], leak["place"])]
        assert len(same) == 1, leak["command"]
        assert (same[0]["change"], same[0]["after"], same[0]["site"]) == (
            *(leak["change"], leak["after"]),
            leak["site"],
        )
        others = [one["owner"] for one in again if one is not same[0]]
        assert all(_is_part_of(other, leak["owner"]) for other in others), leak["command"]


def _is_part_of(other: str, owner: str) -> bool:
    """What comes along: all imports with that of a conftest, a test with its class."""
    is_import = owner.endswith("conftest.py") and other.endswith(".py")
    return is_import or {other, owner} == {
        "tests/test_unit.py::Case::setUpClass",
        "tests/test_unit.py::Case::test_it",
    }


def test_the_terminal_prints_the_commands_of_the_file(suite: Any) -> None:
    suite.write(SUITE)
    run = suite.run("--leaks-show=all", subprocess=True)
    printed = {line.partition("again: ")[2] for line in run.section if "again: " in line}
    assert printed <= {leak["command"] for leak in run.leaks}
    assert {shlex.split(line)[-1] for line in printed} == {
        *(
            "--collect-only",
            "tests/test_import.py",
            "tests/test_unit.py::Case::test_it",
        ),
        *("tests/test_names.py::TestIn::test_fixture", "tests/test_names.py::TestIn::test_method"),
        "tests/test_names.py::test_values[a b]",
    }


def test_a_doctest(suite: Any) -> None:
    suite.write({"app/docs.py": '"""\n>>> from app import settings\n>>> settings.connect = None\n"""\n'})
    run = suite.run("--doctest-modules", subprocess=True)
    (leak,) = run.leaks
    assert leak["command"] == "pytest -p mcpsmoke --doctest-modules app/docs.py::app.docs"
    assert [told(one) for one in run_again(suite, leak["command"])] == [told(leak)]


CASE = "from app import settings\n\ndef test_it(): settings.MODE = 'x'\n"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], "-p mcpsmoke"),
        (["-q", "-x", "--maxfail=3", "-k", "it", "--tb=no", "-rA"], "-p mcpsmoke"),
        (["--leaks=report", "--leaks-engine=auto", "--leaks-restore"], "-p mcpsmoke"),
        (["--leaks-engine", "scan", "--leaks-depth=3"], "-p mcpsmoke --leaks-engine=scan --leaks-depth=3"),
        (["--leaks-unread=app.*"], "-p mcpsmoke '--leaks-unread=app.*'"),
        (["-o", "console_output_style=classic"], "-p mcpsmoke -o console_output_style=classic"),
        (["--import-mode=append", "--noconftest"], "-p mcpsmoke --import-mode=append --noconftest"),
        (["-pno:doctest"], "-p mcpsmoke -p no:doctest"),
        (["-p", "no:xdist", "--rootdir=."], "-p mcpsmoke --rootdir=."),
    ],
)
def test_options_that_decide_what_is_found_are_kept(suite: Any, given: list[str], kept: str) -> None:
    suite.write({"test_case.py": CASE})
    if "--leaks-unread=app.*" in given:
        suite.write({"test_case.py": CASE.replace("settings.MODE = 'x'", "__import__('os').chdir('/')")})
    run = suite.run(*given, subprocess=True)
    assert [leak["command"] for leak in run.leaks] == [f"pytest {kept} test_case.py::test_it"]


def test_arguments_that_are_paths(suite: Any) -> None:
    """pytest.main() takes them too."""
    suite.write(
        {
            "test_case.py": CASE,
            "run.py": """
                import pathlib, pytest
                file = "--leaks-report=leaks.jsonl"
                raise SystemExit(pytest.main([pathlib.Path("test_case.py"), "-p", "mcpsmoke", file]))
                """,
        }
    )
    assert suite.pytester.runpython(suite.path / "run.py").ret == 0
    found = [record for record in suite.read(suite.path / "leaks.jsonl") if record["type"] == "finding"]
    assert [leak["command"] for leak in found] == ["pytest -p mcpsmoke test_case.py::test_it"]


def test_where_it_is_off_by_default_the_command_turns_it_on(suite: Any) -> None:
    suite.write({"test_case.py": CASE, "pytest.ini": "[pytest]\nmcpsmoke_leaks = off\n"})
    run = suite.run("--leaks=fail")
    (leak,) = run.leaks
    assert leak["command"] == "pytest -p mcpsmoke --leaks=report test_case.py::test_it"
    assert [told(one) for one in run_again(suite, leak["command"])] == [told(leak)]


def test_the_path_is_relative_to_where_pytest_was_started(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write({"tests/test_case.py": CASE, "pytest.ini": "[pytest]\npythonpath = .\n", "other/x.txt": ""})
    monkeypatch.chdir(suite.path / "other")
    run = suite.run("../tests", f"--leaks-report={suite.path / 'leaks.jsonl'}", report=False)
    records = suite.read(suite.path / "leaks.jsonl")
    (leak,) = [record for record in records if record["type"] == "finding"]
    assert run.result.ret == 0
    assert leak["owner"] == "tests/test_case.py::test_it"
    assert leak["command"] == "pytest -p mcpsmoke ../tests/test_case.py::test_it"
    assert [told(one) for one in run_again(suite, leak["command"])] == [told(leak)]


def test_what_is_no_leak_has_no_command(suite: Any) -> None:
    suite.write(
        {
            "app/lazy.py": "_pool = None\ndef pool():\n    global _pool\n    _pool = _pool or object()\n",
            "test_case.py": """
                import pytest
                from app import lazy, settings

                def test_warm_up(): lazy.pool()

                @pytest.mark.allow_leak("app.settings.MODE", reason="meant")
                def test_allowed(): settings.MODE = "x"
                """,
        }
    )
    found = suite.run().of_type("finding")
    assert [(one["verdict"], one.get("command")) for one in found] == [
        ("warm-up", None),
        ("allowed", "pytest -p mcpsmoke test_case.py::test_allowed"),
    ]

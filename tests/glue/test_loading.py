"""Every way in which the plugin comes into a run, or stays out of it; what it costs; runs inside runs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

CASE = "from app import settings\n\ndef test_it(): settings.MODE = 'x'\n"
LEAK = "test/function test_case.py::test_it rebound app.settings.MODE"
COUNT = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    manager = session.config.pluginmanager
    named = [name for name, plugin in manager.list_name_plugin() if plugin and "mcpsmoke" in name]
    print("registered:", sorted(named))
"""


@pytest.fixture
def bare(suite: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with one leak and a conftest that tells which of our plugins are registered."""
    suite.write({"test_case.py": CASE, "conftest.py": COUNT})
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    return suite


def run(project: Any, *arguments: str) -> pytest.RunResult:
    result: pytest.RunResult = project.pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
    return result


def registered(result: pytest.RunResult) -> list[str]:
    (line,) = [line for line in result.outlines if line.startswith("registered: ")]
    return [name for name in ("mcpsmoke", "mcpsmoke-leaks", "mcpsmoke-recorder") if f"'{name}'" in line]


EVERYTHING = ["mcpsmoke", "mcpsmoke-leaks", "mcpsmoke-recorder"]


def test_the_entry_point_is_called_mcpsmoke() -> None:
    (found,) = entry_points(group="pytest11", name="mcpsmoke")
    assert found.value == "pytest_mcpsmoke.plugin"


@pytest.mark.parametrize("arguments", [(), ("-p", "mcpsmoke")], ids=["autoload", "autoload and -p"])
def test_autoload(bare: Any, arguments: tuple[str, ...]) -> None:
    result = run(bare, *arguments)
    assert registered(result) == EVERYTHING
    result.stdout.fnmatch_lines(["*= state leaks =*", "test_case.py::test_it left 1 place changed"])


def test_by_name_without_autoload(bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert registered(run(bare)) == []
    result = run(bare, "-p", "mcpsmoke")
    assert registered(result) == EVERYTHING
    result.stdout.fnmatch_lines(["test_case.py::test_it left 1 place changed"])


def test_by_name_and_in_workers(bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = run(bare, "-p", "mcpsmoke", "-p", "xdist", "-n", "1")
    result.stdout.fnmatch_lines(["test_case.py::test_it left 1 place changed"])


def test_turned_off_by_p_no(bare: Any) -> None:
    result = run(bare, "-p", "no:mcpsmoke")
    assert registered(result) == []
    assert "state leaks" not in result.stdout.str()
    refused = run(bare, "-p", "no:mcpsmoke", "--leaks=report")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*unrecognized arguments: --leaks=report"])


def test_turned_off_by_p_no_imports_nothing_of_ours(bare: Any) -> None:
    bare.write({"test_case.py": LOADED})
    result = run(bare, "-p", "no:mcpsmoke", "-s")
    assert told(result) == set()


LOADED = """
import sys

def test_it():
    print("loaded:", *[name for name in sys.modules if name.partition(".")[0] == "pytest_mcpsmoke"])
"""


def told(result: pytest.RunResult) -> set[str]:
    (line,) = [line for line in result.outlines if "loaded:" in line]
    return set(line.partition("loaded:")[2].split())


def test_off_imports_neither_detector_nor_report(bare: Any) -> None:
    bare.write({"test_case.py": LOADED})
    loaded = told(run(bare, "--leaks=off", "-s"))
    assert {"pytest_mcpsmoke.plugin", "pytest_mcpsmoke.glue.options"} <= loaded
    floors = ("pytest_mcpsmoke.state", "pytest_mcpsmoke.report")
    assert [name for name in loaded if name.startswith(floors)] == []


def packages_of_a_run(folder: Path, *arguments: str) -> set[str]:
    """The packages that a run over an empty folder has loaded at its end, in an interpreter of its own."""
    code = f"import sys, pytest; pytest.main({['-p', 'no:cacheprovider', *arguments]}); print(*sys.modules)"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=folder, text=True)
    return {name.partition(".")[0] for name in output.splitlines()[-1].split()}


@pytest.mark.parametrize("mode", ["off", "report", "fail"])
def test_loading_imports_no_third_party_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    without = packages_of_a_run(tmp_path)
    new = packages_of_a_run(tmp_path, "-p", "mcpsmoke", f"--leaks={mode}") - without
    assert new - sys.stdlib_module_names == {"pytest_mcpsmoke"}


def test_help_explains_every_option_and_ini_key(suite: Any) -> None:
    run = suite.run("--help", report=False)
    run.result.stdout.fnmatch_lines(
        [
            "mcpsmoke: state leaks between tests:",
            "  --leaks=off|report|fail*",
            "*What to do about state that a test leaves changed: off:*",
            "  --leaks-engine=auto|watch|version|scan*",
            "*How to notice writes: watch (CPython 3.12+*",
            "  --leaks-report=PATH *Write every finding,*",
            "  mcpsmoke_leaks (string):",
            "*Default of --leaks: off, report or fail.",
            "  mcpsmoke_watch (linelist):",
            "*Names of the packages that count as the program*",
        ]
    )


def test_markers_are_explained(suite: Any) -> None:
    run = suite.run("--markers", report=False)
    run.result.stdout.fnmatch_lines(
        [
            "@pytest.mark.smoke: a deterministic smoke test: *",
            "@pytest.mark.nd_real(samples=30, *): a non-deterministic test against something real *"
            "skipped unless ND_REAL=1 is set in the environment.",
            '@pytest.mark.allow_leak("place or glob", ..., reason="why"): *the reason is required*',
        ]
    )


@pytest.mark.parametrize("option", ["--help", "--version", "--markers", "--fixtures"])
def test_asking_writes_no_report(suite: Any, option: str) -> None:
    run = suite.run(option)
    assert run.result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert [record["type"] for record in run.records] in ([], ["run", "end"])


OUTER = """
import pytest
from app import settings

pytest_plugins = ["pytester"]

def test_before(): settings.MODE = "before"

def test_nested(pytester):
    pytester.makepyfile(INNER)
    result = pytester.runpytest_inprocess("-p", "mcpsmoke", "--leaks-engine=ENGINE", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["test_nested.py::test_inner left 2 places changed"])
    result.assert_outcomes(passed=1)

def test_after():
    settings.LEVEL = 2
    import app.late
    app.late.MODE = "x"
"""
INNER = '''"""
import inner_program

def test_inner():
    inner_program.STATE = 1
    inner_program.Klass.attribute = 2
""", inner_program="STATE = 0\\\\nclass Klass: attribute = 1"'''


@pytest.mark.parametrize("inner", ["auto", "scan"])
def test_a_run_inside_a_run_leaves_the_outer_one_intact(suite: Any, engine: str, inner: str) -> None:
    source = OUTER.replace("INNER", INNER.replace("\\\\n", "\\n")).replace("ENGINE", inner)
    suite.write({"test_case.py": source, "app/late.py": 'MODE = "live"\n'})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert [told for told in run.told if "inner" not in told] == [
        "test/function test_case.py::test_before rebound app.settings.MODE",
        "test/function test_case.py::test_after rebound app.settings.LEVEL",
        "test/function test_case.py::test_after rebound app.late.MODE",
    ]


def test_what_a_nested_run_finds_does_not_appear_outside(suite: Any, engine: str) -> None:
    source = OUTER.replace("INNER", INNER.replace("\\\\n", "\\n")).replace("ENGINE", "auto")
    suite.write({"test_case.py": source, "app/late.py": 'MODE = "live"\n'})
    run = suite.run(f"--leaks-engine={engine}", "-k", "nested", subprocess=True)
    run.result.assert_outcomes(passed=1, deselected=2)
    assert run.told == []


def test_the_hooks_of_the_import_system_are_put_back(suite: Any) -> None:
    """Nothing of this is imported at the top: a hook of our own outer run may be in place, and stays."""
    import importlib

    before = importlib._bootstrap._find_and_load, importlib._bootstrap._exec  # type: ignore[attr-defined]
    suite.write({"test_case.py": CASE})
    assert suite.run().told == [LEAK]
    after = importlib._bootstrap._find_and_load, importlib._bootstrap._exec  # type: ignore[attr-defined]
    assert after == before

"""Runs inside an observed run: the outer one goes on undisturbed, and tells what they left once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

OUTER = {"pytest.ini": "[pytest]\n", "conftest.py": 'pytest_plugins = ["pytester"]\n'}

WITHOUT, IDLE, WITH = ("-p", "no:mcpsmoke"), ("-p", "mcpsmoke", "--leaks=off"), ("-p", "mcpsmoke")

CLEAN = """
    import pytest

    @pytest.mark.parametrize("number", [1, 2])
    def test_nested(pytester, number):
        pytester.makeconftest(
            "import pytest\\n@pytest.fixture(scope='session', autouse=True)\\ndef wide(): yield"
        )
        pytester.makepyfile(
            "def test_ok(tmp_path, capsys, monkeypatch, caplog, recwarn): assert [1] == [1]\\n"
            "def test_fails(): assert [1] == [2]\\n"
        )
        pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=1, failed=1)

    def test_main(pytester, monkeypatch):
        pytester.makepyfile("def test_ok(): pass")
        monkeypatch.chdir(pytester.path)
        assert pytest.main(["-q", *OPTIONS]) == 0
    """

LEAKY = """
    from app import settings

    def test_inner_leaks(pytester):
        pytester.makepyfile("from app import settings\\ndef test_inner(): settings.MODE = 'inner'")
        result = pytester.runpytest_inprocess(*OPTIONS)  # leak
        told = [line for line in result.outlines if line.startswith("  app.settings.MODE")]
        assert len(told) == TOLD

    def test_outer_leaks():
        assert settings.MODE == SEEN
        settings.LEVEL = 2  # leak

    def test_outer_clean(monkeypatch):
        monkeypatch.setattr(settings, "NAMES", ())
    """


@pytest.mark.parametrize("options", [WITHOUT, IDLE, WITH], ids=["without", "idle", "with"])
def test_a_run_inside_is_no_leak(suite: Any, engine: str, options: tuple[str, ...]) -> None:
    suite.write(OUTER | {"test_outer.py": CLEAN.replace("OPTIONS", repr(options))})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert run.told == []


INNER = "test/function test_outer.py::test_inner_leaks rebound app.settings.MODE"
LATER = "test/function test_outer.py::test_outer_leaks rebound app.settings.LEVEL"


@pytest.mark.parametrize(
    ("options", "told", "seen", "expected"),
    [
        (WITHOUT, 0, "inner", [INNER, LATER]),
        (IDLE, 0, "inner", [INNER, LATER]),
        ((*WITH, "--leaks=report"), 1, "inner", [INNER, LATER]),
        ((*WITH, "--leaks-engine=scan"), 1, "inner", [INNER, LATER]),
        ((*WITH, "--leaks-restore"), 1, "live", [LATER]),
    ],
    ids=["without", "idle", "report", "scan", "restore"],
)
def test_what_the_inner_run_leaves_is_told_once(
    suite: Any,
    sites: Callable[[Any], list[str]],
    options: tuple[str, ...],
    told: int,
    seen: str,
    expected: list[str],
    best_engine: str,
) -> None:
    text = LEAKY.replace("OPTIONS", repr(options)).replace("TOLD", str(told)).replace("SEEN", repr(seen))
    suite.write(OUTER | {"test_outer.py": text})
    run = suite.run(f"--leaks-engine={best_engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert run.told == expected
    if best_engine == "watch":
        assert len(sites(run.leaks)) == len(expected)
        assert set(sites(run.leaks)) <= set(suite.marked())


def test_what_a_plugin_s_hook_leaves_in_the_outer_run_is_told(
    suite: Any, engine: str, sites: Callable[[Any], list[str]]
) -> None:
    """A hook of the run itself is no test's; of a run that a test begins it is."""
    suite.write(
        OUTER
        | {
            "site-packages/hooked/__init__.py": """
                class Storage:
                    folder = "outer"

                def pytest_addoption(parser):
                    parser.addoption("--folder", default="outer")

                def pytest_sessionstart(session):
                    Storage.folder = session.config.getoption("--folder")

                def pytest_runtest_call(item):
                    Storage.last = item.name
                """,
            "test_outer.py": """
                import pytest
                import hooked

                def test_plain():
                    assert hooked.Storage.last == "test_plain"

                def test_nested(pytester):
                    pytester.makepyfile("def test_inner(): pass")
                    result = pytester.runpytest_inprocess("-p", "hooked", "--folder=inner")  # leak
                    result.assert_outcomes(passed=1)
                """,
        }
    )
    run = suite.run(
        "-p", "hooked", f"--leaks-engine={engine}", "-o", "pythonpath=site-packages", subprocess=True
    )
    run.result.assert_outcomes(passed=2)
    assert "test/function test_outer.py::test_nested rebound hooked.Storage.folder" in run.told
    assert {leak["owner"] for leak in run.leaks} == {"test_outer.py::test_nested"}
    assert sites(run.leaks) == suite.marked()

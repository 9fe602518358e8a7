"""Beside pytest-cov: the same numbers with the detector as without, whichever way coverage measures."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

PEERS = ["pytest-cov"]

FILES = {
    "pytest.ini": "[pytest]\nfilterwarnings = error\n",
    "app/choosing.py": """
        def choose(number):
            if number > 2:
                return "many"
            return "few"

        def never():
            return None
        """,
    "test_covered.py": """
        import threading

        from app import settings

        def test_import_inside():
            from app import choosing
            assert choosing.choose(3) == "many"

        def test_thread():
            thread = threading.Thread(target=settings.connect)
            thread.start()
            thread.join()

        def test_leak():
            settings.MODE = "left"
        """,
}
CORES = ["ctrace", "sysmon"] if sys.version_info >= (3, 12) else ["ctrace"]


def measured(suite: Any, *options: str) -> dict[str, Any]:
    """What coverage found in each file, by its name."""
    run = suite.run(
        "-p", "pytest_cov", "--cov=app", "--cov-report=json", *options, subprocess=True, report=False
    )
    run.result.assert_outcomes(passed=3)
    files = json.loads((suite.path / "coverage.json").read_text("utf-8"))["files"]
    assert files["app/choosing.py"]["missing_lines"] == [4, 7]
    return {
        name: {key: value for key, value in found.items() if "lines" in key} for name, found in files.items()
    }


@pytest.mark.parametrize("core", CORES)
def test_the_numbers_are_the_same(
    suite: Any, monkeypatch: pytest.MonkeyPatch, core: str, best_engine: str
) -> None:
    monkeypatch.setenv("COVERAGE_CORE", core)
    suite.write(FILES)
    without = measured(suite, "--leaks=off")
    assert measured(suite, "--leaks=report", f"--leaks-engine={best_engine}") == without


@pytest.mark.parametrize(
    "options", [("--cov=app", "--cov-branch", "--cov-context=test"), ()], ids=["cov", "idle"]
)
def test_the_leak_is_named_and_nothing_of_coverage(suite: Any, engine: str, options: tuple[str, ...]) -> None:
    suite.write(FILES)
    run = suite.run("-p", "pytest_cov", *options, f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert run.told == ["test/function test_covered.py::test_leak rebound app.settings.MODE"]


def test_a_trace_function_of_a_test_is_named(suite: Any) -> None:
    suite.write({"test_trace.py": "import sys\n\ndef test_trace():\n    sys.settrace(lambda *args: None)\n"})
    run = suite.run("-p", "pytest_cov", "--cov=app", "-o", "filterwarnings=default", subprocess=True)
    assert run.told == ["test/function test_trace.py::test_trace rebound sys.gettrace()"]

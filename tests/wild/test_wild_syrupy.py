"""syrupy 7.0.2: a run inside a test sets a class attribute that the outer run goes on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PEERS = ["syrupy==7.0.2"]

FILES = {
    "conftest.py": 'pytest_plugins = ["pytester"]\n',
    "test_outer.py": """
        from syrupy.extensions.base import SnapshotCollectionStorage

        def test_nested(pytester):
            pytester.makepyfile("def test_inner(snapshot): pass")
            result = pytester.runpytest_inprocess("-p", "syrupy", "--snapshot-dirname=inner")  # leak
            result.assert_outcomes(passed=1)

        def test_victim():
            assert SnapshotCollectionStorage.snapshot_dirname == "__snapshots__"
        """,
}


def test_the_class_attribute_is_named(suite: Any, engine: str, sites: Callable[[Any], list[str]]) -> None:
    suite.write(FILES)
    run = suite.run("-p", "syrupy", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=1, failed=1)  # the test after it looks for its snapshots elsewhere
    storage = "syrupy.extensions.base.SnapshotCollectionStorage"
    found = next(leak for leak in run.leaks if leak["place"] == f"{storage}.snapshot_dirname")
    assert (found["before"], found["after"]) == ("'__snapshots__'", "'inner'")
    assert {leak["owner"] for leak in run.leaks} == {"test_outer.py::test_nested"}
    assert sites(run.leaks) == suite.marked()


def test_with_the_leak_put_back_the_next_test_passes(suite: Any, best_engine: str) -> None:
    suite.write(FILES)
    run = suite.run("-p", "syrupy", f"--leaks-engine={best_engine}", "--leaks-restore", subprocess=True)
    run.result.assert_outcomes(passed=2)
    assert all(leak["restored"] for leak in run.leaks)

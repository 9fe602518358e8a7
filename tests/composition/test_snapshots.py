"""Beside inline-snapshot and syrupy: snapshots that are compared, or written on request, are no leak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PEERS = ["inline-snapshot", "syrupy"]

INLINE = {
    "test_inline.py": """
        from app import settings
        from inline_snapshot import snapshot

        SHARED = snapshot(3)

        def test_equal():
            assert settings.connect() == snapshot("real")
            assert [1, {"a": 2}] == snapshot([1, {"a": 2}])

        def test_other_operators():
            assert 5 <= snapshot(6)
            assert 3 in snapshot([3, 4])
            assert snapshot({"a": 1})["a"] == 1

        def test_of_the_module():
            assert SHARED == 3
        """
}

SYRUPY = {
    "test_syrupy.py": """
        import pytest
        from app import settings
        from syrupy.extensions.json import JSONSnapshotExtension

        @pytest.fixture
        def as_json(snapshot):
            return snapshot.with_defaults(extension_class=JSONSnapshotExtension)

        def test_plain(snapshot):
            assert settings.connect() == snapshot

        def test_named(snapshot):
            assert {"a": [1, 2]} == snapshot(name="first")
            assert {"a": [1, 2]} == snapshot

        def test_json(as_json):
            assert {"a": 1} == as_json
        """
}


@pytest.mark.parametrize("flag", ["disable", "short-report", "report"])
def test_inline_snapshots(suite: Any, flag: str) -> None:
    suite.write(INLINE)
    run = suite.run("-p", "inline_snapshot", f"--inline-snapshot={flag}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert run.told == []


def test_snapshots_of_syrupy(suite: Any, engine: str) -> None:
    suite.write(SYRUPY)
    written = suite.run("-p", "syrupy", "--snapshot-update", subprocess=True, report=False)
    written.result.assert_outcomes(passed=3)
    run = suite.run("-p", "syrupy", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    run.result.stdout.fnmatch_lines(["4 snapshots passed."])
    assert run.told == []


def test_a_leak_beside_a_snapshot_is_named(suite: Any, sites: Callable[[Any], list[str]]) -> None:
    suite.write(
        {
            "test_leaky.py": """
                from app import settings
                from inline_snapshot import snapshot

                def test_left(snapshot):
                    settings.MODE = "left"  # leak
                    assert snapshot != settings.MODE
                """
        }
    )
    run = suite.run("-p", "syrupy", "-p", "inline_snapshot", subprocess=True)
    assert run.told == ["test/function test_leaky.py::test_left rebound app.settings.MODE"]
    assert sites(run.leaks) == suite.marked()

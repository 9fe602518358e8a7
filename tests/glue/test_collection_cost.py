"""Collecting reads no source: a suite has as many files as it likes."""

from __future__ import annotations

from typing import Any

from pytest_mcpsmoke.state.source import index_of


def test_no_source_is_searched_for_importing_a_test_file(suite: Any, engine: str) -> None:
    suite.write({f"test_{name}.py": "from app import settings\n\ndef test_it(): pass\n" for name in "abc"})
    index_of.cache_clear()
    run = suite.run(f"--leaks-engine={engine}")
    assert run.of_type("finding") == []
    assert index_of.cache_info().misses == 0

"""Globs over places: * and ? are wild, all else is literal."""

from __future__ import annotations

import pytest

from pytest_mcpsmoke.state.globs import matches, matches_any

PLACES = {"app.MODE", "app.TABLE['a*b']", "os.environ['X']"}


@pytest.mark.parametrize(
    ("glob", "is_matched"),
    [
        ("app.MODE", True),
        ("app.MOD", False),
        ("app.*", True),
        ("app.MOD?", True),
        ("app.?", False),
        ("app.TABLE['a*b']", True),
        ("app.TABLE[*]", True),
        ("os.environ[X]", False),
        ("*", True),
        ("", False),
    ],
)
def test_one_glob_over_many_places(glob: str, is_matched: bool) -> None:
    assert matches_any(PLACES, glob) is is_matched
    assert any(matches(place, glob) for place in PLACES) is is_matched
    assert matches_any(frozenset(), glob) is False

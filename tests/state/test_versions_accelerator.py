"""The compiled part on CPython 3.11: class Versions over the version tags of dicts."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

if sys.version_info >= (3, 12):
    pytest.skip("the version tag is CPython 3.11's", allow_module_level=True)
_watch = pytest.importorskip("pytest_mcpsmoke.state._watch", reason="the compiled part is not installed")


def follow(versions: Any, watched: dict[str, Any]) -> int:
    index: int = versions.add(watched, dict(watched))
    return index


def test_a_changed_dict_is_named_once_by_its_index() -> None:
    versions = _watch.Versions()
    first, second = {"a": 1}, {"a": 1}
    assert [follow(versions, first), follow(versions, second)] == [0, 1]
    assert versions.changed() == []
    second["a"] = 2
    ((index, copy),) = versions.changed()
    assert (index, copy) == (1, {"a": 2})
    assert copy is not second
    assert versions.changed() == []


def test_a_dict_that_holds_its_old_values_again_is_not_changed() -> None:
    versions, watched = _watch.Versions(), {"a": 1}
    follow(versions, watched)
    watched["a"] = 2
    watched["a"] = 1
    assert versions.changed() == []


@pytest.mark.parametrize(
    "write",
    [
        lambda watched: watched.update(b=1),
        lambda watched: watched.update(a=object()),
        lambda watched: watched.pop("a"),
        lambda watched: watched.clear(),
        lambda watched: watched.__delitem__("a"),
        lambda watched: watched.setdefault("c", 1),
        lambda watched: watched.popitem(),
    ],
)
def test_each_way_of_writing_moves_the_version(write: object) -> None:
    versions, watched = _watch.Versions(), {"a": 1}
    follow(versions, watched)
    write(watched)  # type: ignore[operator]
    assert versions.changed() == [(0, watched)]


def test_assigning_the_same_object_again_is_no_change() -> None:
    value = object()
    versions, watched = _watch.Versions(), {"a": value}
    follow(versions, watched)
    watched["a"] = value
    assert versions.changed() == []


def test_a_discarded_dict_is_let_go_and_the_others_keep_their_indices() -> None:
    class Namespace(dict[str, int]):
        pass

    versions, first, second = _watch.Versions(), Namespace(a=1), Namespace(a=1)
    follow(versions, first)
    follow(versions, second)
    gone = weakref.ref(first)
    del first
    assert gone() is not None
    versions.discard(0)
    assert gone() is None
    second["a"] = 2
    assert versions.changed() == [(1, {"a": 2})]
    versions.discard(0)
    assert follow(versions, {}) == 2


@pytest.mark.parametrize("index", [-1, 1, 10**6])
def test_discarding_what_is_not_there_is_refused(index: int) -> None:
    versions = _watch.Versions()
    follow(versions, {})
    with pytest.raises(IndexError, match=r"^no such namespace$"):
        versions.discard(index)


def test_only_dicts_are_followed() -> None:
    with pytest.raises(TypeError, match=r"^argument 1 must be dict, not list$"):
        _watch.Versions().add([], {})


def test_more_dicts_than_there_is_room_for_at_first() -> None:
    versions, watched = _watch.Versions(), [{"a": 1} for _ in range(5000)]
    assert [follow(versions, contents) for contents in watched] == [*range(5000)]
    watched[0]["a"] = watched[1024]["a"] = watched[4999]["a"] = 2
    assert [index for index, _ in versions.changed()] == [0, 1024, 4999]


def test_reference_counts_are_what_they_were() -> None:
    watched = [{"a": object()} for _ in range(2000)]
    before = [sys.getrefcount(contents) for contents in watched]
    for _ in range(20):
        versions = _watch.Versions()
        indices = [follow(versions, contents) for contents in watched]
        versions.changed()
        for index in indices[::2]:
            versions.discard(index)
    del versions
    gc.collect()
    assert [sys.getrefcount(contents) for contents in watched] == before


def test_versions_in_a_reference_cycle_are_collected() -> None:
    class Namespace(dict[str, object]):
        pass

    versions, watched = _watch.Versions(), Namespace()
    follow(versions, watched)
    watched["versions"] = versions
    gone = weakref.ref(watched)
    del versions, watched
    gc.collect()
    assert gone() is None

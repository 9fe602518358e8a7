"""The C environment behind os.environ."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from boundary import Boundary

from pytest_mcpsmoke.state.probes.putenv import Putenv


@pytest.fixture
def run() -> Iterator[Boundary]:
    with Boundary(Putenv()) as boundary:
        yield boundary
    os.unsetenv("ZOO_RAW")


def seen_by_children(name: str) -> str:
    return subprocess.run(["printenv", name], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def test_a_name_put_is_found_and_restored(run: Boundary) -> None:
    os.putenv("ZOO_RAW", "1")
    assert run.leaks() == [("C environ ZOO_RAW", None, "1")]
    assert run.line(__file__) == 'os.putenv("ZOO_RAW", "1")'
    assert seen_by_children("ZOO_RAW") == "1"
    run.restore()
    assert seen_by_children("ZOO_RAW") == ""
    assert run.leaks() == []


def test_the_value_before_is_told_and_put_back(run: Boundary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_RAW", "old")
    os.putenv("ZOO_RAW", "new")
    assert run.leaks() == [("C environ ZOO_RAW", "old", "new")]
    run.restore()
    assert seen_by_children("ZOO_RAW") == "old"
    assert run.drain() == [("C environ ZOO_RAW", "new", "old")]


def test_a_name_unset_behind_the_back_of_environ(run: Boundary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_RAW", "old")
    os.unsetenv("ZOO_RAW")
    assert run.leaks() == [("C environ ZOO_RAW", "old", None)]
    run.restore()
    assert seen_by_children("ZOO_RAW") == "old"


def test_undone_and_mere_use_are_nothing(run: Boundary, monkeypatch: pytest.MonkeyPatch) -> None:
    os.putenv("ZOO_RAW", "1")
    os.unsetenv("ZOO_RAW")
    monkeypatch.setenv("ZOO_OTHER", "1")
    monkeypatch.delenv("ZOO_OTHER")
    assert run.drain() == []


def test_what_environ_says_too_is_the_business_of_another_probe(
    run: Boundary, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.putenv("ZOO_RAW", "1")
    run.drain()
    monkeypatch.setenv("ZOO_RAW", "2")
    assert run.drain() == [("C environ ZOO_RAW", "1", "2")]
    monkeypatch.undo()
    assert run.leaks() == []


def test_patched_functions_are_not_used(run: Boundary, monkeypatch: pytest.MonkeyPatch) -> None:
    os.putenv("ZOO_RAW", "1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unsetenv", lambda name: 1 / 0)
        patch.setattr(os, "environ", {})
        assert run.leaks() == [("C environ ZOO_RAW", None, "1")]
        run.restore()
    assert seen_by_children("ZOO_RAW") == ""

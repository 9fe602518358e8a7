"""The audit hook: who is told what, and that nothing of it reaches the program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.state import audit

EVENT = "pytest_mcpsmoke.test"


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    told: list[Any] = []
    audit.listen(EVENT, told.append)
    yield told
    audit.unlisten(EVENT, told.append)


def test_a_listener_gets_the_arguments_until_it_stops(heard: list[Any]) -> None:
    sys.audit(EVENT, 1, "a")
    audit.unlisten(EVENT, heard.append)
    audit.unlisten(EVENT, heard.append)
    sys.audit(EVENT, 2)
    assert heard == [(1, "a")]
    assert EVENT not in audit._listeners


def test_all_listeners_of_an_event_are_told(heard: list[Any]) -> None:
    other: list[Any] = []
    audit.listen(EVENT, other.extend)
    sys.audit(EVENT, 1)
    audit.unlisten(EVENT, other.extend)
    sys.audit(EVENT, 2)
    assert (heard, other) == ([(1,), (2,)], [1])


def test_who_listens_last_is_asked_first_and_a_refusal_ends_the_asking(heard: list[Any]) -> None:
    def refuse(args: tuple[Any, ...]) -> Exception:
        return PermissionError(*args)

    audit.listen(EVENT, refuse)
    try:
        with pytest.raises(PermissionError, match="not told"):
            sys.audit(EVENT, "not told")
    finally:
        audit.unlisten(EVENT, refuse)
    sys.audit(EVENT, "told")
    assert heard == [("told",)]


def test_an_exception_reaches_the_next_check_and_not_the_program() -> None:
    def fail(args: tuple[Any, ...]) -> None:
        raise ValueError(*args)

    ear = audit.Ear({EVENT: fail})
    ear.open()
    sys.audit(EVENT, "first")
    sys.audit(EVENT, "second")
    with pytest.raises(ValueError, match="first"):
        ear.check()
    ear.check()
    ear.close()
    ear.close()
    ear.check()


def test_what_a_callback_does_is_not_told(tmp_path: Path) -> None:
    told: list[str] = []

    def open_again(args: tuple[Any, ...]) -> None:
        told.append(args[0])
        (tmp_path / "inner").touch()

    ear = audit.Ear({"open": open_again})
    ear.open()
    (tmp_path / "outer").touch()
    ear.close()
    ear.check()
    assert told == [str(tmp_path / "outer")]


def test_other_threads_are_told_while_one_is_inside_a_callback() -> None:
    told: list[str] = []

    def slow(args: tuple[Any, ...]) -> None:
        told.append(args[0])
        if args[0] == "outer":
            other = threading.Thread(target=sys.audit, args=(EVENT, "other"))
            other.start()
            other.join()

    audit.listen(EVENT, slow)
    sys.audit(EVENT, "outer")
    audit.unlisten(EVENT, slow)
    assert told == ["outer", "other"]


def test_the_stack_begins_with_the_caller_and_is_bounded() -> None:
    stacks: list[tuple[Any, ...]] = []

    def note(args: tuple[Any, ...]) -> None:
        stacks.append(audit.stack_here())

    def nested(depth: int) -> None:
        if depth:
            nested(depth - 1)
        else:
            sys.audit(EVENT)  # line

    audit.listen(EVENT, note)
    nested(0)
    nested(50)
    audit.unlisten(EVENT, note)
    short, long = stacks
    assert short[0] is nested.__code__
    assert Path(__file__).read_text(encoding="utf-8").splitlines()[short[1] - 1].endswith("# line")
    assert any(code.co_name.startswith("test_the_stack") for code in short[::2])
    assert os.sep + "pluggy" + os.sep in short[-2].co_filename
    assert len(long) == 64


def test_a_refusal_by_another_hook_is_told() -> None:
    program = """if True:
        import sys
        def refuse(event, args):
            if event == "sys.addaudithook":
                raise RuntimeError
        sys.addaudithook(refuse)
        from pytest_mcpsmoke.state.audit import Ear
        ear = Ear({"open": print})
        ear.open()
        try:
            ear.check()
        except RuntimeError as error:
            print(error)
        """
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "another audit hook of this process refuses ours"

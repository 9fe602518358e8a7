"""mcpsmoke where: the statement that changed a place, whatever way it went."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.cli.main import main

APP = """
import threading

MODE = "live"
ITEMS = []
TOOLS = {"echo": 1}
CLIENT = None


class Client:
    retries = 3

    def __init__(self):
        self.calls = 0

    def __eq__(self, other):
        raise AssertionError("asked")

    def __getattr__(self, name):
        raise AssertionError("asked")


ONE = Client()


def set_mode(value):
    global MODE
    MODE = value


def through(value):
    set_mode(value)


def note(item):
    ITEMS.append(item)


def register(name):
    TOOLS[name] = 2
"""
TESTS = """
import asyncio
import os
import sys
import threading
from unittest import mock

import app
import pytest


def test_two_frames_deep():
    app.through("test")


def test_in_place():
    app.note("x")


def test_entry():
    app.register("search")


def test_class_attribute():
    app.Client.retries = 0


def test_instance_attribute():
    app.ONE.calls += 1


def test_environ(monkeypatch):
    monkeypatch.setenv("PROXY_MODE", "x")


def test_patch_that_is_started():
    mock.patch.object(app, "MODE", "fake").start()


@pytest.fixture
def mode():
    app.MODE = "fixture"
    yield
    app.MODE = "after"


def test_fixture(mode):
    pass


def test_thread():
    thread = threading.Thread(target=app.note, args=("y",), name="worker")
    thread.start()
    thread.join()


def test_async():
    async def main():
        await asyncio.sleep(0)
        app.note("z")

    asyncio.run(main())


def test_put_back():
    before = app.MODE
    app.MODE = "other"
    app.MODE = before


def test_traces():
    seen = []
    sys.settrace(lambda *args: seen.append(args))
    app.set_mode("traced")
    sys.settrace(None)
    assert seen


def test_nothing():
    app.through


def made():
    value = "made"
    return value


def test_call_on_its_right():
    app.MODE = made()


def test_many():
    for number in range(100):
        app.note(number)
    app.ITEMS.clear()
    assert False, "red"
"""
CASES = {
    "two_frames_deep": ("app.MODE", ["test_app.py:12", "app.py:31", "app.py:27"]),
    "in_place": ("app.ITEMS", ["test_app.py:16", "app.py:35"]),
    "entry": ("app.TOOLS['search']", ["test_app.py:20", "app.py:39"]),
    "class_attribute": ("app.Client.retries", ["test_app.py:24"]),
    "instance_attribute": ("app.ONE.calls", ["test_app.py:28"]),
    "thread": ("app.ITEMS", ["app.py:35"]),
    "call_on_its_right": ("app.MODE", ["test_app.py:88"]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "app.py").write_text(APP.lstrip("\n"))
    (tmp_path / "test_app.py").write_text(TESTS.lstrip("\n"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def ask(capsys: pytest.CaptureFixture[str], test: str, place: str) -> list[dict[str, Any]]:
    assert main(["where", f"test_app.py::test_{test}", place, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["type"], told["place"]) == ("where", place)
    found: list[dict[str, Any]] = told["writes"]
    return found


def sites(write: dict[str, Any]) -> list[str]:
    own = [step for step in write["chain"] if not step["path"].startswith(("/", "<"))]
    return [f"{step['path']}:{step['line']}" for step in own]


@pytest.mark.parametrize("name", CASES)
def test_the_statement_and_the_way_to_it(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    place, chain = CASES[name]
    (write,) = ask(capsys, name, place)
    assert sites(write) == chain
    assert write["stage"] == "call"
    assert write["thread"] == ("worker" if name == "thread" else "MainThread")


@pytest.mark.parametrize(
    ("name", "place", "line"),
    [
        ("environ", "os.environ['PROXY_MODE']", "test_app.py:32"),
        ("patch_that_is_started", "app.MODE", "test_app.py:36"),
        ("async", "app.ITEMS", "app.py:35"),
    ],
)
def test_where_a_library_writes_the_users_line_is_on_the_way(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, place: str, line: str
) -> None:
    writes = ask(capsys, name, place)
    assert sites(writes[0])[-1] == line


def test_fixtures_and_finalisers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writes = ask(capsys, "fixture", "app.MODE")
    assert [(write["stage"], sites(write)) for write in writes] == [
        ("setup", ["test_app.py:41"]),
        ("teardown", ["test_app.py:43"]),
    ]


def test_what_was_put_back_is_two_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writes = ask(capsys, "put_back", "app.MODE")
    assert [(write["before"], write["after"]) for write in writes] == [
        ("'live'", "'other'"),
        ("'other'", "'live'"),
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before, there is one tracing function for all")
def test_a_test_that_traces_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (write,) = ask(capsys, "traces", "app.MODE")
    assert sites(write)[-1] == "app.py:27"


def test_the_import_of_a_test_module(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test_app.py").write_text("import app\n\napp.MODE = 'import'\n\n\ndef test_nothing(): pass\n")
    (write,) = ask(capsys, "nothing", "app.MODE")
    assert (write["stage"], sites(write)) == ("import", ["test_app.py:3"])


def test_what_a_reader_sees(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "test_app.py::test_two_frames_deep", "app.MODE"]) == 0
    assert capsys.readouterr().out == textwrap.dedent(
        """\
        app.MODE: 'live' -> 'test' (call)
          test_app.py:12  app.through("test")   in test_two_frames_deep
          app.py:31  set_mode(value)   in through
          app.py:27  MODE = value   in set_mode
        """
    )


def test_what_a_reader_sees_of_many(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A red test is told of, too; a line that writes again and again is told once."""
    assert main(["where", "test_app.py::test_many", "app.ITEMS"]) == 0
    assert capsys.readouterr().out == textwrap.dedent(
        """\
        app.ITEMS: [] -> [0, 1, 2, 3, … 96 more] (call, 100 times)
          test_app.py:93  app.note(number)   in test_many
          app.py:35  ITEMS.append(item)   in note
        app.ITEMS: [0, 1, 2, 3, … 96 more] -> [] (call, the last)
          test_app.py:94  app.ITEMS.clear()   in test_many
        """
    )


def test_names_that_are_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "test_app.py::test_nothing", "app.MODDE"]) == 1
    assert capsys.readouterr().err == (
        "test_app.py::test_nothing does not change app.MODDE; there is no such place, but app.MODE, app.ONE\n"
    )
    assert main(["where", "test_app.py::test_nothin", "app.MODE"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith(
        "; nearest: test_app.py::test_nothing, test_app.py::test_environ, test_app.py::test_entry\n"
    ), err
    assert main(["where", "test_ap.py::test_nothing", "app.MODE"]) == 2
    assert capsys.readouterr().err.endswith("; nearest: test_app.py\n")


def test_a_place_that_stays_and_a_test_that_is_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["where", "test_app.py::test_in_place", "app.ITEM"]) == 1
    assert capsys.readouterr().err == (
        "test_app.py::test_in_place does not change app.ITEM; it changes app.ITEMS\n"
    )
    assert main(["where", "test_app.py::test_no", "app.ITEMS"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("mcpsmoke: test_app.py::test_no: pytest did not run it: ERROR: not found")
    assert err.count("\n") == 1

"""Runs that somebody ends in the middle: what was found is reported, and the file is whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PEERS = ("pytest-xdist",)

CONFTEST = """
import os
import pytest
from app import settings

def end(stage):
    if os.environ["STAGE"] != stage:
        return
    if os.environ["END"] == "exit":
        pytest.exit("enough", returncode=7)
    raise KeyboardInterrupt if os.environ["END"] == "interrupt" else SystemExit(9)

def pytest_collection_modifyitems():
    end("collection")

@pytest.fixture(scope="session")
def opened():
    settings.OPENED = 1
    yield

@pytest.fixture(scope="module")
def wide():
    settings.WIDE = 1
    end("wide")
    yield

@pytest.fixture
def narrow():
    settings.NARROW = 1
    end("narrow")
    yield
    end("finaliser")
"""
CASE = """
from app import settings
from conftest import end

settings.IMPORTED = 1
end("import")

def test_before(opened): settings.BEFORE = 1

def test_it(wide, narrow):
    settings.CALL = 1
    end("call")

def test_after(): settings.AFTER = 1
"""
ALWAYS = [
    "fixture/session conftest.py::opened during test_case.py::test_before added app.settings.OPENED",
    "module/module test_case.py added app.settings.IMPORTED",
    "test/function test_case.py::test_before added app.settings.BEFORE",
]
WIDE = "fixture/module conftest.py::wide during test_case.py::test_it added app.settings.WIDE"
NARROW = "test/function test_case.py::test_it added app.settings.NARROW"
CALL = "test/function test_case.py::test_it added app.settings.CALL"
FOUND = {
    "import": [ALWAYS[1]],
    "collection": [ALWAYS[1]],
    "wide": [*ALWAYS, WIDE],
    "narrow": [*ALWAYS, WIDE, NARROW],
    "call": [*ALWAYS, WIDE, NARROW, CALL],
    "finaliser": [*ALWAYS, WIDE, NARROW, CALL],
}


@pytest.fixture
def ended(suite: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    suite.write({"conftest.py": CONFTEST, "test_case.py": CASE})

    def run(stage: str, end: str, *arguments: str) -> Any:
        monkeypatch.setenv("STAGE", stage)
        monkeypatch.setenv("END", end)
        return suite.run(*arguments, subprocess="xdist" in arguments)

    return run


@pytest.mark.parametrize("stage", FOUND)
@pytest.mark.parametrize(("end", "status"), [("interrupt", pytest.ExitCode.INTERRUPTED), ("exit", 7)])
def test_what_was_found_is_reported(ended: Any, end: str, status: int, stage: str) -> None:
    run = ended(stage, end)
    if (end, stage) == ("exit", "import"):
        status = pytest.ExitCode.INTERRUPTED  # pytest takes it for an error of the module
    assert run.result.ret == status
    assert sorted(run.told) == sorted(FOUND[stage])
    assert run.records[-1] == {**run.records[-1], "type": "end", "leaks": len(run.leaks)}
    assert run.section[-1].startswith(f"{len(run.leaks)} leak")
    assert run.result.outlines.count("pytest_mcpsmoke") == 0


@pytest.mark.parametrize("stage", ["wide", "call"])
def test_a_test_that_asks_python_to_exit_is_but_a_failed_one(ended: Any, stage: str) -> None:
    run = ended(stage, "python")
    assert sorted(run.told) == sorted(
        [*FOUND[stage], "test/function test_case.py::test_after added app.settings.AFTER"]
    )
    assert run.records[-1]["type"] == "end"


@pytest.mark.parametrize("end", ["interrupt", "exit"])
def test_a_worker_that_is_interrupted(ended: Any, end: str) -> None:
    run = ended("call", end, "-p", "xdist", "-n", "1")
    assert set(ALWAYS) <= set(run.told)
    assert run.records[-1] == {**run.records[-1], "type": "end", "leaks": len(run.leaks)}
    assert run.section[-1].startswith(f"{len(run.leaks)} leak")


def test_no_summary_is_no_summary(ended: Any) -> None:
    assert ended("call", "exit", "--no-summary").section == []


def test_a_broken_hook_loses_nothing_found(suite: Any) -> None:
    suite.write(
        {
            "conftest.py": """
                def pytest_runtest_logfinish(nodeid):
                    assert not nodeid.endswith("test_two")
                """,
            "test_case.py": """
                from app import settings
                def test_one(): settings.MODE = "x"
                def test_two(): settings.LEVEL = 2
                def test_three(): settings.NAMES = ()
                """,
        }
    )
    run = suite.run(subprocess=True)
    assert run.result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert [leak["place"] for leak in run.leaks] == ["app.settings.MODE", "app.settings.LEVEL"]
    assert run.records[-1] == {"type": "end", "findings": 2, "leaks": 2, "tests": 2}
    assert run.section[-1] == "2 leaks left by 2 tests; 0 warm-ups, 0 allowed"


WAITING = """
import pathlib, time
from app import settings

def test_before(): settings.MODE = "x"

def test_waits():
    settings.LEVEL = 2
    pathlib.Path("waiting").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "worker"])
def test_a_signal_from_outside(suite: Any, workers: tuple[str, ...]) -> None:
    """What a terminal does at Ctrl-C: SIGINT to the process that it runs, and to its workers."""
    suite.write({"test_case.py": WAITING})
    command = (sys.executable, "-m", "pytest", "-p", "mcpsmoke", "--leaks-report=leaks.jsonl", *workers)
    process = subprocess.Popen(
        command,
        cwd=suite.path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=hear_interrupts,
    )
    try:
        wait_for(suite.path / "waiting", "", process)
        wait_for(suite.path / "leaks.jsonl", "app.settings.MODE", process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == pytest.ExitCode.INTERRUPTED
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    records = [json.loads(line) for line in (suite.path / "leaks.jsonl").read_text("utf-8").splitlines()]
    found = [record["place"] for record in records if record["type"] == "finding"]
    places = [place for place in found if place.startswith("app.")]
    assert places[0] == "app.settings.MODE"
    assert workers or places == ["app.settings.MODE", "app.settings.LEVEL"]
    assert records[-1] == {**records[-1], "type": "end", "findings": len(found)}


def hear_interrupts() -> None:
    """What a job in the background has inherited from its shell: that it ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(path: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a file is there and holds a text, for a minute at most."""
    for _ in range(600):
        if path.exists() and text in path.read_text("utf-8"):
            return
        assert process.poll() is None
        time.sleep(0.1)
    pytest.fail(f"{path.name} never came")

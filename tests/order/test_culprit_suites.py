"""The polluted suites in suites/: each is classified, its polluter and place are named, in few processes.

A suite is a folder with a small program and its tests. Its pyproject.toml says under [tool.case] what is true
of it:

- shows: in one sentence, what it is about
- victim: the node id that the command is asked about
- order: the node ids of the recorded run; absent: as collected
- arguments: further ones for the command; absent: none
- recorded: the victim's outcome in that run; absent: "failed"
- verdict, polluters, setters, cleaners, places: what has to be found; absent: nothing of that kind
- runs: how many pytest processes this may take on CPython 3.12+, given the report of the recorded run

The statements that write the places bear the comment "# the write".
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SUITES = Path(__file__).with_name("suites")
NAMES = sorted(folder.name for folder in SUITES.iterdir())
REPORT = "recorded.jsonl"
# Every pytest process loads it; written anew for each suite, so that nobody's count is taken on trust.
CENSUS = """
import os

with open(os.environ["CENSUS"], "a", encoding="utf-8") as file:
    file.write(f"{os.getpid()}\\n")
"""
FACTS: dict[str, Any] = {
    "order": [],
    "arguments": [],
    "recorded": "failed",
    "polluters": [],
    "setters": [],
    "cleaners": [],
    "places": [],
}


class Suite:
    """A copy of a polluted suite, and the processes that were started in it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.path = folder / name
        shutil.copytree(SUITES / name, self.path, ignore=shutil.ignore_patterns("__pycache__"))
        text = (self.path / "pyproject.toml").read_text(encoding="utf-8")
        self.case: dict[str, Any] = {**FACTS, **tomllib.loads(text)["tool"]["case"]}
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "census.py").write_text(CENSUS, encoding="utf-8")
        self._census = folder / "census.txt"
        given = os.environ.get("PYTHONPATH")
        self._environment = {
            **os.environ,
            "CENSUS": str(self._census),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "census",
            "PYTHONPATH": os.pathsep.join([str(plugins), *([given] if given else [])]),
        }

    @property
    def writes(self) -> list[str]:
        """Where the places are written: ["tests/test_a.py:3"]."""
        return sorted(
            f"{file.relative_to(self.path).as_posix()}:{number}"
            for file in self.path.rglob("*.py")
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
            if line.endswith("  # the write")
        )

    @property
    def started(self) -> int:
        """How many pytest processes there have been so far."""
        return len(self._census.read_text(encoding="utf-8").splitlines()) if self._census.exists() else 0

    def run(self, command: list[str] | str) -> subprocess.CompletedProcess[str]:
        """Run a command, or a line for a shell, in the suite's folder."""
        return subprocess.run(
            command,
            cwd=self.path,
            env=self._environment,
            shell=isinstance(command, str),
            capture_output=True,
            encoding="utf-8",
        )

    def record(self) -> str:
        """Run the tests in the order of the case; return the victim's outcome."""
        order = ["--in-given-order", *self.case["order"]] if self.case["order"] else []
        options = ["-p", "mcpsmoke", "--leaks=report", f"--leaks-report={REPORT}"]
        ran = self.run([sys.executable, "-P", "-m", "pytest", *options, *order])
        lines = (self.path / REPORT).read_text(encoding="utf-8").splitlines()
        tests = (record for record in map(json.loads, lines) if record["type"] == "test")
        outcomes = {test["nodeid"]: test["outcome"] for test in tests}
        assert self.case["victim"] in outcomes, ran.stdout + ran.stderr
        return str(outcomes[self.case["victim"]])


class Explained(NamedTuple):
    """What the command says of a suite's victim."""

    suite: Suite
    told: dict[str, Any]
    status: int
    started: int  # pytest processes, counted by themselves


@pytest.fixture(scope="module")
def explain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Explained]:
    """Ask the command about a suite; once, however many tests want to know."""
    known: dict[str, Explained] = {}

    def explain(name: str) -> Explained:
        if name not in known:
            suite = Suite(name, tmp_path_factory.mktemp(name))
            assert suite.record() == suite.case["recorded"]
            before = suite.started
            command = ["culprit", suite.case["victim"], "--from", REPORT, "--json", *suite.case["arguments"]]
            ran = suite.run([sys.executable, "-P", "-m", "pytest_mcpsmoke.cli", *command])
            assert ran.stdout, ran.stderr
            known[name] = Explained(suite, json.loads(ran.stdout), ran.returncode, suite.started - before)
        return known[name]

    return explain


@pytest.mark.parametrize("name", NAMES)
def test_the_victim_is_explained(name: str, explain: Callable[[str], Explained]) -> None:
    case, told = explain(name).suite.case, explain(name).told
    found = {
        "verdict": told["verdict"],
        "polluters": sorted(told["polluters"]),
        "setters": told["setters"],
        "cleaners": told["cleaners"],
        "places": sorted(finding["place"] for finding in told["places"]),
    }
    assert found == {key: case[key] for key in found}
    assert explain(name).status == (0 if case["polluters"] or case["setters"] else 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_line_that_wrote_is_named(name: str, explain: Callable[[str], Explained]) -> None:
    suite, told, _, _ = explain(name)
    sites = [finding["site"] for finding in told["places"] if finding["site"]]  # a first import has none
    assert sorted(f"{site['path']}:{site['line']}" for site in sites) == suite.writes


@pytest.mark.parametrize("name", NAMES)
def test_few_processes_are_enough(name: str, explain: Callable[[str], Explained]) -> None:
    suite, told, _, started = explain(name)
    assert told["runs"] == started
    places = len(suite.case["places"]) if sys.version_info < (3, 12) else 0  # each is watched there
    assert started <= suite.case["runs"] + places


# Nothing special, quoting, two places, a file as polluter: what can go wrong on a command line.
@pytest.mark.parametrize("name", ["module_global", "odd_node_ids", "two_places", "import_pollutes"])
def test_the_commands_do_what_they_promise(name: str, explain: Callable[[str], Explained]) -> None:
    suite, told, _, _ = explain(name)
    assert suite.run(told["reproduce"]).returncode == 1
    assert suite.run(told["heal"]).returncode == 0

"""What the suites share: a small program to leak into, the engines of this interpreter, runs that tell."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

import pytest_mcpsmoke.report
import pytest_mcpsmoke.state

# A run inside a test forgets the modules that it was the first to load; the next one would load them anew.
# Not those of doubles/: they bring the libraries that they stand on.
for _package in (pytest_mcpsmoke.report, pytest_mcpsmoke.state):
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)
# pytest-randomly loads numpy, and a run inside a test that is the first to do so leaves it unloadable.
if all(map(importlib.util.find_spec, ("pytest_randomly", "numpy"))):
    importlib.import_module("numpy")

pytest_plugins = ["pytester"]

NATIVE = "watch" if sys.version_info >= (3, 12) else "version"
IS_COMPILED = importlib.util.find_spec("pytest_mcpsmoke.state._watch") is not None
ENGINES = (NATIVE, "scan") if IS_COMPILED else ("scan",)
if "MCPSMOKE_ONE_ENGINE" in os.environ:
    ENGINES = ENGINES[:1]

PROGRAM = {
    "app/__init__.py": "",
    "app/settings.py": """
        MODE = "live"
        LEVEL = 1
        NAMES = ("a", "b")

        class Client:
            retries = 3

        def connect():
            return "real"
        """,
}

# For the conftest.py of a suite that is run in a process of its own, and in which no thread is left for good:
# what is about to end, or to be idle, is waited for as long as it takes on a busy machine.
PATIENT = """
from pytest_mcpsmoke.state.probes import threads

threads._STEPS, threads._BUDGET = (0.001,) * 60_000, 60.0
"""


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Choose what holds for properties before their module asks for it; others do not load Hypothesis."""
    if isinstance(collector, pytest.Module) and b"hypothesis" in collector.path.read_bytes():
        _settle_properties()


@cache
def _settle_properties() -> None:
    """No deadline: on two busy cores any example may take long. The same examples each time under tox.

    For what CI says of a commit must not hang on luck; who looks for rare examples runs pytest by hand.
    """
    from hypothesis import HealthCheck, settings

    slow_is_fine = [HealthCheck.too_slow]
    repeats = "TOX_ENV_NAME" in os.environ
    settings.register_profile(
        "mcpsmoke", deadline=None, suppress_health_check=slow_is_fine, derandomize=repeats
    )
    settings.load_profile("mcpsmoke")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs PEERS that is not installed, or refuse to run where nothing may be skipped."""
    for item in items:
        needed = getattr(getattr(item, "module", None), "PEERS", ())
        missing = [requirement for requirement in needed if not is_installed(requirement)]
        if missing and "MCPSMOKE_NO_SKIP" in os.environ:
            raise pytest.UsageError(f"{item.nodeid}: not installed: {', '.join(missing)}")
        if missing:
            group = "wild" if "==" in missing[0] else "peers"
            item.add_marker(pytest.mark.skip(f"needs the dependency group {group}: {', '.join(missing)}"))


def is_installed(requirement: str) -> bool:
    """Whether a distribution is there: "syrupy" in any version, "syrupy==7.0.2" in that one."""
    name, _, wanted = requirement.partition("==")
    try:
        return version(name) == wanted or not wanted
    except PackageNotFoundError:
        return False


@dataclass(frozen=True)
class Observed:
    """One run of pytest over a made-up suite, and what its report file says."""

    result: pytest.RunResult
    records: list[dict[str, Any]]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] == kind]

    @property
    def leaks(self) -> list[dict[str, Any]]:
        return [finding for finding in self.of_type("finding") if finding["verdict"] == "leak"]

    @property
    def told(self) -> list[str]:
        """The leaks in the order of the file: "owner_kind/scope owner[ during node id] change place"."""
        return [tell(finding) for finding in self.leaks]

    @property
    def section(self) -> list[str]:
        """The lines of the section "state leaks", from its title to its summary line; [] without one."""
        lines = self.result.outlines
        titles = [at for at, line in enumerate(lines) if line.strip("= ") == "state leaks"]
        if not titles:
            return []
        rest = lines[titles[0] + 1 :]
        ends = (at for at, line in enumerate(rest) if line.startswith(("=", "!")) or not line.strip())
        return rest[: next(ends, None)]


def tell(finding: dict[str, Any]) -> str:
    during = f" during {finding['during']}" if finding["during"] else ""
    who = f"{finding['owner_kind']}/{finding['scope']} {finding['owner']}{during}"
    return f"{who} {finding['change']} {finding['place']}"


class Suite:
    """A made-up project in an empty folder: write files, run pytest over it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path: Path = pytester.path
        self.write(PROGRAM)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def run(self, *args: str, subprocess: bool = False, report: bool = True) -> Observed:
        """Run pytest in this process, or in one of its own; the report goes to a file that is read back."""
        file = self.path / "leaks.jsonl"
        arguments = ["-p", "mcpsmoke", "-p", "no:cacheprovider", *args]
        if report:
            arguments.append("--leaks-report=leaks.jsonl")
        if subprocess:
            result = self.pytester.runpytest_subprocess(*arguments)
        else:
            result = self.pytester.runpytest_inprocess(*arguments, no_reraise_ctrlc=True)
        return Observed(result, read_report(file) if report else [])

    def read(self, file: Path) -> list[dict[str, Any]]:
        """Read a report file back; [] when there is none."""
        return read_report(file)

    def marked(self, mark: str = "# leak") -> list[str]:
        """Where the sources of the suite bear a mark: ["test_a.py:3"]."""
        return sorted(
            f"{path.relative_to(self.path).as_posix()}:{number}"
            for path in self.path.rglob("*.py")
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if mark in line
        )


def read_report(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sites_of(findings: list[dict[str, Any]]) -> list[str]:
    """The write sites of findings, as Suite.marked gives them."""
    return sorted({f"{finding['site']['path']}:{finding['site']['line']}" for finding in findings})


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that works on this interpreter."""
    return str(request.param)


@pytest.fixture
def best_engine() -> str:
    """The engine that "auto" chooses here."""
    return ENGINES[0]


@pytest.fixture
def patient() -> str:
    """The text of a conftest.py: threads that are about to end are waited for, however long that takes."""
    return PATIENT


@pytest.fixture(scope="module")
def frozen() -> Iterator[None]:
    """For modules that collect garbage before each test: what is there already is not gone through again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs inside a test load the plugins that they name: some leave threads that wait, and descriptors."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """A made-up project with the program `app`, out of reach of this run's settings and of other plugins."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()  # Hypothesis notes each garbage collection in a global, whatever test is running
    for name in ("PYTEST_PLUGINS", "ND_REAL"):
        monkeypatch.delenv(name, raising=False)
    pytester.syspathinsert()
    yield Suite(pytester)
    gc.callbacks[:] = callbacks


@pytest.fixture
def sites() -> Callable[[list[dict[str, Any]]], list[str]]:
    """Returns the write sites of findings, as Suite.marked gives them."""
    return sites_of


@pytest.fixture
def load_report() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads a report file back; [] when there is none."""
    return read_report

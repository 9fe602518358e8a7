"""Which allowances matched nothing in a run, as far as the run can tell."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.glue.allowances import Allowances
from pytest_mcpsmoke.glue.markers import marked
from pytest_mcpsmoke.glue.recorder import Recorder
from pytest_mcpsmoke.report.allowances import EVERYBODY, Declared, enclosing
from pytest_mcpsmoke.state.globs import matches_any

_FACTS = "mcpsmoke_allowances"
_Facts = dict[str, Any]  # of plain lists and texts: it may travel between processes


def register(config: pytest.Config, allowances: Allowances, recorder: Recorder | None) -> None:
    """Register what this process needs; without a recorder it is one of xdist's workers."""
    manager = config.pluginmanager
    if recorder is None:
        manager.register(Collected(allowances, lambda facts: _send(config, facts)), "mcpsmoke-collected")
        return
    judge = Judge(config, allowances, recorder)
    manager.register(judge, "mcpsmoke-stale")
    if not manager.has_plugin("dsession"):
        manager.register(Collected(allowances, judge.receive), "mcpsmoke-collected")


def _send(config: Any, facts: _Facts) -> None:
    config.workeroutput[_FACTS] = facts


class Collected:
    """Where tests are collected: tells, at the end, what was declared and what was left out."""

    def __init__(self, allowances: Allowances, tell: Callable[[_Facts], None]) -> None:
        self._allowances = allowances
        self._tell = tell
        self._items: list[pytest.Item] = []
        self._unseen: list[str] = []  # ids of what might have needed an allowance
        self._is_whole = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that is broken, or skipped as a whole."""
        if not report.passed:
            self._unseen.append(report.nodeid)
            self._is_whole = self._is_whole and not report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what there is before anything is deselected."""
        self._items = items[:]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what was deselected, by whatever means."""
        if len(session.items) < len(self._items):
            self._is_whole = False
            left_out = set(self._items).difference(session.items)
            self._unseen += [item.nodeid for item in marked(left_out, "allow_leak")]
        self._items = []

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Any:
        """Tell, when the last finding is made."""
        result = yield
        allowances = self._allowances
        self._tell(
            {
                "lines": [[*each] for each in allowances.lines],
                "marks": [[[*each], sorted(bearers)] for each, bearers in allowances.marks.items()],
                "unseen": self._unseen,
                "is_whole": self._is_whole,
            }
        )
        return result


class Judge:
    """Where the run is reported: puts together what the workers, or this process, tell.

    A test tells by passing (or by failing as expected): another may not have come to its leak. What is
    deselected, skipped or broken leaves open whether an allowance that would cover it is stale.
    """

    def __init__(self, config: pytest.Config, allowances: Allowances, recorder: Recorder) -> None:
        self._config = config
        self._allowances = allowances
        self._recorder = recorder
        self._tests: set[str] = set()
        self._unseen: set[str] = set()
        self._told: set[str] = set()
        self._lines: list[Declared] = []
        self._marks: dict[Declared, list[str]] = {}
        self._roots = _roots(config)
        self._is_whole = _asks_for_everything(config)
        self._has_heard_all = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn which tests there are; without allowances there is nothing to judge."""
        self._tests.update(item.nodeid for item in session.items)
        if self._allowances.is_empty():
            session.config.pluginmanager.unregister(self)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Learn which tests a worker collected."""
        self._tests.update(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Learn which tests told what they leak."""
        if report.when == "call" and (report.passed or hasattr(report, "wasxfail")):
            self._told.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Hear what a worker tells; one that was killed tells nothing."""
        facts = getattr(node, "workeroutput", {}).get(_FACTS)
        if error or facts is None:
            self._has_heard_all = False
        else:
            self.receive(facts)

    def receive(self, facts: _Facts) -> None:
        """Add what one process tells."""
        self._lines += [Declared(*each) for each in facts["lines"]]
        self._marks |= {Declared(*each): bearers for each, bearers in facts["marks"]}
        self._unseen |= set(facts["unseen"])
        self._is_whole = self._is_whole and facts["is_whole"]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        """Report what is stale, before the report is closed."""
        result = yield
        if self._has_heard_all and self._told:
            self._recorder.add_stale(dict.fromkeys(self._stale(session)))
        return result

    def _stale(self, session: pytest.Session) -> Iterator[Declared]:
        silent = self._unseen | (self._tests - self._told)
        open_ = {each for nodeid in silent for each in enclosing(nodeid)}
        candidates = [*self._marks.items()]
        if self._is_whole and _came_to_its_end(session):
            candidates = [*self._of_lines(), *self._of_baseline(), *candidates]
        # Whoever's change it is: the first to leave a value is named, who leaves the same one later is not.
        changed = self._recorder.changed
        for declared, needed in candidates:
            if open_.isdisjoint(needed) and not matches_any(changed, declared.place):
                yield declared

    def _of_lines(self) -> Iterator[tuple[Declared, list[str]]]:
        """The lines of ini file and conftests, a conftest's only if all of its folder was asked for."""
        expected = _expected(self._config)
        for declared in self._lines:
            folder = self._config.rootpath / ("" if declared.owner == EVERYBODY else declared.owner)
            if _lies_in(folder, self._roots) or any(_lies_in(each, [folder]) for each in expected):
                yield declared, [declared.owner]

    def _of_baseline(self) -> Iterator[tuple[Declared, list[str]]]:
        baseline = self._allowances.baseline
        if baseline is None:
            return
        files = {nodeid.partition("::")[0] for nodeid in self._tests | self._unseen}
        for declared in baseline.declared():
            yield declared, [self._has_to_run(declared.owner, files)]

    def _has_to_run(self, owner: str, files: set[str]) -> str:
        """What has to have run before it is known that an owner leaks no more."""
        path = owner.partition("::")[0]
        if owner in self._tests or not (self._config.rootpath / path).exists():
            return owner  # a test; or what is gone, and nothing has to run for that
        if path in files:
            return path  # a test that is gone, a fixture in a test file, the import of one
        folder, name = os.path.split(path)
        return folder if folder and name == "conftest.py" else EVERYBODY


def _came_to_its_end(session: pytest.Session) -> bool:
    ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    return ended and not session.shouldstop and not session.shouldfail


def _asks_for_everything(config: pytest.Config) -> bool:
    """Whether the command line asks for all of testpaths, or of the rootdir where there are none."""
    roots = _roots(config)
    is_narrowed = config.getoption("lf", False) or any(
        os.fspath(argument).startswith("--ignore") for argument in config.invocation_params.args
    )
    return not is_narrowed and all(_lies_in(each, roots) for each in _expected(config))


def _roots(config: pytest.Config) -> list[Path]:
    """The files and folders that were asked for, single tests left out."""
    here = config.invocation_params.dir
    return [Path(os.path.abspath(here / each)) for each in config.args if "::" not in each]


def _expected(config: pytest.Config) -> list[Path]:
    root = config.rootpath
    patterns = [str(root / each) for each in config.getini("testpaths")]
    paths = [path for pattern in patterns for path in glob.glob(pattern, recursive=True)]
    return [Path(os.path.abspath(path)) for path in paths] or [root]


def _lies_in(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)

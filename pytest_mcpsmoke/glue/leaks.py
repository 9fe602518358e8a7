"""The detector's hooks: where one owner's time ends and another's begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from _pytest.doctest import DoctestItem, DoctestModule
from _pytest.python import path_matches_patterns

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.glue.allowances import Allowances
from pytest_mcpsmoke.glue.attempts import Attempts
from pytest_mcpsmoke.glue.between import drops_something, others_run_between
from pytest_mcpsmoke.glue.owners import (
    lines_of_doctest,
    owner_of_fixture,
    owner_of_module,
    owner_of_package,
    owner_of_test,
    relative_to,
)
from pytest_mcpsmoke.glue.refusing import refuse
from pytest_mcpsmoke.report.model import Entry, Finding, broken_probe, entries
from pytest_mcpsmoke.report.text import owner_lines
from pytest_mcpsmoke.state.globs import matches
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.observer import Observer
from pytest_mcpsmoke.state.probes.base import Probe

if TYPE_CHECKING:
    from pytest_mcpsmoke.glue.failing import FailReports
    from pytest_mcpsmoke.glue.options import Settings
    from pytest_mcpsmoke.glue.undo import Undo

_NAMES_FOR_DOCTESTS = "doctest_namespace"  # which pytest gives to fixtures that they may fill it


class Sink(Protocol):
    """Where findings go: the recorder, or in a worker what travels to it."""

    def add(self, finding: Finding) -> None:
        """Take one finding."""

    def note(self, text: str, is_urgent: bool) -> None:
        """Take a line on what limits the findings."""


class LeakHooks:
    """Brackets collection, fixtures and tests, and turns what each left changed into findings."""

    def __init__(
        self,
        config: pytest.Config,
        observer: Observer,
        sink: Sink,
        failing: FailReports | None,
        settings: Settings,
        allowances: Allowances,
        undo: Undo | None,
    ) -> None:
        self._allowances = allowances
        self._undo = undo
        self._config = config
        self._restore, self._spare = settings.restore, settings.spare
        self._failing = failing
        self._observer = observer
        self._sink = sink
        self._relative = relative_to(config.rootpath)
        self._item: pytest.Item | None = None
        self._attempts = Attempts()
        self.left_by_last: list[Finding] = []  # the leaks of the test that ended last, told before or not
        self._others_run_between = True
        self._interrupted: list[Owner | None] = []  # who ran when a fixture's finaliser began
        self._fresh: list[pytest.Item | pytest.Collector] = []  # where this test set up wide fixtures
        self._over: list[Owner] = []  # fixtures that are finalised, but not yet judged

    # collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Take the baseline late: what plugins and root conftests set up is the state of things."""
        self._observer.start()

    def pytest_plugin_registered(self, plugin: object) -> None:
        """Learn which files are conftests; what importing one below the rootdir changed is its own."""
        path = getattr(plugin, "__file__", None)
        if not isinstance(path, str):
            return
        if os.path.basename(path) != "conftest.py":
            self._observer.files.plugins.add(path)
            return
        self._observer.files.tests.add(path)
        if self._observer.current is None:
            owner = owner_of_module(self._relative(path), self._config.rootpath / path)
            self._observer.resume(owner)
            self._record(owner)
            self._observer.resume(None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Any:
        """What importing a test module changed is that module's."""
        if isinstance(collector, pytest.Package):
            collector.setup = partial(self._set_up_package, collector, collector.setup)  # type: ignore[method-assign]
        if not isinstance(collector, pytest.File):
            return (yield)
        if isinstance(collector, pytest.Module) and _is_of_tests(collector):
            self._observer.files.tests.add(str(collector.path))
        owner = owner_of_module(collector.nodeid, collector.path)
        before = self._observer.switch(owner)
        self._observer.test_module = collector.path.stem
        try:
            report: pytest.CollectReport = yield
        finally:
            leaks = self._record(owner, collector)
            self._observer.resume(before)
            self._observer.test_module = None
        if leaks and self._failing is not None and report.passed:
            report.outcome = "failed"
            report.longrepr = self._text(leaks)
            report.result = []
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse misused allowances before any test runs; and look at all that collection brought."""
        self._observer.sweep()
        self._others_run_between = others_run_between(self._config)
        try:
            self._allowances.check(items)
        except UsageProblem as error:
            refuse(self._config, str(error))

    # tests

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """From here on the test owns what happens. (All wrappers, capture's among them, have begun.)"""
        self._item = item
        self._attempts.begin(item)
        if isinstance(item, DoctestItem):
            self._observer.files.add_doctest(item.dtest.name, *lines_of_doctest(item))
        self._observer.switch(owner_of_test(item))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Any:
        """When its last finaliser has run, the test's time is over."""
        __tracebackhide__ = True  # as in all that a failure of the user's passes through
        self._set_boundaries()
        try:
            result = yield
        except BaseException as error:
            self._end_test(item)
            if self._failing is not None:
                self._failing.add_to(error, item)
            raise
        self._end_test(item)
        if nextitem is None or nextitem.path is not item.path:
            self._observer.sweep()  # once a file, for it looks at every module
            self._others_run_between = others_run_between(self._config)
        return result

    def _set_boundaries(self) -> None:
        """Part the test's own finalisers from those of the wide fixtures that it was the first to use."""
        for node in self._fresh:
            node.addfinalizer(self._observer.book)
        self._fresh.clear()

    def _end_test(self, item: pytest.Item) -> None:
        observer = self._observer
        self._item = None
        over = self._judge_finalised()
        if observer.current is not None:
            self._record(observer.current, item)
        for owner in over:  # not before: the test may have changed their values, and these places have names
            observer.forget_value(owner)
        if observer.current is not None:
            observer.rest()  # what pytest and its plugins write between tests is theirs
            observer.is_changed_between = self._others_run_between or drops_something(item)

    # fixtures

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """A fixture of class to session scope owns what it changed until its finaliser has run."""
        __tracebackhide__ = True
        if isinstance(request.node, pytest.Item):
            return (yield)  # it is there for one test, as is one of class scope outside classes: the test's
        owner = owner_of_fixture(fixturedef, self._config.rootpath, self._relative)
        with self._setting_up(owner, request.node, request.addfinalizer):
            value = yield
            if fixturedef.argname != _NAMES_FOR_DOCTESTS:
                self._observer.follow_value(owner, fixturedef.argname, value)
            return value

    def _set_up_package(self, package: pytest.Package, real: Callable[[], None]) -> None:
        """setup_module and teardown_module of a package's __init__.py: no fixture, but owned like one."""
        __tracebackhide__ = True
        self._observer.files.tests.add(str(package.path / "__init__.py"))
        with self._setting_up(owner_of_package(package), package, package.addfinalizer):
            real()

    @contextmanager
    def _setting_up(
        self, owner: Owner, node: Any, addfinalizer: Callable[[Callable[[], None]], None]
    ) -> Iterator[None]:
        """Give to an owner what is done here, and later, when the node is torn down, what undoes it."""
        __tracebackhide__ = True
        observer = self._observer
        for other in self._judge_finalised():
            observer.forget_value(other)
        addfinalizer(lambda: self._end_fixture(owner))  # runs after those that the set-up adds
        self._fresh.append(node)
        before, during = observer.switch(owner), observer.during
        observer.during = self._item.nodeid if self._item is not None else None
        try:
            yield
        finally:
            observer.switch(before)
            observer.during = during
            addfinalizer(lambda: self._resume_fixture(owner))  # runs before them

    def _resume_fixture(self, owner: Owner) -> None:
        """No boundary: since the last one ran the finalisers that it was given after its set-up."""
        self._interrupted.append(self._observer.current)
        self._observer.resume(owner)

    def _end_fixture(self, owner: Owner) -> None:
        """It is not judged yet: a fixture that it uses, finalised next, may undo what it changed."""
        self._observer.book()
        self._observer.value_is_over(owner)
        self._over.append(owner)
        self._observer.resume(self._interrupted.pop() if self._interrupted else None)

    def _judge_finalised(self) -> list[Owner]:
        """Record what the fixtures left that are finalised; returns them, whose values may go."""
        over, self._over = self._over, []
        for owner in over:
            self._record(owner)
        return over

    # the end

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        """Settle what is open: an interrupted test and fixtures, finalised only now or never."""
        if self._item is not None:
            self._set_boundaries()
        try:
            return (yield)
        finally:
            if self._item is not None:
                self._end_test(self._item)
            self._observer.switch(None)
            for place, why in self._observer.graph.cut.items():
                self._sink.note(f"not read whole: {place} ({why})", is_urgent=False)
            left = [leak for owner in self._observer.owners() for leak in self._record(owner)]
            unsaid = self._failing is not None and (left or self._failing.texts)
            if unsaid and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._observer.stop()

    def pytest_unconfigure(self) -> None:
        """Leave the process as it was, whatever ended the run."""
        self._observer.stop()

    def _record(self, owner: Owner, node: pytest.Item | pytest.Collector | None = None) -> list[Finding]:
        """End an owner's time: record what it left changed, return the leaks among it."""
        if owner.kind == "test":
            self.left_by_last = []
        judged = self._observer.end(owner)
        for probe, error in self._observer.readings.broken():
            self._tell_of(probe, error, owner)
        if not judged:
            return []
        if self._undo is not None:
            judged = self._undo.told(judged)
        every = [
            entry._replace(finding=self._allowances.decide(entry.finding, node))
            for entry in entries(judged, self._relative)
        ]
        if owner.id not in self._spare:
            every = self._put_back(every)
            every = every if self._undo is None else self._undo.undone(every)
        found = [entry.finding for entry in every]
        if owner.kind == "test":
            self.left_by_last = [finding for finding in found if finding.verdict == "leak"]
            found = self._attempts.new(found)
        for finding in found:
            self._sink.add(finding)
        leaks = [finding for finding in found if finding.verdict == "leak"]
        if leaks and owner.kind != "module" and self._failing is not None:
            self._failing.texts.append(self._text(leaks))
        return leaks

    def _tell_of(self, probe: Probe, error: Exception, owner: Owner) -> None:
        finding = broken_probe(probe, error, owner)
        self._sink.add(finding)
        self._sink.note(f"{finding.place}: {finding.after}; {finding.reason}", is_urgent=True)

    def _put_back(self, every: list[Entry]) -> list[Entry]:
        """Restore what is wanted, all in one go: the last change first, whichever finding it belongs to."""
        wanted = [
            entry
            for entry in every
            if entry.finding.verdict == "leak"
            and any(matches(entry.finding.place, glob) for glob in self._restore)
        ]
        if not wanted:
            return every
        failures = self._observer.restore([change for entry in wanted for change in entry.changes])
        return [
            entry._replace(finding=entry.finding.put_back(failures[change] for change in entry.changes))
            if entry.changes[0] in failures
            else entry
            for entry in every
        ]

    def _text(self, leaks: list[Finding]) -> str:
        return "\n".join(owner_lines(leaks, str(self._config.rootpath)))


def _is_of_tests(collector: pytest.Module) -> bool:
    """Whether a module is one of tests: what is read for its doctests alone is the program's."""
    patterns = ["conftest.py", *collector.config.getini("python_files")]
    return not isinstance(collector, DoctestModule) or path_matches_patterns(collector.path, patterns)

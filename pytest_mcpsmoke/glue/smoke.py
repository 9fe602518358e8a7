"""The tier smoke: hermetic by force. Without tests of that tier, nothing of it is there."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest
from _pytest._code.code import ExceptionRepr

from pytest_mcpsmoke.errors import NetworkRefused, UsageProblem
from pytest_mcpsmoke.glue.markers import marked
from pytest_mcpsmoke.glue.refusing import refuse

if TYPE_CHECKING:  # loaded only where there are smoke tests
    from pytest_mcpsmoke.tiers.hermetic import Gate

_SMOKE = pytest.StashKey[bool]()
_TITLE = "also refused"


def register(config: pytest.Config) -> None:
    """Look for smoke tests when the items of the run are known."""
    config.pluginmanager.register(_Finder(), "mcpsmoke-smoke")


class _Finder:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Bring the gate, if any item that is left needs it."""
        smoke = list(marked(items, "smoke"))
        if not smoke:
            return
        both = next(marked(smoke, "nd_real"), None)
        if both is not None:
            remedy = "a test is either deterministic or real: keep one of the two markers"
            refuse(config, f"{both.nodeid}: marked smoke and nd_real; {remedy}")
            return
        from pytest_mcpsmoke.tiers.hermetic import Gate

        gate = Gate()
        try:
            gate.open()
        except UsageProblem as problem:
            refuse(config, str(problem))
            return
        for item in smoke:
            item.stash[_SMOKE] = True
        config.pluginmanager.register(_Hermetic(gate), "mcpsmoke-hermetic")


class _Hermetic:
    """Refuses the network to the stages of smoke tests, and fails a stage that swallowed a refusal."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._item: pytest.Item | None = None  # the smoke test of which a stage runs

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's set-up, and with it the wide fixtures that it is the first to use."""
        return (yield from self._guarded(item))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard the test."""
        return (yield from self._guarded(item))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard its finalisers, and those of the wide fixtures that end with it, but for other tests'."""
        return (yield from self._guarded(item))

    def _guarded(self, item: pytest.Item) -> Generator[None, object, object]:
        __tracebackhide__ = True
        if _SMOKE not in item.stash:
            return (yield)
        self._item = item
        self._gate.take()  # of a stage that came to no report
        self._gate.enter(item.nodeid)
        try:
            return (yield)
        finally:
            self._item = None
            self._gate.leave()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, request: pytest.FixtureRequest) -> Generator[None, object, object]:
        """Let a wide fixture that another test has set up be finalised as it likes, whoever is last."""
        __tracebackhide__ = True
        if self._item is not None or isinstance(request.node, pytest.Item):
            return (yield)
        request.addfinalizer(self._guard_again)  # runs after its own
        try:
            return (yield)
        finally:
            request.addfinalizer(self._gate.leave)  # runs before them

    def _guard_again(self) -> None:
        if self._item is not None:
            self._gate.enter(self._item.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail the stage in which something was refused, whatever the code under test or a marker made of it.

        Once xfail has had its say, for it would take the refusal for the failure that is expected.
        """
        report = yield
        refused = self._gate.take() if _SMOKE in item.stash else []  # once: subtests have reports, too
        if not refused:
            return report
        unsaid = _unsaid(refused, str(report.longrepr))
        if not report.failed:
            if unsaid:
                report.longrepr = unsaid
            report.outcome = "failed"
            vars(report).pop("wasxfail", None)
        elif unsaid and isinstance(report.longrepr, ExceptionRepr):
            report.longrepr.addsection(_TITLE, unsaid)
        elif unsaid:
            report.longrepr = f"{report.longrepr}\n{unsaid}"
        return report

    def pytest_unconfigure(self) -> None:
        """Leave the process as it was, whatever ended the run."""
        self._gate.close()


def _unsaid(refused: list[NetworkRefused], shown: str) -> str:
    """What was refused and does not show in a report already; each text once."""
    texts = dict.fromkeys(map(str, refused))
    return "\n".join(text for text in texts if not all(line in shown for line in text.splitlines()))

"""--leaks-where: every line of the tests is watched for who changes one place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

import pytest_mcpsmoke
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.glue.options import Settings
from pytest_mcpsmoke.glue.owners import relative_to
from pytest_mcpsmoke.glue.probes import open_probes
from pytest_mcpsmoke.report.writes import all_lines, write_record
from pytest_mcpsmoke.state.lines import Lines, lasting
from pytest_mcpsmoke.state.live import Live
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.writer import Files

_OWN: Final = tuple(
    os.path.join(os.path.dirname(pytest_mcpsmoke.__file__), floor, "")
    for floor in ("state", "glue", "report")
)


def register(config: pytest.Config, place: str, settings: Settings) -> None:
    """Watch a place. Raises pytest.UsageError where workers run the tests."""
    if config.getoption("dist", "no") != "no":
        raise pytest.UsageError(f"--leaks-where={place}: it watches this process only; use -n 0")
    config.pluginmanager.register(Where(config, place, settings), "mcpsmoke-where")


class Where:
    """Writes down who changes the place, and prints it at the end."""

    def __init__(self, config: pytest.Config, place: str, settings: Settings) -> None:
        self._config = config
        probes = [*open_probes(config, settings), SysModules()]
        self._live = Live(place, probes, settings.limits)
        self._lines = Lines(self._live, lambda path: path.startswith(_OWN))
        self._files = Files()
        self._relative = relative_to(config.rootpath)
        self._records: list[dict[str, Any]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Prepare, before the detector takes what there is for the state of things."""
        try:
            self._lines.open()
        except UsageProblem as problem:
            raise pytest.UsageError(f"--leaks-where={self._live.place}: {problem}") from problem
        self._live.open()

    def pytest_sessionfinish(self) -> None:
        """Tell whether there was such a place at all."""
        near = [] if self._live.was_there else self._live.nearest()
        self._write(
            {
                "type": "where",
                "place": self._live.place,
                "is_there": self._live.was_there,
                "nearest": near,
            }
        )

    def pytest_unconfigure(self) -> None:
        """Leave the interpreter as it was."""
        self._lines.close()
        self._live.close()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Any:
        """What importing a test module does."""
        if not isinstance(collector, pytest.Module):
            return (yield)
        with self._watching(collector.nodeid, "import"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Any:
        """What fixtures do."""
        with self._watching(item.nodeid, "setup"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        """What the test does."""
        with self._watching(item.nodeid, "call"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Any:
        """What finalisers do."""
        with self._watching(item.nodeid, "teardown"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Any:
        """Places may begin with the value of a fixture."""
        value = yield
        self._live.give(fixturedef.argname, value)
        return value

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print each write and the way to it."""
        terminalreporter.section("writes")
        for line in all_lines(self._records, str(self._config.rootpath)):
            terminalreporter.line(line)
        if not self._records:
            terminalreporter.line(f"{self._live.place}: nothing wrote it")

    @contextmanager
    def _watching(self, nodeid: str, stage: str) -> Iterator[None]:
        __tracebackhide__ = True
        self._lines.begin()
        try:
            yield
        finally:
            found = self._lines.end()
            for written, lasts in zip(found, lasting(found), strict=True):
                place = self._live.place
                record = write_record(written, lasts, nodeid, stage, place, self._files, self._relative)
                self._records.append(record)
                self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        file: Any = self._config.pluginmanager.get_plugin("mcpsmoke-report-file")
        if file is not None:
            file.write(record)

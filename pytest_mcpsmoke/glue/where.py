"""--leaks-where: line monitoring around collection and the stages of tests, for one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_mcpsmoke.glue.options import Settings
from pytest_mcpsmoke.glue.owners import relative_to
from pytest_mcpsmoke.glue.probes import open_probes
from pytest_mcpsmoke.report.writes import write_lines, write_record
from pytest_mcpsmoke.state.lines import watching
from pytest_mcpsmoke.state.live import LivePlace


def register(config: pytest.Config, place: str, settings: Settings) -> None:
    """Watch a place. Raises pytest.UsageError where workers run the tests."""
    if config.getoption("dist", "no") != "no":
        raise pytest.UsageError(f"--leaks-where={place}: it watches this process only; use -n 0")
    config.pluginmanager.register(Where(config, place, settings), "mcpsmoke-where")


class Where:
    """Writes down who changes the place, and prints it at the end."""

    def __init__(self, config: pytest.Config, place: str, settings: Settings) -> None:
        self._config = config
        self._probes = open_probes(config, settings)
        self._place = LivePlace(place, self._probes)
        self._relative = relative_to(config.rootpath)
        self._records: list[dict[str, Any]] = []

    def pytest_sessionstart(self) -> None:
        """Open what reads ambient state."""
        for probe in self._probes:
            probe.start()

    def pytest_unconfigure(self) -> None:
        """Give it back."""
        for probe in self._probes:
            probe.stop()

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

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print each write and the way to it."""
        terminalreporter.section("writes")
        for record in self._records:
            for line in write_lines(record, str(self._config.rootpath)):
                terminalreporter.line(line)
        if not self._records:
            terminalreporter.line(f"{self._place.name}: nothing wrote it")

    @contextmanager
    def _watching(self, nodeid: str, stage: str) -> Iterator[None]:
        __tracebackhide__ = True
        watch = None
        try:
            with watching(self._place) as watch:
                yield
        finally:
            for write in watch.writes if watch is not None else ():
                record = write_record(write, nodeid, stage, self._place.name, self._relative)
                self._records.append(record)
                self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        file: Any = self._config.pluginmanager.get_plugin("mcpsmoke-report-file")
        if file is not None:
            file.write(record)

"""The results of nd_real tests: on their reports to this process, into file, terminal and cache."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest

from pytest_mcpsmoke.glue.report_file import NAME as REPORT_FILE
from pytest_mcpsmoke.order.rates import two_proportions
from pytest_mcpsmoke.report.nd import Change, NdResult, nd_lines

_RECORD: Final = "mcpsmoke_nd"  # an attribute of reports: xdist sends it along
_CACHE: Final = "mcpsmoke/nd"
_NAME: Final = "mcpsmoke-nd-report"


def attach(report: pytest.TestReport, result: NdResult) -> None:
    """Let a report carry the result of its test."""
    setattr(report, _RECORD, result.record())


def keep(config: pytest.Config, result: NdResult) -> None:
    """Keep the result of a test whose report never comes, because the run is interrupted."""
    plugin: Any = config.pluginmanager.get_plugin(_NAME)
    if plugin is not None:  # a worker of xdist is not interrupted, it is killed
        plugin.add(result)


def change_since(config: pytest.Config, result: NdResult) -> Change | None:
    """Compare a result with the one of the last run that this project's cache holds."""
    last = _stored(config).get(result.nodeid)
    if last is None or result.samples == 0:
        return None
    passes, samples = last["passes"], last["samples"]
    p_value = two_proportions(result.passes, result.samples, passes, samples)
    return Change(passes, samples, p_value, last["when"], last["model"])


def register(config: pytest.Config) -> None:
    """Collect results, where reports come together."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(NdReport(config), _NAME)


class NdReport:
    """Takes the results off the reports; tells them at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: dict[str, NdResult] = {}

    def add(self, result: NdResult) -> None:
        """Write a result down at once, and keep it for the end."""
        self._results[result.nodeid] = result
        file: Any = self._config.pluginmanager.get_plugin(REPORT_FILE)
        if file is not None:
            file.write(result.record())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result that a report carries."""
        record = getattr(report, _RECORD, None)
        if record is not None:
            self.add(NdResult.of_record(record))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, tuple[str, Any]] | None:
        """INCONCLUSIVE is an outcome of its own: neither passed nor skipped."""
        record = getattr(report, _RECORD, None)
        if record is None or not report.skipped or record["verdict"] != "INCONCLUSIVE":
            return None
        return "inconclusive", "I", ("INCONCLUSIVE", {"yellow": True})

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the table."""
        if self._results:
            terminalreporter.section("nd_real")
            for line in nd_lines(self._results.values()):
                terminalreporter.line(line)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Keep the rates for the next run to be compared with."""
        cache = getattr(self._config, "cache", None)
        counted = {nodeid: _kept(result) for nodeid, result in self._results.items() if result.samples}
        if cache is not None and counted:
            cache.set(_CACHE, {**_stored(self._config), **counted})


def _kept(result: NdResult) -> dict[str, Any]:
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return {"passes": result.passes, "samples": result.samples, "model": result.model, "when": now}


def _stored(config: pytest.Config) -> dict[str, Any]:
    cache = getattr(config, "cache", None)
    return {} if cache is None else cache.get(_CACHE, None) or {}

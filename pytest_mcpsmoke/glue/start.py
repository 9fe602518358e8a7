"""Opening what a run needs: engine, observer, recorder, report file; in one process or under xdist."""

from __future__ import annotations

import pytest

from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.glue.failing import FailReports
from pytest_mcpsmoke.glue.leaks import LeakHooks, Sink
from pytest_mcpsmoke.glue.options import Settings
from pytest_mcpsmoke.glue.program import program_test
from pytest_mcpsmoke.glue.recorder import Recorder
from pytest_mcpsmoke.glue.report_file import ReportFile
from pytest_mcpsmoke.glue.xdist import ControllerSink, WorkerSink, is_controller, is_worker
from pytest_mcpsmoke.state.engines import Engine, open_engine
from pytest_mcpsmoke.state.observer import Observer
from pytest_mcpsmoke.state.writer import Files


def register(config: pytest.Config, settings: Settings) -> None:
    """Register the detector for this run."""
    config.pluginmanager.register(Start(config, settings), "mcpsmoke-start")


class Start:
    """Opens engine and report when the session starts: not for --help, and before any worker runs."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._header = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Register what this process needs: observer, recorder, or both."""
        config, settings = self._config, self._settings
        files = Files()
        try:
            engine, fallback = open_engine(settings.engine, files.tests)
        except EngineUnavailable as error:
            raise pytest.UsageError(f"--leaks-engine={error}; use --leaks-engine=auto") from error
        self._header = f"mcpsmoke: leaks={settings.mode}, engine={engine.name}" + (
            f" ({fallback})" if fallback else ""
        )
        register = config.pluginmanager.register
        sink: Sink
        if is_worker(config):
            sink = WorkerSink(config)
            register(sink, "mcpsmoke-worker")
        else:
            sink = recorder = self._open_recorder(engine)
        if is_controller(config):
            engine.stop()
            register(ControllerSink(recorder), "mcpsmoke-controller")
            return
        observer = Observer(engine, files, program_test(config.rootpath, settings.watch))
        failing = FailReports() if settings.mode == "fail" else None
        register(LeakHooks(config, observer, sink, failing), "mcpsmoke-leaks")
        if failing is not None:
            register(failing, "mcpsmoke-failing")

    def _open_recorder(self, engine: Engine) -> Recorder:
        config, path = self._config, self._settings.report
        try:
            file = None if path is None else ReportFile(path)
        except pytest.UsageError:
            engine.stop()
            raise
        if file is not None:
            file.begin(engine.name, config.getoption("randomly_seed", None))
            config.pluginmanager.register(file, "mcpsmoke-report-file")
        recorder = Recorder(config, file)
        config.pluginmanager.register(recorder, "mcpsmoke-recorder")
        return recorder

    def pytest_report_header(self) -> str:
        """Name the engine; the options in it can be pasted."""
        return self._header

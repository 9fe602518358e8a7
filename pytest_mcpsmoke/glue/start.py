"""Opening what a run needs: engine, observer, recorder, report file; in one process or under xdist."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_mcpsmoke.errors import EngineUnavailable, UsageProblem
from pytest_mcpsmoke.glue import stale
from pytest_mcpsmoke.glue.allowances import Allowances
from pytest_mcpsmoke.glue.classify import classify_hook
from pytest_mcpsmoke.glue.leaks import LeakHooks
from pytest_mcpsmoke.glue.options import Settings
from pytest_mcpsmoke.glue.probes import open_probes
from pytest_mcpsmoke.glue.randomly import replay, seed_of
from pytest_mcpsmoke.glue.recorder import Recorder
from pytest_mcpsmoke.glue.refusing import refuse
from pytest_mcpsmoke.state.engines import Engine, open_engine
from pytest_mcpsmoke.state.observer import Observer
from pytest_mcpsmoke.state.policy import WARNINGS_STATE
from pytest_mcpsmoke.state.program import program_test
from pytest_mcpsmoke.state.writer import Files

if TYPE_CHECKING:  # loaded only where they are used
    from pytest_mcpsmoke.glue.failing import FailReports
    from pytest_mcpsmoke.glue.leaks import Sink
    from pytest_mcpsmoke.glue.undo import Undo


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
        allowances = self._open_allowances()
        probes = open_probes(config, settings)  # here, too, where workers run the tests: none shall start
        files = Files()
        try:
            engine, fallback = open_engine(settings.engine, files.tests)
        except EngineUnavailable as error:
            raise pytest.UsageError(f"--leaks-engine={error}; use --leaks-engine=auto") from error
        seed = seed_of(config)
        options = [f"--leaks={settings.mode}", f"--leaks-engine={engine.name}", *replay(seed)]
        self._header = f"mcpsmoke: {' '.join(options)}" + (f" ({fallback})" if fallback else "")
        register = config.pluginmanager.register
        sink: Sink
        if hasattr(config, "workerinput"):  # one of xdist's workers
            from pytest_mcpsmoke.glue.xdist import WorkerSink

            sink = WorkerSink(config)
            register(sink, "mcpsmoke-worker")
            stale.register(config, allowances, None)
        else:
            sink = recorder = self._open_recorder(engine, seed)
            stale.register(config, allowances, recorder)
        if config.pluginmanager.has_plugin("dsession"):  # the process that hands tests out to workers
            from pytest_mcpsmoke.glue.xdist import ControllerSink

            engine.stop()
            register(ControllerSink(recorder), "mcpsmoke-controller")
            return
        observer = Observer(
            engine,
            files,
            program_test(config.rootpath, settings.watch),
            settings.limits,
            probes,
            classify_hook(config, self._refuser()),
            WARNINGS_STATE if config.pluginmanager.has_plugin("warnings") else frozenset(),
            keeps_modules=bool(settings.undo),
        )
        failing = self._open_failing()
        undo = _open_undo(settings.undo, observer)
        hooks = LeakHooks(config, observer, sink, failing, settings, allowances, undo)
        register(hooks, "mcpsmoke-leaks")

    def _refuser(self) -> Callable[[str], None]:
        """How the run is ended from inside a test: with status 4, here or by the controller."""
        if hasattr(self._config, "workerinput"):
            return partial(refuse, self._config)
        return lambda message: pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)

    def _open_allowances(self) -> Allowances:
        """Read ini file and baseline, before anything else is done; registered, it reads the conftests."""
        try:
            allowances = Allowances(self._config, self._settings)
        except UsageProblem as problem:
            raise pytest.UsageError(str(problem)) from problem
        self._config.pluginmanager.register(allowances, "mcpsmoke-allowances")
        return allowances

    def _open_failing(self) -> FailReports | None:
        if self._settings.mode != "fail":
            return None
        from pytest_mcpsmoke.glue.failing import FailReports

        failing = FailReports()
        self._config.pluginmanager.register(failing, "mcpsmoke-failing")
        return failing

    def _open_recorder(self, engine: Engine, seed: int | None) -> Recorder:
        config, path = self._config, self._settings.report
        file = None
        if path is not None:
            from pytest_mcpsmoke.glue.report_file import open_file

            try:
                file = open_file(config, path, engine.name, seed)
            except pytest.UsageError:
                engine.stop()
                raise
        recorder = Recorder(config, file, self._settings.show, replay(seed))
        config.pluginmanager.register(recorder, "mcpsmoke-recorder")
        return recorder

    def pytest_report_header(self) -> str:
        """Name the engine and the seed, as options to paste."""
        return self._header


def _open_undo(globs: tuple[str, ...], observer: Observer) -> Undo | None:
    if not globs:
        return None
    from pytest_mcpsmoke.glue.undo import Undo

    return Undo(globs, observer)

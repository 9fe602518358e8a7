"""The run of the gate: each check in a child of its own, one after the other, evidence as it comes."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.gate import about, commands, judging
from pytest_mcpsmoke.readiness.gate.checks import Check, Declared
from pytest_mcpsmoke.readiness.gate.child import Child
from pytest_mcpsmoke.readiness.gate.evidence import Evidence
from pytest_mcpsmoke.readiness.gate.scrubbing import Scrubber, shown_environment
from pytest_mcpsmoke.readiness.gate.wanted import Wanted, expected, why_left_out
from pytest_mcpsmoke.report.readiness_markdown import markdown
from pytest_mcpsmoke.report.readiness_model import Result, Run, Status

_ENDINGS: Final = ("SIGTERM", "SIGHUP")  # by which CI ends a job: children have sessions of their own


class Watching(Protocol):
    """Who is told how a run goes on."""

    def began(self, name: str) -> None:
        """A check begins."""

    def goes_on(self, name: str, seconds: float) -> None:
        """It has run for so long."""

    def ended(self, result: Result) -> None:
        """It has ended, or is left out."""


class Gate:
    """Runs the checks of a project. Raises UsageProblem before anything is run, never after."""

    def __init__(
        self,
        declared: Declared,
        wanted: Wanted,
        environ: Mapping[str, str],
        base: Path,
        called: Sequence[str],
    ) -> None:
        """base: the folder of all evidence; called: the words by which the gate was called."""
        self._declared = declared
        self._wanted = wanted
        self._environ = {
            **{name: value for name, value in environ.items() if name not in wanted.environment()},
            **{name: value for name, value in wanted.environment().items() if value is not None},
            "PYTHONUNBUFFERED": "1",  # a log that is cut off tells what was said
        }
        self._expected = expected(declared, wanted)
        self._scrubber = Scrubber(environ)
        commands.need_random((check for check in declared.checks if self._is_to_run(check)), wanted)
        self._about = {
            "argv": list(self._scrubber.words(called)),
            "wanted": wanted.record(),
            "commit": about.commit(declared.root),
            "versions": about.versions(),
            "environment": shown_environment(self._environ, self._scrubber),
        }
        self._began = datetime.now(UTC)
        self._clock = time.monotonic()
        self._evidence = Evidence(base, self._began, self._scrubber)
        try:
            self._scratch = tempfile.TemporaryDirectory(prefix="mcpsmoke-")
        except OSError as error:
            raise UsageProblem(f"no temporary file can be written: {error.strerror}") from error
        self.folder = self._evidence.folder
        self.interrupted_by: int | None = None  # the number of a signal

    def run(self, watching: Watching) -> Run:
        """Run what is wanted and return what came of it; it is written down, too, whatever ends it."""
        results = [self._result(check) for check in self._declared.checks]
        with _heard(_ENDINGS, self._hear), self._scratch as scratch:
            try:
                for at, check in enumerate(self._declared.checks):
                    self._write(self._summed_up(results, is_over=False))
                    results[at] = self._check(check, results[at], Path(scratch), watching)
                    if results[at].status is not Status.NOT_RUN:
                        watching.ended(results[at])
                    if results[at].status is Status.INTERRUPTED:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                self.interrupted_by = self.interrupted_by or int(signal.SIGINT)
            run = self._summed_up(results, is_over=True)
            self._write(run)
        return self._summed_up(results, is_over=True) if self._evidence.problems else run

    def _hear(self, number: int) -> None:
        self.interrupted_by = number

    def _is_to_run(self, check: Check) -> bool:
        asked = self._wanted.asked
        return (not asked or check.name in asked) and why_left_out(check, self._wanted) is None

    def _result(self, check: Check) -> Result:
        """What is known of a check before it has run."""
        words = self._scrubber.words(check.args)
        is_expected = check.name in self._expected
        result = Result(
            name=check.name,
            kind=check.kind,
            tier=check.tier,
            is_optional=check.is_optional,
            is_expected=is_expected,
            timeout=check.timeout,
            argv=words,
            again=commands.again(check, self._wanted, words),
        )
        return self._with_status(result, result.status, result.reason)

    def _with_status(self, result: Result, status: Status, reason: str) -> Result:
        red = judging.is_red(status, result.is_expected, result.is_optional, self._wanted.is_strict)
        return result._replace(status=status, reason=reason, is_red=red)

    def _check(self, check: Check, result: Result, scratch: Path, watching: Watching) -> Result:
        if self._wanted.asked and check.name not in self._wanted.asked:
            return self._with_status(result, Status.NOT_RUN, "not asked for")
        reason = why_left_out(check, self._wanted)
        if reason is not None:
            return self._with_status(result, Status.SKIPPED, reason)
        watching.began(check.name)
        child = Child(check, self._wanted, scratch, self._evidence, self._scrubber)
        result = result._replace(argv=self._scrubber.words(child.argv))
        began = time.time()
        ended = child.run(
            self._declared.root, self._environ, lambda seconds: watching.goes_on(check.name, seconds)
        )
        left = child.left(ended)
        status, reason = judging.judge(check.kind, left, self._wanted.leaks, self._wanted.is_skip_red)
        artifacts, about_artifacts = self._evidence.keep(
            self._declared.root, check.artifacts, check.name, began
        )
        child.report(status, reason, ended)
        return self._with_status(
            result._replace(
                exit_status=ended.status,
                seconds=ended.seconds,
                tests=left.tests,
                leaks=left.leaks,
                nd=left.nd,
                output=self._scrubber.values(left.output),
                notes=(*left.notes, *about_artifacts),
                files=(*child.files(), *artifacts),
            ),
            status,
            self._scrubber.text(reason),
        )

    def _summed_up(self, results: Sequence[Result], is_over: bool) -> Run:
        problems = list(self._evidence.problems)
        if self.interrupted_by is not None:
            problems.insert(0, f"interrupted by {signal.Signals(self.interrupted_by).name}")
        verdict, reasons = judging.verdict(results, problems) if is_over else (None, [])
        return Run(
            verdict=verdict,
            reasons=tuple(reasons),
            began=self._began.strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=time.monotonic() - self._clock,
            seed=self._wanted.seed,
            results=tuple(results),
            about=self._about,
            problems=tuple(problems),
        )

    def _write(self, run: Run) -> None:
        self._evidence.write_report(run.record())
        if run.verdict is not None:
            self._evidence.write_markdown(markdown(run, str(self._declared.root)))


@contextmanager
def _heard(names: Sequence[str], note: Callable[[int], None]) -> Iterator[None]:
    """Let signals interrupt like Ctrl-C, so that no child is left and what was found is written."""

    def interrupt(number: int, _: object) -> None:
        note(number)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

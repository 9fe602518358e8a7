"""The command, with a suite that does as it is told: what it prints, its exit status, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from played_suite import PlayedSuite

from conformance import command, install, processes, table

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
FAILING = {"ping": [{"id": "ping", "status": "FAILURE", "errorMessage": "no pong"}]}
GOOD = """\
2026-07-28, directly
  protocol    group      scenarios  passed  failed  warnings  skipped
  2026-07-28  required   2/2        2       0       0         0
  2026-07-28  beyond     1/1        1       0       0         0
  2026-07-28  paired     2/2        2       0       0         0
  2026-07-28  extension  1/1        1       0       0         0

as expected
"""
BAD = """\
2026-07-28, directly
  protocol    group      scenarios  passed  failed  warnings  skipped
  2026-07-28  required   1/2        1       1       0         0
  2026-07-28  beyond     1/1        1       0       0         0
  2026-07-28  paired     2/2        2       0       0         0
  2026-07-28  extension  1/1        1       0       0         0
  failed: ping:ping: no pong

not as expected
"""


def run(played: PlayedSuite, *arguments: str, protocol: str = "2026-07-28") -> int:
    return command.main(["--suite", str(played.folder), "--protocol", protocol, *arguments])


def test_all_passes(played: PlayedSuite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(played) == 0
    assert capsys.readouterr() == (GOOD, "")


def test_a_failure_is_a_difference(played: PlayedSuite, capsys: pytest.CaptureFixture[str]) -> None:
    played.tell(scenarios=FAILING, status=1)
    assert run(played) == 1
    assert capsys.readouterr() == (BAD, "")


def test_a_known_failure_is_none(
    played: PlayedSuite, known: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    played.tell(scenarios=FAILING, status=1)
    path = known("2026-07-28: {direct: {'ping:ping': it is deaf}}")
    assert run(played, "--expected-failures", str(path)) == 0
    assert "  failed: ping:ping: no pong (expected: it is deaf)\n" in capsys.readouterr().out


def test_a_known_failure_that_passes_is_stale(
    played: PlayedSuite, known: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = known("2026-07-28: {direct: {ping: it is deaf}}")
    assert run(played, "--expected-failures", str(path)) == 1
    assert "  stale: ping: listed for 2026-07-28, direct, and does not fail\n" in capsys.readouterr().out


def test_versions_are_told_apart(played: PlayedSuite, capsys: pytest.CaptureFixture[str]) -> None:
    played.tell("2025-11-25", scenarios=FAILING, status=1)
    assert command.main(["--suite", str(played.folder)]) == 1
    first, _, second = capsys.readouterr().out.partition("2026-07-28, directly")
    assert "failed: ping:ping" in first
    assert "failed" not in second.partition("\n")[2].partition("\n")[2]


def test_a_suite_that_breaks_is_shown_with_its_words(
    played: PlayedSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    played.tell(status=7, prints="Server test error: bad")
    assert run(played) == 1
    assert capsys.readouterr().err == "the suite ended with status 7:\nServer test error: bad\n\n"


def test_a_suite_without_any_results_has_broken(
    played: PlayedSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    (played.told / "all.json").write_text('{"scenarios": {}, "status": 1, "prints": "no such requirements"}')
    assert run(played) == 1
    assert capsys.readouterr().err == "the suite ended with status 1:\nno such requirements\n\n"


def test_a_suite_that_hangs_is_ended(
    played: PlayedSuite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = processes.started

    @contextmanager
    def until_it_hangs(*command: Any, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Its time begins when it has written its results."""
        with started(*command, **options) as process:
            while process.poll() is None and played.pid("2026-07-28") is None:
                time.sleep(0.02)
            yield process

    monkeypatch.setattr(processes, "started", until_it_hangs)
    played.tell(seconds=600, prints="still here")
    assert run(played, "--timeout", "0.1") == 1
    assert capsys.readouterr().err.startswith("the suite was still running after 0.1 s:\n")
    assert_gone(played.pid("2026-07-28"))


def test_results_of_another_form_are_a_difference(
    played: PlayedSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    played.tell(scenarios={"ping": [7]})
    assert run(played) == 1
    assert "no checks can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--timeout", "0"], "argument --timeout: 0: give seconds, more than 0"),
        (["--timeout", "soon"], "argument --timeout: invalid _seconds value: 'soon'"),
        (["--protocol", "2024-11-05"], "argument --protocol: invalid choice: '2024-11-05'"),
    ],
)
def test_what_cannot_be_used_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--through", "gateway"], ["--through", "all", "--protocol", "2026-07-28"]]
)
def test_the_documentation_gets_all_tables_or_none(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*arguments, "--write-docs"]) == 2
    assert capsys.readouterr().err.startswith("--write-docs writes all tables: it goes with --through all")


def test_a_missing_suite_is_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCPSMOKE_CONFORMANCE", str(tmp_path))
    assert command.main([]) == 2
    assert capsys.readouterr().err == (
        f"no conformance suite in {tmp_path}: install it with `python -m conformance --install`, which needs "
        "npm, or name the folder of its node_modules with --suite or MCPSMOKE_CONFORMANCE\n"
    )


def test_no_npm_is_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["--install", "--suite", str(tmp_path / "npm")]) == 2
    assert (
        capsys.readouterr().err
        == "npm is not installed: apt-get install npm (Debian's package of that name)\n"
    )


def test_npm_is_asked_for_what_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent), prepend=os.pathsep)
    install.install(tmp_path / "suite")
    asked = (tmp_path / "asked").read_text()
    assert asked == f"install --prefix {tmp_path}/suite --no-package-lock --no-audit --no-fund\n"
    assert (tmp_path / "suite" / "package.json").read_text() == install.PINNED.read_text()


def test_what_is_installed_is_not_installed_again(
    played: PlayedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no npm
    package = played.folder / "node_modules" / "@modelcontextprotocol" / "conformance" / "package.json"
    package.write_text(f'{{"version": "{install.pinned()}"}}')
    install.install(played.folder)


def test_an_npm_that_fails_is_shown_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no such\necho package\nexit 3\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert command.main(["--install", "--suite", str(tmp_path / "suite")]) == 2
    assert capsys.readouterr().err == "npm ended with status 3: no such package\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_what_was_found_and_nothing_that_runs(
    played: PlayedSuite, tmp_path: Path, number: signal.Signals
) -> None:
    played.tell("2026-07-28", seconds=600)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    printed, complaints = tmp_path / "stdout", tmp_path / "stderr"
    with printed.open("wb") as stdout, complaints.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "conformance", "--suite", str(played.folder)],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            while process.poll() is None and played.pid("2026-07-28") is None:
                time.sleep(0.02)  # until the first version is done, and the second one hangs
            process.send_signal(number)
            assert process.wait(SECONDS) == 130
        finally:
            process.kill()
            process.wait()
    assert "  2025-11-25  required   2/2 " in printed.read_text()
    assert complaints.read_text() == "interrupted\n"
    assert_gone(played.pid("2026-07-28"))


def test_an_interrupt_while_a_process_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(self)
            super().__init__(*args, **options)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), command._ending_tidily():
        processes.output_of([sys.executable, "-c", "import time; time.sleep(600)"], at_most=SECONDS)
    assert_gone(made[0].pid)


def assert_gone(pid: int | None) -> None:
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_tables_are_written_when_all_was_asked(
    played: PlayedSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- conformance tables: begin -->\n<!-- conformance tables: end -->\n")
    monkeypatch.setattr(table, "PAGE", page)
    monkeypatch.setattr("conformance.gateway.through_gateway", nullcontext)
    assert command.main(["--suite", str(played.folder), "--through", "all", "--write-docs"]) == 0
    assert page.read_text().count("| 2026-07-28 | required | 2/2 | 2 | 0 | 0 | 0 |") == 2
    assert (
        "Made by `python -m conformance --through all --write-docs`, with the suite's version 0.2.0-played."
        in page.read_text()
    )

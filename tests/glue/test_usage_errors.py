"""A usage error is one clear line and exit status 4; nothing runs and nothing is half done."""

from __future__ import annotations

import sys
from typing import Any

import pytest

XDIST = ("-p", "xdist", "-n", "2")
RAN = 'import pathlib\n\ndef test_it(): pathlib.Path("ran").touch()\n'
ABSENT = "version" if sys.version_info >= (3, 12) else "watch"
NEEDS = "CPython 3.11" if sys.version_info >= (3, 12) else "CPython 3.12 or later"
RUNNING = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
REMEDY = '@pytest.mark.allow_leak("place or glob", reason="why")'


@pytest.fixture(params=["alone", "workers"])
def spread(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return XDIST if request.param == "workers" else ()


def refused(run: Any, suite: Any) -> list[str]:
    """What pytest says about the refused run; checks that nothing else happened."""
    everything = run.result.outlines + run.result.errlines
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(everything)
    assert not (suite.path / "ran").exists()
    assert not [line for line in everything if "Traceback" in line or "INTERNALERROR" in line]
    assert run.of_type("test") == []
    return [line for line in everything if line.startswith("ERROR: ") or "error: " in line]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--leaks=loud", "choose from off, report, fail"),
        ("--leaks=", "choose from off, report, fail"),
        ("--leaks-engine=steam", "choose from auto, watch, version, scan"),
    ],
)
def test_unknown_value_of_an_option(suite: Any, spread: tuple[str, ...], option: str, message: str) -> None:
    suite.write({"test_case.py": RAN})
    run = suite.run(option, *spread, subprocess=True)
    assert refused(run, suite) == [f"ERROR: {option}: {message}"]
    assert not (suite.path / "leaks.jsonl").exists()


def test_unknown_value_in_the_ini_file(suite: Any, spread: tuple[str, ...]) -> None:
    suite.write({"test_case.py": RAN, "pytest.ini": "[pytest]\nmcpsmoke_leaks = loud\n"})
    run = suite.run(*spread, subprocess=True)
    assert refused(run, suite) == ["ERROR: ini mcpsmoke_leaks=loud: choose from off, report, fail"]
    assert not (suite.path / "leaks.jsonl").exists()


def test_the_option_overrides_the_ini_file(suite: Any) -> None:
    suite.write({"test_case.py": RAN, "pytest.ini": "[pytest]\nmcpsmoke_leaks = fail\n"})
    assert any("leaks=fail" in line for line in suite.run().result.outlines)
    assert any("leaks=report" in line for line in suite.run("--leaks=report").result.outlines)


@pytest.mark.parametrize(
    ("path", "why"), [("absent/leaks.jsonl", "No such file or directory"), (".", "Is a directory")]
)
def test_unwritable_report(suite: Any, spread: tuple[str, ...], path: str, why: str) -> None:
    suite.write({"test_case.py": RAN})
    run = suite.run(f"--leaks-report={path}", *spread, subprocess=True, report=False)
    absolute = suite.path / path
    assert refused(run, suite) == [f"ERROR: --leaks-report={absolute}: cannot be written: {why}"]


def test_an_engine_that_does_not_work_here(suite: Any, spread: tuple[str, ...]) -> None:
    suite.write({"test_case.py": RAN})
    run = suite.run(f"--leaks-engine={ABSENT}", *spread, subprocess=True)
    (line,) = refused(run, suite)
    expected = f"ERROR: --leaks-engine={ABSENT}: * {RUNNING}*; use --leaks-engine=auto"
    pytest.LineMatcher([line]).fnmatch_lines([expected])
    assert not (suite.path / "leaks.jsonl").exists()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (
            'allow_leak("app.settings.MODE")',
            "allow_leak() missing 1 required keyword-only argument: 'reason'",
        ),
        (
            'allow_leak(reason="it restarts")',
            'allow_leak() needs at least one place, such as "app.settings.MODE" or a glob',
        ),
        (
            'allow_leak("app.settings.MODE", reason="")',
            "allow_leak() takes places and a reason that are texts, none of them empty",
        ),
        (
            'allow_leak("app.settings.MODE", why="it restarts")',
            "allow_leak() got an unexpected keyword argument 'why'",
        ),
    ],
)
def test_misused_marker(suite: Any, spread: tuple[str, ...], marker: str, message: str) -> None:
    suite.write({"test_case.py": "import pytest\n" + RAN.replace("def ", f"@pytest.mark.{marker}\ndef ")})
    run = suite.run(*spread, subprocess=True)
    assert refused(run, suite) == [f"ERROR: test_case.py::test_it: {message}; write {REMEDY}"]
    assert run.of_type("finding") == []


def test_a_misused_marker_on_a_module_is_named_once(suite: Any) -> None:
    source = 'import pytest\npytestmark = pytest.mark.allow_leak("app.*")\n' + RAN + "def test_two(): pass\n"
    suite.write({"test_case.py": source})
    run = suite.run(subprocess=True)
    assert len(refused(run, suite)) == 1


def test_help_works_with_a_report_that_cannot_be_written(suite: Any) -> None:
    run = suite.run("--help", "--leaks-report=absent/leaks.jsonl", report=False)
    assert run.result.ret == pytest.ExitCode.OK


def test_off_minds_nothing(suite: Any) -> None:
    suite.write({"test_case.py": RAN})
    run = suite.run("--leaks=off", f"--leaks-engine={ABSENT}")
    assert run.result.ret == pytest.ExitCode.OK
    assert [record["type"] for record in run.records] == ["run", "test", "end"]

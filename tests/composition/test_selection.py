"""Options that stop a run early, leave tests out or order them: what is found is reported, of what ran."""

from __future__ import annotations

from typing import Any

import pytest

PEERS = ("pytest-xdist",)

CASE = """
import pytest
from app import settings

@pytest.fixture(scope="session")
def wide():
    settings.WIDE = 1
    yield

@pytest.fixture(scope="module", autouse=True)
def of_module():
    settings.MODULE = 1
    yield

def test_one(wide): settings.ONE = 1

def test_two(wide):
    settings.TWO = 1
    assert False

def test_three(): settings.THREE = 1

def test_four():
    settings.FOUR = 1
    assert False

def test_five(): pass
"""
WIDE = [
    "fixture/module test_case.py::of_module during test_case.py::test_one added app.settings.MODULE",
    "fixture/session test_case.py::wide during test_case.py::test_one added app.settings.WIDE",
]


def leak_of(name: str) -> str:
    return f"test/function test_case.py::test_{name} added app.settings.{name.upper()}"


def ran(run: Any) -> list[str]:
    return [test["nodeid"].removeprefix("test_case.py::test_") for test in run.of_type("test")]


@pytest.fixture
def case(suite: Any) -> Any:
    suite.write({"test_case.py": CASE})
    return suite


@pytest.mark.parametrize("mode", ["report", "fail"])
@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("-x", ["one", "two"]),
        ("--maxfail=1", ["one", "two"]),
        ("--maxfail=2", ["one", "two", "three", "four"]),
        ("--maxfail=9", ["one", "two", "three", "four", "five"]),
    ],
)
def test_stopping_early_loses_no_wide_fixture(case: Any, option: str, names: list[str], mode: str) -> None:
    run = case.run(option, f"--leaks={mode}")
    if mode == "fail":  # a leak counts as an error
        names = ran(run)
    assert ran(run) == names
    assert sorted(run.told) == sorted([leak_of(name) for name in names if name != "five"] + WIDE)
    assert run.records[-1]["leaks"] == len(run.leaks)
    assert run.section[-1].startswith(f"{len(run.leaks)} leaks left by ")
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED


def with_cache(suite: Any, *arguments: str) -> Any:
    """A run whose cache stays for the next one."""
    return suite.run("-p", "cacheprovider", "-p", "stepwise", *arguments)


def test_last_failed(case: Any) -> None:
    with_cache(case)
    again = with_cache(case, "--lf")
    assert ran(again) == ["two", "four"]
    assert sorted(again.told) == sorted(
        [leak_of("two"), leak_of("four"), *(line.replace("test_one", "test_two") for line in WIDE)]
    )


def test_failed_first_finds_the_same(case: Any) -> None:
    first = with_cache(case)
    again = with_cache(case, "--ff")
    assert ran(again) == ["two", "four", "one", "three", "five"]
    assert sorted(leak["place"] for leak in again.leaks) == sorted(leak["place"] for leak in first.leaks)


def test_stepwise(case: Any) -> None:
    first = with_cache(case, "--stepwise")
    assert ran(first) == ["one", "two"]
    assert sorted(first.told) == sorted([leak_of("one"), leak_of("two"), *WIDE])
    skipping = with_cache(case, "--stepwise", "--sw-skip")
    assert ran(skipping) == ["two", "three", "four"]
    again = with_cache(case, "--stepwise")
    assert ran(again) == ["four"]
    assert again.told == [WIDE[0].replace("test_one", "test_four"), leak_of("four")]
    assert again.records[-1] == {"type": "end", "findings": 2, "leaks": 2, "tests": 1}


def test_a_leak_is_a_failure_to_the_cache(case: Any) -> None:
    case.write({"test_case.py": CASE.replace("assert False", "pass")})
    first = with_cache(case, "--leaks=fail", "--stepwise")
    assert ran(first) == ["one"]
    assert ran(with_cache(case, "--leaks=fail", "--lf"))[0] == "one"


@pytest.mark.parametrize(
    "arguments",
    [("-p", "no:logging"), ("-s",), ("--capture=sys",), ("--capture=tee-sys",), ("-p", "no:warnings"),
     ("-p", "no:faulthandler"), ("-p", "no:threadexception", "-p", "no:unraisableexception"),
     ("-p", "no:terminal"), ("-p", "no:doctest", "-p", "no:junitxml"), ("--assert=plain",), ("--tb=native",),
     ("-q", "-q"), ("-vv",), ("--setup-show",), ("--durations=3",), ("--log-cli-level=DEBUG",),
     ("--junitxml=junit.xml",), ("--basetemp=temp",), ("-W", "ignore"), ("--color=yes",)],
    ids=" ".join,
)  # fmt: skip
def test_with_less_of_pytest_and_with_more(case: Any, arguments: tuple[str, ...]) -> None:
    run = case.run(*arguments)
    assert run.told == [leak_of(name) for name in ("one", "two", "three", "four")] + WIDE
    assert len(run.of_type("finding")) == 6


def test_without_a_terminal_the_file_is_whole(case: Any) -> None:
    run = case.run("-p", "no:terminal", subprocess=True)
    assert run.records[-1] == {"type": "end", "findings": 6, "leaks": 6, "tests": 5}


IMPORTING = {
    "conftest.py": "",
    "deep/conftest.py": "from app import settings\nsettings.CONFTEST = 1\n",
    "deep/test_import.py": """
        from app import settings
        settings.IMPORTED = 1
        def test_it(): settings.MODE = "x"
        """,
}
IMPORTED = [
    "module/module deep/conftest.py added app.settings.CONFTEST",
    "module/module deep/test_import.py added app.settings.IMPORTED",
]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_collecting_only_tells_of_imports(suite: Any, workers: tuple[str, ...]) -> None:
    suite.write(IMPORTING)
    run = suite.run("--collect-only", *workers, subprocess=bool(workers))
    assert run.told == IMPORTED
    assert run.records[-1] == {"type": "end", "findings": 2, "leaks": 2, "tests": 0}
    assert run.section[-1].startswith("2 leaks left by 2 module imports; ")
    assert run.result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("option", "told"), [("--setup-plan", IMPORTED), ("--fixtures", []), ("--fixtures-per-test", [])]
)
def test_options_that_run_no_test(suite: Any, option: str, told: list[str]) -> None:
    suite.write(IMPORTING)
    run = suite.run(option)  # to list fixtures pytest imports, but collects nothing
    assert run.told == told
    assert run.records[-1]["type"] == "end"


@pytest.mark.parametrize(
    "arguments", [("-k", "nothing"), ("-m", "smoke"), ("--deselect=deep/test_import.py",)]
)
def test_everything_left_out(suite: Any, arguments: tuple[str, ...]) -> None:
    suite.write(IMPORTING)
    run = suite.run(*arguments)
    assert run.told == IMPORTED
    assert run.result.ret == pytest.ExitCode.NO_TESTS_COLLECTED

"""pytest-rerunfailures: each attempt starts from the state that there is; what they leave is told once."""

from __future__ import annotations

from typing import Any

import pytest

PEERS = ("pytest-rerunfailures", "pytest-xdist")
RERUNS = ("-p", "rerunfailures", "--reruns=2")
ONE = ("-p", "xdist", "-n", "1")

FLAKY = {
    "test_flaky.py": """
        import os
        from app import settings

        def test_before(): pass

        def test_flaky():
            attempts = int(os.environ.get("ATTEMPTS", "0")) + 1
            os.environ["ATTEMPTS"] = str(attempts)
            print(f"attempt {attempts} starts from {settings.MODE}")
            settings.MODE = "x"
            assert attempts > 2

        def test_after(): settings.LEVEL = 2
        """
}
FLAKY_LEAVES = [
    "test/function test_flaky.py::test_flaky added os.environ['ATTEMPTS']",
    "test/function test_flaky.py::test_flaky rebound app.settings.MODE",
    "test/function test_flaky.py::test_after rebound app.settings.LEVEL",
]


def outcomes(run: Any) -> list[tuple[str, str]]:
    return [(test["nodeid"].partition("::")[2], test["outcome"]) for test in run.of_type("test")]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEMPTS", "")  # it is put back, whatever the suites leave
    monkeypatch.delenv("ATTEMPTS")


@pytest.mark.parametrize("workers", [(), ONE], ids=["alone", "worker"])
def test_a_leak_of_several_attempts_is_told_once(suite: Any, workers: tuple[str, ...]) -> None:
    suite.write(FLAKY)
    run = suite.run(*RERUNS, *workers, subprocess=bool(workers))
    assert sorted(run.told) == sorted(FLAKY_LEAVES)
    assert run.records[-1] == {"type": "end", "findings": 3, "leaks": 3, "tests": 5}
    assert [each for each in outcomes(run) if each[0] == "test_flaky"] == [
        ("test_flaky", "rerun"),
        ("test_flaky", "rerun"),
        ("test_flaky", "passed"),
    ]
    assert run.section[-1] == "3 leaks left by 2 tests; 0 warm-ups, 0 allowed"


def test_an_attempt_starts_from_what_the_one_before_left(suite: Any) -> None:
    suite.write(FLAKY)
    run = suite.run(*RERUNS, "-s")
    run.result.stdout.fnmatch_lines(
        ["*attempt 1 starts from live*", "*attempt 2 starts from x*", "*attempt 3 starts from x*"]
    )
    assert run.of_type("finding")[0]["before"] == "'live'"


RESTORED = """
import os
from app import settings
RUNS = []

def test_flaky():
    RUNS.append(1)
    print(f"starts from {settings.MODE}, {os.environ.get('LEFT')}")
    settings.MODE = "x"
    os.environ["LEFT"] = "1"
    assert len(RUNS) > 2
"""


@pytest.mark.parametrize("workers", [(), ONE], ids=["alone", "worker"])
def test_restoring_each_attempt_starts_from_what_was_there(suite: Any, workers: tuple[str, ...]) -> None:
    suite.write({"test_flaky.py": RESTORED})
    only = ("--leaks-restore-only=app.*", "--leaks-restore-only=os.*")
    run = suite.run(*RERUNS, *workers, *only, "-rA", subprocess=bool(workers))
    assert run.result.outlines.count("starts from live, None") == 3
    assert {leak["place"]: leak["restored"] for leak in run.leaks} == {
        "app.settings.MODE": True,
        "os.environ['LEFT']": True,
        "test_flaky.RUNS": None,
    }
    assert len(run.leaks) == 3
    assert outcomes(run) == [("test_flaky", "rerun"), ("test_flaky", "rerun"), ("test_flaky", "passed")]


def test_a_leak_of_the_last_attempt_alone(suite: Any) -> None:
    suite.write(
        {
            "test_flaky.py": """
                from app import settings
                RUNS = []

                def test_flaky():
                    RUNS.append(1)
                    assert len(RUNS) > 2
                    settings.MODE = "x"  # leak
                """
        }
    )
    run = suite.run(*RERUNS)
    assert run.told == [
        "test/function test_flaky.py::test_flaky mutated test_flaky.RUNS",
        "test/function test_flaky.py::test_flaky rebound app.settings.MODE",
    ]
    assert suite.marked() == [f"{run.leaks[1]['site']['path']}:{run.leaks[1]['site']['line']}"]


WIDE = """
import pytest
from app import settings
RUNS = []

@pytest.fixture(scope="module")
def wide():
    settings.LEVEL = 2
    yield

@pytest.fixture(scope="class")
def undone():
    settings.MODE = "class"
    yield
    settings.MODE = "live"

@pytest.fixture
def breaks():
    RUNS.append(1)
    assert len(RUNS) > 1

class TestClass:
    def test_first(self, undone, wide): pass
    def test_flaky(self, undone, wide, breaks): settings.NAMES = ()
"""


def test_wide_fixtures_keep_what_is_theirs(suite: Any) -> None:
    suite.write({"test_wide.py": WIDE})
    run = suite.run(*RERUNS)
    assert sorted(run.told) == [
        "fixture/module test_wide.py::wide during test_wide.py::TestClass::test_first"
        " rebound app.settings.LEVEL",
        "test/function test_wide.py::TestClass::test_flaky mutated test_wide.RUNS",
        "test/function test_wide.py::TestClass::test_flaky rebound app.settings.NAMES",
    ]
    assert outcomes(run) == [
        ("TestClass::test_first", "passed"),
        ("TestClass::test_flaky", "rerun"),
        ("TestClass::test_flaky", "passed"),
    ]


LEAKING = """
from app import settings

def test_leaks(): settings.MODE = "x"
def test_clean(): pass
"""


@pytest.mark.parametrize("workers", [(), ONE], ids=["alone", "worker"])
@pytest.mark.parametrize("restore", [(), ("--leaks-restore",)], ids=["left", "restored"])
def test_no_number_of_reruns_makes_a_leak_pass(
    suite: Any, restore: tuple[str, ...], workers: tuple[str, ...]
) -> None:
    suite.write({"test_case.py": LEAKING})
    run = suite.run(*RERUNS, "--leaks=fail", *restore, *workers, subprocess=bool(workers))
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert run.told == ["test/function test_case.py::test_leaks rebound app.settings.MODE"]
    told = [outcome for name, outcome in outcomes(run) if name == "test_leaks"]
    assert told == ["rerun", "rerun", "error"]
    run.result.stdout.fnmatch_lines(
        ["*_ ERROR at teardown of test_leaks _*", "test_case.py::test_leaks left 1 place changed"]
    )


def test_a_report_that_is_never_sent_keeps_nothing_back(suite: Any) -> None:
    suite.write(
        {
            "conftest.py": """
                import pytest
                from _pytest.runner import runtestprotocol

                @pytest.hookimpl(tryfirst=True)
                def pytest_runtest_protocol(item, nextitem):
                    for report in runtestprotocol(item, nextitem=nextitem, log=False):
                        if report.when != "teardown" or item.name == "test_clean":
                            item.ihook.pytest_runtest_logreport(report=report)
                    return True
                """,
            "test_case.py": LEAKING,
        }
    )
    run = suite.run(*ONE, subprocess=True)
    assert run.told == ["test/function test_case.py::test_leaks rebound app.settings.MODE"]


def test_a_crashed_test_is_run_again_by_another_worker(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import os, pathlib
                from app import settings

                def test_before(): settings.LEVEL = 2

                def test_crashes():
                    settings.MODE = "x"
                    marker = pathlib.Path("crashed")
                    if not marker.exists():
                        marker.touch()
                        os._exit(3)
                """
        }
    )
    run = suite.run(*RERUNS, *ONE, subprocess=True)
    assert run.told == [
        "test/function test_case.py::test_before rebound app.settings.LEVEL",
        "test/function test_case.py::test_crashes rebound app.settings.MODE",
    ]
    assert outcomes(run)[0] == ("test_before", "passed")
    assert run.records[-1]["type"] == "end"

"""pytest-timeout: its timers are nobody's leak, and a test that runs out of time leaks all the same."""

from __future__ import annotations

from typing import Any

import pytest

PEERS = ("pytest-timeout", "pytest-xdist")
TIMEOUT = ("-p", "timeout")
ONE = ("-p", "xdist", "-n", "1")
METHODS = ["signal", "thread"]

CLEAN = """
import signal, threading, time
import pytest

@pytest.fixture(scope="module")
def wide():
    yield

@pytest.fixture
def narrow():
    yield

def test_plain(): pass
def test_fixtures(wide, narrow): pass
def test_time_passes(): time.sleep(0.02)

@pytest.mark.timeout(30, func_only=True)
def test_function_only(wide): time.sleep(0.02)

@pytest.mark.timeout(0)
def test_without(): pass

def test_a_thread_of_its_own():
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(
    ("method", "workers"),
    [("signal", ()), ("thread", ()), ("signal", ONE)],
    ids=["signal", "thread", "signal in a worker"],
)
def test_its_timers_are_nobodys(suite: Any, method: str, workers: tuple[str, ...]) -> None:
    suite.write({"test_clean.py": CLEAN})
    run = suite.run(
        *TIMEOUT, "--timeout=60", f"--timeout-method={method}", *workers, subprocess=bool(workers)
    )
    run.result.assert_outcomes(passed=6)
    assert run.of_type("finding") == []


@pytest.mark.parametrize("option", ["-o=timeout_func_only=true", "-o=timeout_func_only=false"])
@pytest.mark.parametrize("method", METHODS)
def test_for_the_function_only(suite: Any, method: str, option: str) -> None:
    suite.write({"test_clean.py": CLEAN})
    run = suite.run(*TIMEOUT, "--timeout=60", f"--timeout-method={method}", option)
    run.result.assert_outcomes(passed=6)
    assert run.of_type("finding") == []


def test_a_handler_and_a_timer_of_a_test(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import signal

                def handler(signum, frame): pass

                def test_other_signal(): signal.signal(signal.SIGUSR1, handler)
                def test_stops_it(): signal.alarm(0)
                def test_replaces_it(): signal.signal(signal.SIGALRM, handler)
                """
        }
    )
    run = suite.run(*TIMEOUT, "--timeout=60", "--timeout-method=signal", subprocess=True)  # handlers stay
    assert run.told == [
        "test/function test_case.py::test_other_signal rebound signal.SIGUSR1",
        "test/function test_case.py::test_stops_it rebound signal.getitimer(ITIMER_REAL)",
        "test/function test_case.py::test_replaces_it rebound signal.SIGALRM",
    ]


# Who measures by a signal has a minute for each, which is over as soon as the test hangs: never before.
SLOW = """
import signal
import time
import pytest
from app import settings

def hang():
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(60)

@pytest.fixture(scope="module")
def wide():
    settings.LEVEL = 2
    yield

@pytest.fixture
def undoes():
    settings.UNDONE = 1
    yield
    del settings.UNDONE

@pytest.fixture
def slow_setup():
    settings.SETUP = 1
    hang()

@pytest.fixture
def slow_teardown():
    yield
    settings.TEARDOWN = 1
    hang()

def test_before(): settings.MODE = "x"

@pytest.mark.timeout(LIMIT)
def test_call(wide, undoes):
    settings.CALL = 1
    hang()

@pytest.mark.timeout(LIMIT)
def test_setup(wide, slow_setup): pass

@pytest.mark.timeout(LIMIT)
def test_teardown(wide, slow_teardown): pass

def test_after(): settings.NAMES = ()
"""


@pytest.mark.parametrize("workers", [(), ONE], ids=["alone", "worker"])
def test_a_test_out_of_time_leaks_all_the_same(suite: Any, workers: tuple[str, ...]) -> None:
    suite.write({"test_slow.py": SLOW.replace("LIMIT", "60")})
    run = suite.run(*TIMEOUT, "--timeout-method=signal", *workers, subprocess=bool(workers))
    run.result.assert_outcomes(passed=3, failed=1, errors=2)
    assert sorted(run.told) == [
        "fixture/module test_slow.py::wide during test_slow.py::test_call rebound app.settings.LEVEL",
        "test/function test_slow.py::test_after rebound app.settings.NAMES",
        "test/function test_slow.py::test_before rebound app.settings.MODE",
        "test/function test_slow.py::test_call added app.settings.CALL",
        "test/function test_slow.py::test_setup added app.settings.SETUP",
        "test/function test_slow.py::test_teardown added app.settings.TEARDOWN",
    ]


def test_the_thread_method_ends_the_process_and_loses_nothing_found(suite: Any) -> None:
    suite.write({"test_slow.py": SLOW.replace("LIMIT", "0.3")})
    run = suite.run(*TIMEOUT, "--timeout-method=thread", subprocess=True)
    assert run.told == ["test/function test_slow.py::test_before rebound app.settings.MODE"]
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    run.result.stdout.fnmatch_lines(["*+ Timeout +*"])


def test_the_thread_method_ends_a_worker_and_another_goes_on(suite: Any) -> None:
    suite.write({"test_slow.py": SLOW.replace("LIMIT", "0.3")})
    run = suite.run(
        *TIMEOUT, "--timeout-method=thread", *ONE, "-k", "before or call or after", subprocess=True
    )
    assert sorted(run.told) == [
        "test/function test_slow.py::test_after rebound app.settings.NAMES",
        "test/function test_slow.py::test_before rebound app.settings.MODE",
    ]
    assert run.records[-1] == {"type": "end", "findings": 2, "leaks": 2, "tests": 3}

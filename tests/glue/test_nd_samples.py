"""Each sample of an nd_real test is a test of its own: stages, fixtures, random state, leaks."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from nd_runs import results, told


@pytest.fixture(autouse=True)
def tier_is_open(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ND_REAL", "1")
    for name in ("STRICT_READY", "ND_REAL_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# what a sample is


def test_every_sample_has_fixtures_of_its_own_and_shares_wider_ones(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            SEEN = []

            @pytest.fixture(scope="module")
            def wide():
                SEEN.append("wide up")
                yield object()
                SEEN.append("wide down")

            @pytest.fixture
            def narrow(wide, tmp_path):
                SEEN.append("up")
                yield tmp_path
                SEEN.append("down")

            BODIES, PATHS, WIDE, SELVES = [], set(), set(), []

            @pytest.mark.nd_real(samples=29)
            def test_one(narrow, wide, monkeypatch, request):
                monkeypatch.setenv("SAMPLE", str(len(BODIES)))
                BODIES.append(request.node.name)
                PATHS.add(narrow)
                WIDE.add(id(wide))

            class TestMethods:
                @pytest.mark.nd_real(samples=29)
                @pytest.mark.parametrize("number", [1, 2])
                def test_method(self, number):
                    assert not hasattr(self, "mine"), "an instance of the sample before"
                    self.mine = number
                    SELVES.append(number)

            def test_all_of_it():
                assert BODIES == ["test_one"] * 29
                assert (len(PATHS), len(WIDE)) == (29, 1)
                assert SEEN == ["wide up", *["up", "down"] * 29]
                assert SELVES == [1] * 29 + [2] * 29
            """
        }
    )
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(passed=4)
    assert told(run, "test_one") == "PASS 29/29"
    assert told(run, "TestMethods::test_method[2]") == "PASS 29/29"


def test_a_test_case_of_unittest_is_made_anew_for_each_sample(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import unittest
            import pytest

            STAGES = []

            class TestCase(unittest.TestCase):
                def setUp(self):
                    self.assertFalse(hasattr(self, "mine"))
                    STAGES.append("up")

                def tearDown(self):
                    STAGES.append("down")

                @pytest.mark.nd_real(samples=29)
                def test_real(self):
                    self.mine = True

            def test_all_of_it():
                assert STAGES == ["up", "down"] * 29
            """
        }
    )
    suite.run("--leaks=off").result.assert_outcomes(passed=2)


ASYNC = """
import pytest

AWAITED = []

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def resource():
    yield object()

@pytest.mark.anyio
@pytest.mark.nd_real(samples=29)
async def test_awaited(resource):
    AWAITED.append(id(resource))

@pytest.mark.anyio
@pytest.mark.nd_real(samples=29)
async def test_never_true():
    assert False

class TestMethods:
    @pytest.mark.anyio
    @pytest.mark.nd_real(samples=29)
    async def test_method(self):
        assert not hasattr(self, "mine")
        self.mine = True

def test_all_of_it():
    assert len(AWAITED) == 29
"""


def test_async_tests_are_awaited_in_every_sample(suite: Any) -> None:
    suite.write({"test_a.py": ASYNC})
    run = suite.run("-p", "anyio", "--leaks=off")
    run.result.assert_outcomes(passed=3, failed=1)
    assert told(run, "test_awaited") == "PASS 29/29"
    assert told(run, "TestMethods::test_method") == "PASS 29/29"
    assert told(run, "test_never_true") == "FAIL 0/7"


def test_an_async_test_that_nobody_awaits_fails(suite: Any) -> None:
    suite.write({"test_a.py": "import pytest\n@pytest.mark.nd_real\nasync def test_a(): assert False\n"})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(failed=1)
    assert told(run, "test_a") == "FAIL 0/7"
    assert (
        "async def functions are not natively supported" in results(run)["test_a"]["clusters"][0]["message"]
    )


DRAWS = """
import random
import pytest

DRAWN = {"setup": [], "call": [], "teardown": []}

@pytest.fixture
def drawing():
    DRAWN["setup"].append(random.random())
    yield
    DRAWN["teardown"].append(random.random())

@pytest.mark.nd_real(samples=30)
def test_draw(drawing):
    DRAWN["call"].append(random.random())

def test_all_of_it(request):
    assert {stage: len(set(values)) for stage, values in DRAWN.items()} == dict.fromkeys(DRAWN, 30)
    print("drawn:", DRAWN["call"])
    print("seed:", request.config.getoption("randomly_seed", None))
"""


def test_no_two_samples_start_from_the_same_random_state(suite: Any) -> None:
    suite.write({"test_a.py": DRAWS})
    arguments = ("-p", "randomly", "--randomly-seed=7", "--randomly-dont-reorganize", "--leaks=off", "-s")
    runs = [suite.run(*arguments) for _ in range(2)]
    for run in runs:
        run.result.assert_outcomes(passed=2)
        run.result.stdout.fnmatch_lines(["*seed: 7"])  # it is put back
    first, second = ([line for line in run.result.outlines if "drawn:" in line] for run in runs)
    assert first == second  # and the seed still brings the same run again


# stages that fail, or say that they are no result


@pytest.mark.parametrize(
    ("body", "outcomes", "verdict"),
    [
        ("    if CALL == 1: pytest.skip('not today')", {"skipped": 1}, None),
        (
            "    if CALL == 3: pytest.skip('not today')",
            {"passed": 0, "failed": 0},
            ("INCONCLUSIVE", "cut after 2 of 29 samples: sample 3 has no result: Skipped: not today"),
        ),
        ("    if CALL == 1: pytest.xfail('known')", {"xfailed": 1}, None),
    ],
    ids=["skip at once", "skip later", "xfail at once"],
)
def test_a_sample_that_says_it_is_none(
    suite: Any, body: str, outcomes: dict[str, int], verdict: tuple[str, str] | None
) -> None:
    suite.write(
        {
            "test_a.py": "import pytest\nCALL = 0\n"
            "@pytest.mark.nd_real(samples=29)\ndef test_a():\n    global CALL\n    CALL += 1\n" + body
        }
    )
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(**outcomes)
    found = results(run)
    if verdict is None:
        assert found == {}
    else:
        assert found["test_a"]["verdict"] == verdict[0]
        run.result.stdout.fnmatch_lines([f"    {verdict[1]}"])


FIXTURES = """
import pytest

DONE = []

@pytest.fixture(scope="module")
def wide():
    yield
    DONE.append("wide down")

@pytest.fixture
def narrow(wide):
    if len(DONE) == 2:
        SET_UP
    yield
    DONE.append("down")
    if len(DONE) == 3:
        TEAR_DOWN

@pytest.mark.nd_real(samples=29)
def test_a(narrow): pass

def test_after(wide): assert DONE.count("wide down") == 0
"""


def test_a_set_up_that_fails_is_an_error_of_the_test(suite: Any) -> None:
    broken = FIXTURES.replace("SET_UP", "raise OSError('no disk')").replace("TEAR_DOWN", "pass")
    suite.write({"test_a.py": broken})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(errors=1, passed=1)
    run.result.stdout.fnmatch_lines(
        ["*ERROR at setup of test_a*", "E *OSError: no disk", "*nd_real*", "in the set-up of sample 3"]
    )
    assert told(run, "test_a") == "INCONCLUSIVE 2/2"
    assert results(run)["test_a"]["notes"] == ["cut after 2 of 29 samples: the set-up of sample 3 has failed"]


def test_a_teardown_that_fails_is_an_error_of_the_test(suite: Any) -> None:
    broken = FIXTURES.replace("SET_UP", "pass").replace("TEAR_DOWN", "raise OSError('no disk')")
    suite.write({"test_a.py": broken})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(errors=1, passed=1)
    run.result.stdout.fnmatch_lines(["*ERROR at teardown of test_a*", "E *OSError: no disk"])
    assert told(run, "test_a") == "INCONCLUSIVE 3/3"
    assert results(run)["test_a"]["notes"] == [
        "cut after 3 of 29 samples: the teardown of sample 3 has failed"
    ]


@pytest.mark.parametrize(
    ("strict", "body", "outcomes"),
    [
        (False, "assert False", {"xfailed": 1}),
        (False, "pass", {"xpassed": 1}),
        (True, "assert False", {"xfailed": 1}),
        (True, "pass", {"failed": 1}),
    ],
)
def test_xfail_is_about_the_verdict(suite: Any, strict: bool, body: str, outcomes: dict[str, int]) -> None:
    suite.write(
        {
            "test_a.py": f"import pytest\n@pytest.mark.xfail(strict={strict})\n"
            f"@pytest.mark.nd_real(samples=29)\ndef test_a(): {body}\n"
        }
    )
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(**outcomes)
    assert told(run, "test_a") == ("PASS 29/29" if body == "pass" else "FAIL 0/7")


# the run around it


def test_the_first_failure_ends_the_run_and_wide_fixtures_with_it(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            @pytest.fixture(scope="session")
            def wide():
                yield
                raise OSError("the session's teardown")

            @pytest.mark.nd_real(samples=29)
            def test_a(wide): assert False

            def test_never(): pass
            """
        }
    )
    run = suite.run("--leaks=off", "-x")
    run.result.assert_outcomes(failed=1, errors=1)
    run.result.stdout.fnmatch_lines(["*ERROR at teardown of test_a*", "*the session's teardown"])


def test_what_was_sampled_before_an_interruption_is_told(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            CALLS = []

            @pytest.mark.nd_real(samples=29)
            def test_a():
                CALLS.append(1)
                if len(CALLS) == 5:
                    raise KeyboardInterrupt
            """
        }
    )
    run = suite.run("--leaks=off")
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert told(run, "test_a") == "INCONCLUSIVE 4/4"
    run.result.stdout.fnmatch_lines(["    cut after 4 of 29 samples: interrupted by KeyboardInterrupt"])


def test_a_verdict_that_was_told_stays_when_the_last_teardown_is_interrupted(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            @pytest.fixture(scope="module")
            def wide():
                yield
                raise KeyboardInterrupt

            @pytest.mark.nd_real(samples=29)
            def test_a(wide): pass
            """
        }
    )
    run = suite.run("--leaks=off")
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert [record["verdict"] for record in run.of_type("nd")] == ["PASS"]


def test_wall_clock_ends_the_sampling(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import time
            import pytest

            @pytest.mark.nd_real(samples=29, max_wall_s=0.05)
            def test_a(): time.sleep(0.06)
            """
        }
    )
    run = suite.run("--leaks=off")
    assert told(run, "test_a") == "INCONCLUSIVE 1/1"
    run.result.stdout.fnmatch_lines(["    cut after 1 of 29 samples: max_wall_s=0.05: *.? s have passed"])


LEAKY = """
import pytest
from app import settings

@pytest.mark.nd_real(samples=29)
def test_leaky():
    settings.MODE = "test"
    settings.LEVEL += 1
"""


@pytest.mark.parametrize("mode", ["report", "fail"])
def test_samples_that_leak_into_each_other_are_not_independent(suite: Any, mode: str) -> None:
    suite.write({"test_a.py": LEAKY})
    run = suite.run(f"--leaks={mode}")
    run.result.assert_outcomes(passed=1, errors=int(mode == "fail"))
    assert results(run)["test_leaky"]["notes"] == [
        "samples are not independent: 1 of 29 left app.settings.MODE changed for the next",
        "samples are not independent: 28 of 29 left app.settings.LEVEL changed for the next",
    ]
    assert sorted(run.told) == [
        "test/function test_a.py::test_leaky rebound app.settings.LEVEL",
        "test/function test_a.py::test_leaky rebound app.settings.MODE",
    ]


def test_what_is_put_back_after_each_sample_leaves_them_independent(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY})
    run = suite.run("--leaks-restore")
    assert results(run)["test_leaky"]["notes"] == []


# in workers


def test_the_samples_of_a_test_stay_on_one_worker(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import os
            import pytest

            PATH = "calls.txt"

            @pytest.mark.nd_real(samples=30)
            @pytest.mark.parametrize("name", ["a", "b", "c"])
            def test_real(name):
                with open(PATH, "a") as file:
                    file.write(f"{name} {os.environ['PYTEST_XDIST_WORKER']}\\n")

            def test_plain(): pass
            """
        }
    )
    run = suite.run("-p", "xdist", "-n", "2", "--leaks=off", "--junitxml=junit.xml", subprocess=True)
    run.result.assert_outcomes(passed=4)
    lines = (suite.path / "calls.txt").read_text("utf-8").splitlines()
    assert sorted(line.partition(" ")[0] for line in lines) == ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    assert len(set(lines)) == 3  # one worker each
    assert sorted(results(run)) == ["test_real[a]", "test_real[b]", "test_real[c]"]
    cases = ElementTree.parse(suite.path / "junit.xml").getroot().iter("testcase")
    verdicts = [
        each.get("value")
        for case in cases
        for each in case.iter("property")
        if each.get("name") == "nd_verdict"
    ]
    assert verdicts == ["PASS"] * 3

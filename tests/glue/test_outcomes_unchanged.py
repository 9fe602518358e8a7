"""The detector observes: with it, without it and in every engine a suite has the same outcomes."""

from __future__ import annotations

import re
from typing import Any

import pytest

FILES = {
    "app/doubling.py": '''
        def double(number):
            """Doubles.

            >>> double(2)
            4
            >>> double(3)
            7
            """
            return number * 2
        ''',
    "test_mixed.py": """
        import unittest
        import pytest
        from app import settings

        @pytest.fixture(scope="module", params=["a", "b"])
        def wide(request):
            settings.MODE = request.param
            yield request.param
            settings.MODE = "live"

        @pytest.fixture(scope="module")
        def broken():
            raise ValueError("never up")

        @pytest.fixture
        def breaks_late():
            yield
            raise ValueError("teardown")

        def test_pass(): settings.LEVEL = 2
        def test_sees_it(): assert settings.LEVEL == 2
        def test_fail(): assert settings.LEVEL == 1
        def test_skip(): pytest.skip("no")
        def test_wide(wide): assert settings.MODE == wide
        def test_error(broken): pass
        def test_error_again(broken): pass
        def test_breaks_late(breaks_late): pass

        @pytest.mark.xfail
        def test_xfail(): assert False

        @pytest.mark.xfail
        def test_xpass(): pass

        @pytest.mark.xfail(strict=True)
        def test_strict(): pass

        @pytest.fixture(scope="class")
        def setting():
            settings.NAMES = ()
            yield
            assert settings.NAMES == ()

        @pytest.mark.usefixtures("setting")
        class TestClass:
            def test_one(self): assert settings.NAMES == ()
            def test_two(self): settings.Client.retries = 4

        class TestUnit(unittest.TestCase):
            @classmethod
            def setUpClass(cls): cls.kept = settings.connect
            def setUp(self): settings.connect = lambda: "fake"
            def tearDown(self): settings.connect = self.kept
            def test_fake(self): self.assertEqual(settings.connect(), "fake")
            def test_fails(self): self.fail("no")
            @unittest.expectedFailure
            def test_expected(self): self.fail("no")
            @unittest.skip("no")
            def test_skipped(self): pass
            def test_subtests(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertLess(number, 5)
        """,
    "test_broken.py": "import absent_module\n",
}
ARGUMENTS = ("--doctest-modules", "--continue-on-collection-errors", "-rA")
MODES = ("--leaks=off", "--leaks=report")


def told(result: pytest.RunResult) -> list[str]:
    """The short summary: every test with its outcome."""
    words = ("PASSED ", "FAILED ", "SKIPPED ", "XFAIL ", "XPASS ", "ERROR ")
    return [line for line in result.outlines if line.startswith(words)]


@pytest.fixture
def plain(suite: Any) -> pytest.RunResult:
    suite.write(FILES)
    result: pytest.RunResult = suite.pytester.runpytest_inprocess("-p", "no:cacheprovider", *ARGUMENTS)
    assert "mcpsmoke" not in result.stdout.str()
    result.assert_outcomes(passed=9, failed=4, skipped=2, xfailed=2, xpassed=1, errors=5)
    return result


@pytest.mark.parametrize("mode", MODES)
def test_in_one_process(suite: Any, plain: pytest.RunResult, engine: str, mode: str) -> None:
    run = suite.run(*ARGUMENTS, mode, f"--leaks-engine={engine}")
    assert run.result.parseoutcomes() == plain.parseoutcomes()
    assert told(run.result) == told(plain)
    assert run.result.ret == plain.ret == pytest.ExitCode.TESTS_FAILED
    assert bool(run.leaks) is (mode == "--leaks=report")


def test_in_workers(suite: Any) -> None:
    suite.write(FILES)
    arguments = ("-p", "no:cacheprovider", *ARGUMENTS, "-p", "xdist", "-n", "2", "--dist=loadfile")
    plain = suite.pytester.runpytest_subprocess(*arguments)
    run = suite.run(*arguments, subprocess=True)
    assert run.result.parseoutcomes() == plain.parseoutcomes()
    assert sorted(told(run.result)) == sorted(told(plain))
    assert run.result.ret == plain.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("def test_it(): pass", pytest.ExitCode.OK),
        ("def test_it(): assert False", pytest.ExitCode.TESTS_FAILED),
        ("def test_it(): raise KeyboardInterrupt", pytest.ExitCode.INTERRUPTED),
        ("import pytest\ndef test_it(): pytest.exit('enough', returncode=7)", 7),
        ("import absent_module", pytest.ExitCode.INTERRUPTED),
        ("", pytest.ExitCode.NO_TESTS_COLLECTED),
    ],
)
def test_the_exit_status(suite: Any, source: str, status: int) -> None:
    leak = "from app import settings\nsettings.MODE = 'x'\n"
    suite.write({"test_case.py": leak + source})
    assert suite.run("--leaks=off", subprocess=True).result.ret == status
    run = suite.run(subprocess=True)
    assert run.result.ret == status
    assert run.told == ["module/module test_case.py rebound app.settings.MODE"]


# Each failure comes from code that does not stand in the test's own file: there pytest cuts nothing off.
FAILURES = {
    "conftest.py": """
        import pytest

        def fail():
            raise ValueError("no")

        @pytest.fixture(scope="module")
        def wide():
            fail()

        @pytest.fixture
        def narrow():
            fail()

        @pytest.fixture(scope="module")
        def wide_breaks_late():
            yield
            fail()

        @pytest.fixture
        def narrow_breaks_late():
            yield
            fail()

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_setup(item):
            if item.name == "test_hook":
                fail()
        """,
    "test_failures.py": """
        from conftest import fail

        def test_call(): fail()
        def test_hook(): pass
        def test_wide(wide): pass
        def test_narrow(narrow): pass
        def test_narrow_breaks_late(narrow_breaks_late): pass
        def test_wide_breaks_late(wide_breaks_late): pass
        """,
    "test_import.py": "from conftest import fail\nfail()\n",
    "test_absent.py": "import no_such_module\n",
    "package/__init__.py": "from conftest import fail\ndef setup_module(): fail()\n",
    "package/test_inside.py": "def test_inside(): pass\n",
}


@pytest.mark.parametrize("style", ["auto", "long", "short", "line"])
def test_no_traceback_shows_a_frame_of_ours(suite: Any, style: str) -> None:
    suite.write(FAILURES)
    arguments = (f"--tb={style}", "--continue-on-collection-errors", "-p", "no:cacheprovider")
    plain = suite.pytester.runpytest_inprocess(*arguments)
    plain.assert_outcomes(passed=2, failed=1, errors=8)
    run = suite.run(*arguments, report=False)
    assert failures(run.result) == failures(plain)


def failures(result: pytest.RunResult) -> list[str]:
    """What is printed after the header, up to the line with the duration; addresses differ."""
    start = next(at for at, line in enumerate(result.outlines) if line.startswith("collected"))
    return [re.sub(r"0x[0-9a-f]+", "0x…", line) for line in result.outlines[start:-1]]

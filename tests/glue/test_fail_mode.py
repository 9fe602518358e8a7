"""--leaks=fail: one error per leak at its owner's teardown, in text; and report mode changes no outcome."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

# What each test is without the plugin stands in its name.
MIXED = """
import unittest
import pytest
from app import settings

def leak(name):
    setattr(settings, name, 1)

@pytest.fixture
def broken():
    yield
    raise RuntimeError("teardown broke")

def test_pass(): settings.P = 1

def test_fail():
    settings.F = 1
    assert False

def test_pass_teardown_error(broken): settings.T = 1

def test_skip():
    settings.S = 1
    pytest.skip("half way")

@pytest.mark.xfail
def test_xfail():
    settings.X = 1
    assert False

@pytest.mark.xfail
def test_xpass(): settings.XP = 1

@pytest.mark.xfail(strict=True, raises=ValueError)
def test_xfail_strict():
    settings.XS = 1
    raise ValueError

class TestUnit(unittest.TestCase):
    def test_pass(self): settings.U = 1
    def test_fail(self):
        settings.UF = 1
        self.fail("no")

def test_clean(): pass
"""
DOCTEST = '''
def double(number):
    """Doubles.

    >>> print(double(2))
    4
    """
    return number * 2
'''
BEFORE = {"passed": 5, "failed": 2, "skipped": 1, "xfailed": 2, "xpassed": 1, "errors": 1}
AFTER = {**BEFORE, "errors": 9}
LEAKING = ("test_pass", "test_fail", "test_pass_teardown_error", "test_skip", "test_xfail", "test_xpass",
           "test_xfail_strict", "TestUnit::test_fail", "TestUnit::test_pass")  # fmt: skip


@pytest.fixture
def mixed(suite: Any) -> Any:
    suite.write({"test_mixed.py": MIXED, "app/doubling.py": DOCTEST})
    return suite


ALL = ("--doctest-modules", "app/doubling.py", "test_mixed.py")


@pytest.mark.parametrize("mode", ["off", "report"])
def test_other_modes_change_no_outcome(mixed: Any, mode: str) -> None:
    run = mixed.run(*ALL, f"--leaks={mode}")
    run.result.assert_outcomes(**BEFORE)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED


def test_report_mode_leaves_the_exit_status_at_0(suite: Any) -> None:
    suite.write({"test_case.py": "from app import settings\ndef test_it(): settings.MODE = 'x'\n"})
    run = suite.run(subprocess=True)
    assert run.told == ["test/function test_case.py::test_it rebound app.settings.MODE"]
    assert run.result.ret == pytest.ExitCode.OK


def test_one_error_at_each_leaking_teardown(mixed: Any, engine: str) -> None:
    run = mixed.run(*ALL, "--leaks=fail", f"--leaks-engine={engine}")
    run.result.assert_outcomes(**AFTER)
    told = [leak["owner"].partition("::")[2] for leak in run.leaks]
    assert sorted(told) == sorted(LEAKING)


def test_a_doctest_that_shows_a_value_is_no_leak(suite: Any) -> None:
    suite.write({"app/doubling.py": DOCTEST.replace("print(double(2))", "double(2)")})
    run = suite.run("--doctest-modules", "app/doubling.py", "--leaks=fail", subprocess=True)
    assert run.told == []  # doctest shows values by sys.__displayhook__, which keeps them in builtins._
    run.result.assert_outcomes(passed=1)


def test_the_error_is_text_without_a_traceback(suite: Any) -> None:
    suite.write({"test_case.py": 'from app import settings\n\ndef test_it():\n    settings.MODE = "x"\n'})
    run = suite.run("--leaks=fail", "--leaks-engine=scan")
    run.result.stdout.fnmatch_lines(
        [
            "test_case.py .E *",
            "*= ERRORS =*",
            "*_ ERROR at teardown of test_it _*",
            "test_case.py::test_it left 1 place changed",
            "  app.settings.MODE   rebound: 'live' -> 'x'",
            '      test_case.py:4  settings.MODE = "x"  (searched)',
            '      use: monkeypatch.setattr(settings, "MODE", "x")',
            "*= state leaks =*",
        ],
        consecutive=False,
    )
    lines = run.result.outlines
    at = next(number for number, line in enumerate(lines) if "ERROR at teardown" in line)
    assert lines[at + 1 : at + 5] == run.section[:-1]
    assert "state leaks" in lines[at + 5]


def test_a_teardown_that_fails_itself_keeps_its_error_and_adds_the_leak(mixed: Any) -> None:
    run = mixed.run("--leaks=fail", "test_mixed.py::test_pass_teardown_error")
    run.result.assert_outcomes(passed=1, errors=1)
    run.result.stdout.fnmatch_lines(
        [
            "E       RuntimeError: teardown broke",
            "E       test_mixed.py::test_pass_teardown_error left 1 place changed",
            "E         app.settings.T   added: (nothing) -> 1",
        ]
    )


def test_a_teardown_that_skips_hides_no_leak(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import pytest
                from app import settings

                @pytest.fixture
                def skips():
                    yield
                    pytest.skip("no service to clean")

                def test_one(skips): settings.MODE = "x"
                def test_two(): pass
                """
        }
    )
    run = suite.run("--leaks=fail")
    run.result.assert_outcomes(passed=2, errors=1)
    run.result.stdout.fnmatch_lines(
        ["*_ ERROR at teardown of test_one _*", "test_case.py::test_one left 1 *"]
    )


def test_a_plugin_that_breaks_a_teardown_blames_no_other_test(suite: Any) -> None:
    suite.write(
        {
            "conftest.py": """
                import pytest

                @pytest.hookimpl(wrapper=True)
                def pytest_runtest_teardown(item):
                    yield
                    assert item.name != "test_one", "the plugin is broken"
                """,
            "test_case.py": TWO.replace('settings.MODE = "x"', "settings.ONE = 1"),
        }
    )
    run = suite.run("--leaks=fail")
    run.result.assert_outcomes(passed=3, errors=2)
    run.result.stdout.fnmatch_lines(["E       AssertionError: the plugin is broken"])
    lines = run.result.outlines
    at = next(number for number, line in enumerate(lines) if "ERROR at teardown of test_two" in line)
    assert lines[at + 1] == "test_case.py::test_two left 1 place changed"


def errors_in(path: Any) -> dict[str, str]:
    """The errors of a JUnit XML file by test, message and text."""
    tree = ElementTree.parse(path)
    return {
        f"{case.attrib['classname']}::{case.attrib['name']}": f"{error.attrib['message']}\n{error.text}"
        for case in tree.iter("testcase")
        for error in case.iter("error")
    }


def test_junit_xml(mixed: Any) -> None:
    mixed.run("--leaks=fail", "--junitxml=junit.xml", *ALL)
    errors = errors_in(mixed.path / "junit.xml")
    assert sorted(errors) == sorted(
        "test_mixed." + name if "::" in name else "test_mixed::" + name for name in LEAKING
    )
    text = "test_mixed.py::test_skip left 1 place changed\n  app.settings.S   added: (nothing) -> 1"
    assert text in errors["test_mixed::test_skip"]
    assert 'failed on teardown with "' in errors["test_mixed::test_skip"]
    assert "teardown broke" in errors["test_mixed::test_pass_teardown_error"]
    assert "app.settings.T   added" in errors["test_mixed::test_pass_teardown_error"]


def test_xdist_gives_the_same_outcomes(mixed: Any) -> None:
    alone = mixed.run(*ALL, "--leaks=fail", subprocess=True)
    spread = mixed.run(*ALL, "--leaks=fail", "-p", "xdist", "-n", "2", subprocess=True)
    assert alone.result.parseoutcomes() == spread.result.parseoutcomes()
    spread.result.assert_outcomes(**AFTER)
    assert spread.result.ret == alone.result.ret == pytest.ExitCode.TESTS_FAILED
    assert sorted(spread.told) == sorted(alone.told)


def literal(line: str) -> str:
    """A pattern of fnmatch_lines that matches this line only."""
    return line.replace("[", "[[]")


TWO = """
from app import settings

def test_one(): settings.MODE = "x"
def test_two(): settings.LEVEL = 2
def test_three(): pass
"""


@pytest.mark.parametrize(
    ("option", "passed", "errors"), [("-x", 1, 1), ("--maxfail=2", 2, 2), ("--maxfail=3", 3, 2)]
)
def test_stopping_early_counts_a_leak_as_an_error(suite: Any, option: str, passed: int, errors: int) -> None:
    suite.write({"test_case.py": TWO})
    run = suite.run("--leaks=fail", option)
    run.result.assert_outcomes(passed=passed, errors=errors)


def test_last_failed_runs_the_leaking_test_again(suite: Any) -> None:
    suite.write({"test_case.py": TWO})
    arguments = ["-p", "mcpsmoke", "--leaks=fail"]
    suite.pytester.runpytest_inprocess(*arguments).assert_outcomes(passed=3, errors=2)
    again = suite.pytester.runpytest_inprocess(*arguments, "--lf", "-v")
    again.assert_outcomes(passed=2, errors=2)


def test_the_debugger_is_not_entered(suite: Any) -> None:
    suite.write({"test_case.py": TWO})
    run = suite.run("--leaks=fail", "--pdb", "--pdbcls=nowhere:Absent")
    run.result.assert_outcomes(passed=3, errors=2)
    run.result.stdout.no_fnmatch_line("*entering PDB*")


WIDE = """
import pytest
from app import settings

@pytest.fixture(scope="module")
def wide():
    settings.MODE = "x"

def test_one(wide): pass
def test_two(wide): pass
"""


def test_a_wide_fixture_fails_the_test_where_its_finaliser_ran(suite: Any) -> None:
    suite.write({"test_case.py": WIDE})
    run = suite.run("--leaks=fail", "--leaks-engine=scan")
    run.result.assert_outcomes(passed=2, errors=1)
    run.result.stdout.fnmatch_lines(
        [
            "*_ ERROR at teardown of test_two _*",
            "module fixture test_case.py::wide (set up for test_case.py::test_one) left 1 place changed",
            "  app.settings.MODE   rebound: 'live' -> 'x'",
            '      test_case.py:6  settings.MODE = "x"  (searched)',
        ]
    )
    assert run.told == [
        "fixture/module test_case.py::wide during test_case.py::test_one rebound app.settings.MODE"
    ]


def test_a_parametrised_fixture_fails_the_test_whose_setup_finalised_it(suite: Any) -> None:
    source = WIDE.replace('scope="module"', 'scope="module", params=[1, 2]').replace('"x"', "object()")
    suite.write({"test_case.py": source.replace("def test_two(wide): pass\n", "")})
    run = suite.run("--leaks=fail")
    run.result.assert_outcomes(passed=2, errors=1)
    wide = "module fixture test_case.py::wide (set up for test_case.py::test_one[%d]) left 1 place changed"
    run.result.stdout.fnmatch_lines(["*_ ERROR at teardown of test_one?2? _*", literal(wide % 1)])
    run.result.stdout.fnmatch_lines(["*_ ERROR at teardown of test_one?2? _*", literal(wide % 2)])
    assert run.told == [  # one place of one fixture is one finding, whoever the fixture was set up for
        "fixture/module test_case.py::wide during test_case.py::test_one[1] rebound app.settings.MODE"
    ]


def test_an_import_fails_the_collection_of_that_module(suite: Any) -> None:
    suite.write(
        {
            "test_clean.py": "def test_it(): pass\n",
            "test_leaky.py": 'from app import settings\n\nsettings.MODE = "x"\n\ndef test_it(): pass\n',
        }
    )
    run = suite.run("--leaks=fail", "--leaks-engine=scan", "--continue-on-collection-errors")
    run.result.assert_outcomes(passed=1, errors=1)
    run.result.stdout.fnmatch_lines(
        [
            "*_ ERROR collecting test_leaky.py _*",
            "importing test_leaky.py left 1 place changed",
            "  app.settings.MODE   rebound: 'live' -> 'x'",
            '      test_leaky.py:3  settings.MODE = "x"  (searched)',
            "      use: do this in a fixture that undoes it, not when the module is imported",
        ],
        consecutive=True,
    )
    assert suite.run("--leaks=fail").result.ret == pytest.ExitCode.INTERRUPTED


def test_what_only_the_end_of_the_session_shows_still_fails_the_run(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import pytest
                from app import settings

                @pytest.fixture(scope="session", autouse=True)
                def wide():
                    settings.MODE = "x"
                    raise SystemExit(3)

                @pytest.mark.xfail
                def test_one(): pass
                """
        }
    )
    plain = suite.run("--leaks=report", subprocess=True)
    assert plain.result.ret == pytest.ExitCode.OK
    run = suite.run("--leaks=fail", subprocess=True)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert run.told == plain.told != []


def test_an_allowed_leak_is_no_error(suite: Any) -> None:
    mark = '\n@pytest.mark.allow_leak("app.settings.*", reason="the app restarts")\ndef test_one'
    suite.write({"test_case.py": "import pytest\n" + TWO.replace("\ndef test_one", mark)})
    run = suite.run("--leaks=fail")
    run.result.assert_outcomes(passed=3, errors=1)
    assert run.told == ["test/function test_case.py::test_two rebound app.settings.LEVEL"]

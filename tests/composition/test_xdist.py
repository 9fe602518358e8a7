"""pytest-xdist: what the workers find comes home, whatever becomes of them, and counts once."""

from __future__ import annotations

from typing import Any

import pytest

PEERS = ("pytest-xdist",)
TWO = ("-p", "xdist", "-n", "2")
ONE = ("-p", "xdist", "-n", "1")

PROGRAM = {
    "app/tools.py": """
        REGISTRY = {"echo": "real"}
        CALLS = []
        LIMITS = {"depth": {"max": 3}}

        class Client:
            retries = 3

        client = Client()
        client.headers = {"X": "1"}
        """,
}
# Every kind of owner, each leak at a place of its own: whoever runs first, the same is left.
EVERYBODY = {
    **PROGRAM,
    "conftest.py": """
        import os
        import pytest
        from app import tools

        @pytest.fixture(scope="session")
        def of_session():
            tools.CALLS.append("session")
            yield

        @pytest.fixture(scope="session")
        def undone():
            tools.UNDONE = 1
            yield
            del tools.UNDONE
        """,
    "pkg/__init__.py": """
        from app import tools

        def setup_module():
            tools.PACKAGE_MODULE = 1
        """,
    "pkg/conftest.py": """
        import pytest
        from app import tools

        tools.FROM_CONFTEST = 1

        @pytest.fixture(scope="package")
        def of_package():
            tools.REGISTRY["package"] = 1
            yield
        """,
    "pkg/test_package.py": """
        import pytest
        from app import settings, tools

        tools.FROM_IMPORT = 1

        @pytest.mark.parametrize("number", range(6))
        def test_each(of_session, of_package, undone, number):
            setattr(settings, f"EACH_{number}", number)
        """,
    "test_tests.py": """
        import logging, os, random, threading
        from app import settings, tools

        def test_global(of_session): settings.MODE = "x"
        def test_class(undone): settings.Client.retries = 0
        def test_container(): tools.REGISTRY["fake"] = "fake"
        def test_deep(): tools.LIMITS["depth"]["max"] = 99
        def test_instance(of_session): tools.client.headers["Y"] = "2"
        def test_environ(): os.environ["LEFT"] = "1"
        def test_directory(tmp_path): os.chdir(tmp_path)
        def test_random(): random.seed(7)
        def test_logger(): logging.getLogger("app").setLevel("DEBUG")
        def test_thread(): threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()
        def test_clean(monkeypatch): monkeypatch.setattr(settings, "LEVEL", 5)
        """,
    "test_fixtures.py": """
        import pytest
        from app import settings, tools

        @pytest.fixture(scope="module", autouse=True)
        def of_module():
            tools.REGISTRY["module"] = 1
            yield

        @pytest.fixture(scope="class")
        def of_class():
            settings.CLASS = 1
            yield

        @pytest.fixture
        def of_function():
            settings.FUNCTION = 1
            yield

        @pytest.mark.usefixtures("of_class")
        class TestClass:
            def test_one(self): pass
            def test_two(self): pass

        def test_function(of_function): pass
        def test_other(): pass
        """,
}
FINDINGS = 24


def keys(run: Any) -> list[tuple[str, ...]]:
    """What identifies findings, whichever test a wide fixture was set up for: that is up to scheduling."""
    return sorted((leak["owner_kind"], leak["owner"], leak["place"], leak["change"]) for leak in run.leaks)


@pytest.fixture
def everybody(suite: Any) -> Any:
    suite.write(EVERYBODY)
    return suite


def test_two_workers_find_what_one_process_finds(everybody: Any) -> None:
    alone = everybody.run(subprocess=True)
    assert len(keys(alone)) == len(set(keys(alone))) == FINDINGS
    assert alone.section[-1].startswith(f"{FINDINGS} leaks left by 17 tests, 5 fixtures, 2 module imports; ")
    for dist in ("load", "loadscope", "loadfile", "worksteal"):
        spread = everybody.run(*TWO, f"--dist={dist}", subprocess=True)
        assert keys(spread) == keys(alone), dist  # once each: an import and a wide fixture, too
        assert spread.records[-1] == alone.records[-1]
        assert spread.section[-1] == alone.section[-1]


# A worker that dies in mid-test: what it told before stays told.
DYING = """
import os, signal
import pytest
from app import settings, tools

tools.FROM_IMPORT = 1

@pytest.fixture(scope="module", params=["first", "second"])
def wide(request):
    tools.REGISTRY[request.param] = 1
    yield

@pytest.fixture
def at_setup():
    if os.environ["STAGE"] == "setup": die()

@pytest.fixture
def at_teardown():
    yield
    if os.environ["STAGE"] == "teardown": die()

def die():
    exec(os.environ["DEATH"])

def test_before(): settings.MODE = "x"

def test_wide(wide): pass

def test_dying(at_setup, at_teardown):
    settings.LEVEL = 2
    if os.environ["STAGE"] == "call": die()

def test_after(): settings.NAMES = ()
"""
DEATHS = {
    "exit": "os._exit(3)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM)",
}
STAGES = [
    ("call", "exit"),
    ("call", "terminated"),
    ("setup", "exit"),
    ("teardown", "killed"),
]


@pytest.mark.parametrize(("stage", "death"), STAGES)
def test_a_worker_that_dies(suite: Any, monkeypatch: pytest.MonkeyPatch, stage: str, death: str) -> None:
    monkeypatch.setenv("STAGE", stage)
    monkeypatch.setenv("DEATH", DEATHS[death])
    suite.write({**PROGRAM, "test_dying.py": DYING})
    run = suite.run(*ONE, subprocess=True)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert keys(run) == [
        ("fixture", "test_dying.py::wide", "app.tools.REGISTRY['first']", "added"),
        ("module", "test_dying.py", "app.tools.FROM_IMPORT", "added"),  # though imported by two workers
        ("test", "test_dying.py::test_after", "app.settings.NAMES", "rebound"),
        ("test", "test_dying.py::test_before", "app.settings.MODE", "rebound"),
    ]
    outcomes = {test["nodeid"].partition("::")[2]: test["outcome"] for test in run.of_type("test")}
    assert outcomes == {
        "test_before": "passed",
        "test_wide[first]": "passed",
        "test_wide[second]": "passed",
        "test_dying": "failed",
        "test_after": "passed",
    }
    assert run.records[-1] == {"type": "end", "findings": 4, "leaks": 4, "tests": 5}
    assert run.section[-1].startswith("4 leaks left by 2 tests, 1 fixture, 1 module import; ")


def test_all_workers_die_and_none_is_started_anew(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import os
                import pytest
                from app import settings

                @pytest.mark.parametrize("number", range(8))
                def test_each(number):
                    setattr(settings, f"EACH_{number}", number)
                    if number > 3: os._exit(3)
                """
        }
    )
    run = suite.run(*TWO, "--max-worker-restart=0", subprocess=True)
    assert len(run.leaks) >= 1
    assert run.records[-1]["type"] == "end"
    assert run.section[-1].startswith(f"{len(run.leaks)} leak")


REFUSED = ("test_case.py", "import pytest\n@pytest.mark.allow_leak('app.*')\ndef test_it(): pass\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--leaks=loud",), "ERROR: --leaks=loud: choose from off, report, fail"),
        (("--leaks-report=absent/leaks.jsonl",), "ERROR: --leaks-report=*: cannot be written: *"),
        ((), "ERROR: *allow_leak*reason*"),
    ],
    ids=["value", "file", "marker"],
)
def test_a_usage_error_is_told_once(suite: Any, arguments: tuple[str, ...], message: str) -> None:
    suite.write(dict([REFUSED]))
    run = suite.run(*TWO, *arguments, subprocess=True, report=False)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    printed = [line for line in run.result.outlines + run.result.errlines if line.startswith("ERROR: ")]
    assert len(printed) == 1
    pytest.LineMatcher(printed).fnmatch_lines([message])


FAILING = {
    "conftest.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="session")
        def wide():
            settings.LEVEL = 2
            yield
        """,
    "test_one.py": """
        from app import settings
        def test_leaks(wide): settings.MODE = "x"
        def test_clean(): pass
        """,
    "test_two.py": """
        def test_clean(): pass
        def test_wide(wide): pass
        """,
}


def test_fail_mode_gives_the_same_errors(suite: Any) -> None:
    suite.write(FAILING)
    alone = suite.run("--leaks=fail", subprocess=True)
    alone.result.assert_outcomes(passed=4, errors=2)
    spread = suite.run("--leaks=fail", *TWO, "--dist=loadfile", subprocess=True)
    assert spread.result.ret == alone.result.ret == pytest.ExitCode.TESTS_FAILED
    assert keys(spread) == keys(alone)
    assert len(keys(alone)) == 2
    spread.result.assert_outcomes(
        passed=4, errors=3
    )  # the fixture ends in each worker, and fails a test there
    assert spread.records[-1] == alone.records[-1]


def test_fail_mode_and_an_import(suite: Any) -> None:
    suite.write(
        {
            "test_import.py": "from app import settings\nsettings.MODE = 'x'\ndef test_it(): pass\n",
            "test_other.py": "def test_it(): pass\n",
        }
    )
    for arguments, others in ((), 0), (TWO, 1):  # xdist runs what it could collect
        run = suite.run("--leaks=fail", *arguments, subprocess=True)
        run.result.assert_outcomes(errors=1, passed=others)
        assert run.told == ["module/module test_import.py rebound app.settings.MODE"]
        assert run.section[-1] == "1 leak left by 1 module import; 0 warm-ups, 0 allowed"


def test_what_only_the_end_of_the_session_shows_fails_the_run(suite: Any) -> None:
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
    run = suite.run("--leaks=fail", *TWO, subprocess=True)
    assert run.told == [
        "fixture/session test_case.py::wide during test_case.py::test_one rebound app.settings.MODE"
    ]
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_stopping_early(suite: Any, option: str) -> None:
    suite.write(
        {
            "test_case.py": """
                import pytest
                from app import settings

                @pytest.fixture(scope="session")
                def wide():
                    settings.LEVEL = 2
                    yield

                @pytest.mark.parametrize("number", range(10))
                def test_each(wide, number):
                    setattr(settings, f"EACH_{number}", number)
                    assert number < 3
                """
        }
    )
    run = suite.run(*TWO, option, subprocess=True)
    told = {test["nodeid"] for test in run.of_type("test")}
    assert {leak["owner"] for leak in run.leaks} == {*told, "test_case.py::wide"}
    assert len(run.leaks) == len(told) + 1
    assert run.records[-1]["type"] == "end"


def test_each_worker_runs_every_test(suite: Any) -> None:
    suite.write({"test_case.py": "from app import settings\ndef test_it(): settings.MODE = 'x'\n"})
    run = suite.run(*TWO, "--dist=each", subprocess=True)
    assert run.told == ["test/function test_case.py::test_it rebound app.settings.MODE"]
    assert len(run.of_type("test")) == 2
    assert run.section[0] == "test_case.py::test_it left 1 place changed"

"""Failures that may be pollution: they are named with the command that proves it, and others are not."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.cli.main import parse

LEAKY = """
    from app import settings

    def test_sets():
        settings.MODE = "test"
    """
VICTIM = """
    from app import settings

    def test_live():
        assert settings.MODE == "live"
    """
STRANGER = """
    def test_sum():
        assert 1 + 1 == 3
    """


def hints(observed: Any) -> list[str]:
    lines = [line for line in observed.section if line.startswith(("may be pollution", "  prove it", "and "))]
    for line in lines:
        if line.startswith("  prove it: "):  # our own parser takes it
            program, *words = shlex.split(line.removeprefix("  prove it: "))
            assert program == "mcpsmoke"
            assert parse(words).victim
    return lines


def test_a_failure_after_a_leak_that_it_can_meet(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM, "test_c.py": STRANGER})
    assert hints(suite.run()) == [
        "may be pollution: test_b.py::test_live failed"
        " after test_a.py::test_sets had left app.settings.MODE changed",
        "  prove it: mcpsmoke culprit test_b.py::test_live --from leaks.jsonl",
    ]


def test_without_a_report_the_command_makes_its_own_run(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM})
    lines = hints(suite.run("-p", "xdist", "-W", "default", report=False))
    assert lines[1:] == ["  prove it: mcpsmoke culprit test_b.py::test_live -- -W default"]


def test_such_a_run_has_the_same_tests_in_the_same_way(suite: Any) -> None:
    suite.write({"of/test_a.py": LEAKY, "of/test_b.py": VICTIM, "other/test_c.py": STRANGER})
    kept = ["-k", "sets or live", "-m", "not slow", "--deselect=of/test_z.py", "--leaks-depth=3"]
    lines = hints(suite.run("-x", "-v", *kept, "of", report=False))
    (command,) = [shlex.split(line.removeprefix("  prove it: ")) for line in lines[1:]]
    assert command == ["mcpsmoke", "culprit", "of/test_b.py::test_live", "--", *kept, "of"]


@pytest.mark.parametrize("named", [["--pyargs", "test_a", "test_b"], ["@names.txt"]])
def test_names_that_the_command_cannot_repeat_leave_it_out(suite: Any, named: list[str]) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM, "names.txt": "test_a.py\ntest_b.py\n"})
    suite.pytester.syspathinsert()
    (line,) = hints(suite.run(*named, report=False))
    assert line.startswith("may be pollution: test_b.py::test_live ")
    assert len(hints(suite.run(*named))) == 2  # with a report there is nothing to repeat


@pytest.mark.parametrize(
    "files", [{"test_a.py": VICTIM.replace('live"', 'x"'), "test_b.py": LEAKY}, {"test_a.py": LEAKY}]
)
def test_no_failure_after_a_leak_no_hint(suite: Any, files: dict[str, str]) -> None:
    suite.write(files)
    assert hints(suite.run()) == []


def test_what_the_import_of_its_own_file_left_is_there_when_it_runs_alone(suite: Any) -> None:
    source = (
        "from app import settings\nsettings.MODE = 'x'\n\ndef test_live(): assert settings.MODE == 'live'\n"
    )
    suite.write({"test_a.py": source})
    assert hints(suite.run()) == []
    suite.write({"test_b.py": VICTIM})
    (line, _) = hints(suite.run())
    assert line == (
        "may be pollution: test_b.py::test_live failed"
        " after importing test_a.py had left app.settings.MODE changed"
    )


def test_what_was_put_back_polluted_nobody(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM.replace('live"', 'x"')})
    assert hints(suite.run("--leaks-restore")) == []


def test_a_leak_that_fails_its_own_test_is_no_victim(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": LEAKY.replace("sets", "sets_too").replace('"test"', '"b"')})
    assert hints(suite.run("--leaks=fail")) == []


def victims(number: int) -> dict[str, str]:
    many = "".join(VICTIM.replace("test_live", f"test_{at}") for at in range(number))
    return {"test_a.py": LEAKY, "test_b.py": many}


@pytest.mark.parametrize(
    ("number", "show", "named", "last"),
    [
        (8, (), 5, "and 3 more failures may be pollution"),
        (6, (), 5, "and 1 more failure may be pollution"),
        (5, (), 5, None),
        (52, (), 5, "and at least 45 more failures may be pollution"),
        (8, ("--leaks-show=all",), 8, None),
        (8, ("--leaks-show=16",), 2, "and 6 more failures may be pollution"),
    ],
)
def test_some_victims_are_named_and_the_others_counted(
    suite: Any, number: int, show: tuple[str, ...], named: int, last: str | None
) -> None:
    suite.write(victims(number))
    lines = hints(suite.run(*show))
    assert [line for line in lines if line.startswith("and ")] == ([last] if last else [])
    assert sum(line.startswith("may be") for line in lines) == named
    assert sum(line.startswith("  prove it") for line in lines) == named


@pytest.mark.parametrize("show", [3, 5, 10, 20, 40])
def test_a_section_is_no_longer_than_is_asked_for(suite: Any, show: int) -> None:
    suite.write(victims(9))
    section = suite.run(f"--leaks-show={show}").section
    assert len(section) <= show
    assert any("may be pollution" in line for line in section)


def test_subtests_that_fail_are_one_victim(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": LEAKY,
            "test_b.py": """
                import unittest
                from app import settings

                class Case(unittest.TestCase):
                    def test_live(self):
                        for number in range(3):
                            with self.subTest(number=number):
                                self.assertEqual(settings.MODE, "live")
                """,
        }
    )
    lines = hints(suite.run())
    assert len(lines) == 2
    assert lines[0].startswith("may be pollution: test_b.py::Case::test_live failed after ")


def test_a_set_up_that_fails_is_a_victim_too(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": LEAKY,
            "test_b.py": """
                import pytest
                from app import settings

                @pytest.fixture
                def live():
                    assert settings.MODE == "live"

                def test_it(live): pass
                """,
        }
    )
    assert hints(suite.run())[0].startswith("may be pollution: test_b.py::test_it failed after ")


AMBIENT = {
    "cwd": ("import os\n\ndef test_leaves(tmp_path): os.chdir(tmp_path)\n", "os.getcwd()"),
    "logging": (
        "import logging\n\ndef test_leaves(): logging.disable(50)\n",
        "logging.root.manager.disable",
    ),
    "environ": (
        "import os\n\ndef test_leaves(): os.environ['PROXY_MODE'] = 'x'\n",
        "os.environ['PROXY_MODE']",
    ),
}
MEETS = {
    "cwd": "def test_it(): assert open('pytest.ini').close()\n",
    "logging": "import logging\n\ndef test_it(caplog): assert caplog.messages\n",
    "environ": "import os\n\ndef test_it(): assert os.getenv('PROXY_MODE') is None\n",
}


@pytest.mark.parametrize("kind", AMBIENT)
def test_ambient_state_is_met_without_its_module(suite: Any, kind: str) -> None:
    source, place = AMBIENT[kind]
    suite.write({"pytest.ini": "[pytest]\n", "test_a.py": source, "test_b.py": MEETS[kind]})
    assert hints(suite.run(subprocess=True))[0].endswith(f" had left {place} changed")


@pytest.mark.parametrize("kind", ["logging", "environ"])
def test_who_has_nothing_to_do_with_it_is_not_named(suite: Any, kind: str) -> None:
    suite.write({"test_a.py": AMBIENT[kind][0], "test_b.py": STRANGER})
    assert hints(suite.run(subprocess=True)) == []


def test_the_place_that_is_met_goes_before_what_may_be_felt(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": AMBIENT["cwd"][0], "test_c.py": VICTIM})
    assert hints(suite.run(subprocess=True))[0].endswith(" had left app.settings.MODE changed")


def test_only_what_ran_in_the_same_worker_counts(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY + VICTIM, "test_b.py": VICTIM.replace('live"', 'x"')})
    apart = suite.run("-p", "xdist", "-n", "2", "--dist", "loadfile", subprocess=True)
    workers = {test["nodeid"]: test["worker"] for test in apart.of_type("test")}
    assert (
        workers["test_a.py::test_sets"] == workers["test_a.py::test_live"] != workers["test_b.py::test_live"]
    )
    assert [test["outcome"] for test in apart.of_type("test")].count("failed") == 2
    (line, _) = hints(apart)
    assert line.startswith("may be pollution: test_a.py::test_live failed after test_a.py::test_sets ")
    one = suite.run("-p", "xdist", "-n", "1", subprocess=True)
    assert len(hints(one)) == 4


def test_a_test_that_two_workers_run_is_one_victim(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM})
    both = suite.run("-p", "xdist", "--dist", "each", "--tx", "2*popen", subprocess=True)
    assert [test["outcome"] for test in both.of_type("test")].count("failed") == 2
    assert len(hints(both)) == 2


def proves(observed: Any, folder: Path) -> dict[str, Any]:
    """Run the command that is printed, and return what it concludes."""
    (command,) = (line.removeprefix("  prove it: ") for line in hints(observed) if "prove it" in line)
    program, name, *words = shlex.split(command)
    assert (program, name) == ("mcpsmoke", "culprit")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest_mcpsmoke.cli", name, "--json", *words],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


FOLDER = {
    "pytest.ini": "[pytest]\npythonpath = .\n",
    "conftest.py": "",
    "of/test_a.py": LEAKY,
    "of/test_b.py": VICTIM,
    "of/test_c.py": STRANGER,
    "slow/test_d.py": "def test_never(): raise SystemExit('not asked for')\n",
}


@pytest.mark.parametrize("spread", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "worker"])
@pytest.mark.parametrize("report", [True, False], ids=["report", "anew"])
def test_the_command_proves_it(suite: Any, report: bool, spread: tuple[str, ...]) -> None:
    suite.write(FOLDER)
    told = proves(suite.run(*spread, "of", subprocess=True, report=report), suite.path)
    assert (told["verdict"], told["polluters"]) == ("victim", ["of/test_a.py::test_sets"])
    assert [place["place"] for place in told["places"]] == ["app.settings.MODE"]
    watched = sys.version_info < (3, 12)  # no line is observed there: a process more tells it
    assert told["runs"] == (3 if report else 4) + watched


def test_the_command_proves_it_where_pytest_was_started(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write(FOLDER)
    monkeypatch.chdir(suite.path / "of")
    observed = suite.run(subprocess=True, report=False)
    assert hints(observed)[1] == "  prove it: mcpsmoke culprit test_b.py::test_live"
    assert proves(observed, suite.path / "of")["polluters"] == ["of/test_a.py::test_sets"]


@pytest.mark.parametrize("report", [True, False], ids=["report", "anew"])
def test_the_command_proves_it_in_a_random_order(suite: Any, report: bool) -> None:
    pytest.importorskip("pytest_randomly")
    more = "".join(f"def test_clean_{at}(): pass\n" for at in range(3))
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM, "test_c.py": more})
    for seed in range(20):
        observed = suite.run(
            "-p", "pytest_randomly", f"--randomly-seed={seed}", subprocess=True, report=report
        )
        if observed.result.ret == pytest.ExitCode.TESTS_FAILED:
            break
    ways = "--from leaks.jsonl" if report else f"--seed {seed}"
    assert hints(observed)[1] == f"  prove it: mcpsmoke culprit test_b.py::test_live {ways}"
    told = proves(observed, suite.path)
    assert told["polluters"] == ["test_a.py::test_sets"]

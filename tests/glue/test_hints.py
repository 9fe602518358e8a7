"""Failures that may be pollution: they are named with the command that proves it, and others are not."""

from __future__ import annotations

import shlex
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


@pytest.mark.parametrize(
    "files", [{"test_a.py": VICTIM.replace('live"', 'x"'), "test_b.py": LEAKY}, {"test_a.py": LEAKY}]
)
def test_no_failure_after_a_leak_no_hint(suite: Any, files: dict[str, str]) -> None:
    suite.write(files)
    assert hints(suite.run()) == []


def test_what_was_put_back_polluted_nobody(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM.replace('live"', 'x"')})
    assert hints(suite.run("--leaks-restore")) == []


def test_a_leak_that_fails_its_own_test_is_no_victim(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": LEAKY.replace("sets", "sets_too").replace('"test"', '"b"')})
    assert hints(suite.run("--leaks=fail")) == []


def test_many_victims_are_counted(suite: Any) -> None:
    many = VICTIM + "".join(
        f"""
    def test_{at}():
        assert settings.MODE == "live"
    """
        for at in range(7)
    )
    suite.write({"test_a.py": LEAKY, "test_b.py": many})
    lines = hints(suite.run())
    assert len(lines) == 11
    assert lines[-1] == "and 3 more failures may be pollution"


def test_only_what_ran_in_the_same_worker_counts(suite: Any) -> None:
    suite.write({"test_a.py": LEAKY, "test_b.py": VICTIM.replace('live"', 'x"')})
    apart = suite.run("-p", "xdist", "-n", "2", "--dist", "loadfile", subprocess=True)
    workers = {test["nodeid"]: test["worker"] for test in apart.of_type("test")}
    assert len(set(workers.values())) == 2
    assert hints(apart) == []
    one = suite.run("-p", "xdist", "-n", "1", subprocess=True)
    assert len(hints(one)) == 2

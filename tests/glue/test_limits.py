"""--leaks-depth, --leaks-size, --leaks-unread, their ini keys, and what is said of what was not read."""

from __future__ import annotations

import time
from typing import Any

import pytest

XDIST = ("-p", "xdist", "-n", "2")
T = "test_case.py"
SUMMARY = "1 leak left by 1 test; 0 warm-ups, 0 allowed"
PROGRAM = {
    "app/tree.py": """
        class Box:
            kept = {"a": {"b": {"c": 1}}}

        TREE = {"db": {"pool": {"size": 5}}}
        JOBS = list(range(200))
        """
}
CHANGES = """
from app import settings, tree

def test_deep(): tree.TREE["db"]["pool"]["size"] = 50

def test_class(): tree.Box.kept["a"]["b"]["c"] = 2

def test_last(): tree.JOBS[-1] = None

def test_first(): tree.JOBS[0] = None

def test_longer(): tree.JOBS.append(1)
"""
DEEP = f"test/function {T}::test_deep rebound app.tree.TREE['db']['pool']['size']"
CLASS = f"test/function {T}::test_class rebound app.tree.Box.kept['a']['b']['c']"
LAST, FIRST, LONGER = (
    f"test/function {T}::test_{name} mutated app.tree.JOBS" for name in ("last", "first", "longer")
)


def write(suite: Any, source: str = CHANGES, **files: str) -> None:
    suite.write({**PROGRAM, T: source, **files})


def ini(*lines: str) -> dict[str, str]:
    return {"pytest.ini": "\n".join(["[pytest]", *lines, ""])}


def notes(run: Any) -> list[str]:
    return [note["text"] for note in run.of_type("note") if " app." in note["text"]]


@pytest.mark.parametrize(
    ("way", "depth", "told"),
    [
        ("option", 0, []),
        ("option", 1, []),
        ("ini", 1, []),
        ("option", 2, [DEEP, CLASS]),
        ("ini", 8, [DEEP, CLASS]),
    ],
)
def test_depth(suite: Any, way: str, depth: int, told: list[str]) -> None:
    write(suite, **(ini(f"mcpsmoke_depth = {depth}") if way == "ini" else {}))
    args = () if way == "ini" else (f"--leaks-depth={depth}",)
    run = suite.run(*args, "-k", "deep or class")
    assert run.told == told
    cut = {0: ["TREE['db']", "Box.kept['a']"], 1: ["TREE['db']['pool']", "Box.kept['a']['b']"]}.get(depth, [])
    texts = [f"not read whole: app.tree.{place} (deeper than {depth})" for place in cut]
    assert sorted(notes(run)) == sorted(texts)
    if not told:
        assert run.section == []


@pytest.mark.parametrize(
    ("way", "size", "told"),
    [
        ("option", 0, [LONGER]),
        ("option", 1, [FIRST, LONGER]),
        ("ini", 199, [FIRST, LONGER]),
        ("option", 200, [LAST, FIRST, LONGER]),
    ],
)
def test_size(suite: Any, way: str, size: int, told: list[str]) -> None:
    write(suite, **(ini(f"mcpsmoke_size = {size}") if way == "ini" else {}))
    args = () if way == "ini" else (f"--leaks-size={size}",)
    run = suite.run(*args, "-k", "last or first or longer")
    assert run.told == told
    text = f"not read whole: app.tree.JOBS (more than {size} items)"
    assert notes(run).count(text) == 1
    assert run.section.count(text) == 1


def test_the_option_wins_over_the_ini_key(suite: Any) -> None:
    write(suite, **ini("mcpsmoke_size = 100", "mcpsmoke_depth = 1"))
    assert suite.run("-k", "last or deep").told == []
    assert suite.run("-k", "last or deep", "--leaks-size=500", "--leaks-depth=8").told == [DEEP, LAST]


def test_the_text_of_what_was_not_read_whole(suite: Any) -> None:
    write(suite)
    run = suite.run("--leaks-size=100", "-k", "first")
    assert run.section == [
        f"{T}::test_first left 1 place changed",
        "  app.tree.JOBS   mutated: first of 200: [0, 1, 2, 3, … 96 more]"
        " -> first of 200: [None, 1, 2, 3, … 96 more]",
        f"      {T}:9  def test_first(): tree.JOBS[0] = None  (searched)",
        '      use: change a copy: monkeypatch.setattr("app.tree.JOBS", app.tree.JOBS.copy())',
        f"  again: pytest -p mcpsmoke --leaks-size=100 {T}::test_first",
        SUMMARY,
        *[note["text"] for note in run.of_type("note")],
    ]
    assert "not read whole: app.tree.JOBS (more than 100 items)" in run.section


@pytest.mark.parametrize("mode", ["report", "fail"])
def test_what_was_not_read_is_told_only_beside_findings(suite: Any, mode: str) -> None:
    write(suite, "from app import tree\n\ndef test_it(): assert tree.JOBS\n")
    run = suite.run("--leaks-size=100", f"--leaks={mode}")
    assert "not read whole: app.tree.JOBS (more than 100 items)" in notes(run)
    assert "not read whole" not in run.result.stdout.str()
    run.result.assert_outcomes(passed=1)


def test_both_workers_say_it_once(suite: Any) -> None:
    pytest.importorskip("xdist")
    write(suite, **{"test_other.py": "from app import tree\n\ndef test_other(): assert tree.JOBS\n"})
    run = suite.run("--leaks-size=100", "-k", "first or other", *XDIST, "--dist=loadfile", subprocess=True)
    text = "not read whole: app.tree.JOBS (more than 100 items)"
    assert (run.section.count(text), notes(run).count(text)) == (1, 1)
    assert run.told == [FIRST]


def test_a_list_that_grows_beyond_the_limit(suite: Any) -> None:
    source = """
from app import tree

def test_it(): tree.JOBS.extend(range(300))
def test_later(): tree.JOBS[0] = None
"""
    write(suite, source)
    run = suite.run("--leaks-size=400")
    assert [leak["owner"] for leak in run.leaks] == [f"{T}::test_it", f"{T}::test_later"]
    assert run.section.count("not read whole: app.tree.JOBS (more than 400 items)") == 1


# values that are none


BAD = [
    ("--leaks-depth=some", "--leaks-depth=some"),
    ("--leaks-depth=-1", "--leaks-depth=-1"),
    ("--leaks-depth=", "--leaks-depth="),
    ("--leaks-size=1.5", "--leaks-size=1.5"),
    ("--leaks-size=1e6", "--leaks-size=1e6"),
    ("--override-ini=mcpsmoke_depth=deep", "ini mcpsmoke_depth=deep"),
    ("--override-ini=mcpsmoke_size=-5", "ini mcpsmoke_size=-5"),
]


def refused(run: Any) -> list[str]:
    every = run.result.outlines + run.result.errlines
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(every)
    assert not [line for line in every if "Traceback" in line or "INTERNALERROR" in line]
    assert run.records == []
    return [line for line in every if line.startswith("ERROR: ") or "error: " in line]


@pytest.mark.parametrize(("option", "named"), BAD)
def test_a_value_that_is_no_number(suite: Any, option: str, named: str) -> None:
    write(suite)
    assert refused(suite.run(option)) == [f"ERROR: {named}: a number from 0 on is wanted"]


@pytest.mark.parametrize(("option", "named"), [BAD[0], BAD[-1]])
def test_a_value_that_is_no_number_with_workers(suite: Any, option: str, named: str) -> None:
    pytest.importorskip("xdist")
    write(suite)
    run = suite.run(option, *XDIST, subprocess=True)
    assert refused(run) == [f"ERROR: {named}: a number from 0 on is wanted"]


def test_digits_of_other_scripts_are_read_or_refused(suite: Any) -> None:
    write(suite, "def test_it(): pass\n")
    assert refused(suite.run("--leaks-size=²")) == ["ERROR: --leaks-size=²: a number from 0 on is wanted"]
    suite.run("--leaks-size=٣").result.assert_outcomes(passed=1)


# what is left alone

STATE = """
from app import settings, tree

def test_it():
    settings.MODE = "x"
    settings.Client.retries = 4
    tree.TREE["db"]["pool"]["size"] = 50
    tree.JOBS.append(1)
"""
PLACES = {
    "app.settings.MODE",
    "app.settings.Client.retries",
    "app.tree.TREE['db']['pool']['size']",
    "app.tree.JOBS",
}


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["app.settings"], {"app.tree.TREE['db']['pool']['size']", "app.tree.JOBS"}),
        (["app.settings.Client"], PLACES - {"app.settings.Client.retries"}),
        (["app.tree.TREE"], PLACES - {"app.tree.TREE['db']['pool']['size']"}),
        (["app.tree.TREE['db']"], PLACES - {"app.tree.TREE['db']['pool']['size']"}),
        (["app.tree.T?EE", "app.tree.J*"], {"app.settings.MODE", "app.settings.Client.retries"}),
        (["app.*"], set()),
        (["app.other"], PLACES),
    ],
)
@pytest.mark.parametrize("way", ["option", "ini"])
def test_unread(suite: Any, way: str, globs: list[str], left: set[str]) -> None:
    write(
        suite, STATE, **(ini("mcpsmoke_unread =", *(f"    {glob}" for glob in globs)) if way == "ini" else {})
    )
    args = [f"--leaks-unread={glob}" for glob in globs] if way == "option" else []
    run = suite.run(*args)
    assert {leak["place"] for leak in run.leaks} == left


def test_the_option_adds_to_the_ini_key(suite: Any) -> None:
    write(suite, STATE, **ini("mcpsmoke_unread = app.settings"))
    assert {leak["place"] for leak in suite.run("--leaks-unread=app.tree.JOBS").leaks} == {
        "app.tree.TREE['db']['pool']['size']"
    }


def test_the_value_of_a_fixture_can_be_left_alone(suite: Any) -> None:
    source = """
import pytest

@pytest.fixture(scope="module")
def rows(): return []

def test_it(rows): rows.append(1)
"""
    write(suite, source)
    assert suite.run().told == [f"test/function {T}::test_it mutated fixture rows"]
    assert suite.run("--leaks-unread=fixture rows").told == []


# much


def test_a_list_of_a_million(suite: Any) -> None:
    source = """
from app import tree

def test_it():
    tree.JOBS.extend(range(10**6))

def test_first():
    tree.JOBS[0] = None

def test_last():
    tree.JOBS[-1] = None
"""
    write(suite, source + "".join(f"\ndef test_{number}(): pass\n" for number in range(50)))
    begin = time.process_time()  # seconds in which this process ran: others may keep it from that
    run = suite.run()
    took = time.process_time() - begin
    assert run.told == [
        f"test/function {T}::test_it mutated app.tree.JOBS",
        f"test/function {T}::test_first mutated app.tree.JOBS",
    ]
    assert run.section[-1] == "not read whole: app.tree.JOBS (more than 10,000 items)"
    assert took < 5.0
    run.result.assert_outcomes(passed=53)


def test_a_long_list_that_is_read_whole(suite: Any) -> None:
    source = (
        "from app import tree\n\ntree.JOBS = list(range(10**5))\n\ndef test_last(): tree.JOBS[-1] = None\n"
    )
    write(suite, source)
    run = suite.run("--leaks-size=200000", "--leaks-restore")
    assert [(leak["place"], leak["restored"]) for leak in run.leaks if leak["owner_kind"] == "test"] == [
        ("app.tree.JOBS", True)
    ]

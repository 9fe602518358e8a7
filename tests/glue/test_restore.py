"""--leaks-restore: what a run puts back, what it says of it, and what somebody outside sees."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

LAZY = """
    _pool = None

    def pool():
        global _pool
        if _pool is None:
            _pool = []
        return _pool
    """
XDIST = ("-p", "xdist", "-n", "2")
T = "test_case.py"
PROGRAM = {
    "app/registry.py": """
        class Pool:
            limits = {"max": 5}
            retries = 3

            def __init__(self):
                self.size = 5

        TREE = {"db": {"pool": {"size": 5}}, "log": 1}
        JOBS = [1, 2]
        TAGS = {"a"}
        POOL = Pool()
        MODE = "live"
        HELD = JOBS
        SEALED = (n for n in range(3))
        """,
    "app/borrower.py": "from app.registry import JOBS, TREE\n",
}
HEAD = "import pytest\nfrom app import registry\n\n"
# The outside observer: it wraps the whole protocol of each test, and knows nothing of the plugin.
OBSERVER = """
import json, logging, os, sys
import pytest
from app import borrower, registry

KEPT = {"TREE": registry.TREE, "inner": registry.TREE["db"]["pool"], "JOBS": registry.JOBS,
        "TAGS": registry.TAGS, "POOL": registry.POOL, "limits": registry.Pool.limits}

def look():
    logger = logging.getLogger("app")
    now = {"TREE": registry.TREE, "JOBS": registry.JOBS, "TAGS": registry.TAGS, "POOL": registry.POOL,
           "limits": registry.Pool.limits}
    try:
        now["inner"] = registry.TREE["db"]["pool"]
    except KeyError:
        pass
    return {
        "same": sorted(name for name, value in now.items() if value is KEPT[name]),
        "values": [repr(borrower.TREE), repr(borrower.JOBS), repr(registry.TAGS), repr(vars(KEPT["POOL"])),
                   repr(KEPT["limits"])],
        "names": {name: repr(value) for name, value in vars(registry).items() if type(value) in (str, int)},
        "class": sorted((name, repr(value)) for name, value in vars(registry.Pool).items()
                        if not name.startswith("__")),
        "environ": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "cwd": os.getcwd(),
        "modules": {name: "fake_sdk" if sys.modules.get(name) is None else type(sys.modules[name]).__name__
                    for name in ("app", "json", "fake_sdk", "app.registry", "http") if name in sys.modules},
        "path": [each for each in sys.path if each],
        "logging": [logger.level, logger.propagate, logger.disabled, repr(logger.handlers),
                    logging.root.manager.disable],
        "files": sorted(name for name in os.listdir(ROOT) if not name.startswith(("seen", "leaks", "__"))),
    }

ROOT = os.path.dirname(__file__)

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    before = look()
    result = yield
    after = look()
    with open(os.path.join(ROOT, "seen.jsonl"), "a") as file:
        differs = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
        file.write(json.dumps([item.name, differs]) + chr(10))
    return result
"""
# One test each: the section of the observer that sees it without restoring.
LEAKS = {
    "name": ("registry.MODE = 'test'", {"names"}),
    "name removed": ("del registry.MODE", {"names"}),
    "name added": ("registry.EXTRA = 'x'", {"names"}),
    "class attribute": ("registry.Pool.retries = 9", {"class"}),
    "class attribute added": ("registry.Pool.extra = 9", {"class"}),
    "instance": ("registry.POOL.size = 9; registry.POOL.extra = 1", {"values"}),
    "instance rebound": ("registry.POOL = registry.Pool()", {"same"}),
    "nested dict": ("registry.TREE['db']['pool']['size'] = 50", {"values"}),
    "key removed": ("del registry.TREE['db']", {"values", "same"}),
    "dict cleared": ("registry.TREE.clear()", {"values", "same"}),
    "removed, and changed inside": (
        "pool = registry.TREE['db']['pool']; del registry.TREE['db']; pool['size'] = 9; pool['x'] = 1",
        {"values", "same"},
    ),
    "order of keys": ("registry.TREE['db'] = registry.TREE.pop('db')", {"values"}),
    "list": ("registry.JOBS.append(3); registry.JOBS[0] = 0", {"values"}),
    "list rebound, and changed": ("registry.JOBS.append(3); registry.JOBS = []", {"values", "same"}),
    "set": ("registry.TAGS.add('b'); registry.TAGS.discard('a')", {"values"}),
    "environ": ("os.environ['MODE'] = 'x'; os.environ.pop('KEPT')", {"environ"}),
    "cwd": ("os.chdir('app')", {"cwd"}),
    "stub": ("sys.modules['fake_sdk'] = types.ModuleType('fake_sdk')", {"modules"}),
    "blocked module": ("sys.modules['json'] = None", {"modules"}),
    "module removed": ("del sys.modules['http']", {"modules"}),
    "path": ("sys.path.insert(0, '/nowhere')", {"path"}),
    "logger": ("L.setLevel(10); L.propagate = False; L.addHandler(logging.NullHandler())", {"logging"}),
    "logging.disable": ("logging.disable(50)", {"logging"}),
    "file": ("pathlib.Path('left.txt').write_text('x')", {"files"}),
}
IMPORTS = "import http, json, logging, os, pathlib, sys, types\nL = logging.getLogger('app')\n"


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the made-up tests leave in this process is undone here."""
    here, logger = os.getcwd(), logging.getLogger("app")
    monkeypatch.setenv("KEPT", "yes")
    environ = dict(os.environ)
    yield
    os.chdir(here)
    os.environ.clear()
    os.environ.update(environ)
    logger.level, logger.propagate, logger.handlers[:] = 0, True, []
    logging.disable(0)


def write(suite: Any, source: str, **files: str) -> None:
    suite.write({**PROGRAM, T: HEAD + source, **files})


def seen(suite: Any) -> dict[str, dict[str, Any]]:
    """What differs after each test, by its name, as the outside observer saw it."""
    lines = (suite.path / "seen.jsonl").read_text(encoding="utf-8").splitlines()
    return dict(json.loads(line) for line in lines)


@pytest.mark.parametrize(("line", "where"), LEAKS.values(), ids=LEAKS)
def test_an_outside_observer_agrees(suite: Any, line: str, where: set[str]) -> None:
    write(suite, f"{IMPORTS}def test_it():\n    {line}\n", **{"conftest.py": OBSERVER})
    run = suite.run("--leaks-restore")
    assert seen(suite) == {"test_it": {}}
    assert {finding["restored"] for finding in run.leaks} == {True}, run.section
    assert "not put back" not in run.result.stdout.str()
    told = [each for each in run.section if "   " in each.strip() and not each.startswith("      ")]
    assert len(told) == len(run.leaks)
    assert all(each.endswith(", put back") for each in told)


def test_without_restoring_the_observer_sees_each(suite: Any) -> None:
    """The proof that the observer can disagree."""
    for number, (line, where) in enumerate(LEAKS.values()):
        write(suite, f"{IMPORTS}def test_it():\n    {line}\n", **{"conftest.py": OBSERVER})
        (suite.path / "seen.jsonl").unlink(missing_ok=True)
        run = suite.run(report=number == 0, subprocess=False)
        assert seen(suite)["test_it"].keys() >= where, (line, run.section)
        os.chdir(suite.path)
        os.environ["KEPT"] = "yes"
        os.environ.pop("MODE", None)
        (suite.path / "left.txt").unlink(missing_ok=True)
        logging.disable(0)
        logger = logging.getLogger("app")
        logger.level, logger.propagate, logger.handlers[:] = 0, True, []


@pytest.mark.parametrize("spread", [(), XDIST], ids=["alone", "workers"])
def test_all_of_them_in_one_run(suite: Any, spread: tuple[str, ...]) -> None:
    if spread:
        pytest.importorskip("xdist")
    tests = [f"def test_{number}():\n    {line}\n" for number, (line, _) in enumerate(LEAKS.values())]
    write(suite, IMPORTS + "\n".join(tests), **{"conftest.py": OBSERVER})
    run = suite.run("--leaks-restore", *spread, subprocess=True)
    differs = seen(suite)
    if spread:  # a worker sees the files of the other one come and go
        differs = {
            name: {key: one for key, one in each.items() if key != "files"} for name, each in differs.items()
        }
        assert not (suite.path / "left.txt").exists()
    assert differs == {f"test_{number}": {} for number in range(len(LEAKS))}
    assert len({finding["owner"] for finding in run.leaks}) == len(LEAKS)
    assert [finding for finding in run.leaks if finding["restored"] is not True] == []
    run.result.assert_outcomes(passed=len(LEAKS))


def test_the_text(suite: Any) -> None:
    write(suite, "def test_it():\n    registry.JOBS.append(3)\n")
    assert suite.run("--leaks-restore").section == [
        f"{T}::test_it left 1 place changed",
        "  app.registry.JOBS   mutated: [1, 2] -> [1, 2, 3], put back",
        f"      {T}:5  registry.JOBS.append(3)  (searched)",
        '      use: change a copy: monkeypatch.setattr("app.registry.JOBS", app.registry.JOBS.copy())',
        f"  again: pytest -p mcpsmoke {T}::test_it",
        "1 leak left by 1 test; 0 warm-ups, 0 allowed",
    ]


def test_what_cannot_be_put_back(suite: Any) -> None:
    write(suite, "def test_it():\n    next(registry.SEALED)\n    registry.MODE = 'x'\n")
    run = suite.run("--leaks-restore", "--leaks-engine=scan")
    by_place = {finding["place"]: finding for finding in run.leaks}
    sealed = by_place["app.registry.SEALED"]
    assert sealed["restored"] is False
    assert sealed["reason"]
    assert by_place["app.registry.MODE"]["restored"] is True
    at = next(number for number, line in enumerate(run.section) if "app.registry.SEALED" in line)
    assert not run.section[at].endswith("put back")
    assert run.section[at + 2] == f"      not put back: {sealed['reason']}"
    assert run.result.stdout.str().count("not put back") == 1


@pytest.mark.parametrize("mode", ["report", "fail"])
def test_only_what_matches(suite: Any, mode: str) -> None:
    source = """
def test_it():
    registry.MODE = "x"
    registry.TREE["log"] = 2
    registry.TREE["db"]["pool"]["size"] = 9
    registry.JOBS.append(3)

def test_later():
    assert (registry.MODE, registry.TREE["log"]) == ("x", 1)
    assert (registry.TREE["db"]["pool"]["size"], registry.JOBS) == (5, [1, 2, 3])
"""
    write(suite, source)
    run = suite.run("--leaks-restore-only=app.registry.TREE['log']", "--leaks-restore-only=*size'?",
                    f"--leaks={mode}")  # fmt: skip
    assert {finding["place"]: finding["restored"] for finding in run.leaks} == {
        "app.registry.MODE": None,
        "app.registry.TREE['log']": True,
        "app.registry.TREE['db']['pool']['size']": True,
        "app.registry.JOBS": None,
    }
    run.result.assert_outcomes(passed=2, errors=int(mode == "fail"))


def test_only_wins_over_all(suite: Any) -> None:
    write(suite, "def test_it():\n    registry.MODE = 'x'\n    registry.JOBS.append(3)\n")
    run = suite.run("--leaks-restore", "--leaks-restore-only=app.registry.JOBS")
    assert {finding["place"]: finding["restored"] for finding in run.leaks} == {
        "app.registry.MODE": None,
        "app.registry.JOBS": True,
    }


@pytest.mark.parametrize("option", ["--leaks-restore", "--leaks-restore-only=*MODE", "--leaks-undo=*MODE"])
def test_what_a_spared_test_left_stays(suite: Any, option: str) -> None:
    source = """
def test_spared():
    registry.MODE = "x"

def test_between():
    registry.MODE = "y"

def test_later():
    assert registry.MODE == "x"
"""
    write(suite, source)
    run = suite.run(option, f"--leaks-spare={T}::test_spared")
    run.result.assert_outcomes(passed=3)
    assert {finding["owner"]: finding["restored"] for finding in run.leaks} == {
        f"{T}::test_spared": None,
        f"{T}::test_between": True,
    }


WIDE = """
@pytest.fixture(scope="module")
def wide():
    registry.TREE["db"]["pool"]["size"] = 1
    registry.MODE = "wide"
    yield
    {end}

def test_one(wide):
    registry.TREE["log"] = 2
    registry.JOBS.append(3)

def test_two(wide):
    assert registry.TREE == {{"db": {{"pool": {{"size": 1}}}}, "log": 1}}
    assert (registry.MODE, registry.JOBS) == ("wide", [1, 2])
"""
AFTER = """
from app import registry

def test_after():
    assert (registry.TREE["db"]["pool"]["size"], registry.MODE) == (5, "live")
"""


@pytest.mark.parametrize(
    ("end", "left"),
    [
        ('registry.TREE["db"]["pool"]["size"] = 5; registry.MODE = "live"', 0),
        ("pass", 2),
    ],
    ids=["puts back", "forgets"],
)
def test_what_a_wide_fixture_owns_is_not_touched_before_its_end(suite: Any, end: str, left: int) -> None:
    write(suite, WIDE.format(end=end), **{"test_later.py": AFTER})
    run = suite.run("--leaks-restore")
    run.result.assert_outcomes(passed=3)
    assert [(finding["owner"], finding["restored"]) for finding in run.leaks] == [
        *[(f"{T}::test_one", True)] * 2,
        *[(f"{T}::wide", True)] * left,
    ]


def test_a_wide_fixture_that_wrote_the_place_after_the_test(suite: Any) -> None:
    """Its finaliser runs before the test's time is over."""
    source = """
@pytest.fixture(scope="module")
def wide():
    yield
    registry.MODE = "closed"

def test_one(wide):
    registry.MODE = "x"
"""
    later = 'from app import registry\n\ndef test_later(): assert registry.MODE == "{}"\n'
    write(suite, source, **{"test_later.py": later.format("live")})
    run = suite.run("--leaks-restore", "--leaks-engine=scan")
    assert run.told == [f"fixture/module {T}::wide rebound app.registry.MODE"] or run.told == [
        f"fixture/module {T}::wide rebound app.registry.MODE",
        f"test/function {T}::test_one rebound app.registry.MODE",
    ]
    run.result.assert_outcomes(passed=2)


def test_a_place_that_somebody_else_wrote_since(suite: Any) -> None:
    source = """
@pytest.fixture(scope="module")
def wide():
    yield
    registry.JOBS.append("closed")

def test_one(wide):
    registry.JOBS.append("test")
"""
    write(suite, source)
    run = suite.run("--leaks-restore-only=nothing")
    owners = [finding["owner"] for finding in run.leaks]
    write(suite, source)
    again = suite.run("--leaks-restore")
    assert [finding["owner"] for finding in again.leaks] == owners
    for finding in again.leaks:
        if finding["restored"] is False:
            assert finding["reason"] == "somebody else has written it since"
    assert any(finding["restored"] for finding in again.leaks)


ALLOWED = {
    "marker": ('@pytest.mark.allow_leak("app.registry.JOBS", reason="grows")\n', ()),
    "ini": ("", ("-o", "mcpsmoke_allow=app.registry.JOBS  # grows")),
}


@pytest.mark.parametrize(("marker", "args"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_stays(suite: Any, marker: str, args: tuple[str, ...]) -> None:
    source = f"""
{marker}def test_it():
    registry.JOBS.append(3)
    registry.TAGS.add("b")

def test_later():
    assert (registry.JOBS, registry.TAGS) == ([1, 2, 3], {{"a"}})
"""
    write(suite, source)
    run = suite.run("--leaks-restore", *args)
    found = [(each["place"], each["verdict"], each["restored"]) for each in run.of_type("finding")]
    assert sorted(found) == [
        ("app.registry.JOBS", "allowed", None),
        ("app.registry.TAGS", "leak", True),
    ]
    run.result.assert_outcomes(passed=2)


def test_warm_ups_stay(suite: Any) -> None:
    source = "from app import lazy\n\ndef test_it(): lazy.pool()\ndef test_later(): assert lazy._pool == []\n"
    write(suite, source, **{"app/lazy.py": LAZY})
    run = suite.run("--leaks-restore")
    assert [(each["verdict"], each["restored"]) for each in run.of_type("finding")] == [("warm-up", None)]
    run.result.assert_outcomes(passed=2)


def test_a_test_that_leaks_fails_even_though_its_leak_is_put_back(suite: Any) -> None:
    write(
        suite,
        "def test_it():\n    registry.JOBS.append(3)\n\ndef test_two(): assert len(registry.JOBS) == 2\n",
    )
    run = suite.run("--leaks-restore", "--leaks=fail")
    run.result.assert_outcomes(passed=2, errors=1)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    lines = run.result.outlines
    at = next(number for number, line in enumerate(lines) if "ERROR at teardown of test_it" in line)
    assert lines[at + 2] == "  app.registry.JOBS   mutated: [1, 2] -> [1, 2, 3], put back"


def test_what_a_conftest_or_a_test_modules_import_changed_is_put_back(suite: Any) -> None:
    write(suite, "registry.JOBS.append(3)\n\ndef test_it(): assert registry.JOBS == [1, 2]\n")
    run = suite.run("--leaks-restore")
    assert [(each["owner_kind"], each["restored"]) for each in run.leaks] == [("module", True)]
    run.result.assert_outcomes(passed=1)


def test_a_module_is_never_un_imported(suite: Any) -> None:
    source = """
import sys

def test_it():
    import app.late
    app.late.MODE = "x"

def test_later():
    import app.late
    assert sys.modules["app.late"].MODE == "live"
    assert app.late.COUNT == [1]
"""
    late = "import builtins\n\nMODE = 'live'\nCOUNT = [1]\n"
    write(suite, source, **{"app/late.py": late})
    run = suite.run("--leaks-restore")
    assert [(each["place"], each["restored"]) for each in run.leaks] == [("app.late.MODE", True)]
    run.result.assert_outcomes(passed=2)


def test_a_name_that_stayed_bound_to_a_stub_is_said_to_stay(suite: Any) -> None:
    source = """
import sys, types

def test_it():
    sys.modules["sdk"] = types.SimpleNamespace(Client=object())
    from app import gateway

def test_later():
    assert "sdk" not in sys.modules
    assert "app.gateway" in sys.modules
"""
    write(suite, source, **{"app/gateway.py": "from sdk import Client\n"})
    run = suite.run("--leaks-restore")
    assert {each["place"]: (each["restored"], each["reason"]) for each in run.leaks} == {
        "sys.modules['sdk']": (True, None),
        "app.gateway": (False, "a module is never un-imported"),
    }
    run.result.assert_outcomes(passed=2)


VICTIM = """
{first}

{second}
"""
POLLUTER = "def test_polluter():\n    registry.TREE['db']['pool'] = {}\n    registry.MODE = None\n"
READER = "def test_victim():\n    assert registry.TREE['db']['pool']['size'] == 5\n    assert registry.MODE\n"


@pytest.mark.parametrize("order", [(POLLUTER, READER), (READER, POLLUTER)], ids=["before", "after"])
def test_a_victim_passes_in_any_order(suite: Any, order: tuple[str, str]) -> None:
    write(suite, "\n".join(order))
    suite.run("--leaks-restore").result.assert_outcomes(passed=2)
    is_hit = order[0] is POLLUTER
    suite.run().result.assert_outcomes(passed=2 - is_hit, failed=int(is_hit))


def test_a_victim_in_the_polluters_worker(suite: Any) -> None:
    pytest.importorskip("xdist")
    write(suite, POLLUTER + "\n" + READER, **{"test_other.py": "def test_other(): pass\n"})
    spread = (*XDIST, "--dist=loadfile")
    suite.run(*spread, subprocess=True).result.assert_outcomes(passed=2, failed=1)
    run = suite.run("--leaks-restore", *spread, subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert {finding["restored"] for finding in run.leaks} == {True}
    assert sum(line.endswith(", put back") for line in run.section) == len(run.leaks) == 2

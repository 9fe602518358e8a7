"""The one way in which observing can be felt: what is kept to be compared, and put back, does not die."""

from __future__ import annotations

from typing import Any

import pytest

T = "test_case.py"
PROGRAM = {
    "app/pool.py": """
        class Client:
            pass

        CLIENTS = {"one": Client()}
        CLIENT = Client()

        class Holder:
            client = Client()
        """
}
HEAD = "import gc, weakref\nfrom app import pool\n\n"
DICT = """
def test_it():
    ref = weakref.ref(pool.CLIENTS["one"])
    client = pool.CLIENTS.pop("one")
    del client
    gc.collect()
    alive = ref() is not None
    pool.CLIENTS["one"] = pool.Client()
    assert not alive
"""
NAME = """
def test_it():
    ref = weakref.ref(pool.CLIENT)
    pool.CLIENT = None
    gc.collect()
    alive = ref() is not None
    pool.CLIENT = pool.Client()
    assert not alive
"""
CLASS = """
def test_it():
    ref = weakref.ref(pool.Holder.client)
    pool.Holder.client = None
    gc.collect()
    assert ref() is None
"""
OWN = """
def test_it():
    clients = {"one": pool.Client()}
    ref = weakref.ref(clients["one"])
    clients.clear()
    gc.collect()
    assert ref() is None
"""
BORN = """
def test_it():
    pool.CLIENTS["two"] = pool.Client()
    ref = weakref.ref(pool.CLIENTS["two"])
    del pool.CLIENTS["two"]
    gc.collect()
    assert ref() is None
"""


NAMES = ("an item of a dict", "a name of a module", "an attribute of a class")
FELT = (DICT, NAME, CLASS)
UNFELT = (OWN, BORN)


def passed(suite: Any, sources: tuple[str, ...], *args: str, **files: str) -> list[bool]:
    """Which tests are green, each in a file of its own; whatever the detector does, they run."""
    tests = {f"test_{number}.py": HEAD + source for number, source in enumerate(sources)}
    suite.write({**PROGRAM, **tests, **files})
    run = suite.run(*args, "-rA", subprocess=True)
    lines = run.result.outlines
    results = [f"test_{number}.py::test_it" for number in range(len(sources))]
    assert sum(run.result.parseoutcomes().get(each, 0) for each in ("passed", "failed")) == len(sources)
    return [f"PASSED {result}" in lines for result in results]


def test_what_the_program_dropped_is_kept(suite: Any, engine: str) -> None:
    found = passed(suite, FELT, f"--leaks-engine={engine}")
    assert dict(zip(NAMES, found, strict=True)) == dict.fromkeys(NAMES, False)


def test_off_keeps_nothing(suite: Any) -> None:
    assert passed(suite, FELT, "--leaks=off") == [True, True, True]


@pytest.mark.parametrize(
    ("places", "green"),
    [
        (["app.pool.CLIENTS"], [True, False, False]),
        (["app.pool.Holder"], [False, False, True]),
        (["app.pool"], [True, True, True]),
    ],
    ids=["what a dict holds", "a class", "a module"],
)
def test_the_remedy(suite: Any, places: list[str], green: list[bool]) -> None:
    assert passed(suite, FELT, *(f"--leaks-unread={place}" for place in places)) == green


def test_the_remedy_in_the_ini_file(suite: Any, engine: str) -> None:
    ini = "[pytest]\nmcpsmoke_unread =\n    app.pool\n"
    assert passed(suite, FELT, f"--leaks-engine={engine}", **{"pytest.ini": ini}) == [True, True, True]


def test_what_nobody_watches_dies(suite: Any, engine: str) -> None:
    """The test's own, and what it made and removed."""
    assert passed(suite, UNFELT, f"--leaks-engine={engine}") == [True, True]


def test_what_a_leak_replaced_is_held_until_the_run_ends(suite: Any, engine: str) -> None:
    """To recognise who puts it back; put back by the run itself, it is held no more."""
    source = """
REFS = []

def test_drops():
    REFS.append(weakref.ref(pool.CLIENTS.pop("one")))

def test_later(): pass

def test_asks():
    pool.CLIENTS.clear()
    gc.collect()
    assert (REFS[0]() is not None) == IS_HELD
"""
    suite.write({**PROGRAM, T: HEAD + source.replace("IS_HELD", "True")})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert f"test/function {T}::test_drops removed app.pool.CLIENTS['one']" in run.told


FIXTURE = """
import pytest

REFS = {{"value": None}}

class Value:
    def __init__(self):
        self.rows = []

@pytest.fixture(scope="class")
def value():
    value = Value()
    REFS["value"] = weakref.ref(value)
    yield value

class TestOne:
    def test_it(self, value): {line}

def test_between(): pass

def test_asks():
    gc.collect()
    assert REFS["value"]() is None
"""


@pytest.mark.parametrize("line", ["value.rows.append(1)", "assert value.rows == []"], ids=["changed", "read"])
def test_the_value_of_a_fixture_dies_with_it(suite: Any, engine: str, line: str) -> None:
    """It may be a connection, or all of a server."""
    suite.write({**PROGRAM, T: HEAD + FIXTURE.format(line=line)})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    told = [f"test/function {T}::TestOne::test_it mutated fixture value.rows"]
    assert run.told == (told if "append" in line else [])
    run.result.assert_outcomes(passed=3)

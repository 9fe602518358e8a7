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


def passes(suite: Any, source: str, *args: str, **files: str) -> bool:
    """Whether the test is green; whatever the detector does, it runs."""
    suite.write({**PROGRAM, T: HEAD + source, **files})
    run = suite.run(*args, subprocess=True)
    outcomes = run.result.parseoutcomes()
    assert set(outcomes) <= {"passed", "failed"}
    return outcomes == {"passed": 1}


FELT = {"an item of a dict": DICT, "a name of a module": NAME, "an attribute of a class": CLASS}


@pytest.mark.parametrize("source", FELT.values(), ids=FELT)
def test_what_the_program_dropped_is_kept(suite: Any, engine: str, source: str) -> None:
    assert not passes(suite, source, f"--leaks-engine={engine}")


@pytest.mark.parametrize("source", FELT.values(), ids=FELT)
def test_off_keeps_nothing(suite: Any, source: str) -> None:
    assert passes(suite, source, "--leaks=off")


REMEDIES = {
    "an item of a dict": (DICT, "app.pool.CLIENTS"),
    "a name of a module": (NAME, "app.pool"),
    "a name of a module, all below": (NAME, "app.pool*"),
    "an attribute of a class": (CLASS, "app.pool.Holder"),
}


@pytest.mark.parametrize("way", ["option", "ini"])
@pytest.mark.parametrize(("source", "place"), REMEDIES.values(), ids=REMEDIES)
def test_the_remedy(suite: Any, engine: str, source: str, place: str, way: str) -> None:
    files = {"pytest.ini": f"[pytest]\nmcpsmoke_unread = {place}\n"} if way == "ini" else {}
    args = (f"--leaks-unread={place}",) if way == "option" else ()
    assert passes(suite, source, f"--leaks-engine={engine}", *args, **files)


@pytest.mark.parametrize("source", [OWN, BORN], ids=["the test's own", "made and removed by the test"])
def test_what_nobody_watches_dies(suite: Any, engine: str, source: str) -> None:
    assert passes(suite, source, f"--leaks-engine={engine}")


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

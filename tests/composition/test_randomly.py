"""pytest-randomly: any order finds the same, the seed is told, and what it seeds is nobody's leak."""

from __future__ import annotations

import importlib
import shlex
from typing import Any

import pytest

PEERS = ("pytest-randomly", "pytest-xdist", "numpy", "faker", "factory-boy")
RANDOMLY = ("-p", "randomly")
TWO = ("-p", "xdist", "-n", "2")

# Each leak at a place of its own: what another test has left already is none.
SPREAD = {
    "conftest.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="session")
        def of_session():
            settings.SESSION = 1
            yield
        """,
    "test_one.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="module", autouse=True)
        def of_module():
            settings.MODULE = 1
            yield

        @pytest.mark.parametrize("number", range(6))
        def test_each(number): setattr(settings, f"EACH_{number}", number)

        class TestClass:
            @pytest.fixture(scope="class", autouse=True)
            def of_class(self):
                settings.CLASS = 1
                yield

            def test_one(self, of_session): pass
            def test_two(self): settings.Client.retries = 0
        """,
    "test_two.py": """
        import sys
        from app import settings

        settings.IMPORTED = 1
        CALLS = []

        def test_global(of_session): settings.MODE = "x"
        def test_list(): CALLS.append(1)
        def test_path(): sys.path.append("left")
        def test_clean(monkeypatch): monkeypatch.setattr(settings, "LEVEL", 5)
        """,
}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Load here what it imports: numpy cannot be loaded anew by each run in this process."""
    for name in ("pytest_randomly", "faker.contrib.pytest.plugin"):
        importlib.import_module(name)


def keys(run: Any) -> list[tuple[str, ...]]:
    """What identifies findings, whichever test a wide fixture was set up for: that is up to the order."""
    return sorted((leak["owner_kind"], leak["owner"], leak["place"], leak["change"]) for leak in run.leaks)


def order(run: Any) -> list[str]:
    return [test["nodeid"] for test in run.of_type("test")]


def test_every_order_finds_the_same(suite: Any) -> None:
    suite.write(SPREAD)
    in_file_order = suite.run()
    orders = [order(in_file_order)]
    assert len(keys(in_file_order)) == 14
    for seed in (1, 2, 3):
        run = suite.run(*RANDOMLY, f"--randomly-seed={seed}")
        assert keys(run) == keys(in_file_order), seed
        orders.append(order(run))
    run = suite.run(*RANDOMLY, "--randomly-seed=4", *TWO, subprocess=True)
    assert keys(run) == keys(in_file_order)
    assert len(set(map(tuple, orders))) == 4


def test_the_header_pasted_gives_the_same_run(suite: Any) -> None:
    suite.write(SPREAD)
    first = suite.run(*RANDOMLY)
    (header,) = [line for line in first.result.outlines if line.startswith("mcpsmoke: ")]
    pasted = shlex.split(header.removeprefix("mcpsmoke: "))
    seed = first.records[0]["seed"]
    assert isinstance(seed, int)
    assert pasted[-1] == f"--randomly-seed={seed}"
    assert first.section[-1] == f"in the same order again: {pasted[-1]}"
    again = suite.run(*RANDOMLY, *pasted)
    assert order(again) == order(first)
    told = [[run.records[0], *run.of_type("finding")] for run in (first, again)]
    for record in (*told[0], *told[1]):
        record.pop("command", None)  # it names the options that were pasted
    assert told[0] == told[1]


@pytest.mark.parametrize("arguments", [(), TWO], ids=["alone", "workers"])
def test_the_seed_stands_in_the_report(suite: Any, arguments: tuple[str, ...]) -> None:
    suite.write({"test_case.py": "def test_it(): pass\n"})
    run = suite.run(*RANDOMLY, "--randomly-seed=5", *arguments, subprocess=bool(arguments))
    assert [record["seed"] for record in run.of_type("run")] == [5]
    assert run.result.outlines.count("Using --randomly-seed=5") == 1
    assert any(line.endswith(" --randomly-seed=5") for line in run.result.outlines if "mcpsmoke: " in line)
    assert run.section == []


@pytest.mark.parametrize("arguments", [(), ("-p", "pytest_randomly", "-p", "no:pytest_randomly")])
def test_without_it_there_is_no_seed(suite: Any, arguments: tuple[str, ...]) -> None:
    suite.write({"test_case.py": "import random\ndef test_it(): random.seed(1)\n"})
    run = suite.run(*arguments, subprocess=True)
    assert run.records[0]["seed"] is None
    assert run.told == ["test/function test_case.py::test_it rebound random.getstate()"]
    assert run.section[-1].startswith("1 leak left by 1 test; ")


# Whoever draws, and whoever seeds: pytest-randomly seeds again before and after.
DRAWING = """
import random
import faker
import factory.random
import numpy
import pytest

@pytest.fixture(scope="session", autouse=True)
def of_session():
    random.random()
    yield
    random.random()

@pytest.fixture(scope="module")
def of_module():
    random.seed(1)
    numpy.random.seed(1)
    yield
    numpy.random.rand()
    random.setstate(random.Random(2).getstate())

@pytest.fixture
def of_function():
    random.seed(3)
    factory.random.reseed_random(3)
    yield
    numpy.random.seed(4)
    random.gauss(0, 1)

def test_nothing(): pass
def test_draws(of_module): random.random(), numpy.random.rand(1000)
def test_many(): [random.random() for _ in range(1000)]
def test_fixture(of_function): random.random()
def test_seeds(of_module): random.seed(5)
def test_sets_the_state(): random.setstate(random.Random(6).getstate())
def test_numpy(): numpy.random.seed(7)
def test_faker(): faker.Faker().name()
def test_factory(): factory.random.randgen.random(), factory.random.reseed_random(9)
"""
PLAIN = """
import random
import numpy

def test_nothing(): pass
def test_draws(): random.random(), numpy.random.rand()
def test_seeds(): random.seed(5)
def test_sets_the_state(): random.setstate(random.Random(6).getstate())
def test_numpy(): numpy.random.seed(8)
"""
SEEDERS = [
    "test_plain.py::test_numpy rebound numpy.random.get_state()",
    "test_plain.py::test_seeds rebound random.getstate()",
    "test_plain.py::test_sets_the_state rebound random.getstate()",
]


@pytest.mark.parametrize("name", ["randomly", "pytest_randomly"])
def test_generators_that_it_seeds_are_nobodys(suite: Any, name: str) -> None:
    suite.write({"test_drawing.py": DRAWING})
    run = suite.run("-p", name)
    run.result.assert_outcomes(passed=9)
    assert run.told == []


@pytest.mark.parametrize(
    "arguments", [(), (*RANDOMLY, "--randomly-dont-reset-seed")], ids=["without", "not reset"]
)
def test_who_seeds_where_it_does_not_is_named(suite: Any, arguments: tuple[str, ...]) -> None:
    suite.write({"test_plain.py": PLAIN})
    run = suite.run(*arguments)
    assert sorted(leak.removeprefix("test/function ") for leak in run.told) == SEEDERS


def test_restoring_disturbs_no_order_and_no_sequence(suite: Any) -> None:
    drawing = "import random\ndef test_draws(): print('drew', random.random())\n"
    suite.write({**SPREAD, "test_drawing.py": drawing})
    told = []
    for restore in ((), ("--leaks-restore",)):
        run = suite.run(*RANDOMLY, "--randomly-seed=6", "-rA", *restore)
        told.append(
            (order(run), keys(run), [line for line in run.result.outlines if line.startswith("drew")])
        )
    assert told[0] == told[1]
    assert len(told[0][2]) == 1

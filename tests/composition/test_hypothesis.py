"""Beside Hypothesis: its caches, clocks and data base are its own, a leak inside @given is one finding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PEERS = ["hypothesis"]

CLEAN = {
    "conftest.py": """
        from hypothesis import Phase, settings

        settings.register_profile("quick", max_examples=8, deadline=None, phases=set(Phase) - {Phase.explain})
        settings.load_profile("quick")
        """,
    "test_clean.py": """
        import dataclasses
        import enum
        import random

        import pytest
        from hypothesis import assume, event, example, find, given, note, target
        from hypothesis import strategies as st
        from hypothesis.stateful import Bundle, RuleBasedStateMachine
        from hypothesis.stateful import initialize, invariant, precondition, rule

        class Colour(enum.Enum):
            RED = 1
            BLUE = 2

        @dataclasses.dataclass
        class Point:
            x: int
            colour: Colour

        @st.composite
        def pairs(draw, elements=st.integers()):
            return draw(elements), draw(elements)

        @given(st.lists(st.integers()).map(lambda numbers: sorted(numbers)))
        def test_map(numbers):
            assert numbers == sorted(numbers)

        @given(st.integers().filter(lambda number: number % 2 == 0), st.binary())
        @example(2, b"x")
        def test_filter(number, data):
            assume(data != b"y")
            event("one")
            note("two")
            target(float(len(data)))

        @given(st.builds(Point), st.from_type(Point), st.sampled_from(Colour))
        def test_builds(one, other, colour):
            pass

        @given(pairs(), st.data(), st.datetimes(), st.decimals(), st.randoms())
        def test_data(pair, data, moment, decimal, generator):
            data.draw(st.one_of(st.none(), st.booleans()).flatmap(lambda value: st.just(value)))

        @given(st.recursive(st.booleans(), lambda children: st.lists(children)))
        def test_recursive(tree):
            pass

        def test_imports_a_module():
            import colorsys

        @given(st.integers().map(lambda number: dataclasses.replace(Point(number, Colour.RED), x=2)))
        def test_lambda_over_a_module(point):
            assert point.x == 2

        @pytest.mark.parametrize("base", [1, 2])
        @given(number=st.integers())
        def test_parametrized(base, number):
            random.random()

        class Machine(RuleBasedStateMachine):
            numbers = Bundle("numbers")

            @initialize()
            def begin(self):
                self.stack = []

            @rule(target=numbers, number=st.integers())
            def push(self, number):
                self.stack.append(number)
                return number

            @rule()
            @precondition(lambda self: self.stack)
            def pop(self):
                self.stack.pop()

            @invariant()
            def holds(self):
                pass

        TestMachine = Machine.TestCase

        def test_find():
            assert find(st.integers(), lambda number: number > 10) == 11

        @pytest.mark.xfail
        @given(st.integers())
        def test_fails(number):
            assert number < 100

        class TestClass:
            @given(st.integers())
            def test_method(self, number):
                pass

        @given(st.shared(st.integers(), key="k"), st.deferred(lambda: st.integers()))
        def test_shared(one, other):
            pass
        """,
}

LEAKY = {
    "app/seen.py": """
        SEEN = []
        last = None

        def remember(value):
            SEEN.append(value)

        def set_last(value):
            global last
            last = value
        """,
    "test_leaky.py": """
        import random

        from app import seen
        from app import settings as of_app
        from hypothesis import given, settings
        from hypothesis import strategies as st

        @given(st.integers())
        def test_rebinds(number):
            of_app.MODE = "given"  # leak

        @given(st.integers())
        def test_appends(number):
            seen.remember(number)  # leak

        @given(st.integers())
        def test_has_the_program_write(number):
            seen.set_last(number)  # leak

        @given(st.integers())
        def test_seeds_inside(number):
            random.seed(number)

        def test_profile():
            settings.register_profile("other", max_examples=3)
            settings.load_profile("other")  # leak
        """,
}


def test_its_own_state_is_not_blamed(suite: Any, engine: str) -> None:
    suite.write(CLEAN)
    run = suite.run("-p", "hypothesispytest", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=13, xfailed=1)
    assert run.told == []


def test_examples_of_the_data_base_are_not_blamed(suite: Any) -> None:
    suite.write(CLEAN)
    suite.run("-p", "hypothesispytest", "-k", "fails", subprocess=True, report=False)
    assert (suite.path / ".hypothesis").is_dir()
    run = suite.run("-p", "hypothesispytest", "-k", "fails or map", subprocess=True)
    run.result.assert_outcomes(passed=1, xfailed=1)
    assert run.told == []


def test_a_leak_inside_given_is_one_finding(suite: Any, sites: Callable[[Any], list[str]]) -> None:
    suite.write(LEAKY)
    run = suite.run("-p", "hypothesispytest", subprocess=True)
    run.result.assert_outcomes(passed=5)
    assert sorted(run.told) == [
        "test/function test_leaky.py::test_appends mutated app.seen.SEEN",
        "test/function test_leaky.py::test_has_the_program_write rebound app.seen.last",
        "test/function test_leaky.py::test_profile rebound hypothesis._settings.settings._current_profile",
        "test/function test_leaky.py::test_rebinds rebound app.settings.MODE",
    ]
    assert sites(run.leaks) == suite.marked()

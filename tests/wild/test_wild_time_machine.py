"""time-machine 3.4.0: a tearDownClass that raises leaves the clock of the class frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PEERS = ["time-machine==3.4.0"]

FILES = {
    "test_frozen.py": """
        import time
        import unittest

        import time_machine

        @time_machine.travel(0, tick=False)  # leak
        class TestFrozen(unittest.TestCase):
            @classmethod
            def tearDownClass(cls):
                BODY

            def test_frozen(self):
                assert time.time() == 0

        def test_victim():
            assert time.time() > 1_000_000_000
        """
}
OWNER = "test_frozen.py::TestFrozen::setUpClass"


def frozen(body: str) -> dict[str, str]:
    return {name: text.replace("BODY", body) for name, text in FILES.items()}


def test_the_clock_is_named(suite: Any, engine: str, sites: Callable[[Any], list[str]]) -> None:
    suite.write(frozen("raise ValueError('never gets to the end')"))
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=1, failed=1, errors=1)  # the test after it finds the clock of 1970
    clock = next(leak for leak in run.leaks if leak["probe"] == "clock")
    assert (clock["place"], clock["change"]) == ("time.time()", "rebound")
    assert (clock["before"], clock["after"]) == ("'built in'", "'replaced in C'")
    assert (clock["owner"], clock["owner_kind"], clock["scope"]) == (OWNER, "fixture", "class")
    assert sites([clock]) == suite.marked()
    assert {leak["owner"] for leak in run.leaks} == {OWNER}


@pytest.mark.parametrize("body", ["pass", "assert time.time() == 0"])
def test_a_teardown_that_gets_to_its_end_leaves_nothing(suite: Any, engine: str, body: str) -> None:
    suite.write(frozen(body))
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=2)
    assert run.told == []

"""Beside time-machine and freezegun: a clock that is put back is nothing, one left frozen is the test's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PEERS = ["time-machine", "freezegun"]

CLOCK = {
    "app/clock.py": """
        import datetime
        import time
        from datetime import datetime as now_of

        def year():
            assert datetime.datetime.now().year == now_of.now().year
            return time.localtime().tm_year and datetime.datetime.now().year
        """
}

TIME_MACHINE = """
    import datetime
    import os
    import time
    import unittest
    import zoneinfo

    import time_machine
    from app import clock

    @time_machine.travel("2020-01-01 00:00Z", tick=False)
    def test_decorator():
        assert clock.year() == 2020

    def test_fixture(time_machine):
        time_machine.move_to("2021-01-02")
        assert clock.year() == 2021

    def test_context():
        with time_machine.travel(0):
            assert time.time() < 60

    def test_zone():
        with time_machine.travel(datetime.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))):
            assert os.environ["TZ"] == "Europe/Berlin"

    def test_a_clock_begins_to_tick_at_the_first_look():
        with time_machine.travel(0):
            assert time.time() == 0.0

    @time_machine.travel(86400 * 365.5)
    class TestClass(unittest.TestCase):
        def test_one(self):
            assert clock.year() == 1971

        def test_two(self):
            assert clock.year() == 1971
    """

FREEZEGUN = """
    import asyncio
    import datetime
    import time
    import unittest

    from app import clock
    from freezegun import freeze_time

    @freeze_time("2012-01-14")
    def test_decorator():
        assert clock.year() == 2012

    def test_context():
        with freeze_time("2012-01-14") as frozen:
            frozen.tick()
            assert clock.now_of.now().year == 2012

    def test_imports_in_between():
        freezer = freeze_time("2012-01-14", tick=True)
        freezer.start()
        import calendar, email.utils, wave
        freezer.stop()

    @freeze_time("2012-01-14")
    class TestUnittest(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.year = clock.year()

        def test_one(self):
            assert self.year == clock.year() == 2012

        def test_two(self):
            assert clock.year() == 2012

    @freeze_time("2012-01-14")
    class TestPlain:
        def test_one(self):
            assert clock.year() == 2012

    @freeze_time("2012-01-14", real_asyncio=True)
    def test_async():
        assert asyncio.run(asyncio.sleep(0, 1)) == 1
    """


def durations(run: Any) -> list[float]:
    return [test["duration"] for test in run.of_type("test")]


@pytest.mark.parametrize(
    ("text", "options", "passed"),
    [(TIME_MACHINE, ("-p", "time_machine"), 7), (FREEZEGUN, (), 7)],
    ids=["time-machine", "freezegun"],
)
def test_a_clock_that_is_put_back_is_nothing(
    suite: Any, engine: str, text: str, options: tuple[str, ...], passed: int
) -> None:
    suite.write(CLOCK | {"test_clock.py": text})
    run = suite.run(*options, f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=passed)
    assert run.told == []
    assert all(0 < duration < 60 for duration in durations(run))


LEFT = {
    "test_left.py": """
        import time

        from freezegun import freeze_time
        import time_machine

        def test_left():
            CALL.start()  # leak

        def test_after():
            assert time.time() == 0
        """
}


@pytest.mark.parametrize(
    ("call", "place"),
    [("time_machine.travel(0, tick=False)", "time.time()"), ("freeze_time('1970-01-01')", "time.time")],
    ids=["time-machine", "freezegun"],
)
def test_a_clock_left_frozen_is_one_test_s_and_one_line_s(
    suite: Any, engine: str, sites: Callable[[Any], list[str]], call: str, place: str
) -> None:
    suite.write({"test_left.py": LEFT["test_left.py"].replace("CALL", call)})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=2)
    assert {leak["owner"] for leak in run.leaks} == {"test_left.py::test_left"}
    told = [leak for leak in run.leaks if leak["place"] == place]
    assert len(told) == 1
    if engine == "watch":  # else it is searched, and the code that wrote is a library's
        assert sites(told) == suite.marked()
    assert all(0 < duration < 60 for duration in durations(run))


def test_the_clock_is_not_looked_at(suite: Any) -> None:
    """A clock of time-machine begins to tick when it is first asked for the time: by the test."""
    suite.write(
        {
            "test_tick.py": """
                import time
                import pytest
                import time_machine

                @pytest.fixture(scope="module")
                def wide():
                    return []

                def test_boundary(request):
                    with time_machine.travel(0, tick=True):
                        request.getfixturevalue("wide")
                        assert time.time() == 0.0
                """
        }
    )
    run = suite.run(subprocess=True)
    run.result.assert_outcomes(passed=1)
    assert run.told == []

"""Settings of decimal and numpy."""

from __future__ import annotations

import contextvars
import decimal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.state.probes.libraries import DecimalContext, NumpyErrors, NumpyPrinting


class TestDecimal:
    @pytest.fixture(autouse=True)
    def _context_is_put_back(self) -> Iterator[None]:
        before = decimal.getcontext()
        decimal.setcontext(before.copy())
        yield
        decimal.setcontext(before)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("prec", 5),
            ("rounding", decimal.ROUND_UP),
            ("Emin", -10),
            ("Emax", 10),
            ("capitals", 0),
            ("clamp", 1),
        ],
    )
    def test_a_setting_is_found_and_put_back(self, name: str, value: Any) -> None:
        before = getattr(decimal.getcontext(), name)
        with watching(DecimalContext()) as watch:
            setattr(decimal.getcontext(), name, value)
            writes = watch.writes()
            watch.restore(writes)
        found = [(watch.probe.place(write.key), write.old, write.new) for write in writes]
        assert found == [(f"decimal.getcontext().{name}", before, value)]
        assert getattr(decimal.getcontext(), name) == before

    def test_traps_are_found_and_put_back(self) -> None:
        before = dict(decimal.getcontext().traps)
        with watching(DecimalContext()) as watch:
            decimal.getcontext().traps[decimal.Inexact] = True
            (write,) = watch.writes()
            watch.restore([write])
        assert watch.probe.place(write.key) == "decimal.getcontext().traps"
        assert set(write.new) - set(write.old) == {"Inexact"}
        assert dict(decimal.getcontext().traps) == before

    def test_another_context_is_found_by_what_differs(self) -> None:
        found = found_around(DecimalContext(), lambda: decimal.setcontext(decimal.Context(prec=3)))
        assert found == [("decimal.getcontext().prec", 28, 3)]

    def test_computing_and_local_contexts_are_no_change(self) -> None:
        def compute() -> None:
            assert decimal.Decimal(1) / decimal.Decimal(3) > 0  # sets flags
            with decimal.localcontext(prec=3):
                assert decimal.Decimal(1) / decimal.Decimal(3) > 0

        assert found_around(DecimalContext(), compute) == []
        assert decimal.getcontext().flags[decimal.Inexact]
        assert is_quiet(DecimalContext())

    def test_what_is_set_elsewhere_is_no_change(self) -> None:
        def elsewhere() -> None:
            decimal.getcontext().prec = 3
            decimal.setcontext(decimal.Context(prec=2))

        apart = contextvars.Context()
        assert found_around(DecimalContext(), lambda: apart.run(elsewhere)) == []

    def test_a_context_of_a_derived_class_is_left_alone(self) -> None:
        class Strict(decimal.Context):
            @property
            def prec(self) -> int:  # type: ignore[override]
                raise AssertionError("asked")

        assert found_around(DecimalContext(), lambda: decimal.setcontext(Strict())) == []

    def test_first_use_is_no_change_and_reading_makes_no_context(self) -> None:
        code = """
import decimal
from pytest_mcpsmoke.state.probes.readings import Readings
from pytest_mcpsmoke.state.probes.libraries import DecimalContext
readings = Readings([DecimalContext()])
readings.start()
decimal.getcontext()
print([write.key for write in readings.drain()])
decimal.getcontext().prec = 9
print([write.key for write in readings.drain()], readings.broken())
"""
        late = """
import decimal
from pytest_mcpsmoke.state.probes.libraries import DecimalContext
DecimalContext().read()
decimal.DefaultContext.prec = 7
DecimalContext().read()
print(decimal.getcontext().prec)
"""
        assert [run(code), run(late)] == [["[]", "['prec'] []"], ["7"]]


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


class TestNumpy:
    @pytest.fixture(autouse=True)
    def _settings_are_put_back(self) -> Iterator[None]:
        numpy = self.numpy = pytest.importorskip("numpy")
        errors, printing = numpy.geterr(), numpy.get_printoptions()
        yield
        numpy.seterr(**errors)
        numpy.set_printoptions(**printing)

    def test_error_handling_is_found_and_put_back(self) -> None:
        before = self.numpy.geterr()
        with watching(NumpyErrors()) as watch:
            self.numpy.seterr(all="raise")
            writes = watch.writes()
            watch.restore(writes)
        assert {watch.probe.place(write.key): (write.old, write.new) for write in writes} == {
            f"numpy.seterr({kind}=…)": (how, "raise") for kind, how in before.items()
        }
        assert self.numpy.geterr() == before

    def test_print_options_are_found_and_put_back(self) -> None:
        before = self.numpy.get_printoptions()
        formatter = {"float": lambda number: "x"}
        with watching(NumpyPrinting()) as watch:
            self.numpy.set_printoptions(precision=3, formatter=formatter)
            writes = watch.writes()
            watch.restore(writes)
        found = {watch.probe.place(write.key): (write.old, write.new) for write in writes}
        assert found == {
            "numpy.set_printoptions(precision=…)": (before["precision"], 3),
            "numpy.set_printoptions(formatter=…)": (None, formatter),
        }
        assert self.numpy.get_printoptions() == before

    def test_context_managers_and_use_are_no_change(self) -> None:
        def use() -> None:
            with self.numpy.errstate(all="ignore"), self.numpy.printoptions(precision=2):
                str(self.numpy.zeros(3))

        for probe in (NumpyErrors(), NumpyPrinting()):
            assert found_around(probe, use) == []
            assert is_quiet(probe)

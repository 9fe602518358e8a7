"""The clock that a library replaces in C."""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Iterator

import pytest
from boundary import Boundary

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.clock import Clock

POINTER = struct.Struct("P")
pytestmark = pytest.mark.skipif(
    type(time.time).__name__ != "builtin_function_or_method", reason="another clock stands there already"
)


class CFunction:
    """The address of the C function that a built-in function calls, to be read and written."""

    def __init__(self, function: object) -> None:
        table = ctypes.c_void_p.from_address(id(function) + object.__basicsize__).value
        assert table is not None
        self._field = ctypes.c_void_p.from_address(table + POINTER.size)

    @property
    def address(self) -> int | None:
        return self._field.value

    @address.setter
    def address(self, address: int | None) -> None:
        self._field.value = address


@pytest.fixture
def clock() -> Iterator[CFunction]:
    function = CFunction(time.time)
    address = function.address
    yield function
    function.address = address


def test_a_clock_replaced_in_c_is_found_and_undone_is_nothing(clock: CFunction) -> None:
    real = clock.address
    with Boundary(Clock()) as run:
        assert run.drain() == []
        clock.address = CFunction(time.monotonic).address
        assert run.leaks() == [("time.time()", "built in", "replaced in C")]
        assert run.drain() == []
        clock.address = real
        assert run.drain() == [("time.time()", "replaced in C", "built in")]


def test_only_who_replaced_it_can_put_it_back(clock: CFunction) -> None:
    with Boundary(Clock()) as run:
        clock.address = CFunction(time.monotonic).address
        assert run.leaks()
        with pytest.raises(CannotRestore):
            run.restore()

"""The clock of the process, where a library has put another one in its place in C."""

from __future__ import annotations

import platform
import struct
import time
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.memory import reader

_clock: Final[Any] = time.time  # bound early: a library may patch the name
_POINTER: Final = struct.Struct("P")
_PLACE: Final = "time.time()"
_REPLACED: Final[dict[str, Any]] = {_PLACE: "replaced in C"}


class Clock(Probe):
    """Which C function time.time() calls. It is not called: a clock that was replaced may begin to tick then.

    A clock that was replaced by binding the name anew is found where the name stands.
    """

    is_quiet = True
    name = "clock"
    words = ("travel", "move_to", "freeze_time")
    blind = "clocks that are replaced by other means than the C function of time.time()"

    def __init__(self) -> None:
        self._function: Callable[[], bytes] | None = None
        self._told: tuple[bytes, dict[str, Any]] = (b"", {})

    def start(self) -> None:
        self._function = _function_of(_clock)
        self._told = (self._function(), {_PLACE: "built in"})

    def stop(self) -> None:
        self._function = None

    def read(self) -> dict[str, Any]:
        built_in, told = self._told
        assert self._function is not None
        return told if self._function() == built_in else _REPLACED

    def place(self, key: str) -> str:
        return key

    def restore(self, key: str, before: Any, after: Any) -> None:
        raise CannotRestore("only what replaced the clock can put it back")


def _function_of(function: BuiltinFunctionType) -> Callable[[], bytes]:
    """Return a function that reads which C function a built-in function calls now.

    The object holds the address of a static table of C's, which begins with a name and that function.
    """
    (table,) = _POINTER.unpack(reader(id(function) + object.__basicsize__, _POINTER.size)())
    return reader(table + _POINTER.size, _POINTER.size)


def clock_probes() -> list[Probe]:
    """The probe, where the interpreter keeps its functions like that."""
    is_known = platform.python_implementation() == "CPython" and type(_clock) is BuiltinFunctionType
    return [Clock()] if is_known else []

"""Signals: their handlers, and the alarm that is set."""

from __future__ import annotations

import importlib
from operator import is_
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.value import Value

_signal: Any = importlib.import_module("_signal")  # what signal wraps in enums
_getsignal, _set_signal = _signal.getsignal, _signal.signal
# not on every platform
_getitimer: Any = getattr(_signal, "getitimer", None)
_setitimer: Any = getattr(_signal, "setitimer", None)
_ITIMER_REAL: Final = getattr(_signal, "ITIMER_REAL", 0)

_NO_FUNCTION: Final = {0: "SIG_DFL", 1: "SIG_IGN"}  # what C holds in place of a handler


def _named_signals() -> dict[str, int]:
    """The signals that can be handled and have a name; of aliases the one that signal.Signals prefers."""
    numbers = _signal.valid_signals() - {vars(_signal).get("SIGKILL"), vars(_signal).get("SIGSTOP")}
    named = {
        number: name
        for name, number in sorted(vars(_signal).items(), reverse=True)
        if name.startswith("SIG") and not name.startswith("SIG_") and number in numbers
    }
    return {name: number for number, name in named.items()}


class SignalHandlers(Probe):
    """What signal.getsignal() says: a function, SIG_DFL, SIG_IGN, or None where C code handles the signal."""

    name = "signals"
    words = ("signal", "add_signal_handler", "siginterrupt")
    blind = "handlers set by C code such as faulthandler.register(), and nameless real-time signals"

    def __init__(self) -> None:
        self._numbers = _named_signals()
        self._handlers: list[Any] = []
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        handlers = list(map(_getsignal, self._numbers.values()))
        if not self._last or not all(map(is_, handlers, self._handlers)):
            self._handlers = handlers
            self._last = {
                name: _NO_FUNCTION[handler] if type(handler) is int else handler
                for name, handler in zip(self._numbers, handlers, strict=True)
            }
        return self._last

    def place(self, key: str) -> str:
        return f"signal.{key}"

    def restore(self, key: str, before: Any, after: Any) -> None:
        if before is None:
            raise CannotRestore("C code handled it, and only C code can put that back")
        numbers = {text: number for number, text in _NO_FUNCTION.items()}
        handler = numbers[before] if type(before) is str else before
        try:
            _set_signal(self._numbers[key], handler)
        except ValueError as error:
            raise CannotRestore(str(error)) from error  # not in the main thread


class Alarm(Value):
    """Whether SIGALRM is on its way, from signal.alarm() or signal.setitimer()."""

    name = "alarm"
    at = "signal.getitimer(ITIMER_REAL)"
    words = ("alarm", "setitimer")
    blind = "the timers of processor time, ITIMER_VIRTUAL and ITIMER_PROF"

    @staticmethod
    def get() -> str:
        return "off" if _getitimer(_ITIMER_REAL)[0] == 0 else "running"

    @staticmethod
    def put(value: Any, /) -> object:
        if value == "running":
            raise CannotRestore("how much time was left is not known")
        return _setitimer(_ITIMER_REAL, 0)


def signal_probes() -> list[Probe]:
    """The probes of what this platform has."""
    return [SignalHandlers()] if _getitimer is None else [SignalHandlers(), Alarm()]

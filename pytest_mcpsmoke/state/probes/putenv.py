"""The C environment: what os.putenv() changed behind os.environ's back."""

from __future__ import annotations

import os
from typing import Any, Final

from pytest_mcpsmoke.state.audit import Ear, code_here, stack_here
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.base import Probe

# Bound early: a test may patch them, or replace os.environ by a plain dict.
_putenv, _unsetenv, _fsdecode = os.putenv, os.unsetenv, os.fsdecode
_environ: Final = os.environ
_CODES: Final = frozenset(
    method.__code__ for method in (type(_environ).__setitem__, type(_environ).__delitem__)
)


def _text(value: str | bytes) -> str:
    return _fsdecode(value)


class Putenv(Probe):
    """Names that os.putenv() or os.unsetenv() was called for directly, with what C and children see.

    Until such a call the C environment is what os.environ says, which changes both. A call therefore adds
    what was there before to the last reading, too, which could not know that the name would matter.
    """

    name = "putenv"
    words = ("putenv", "unsetenv")
    blind = "what C code sets with setenv(), and raw calls from before the run"

    def __init__(self) -> None:
        self._ear = Ear({"os.putenv": self._on_putenv, "os.unsetenv": self._on_unsetenv})
        self._forget()

    def _forget(self) -> None:
        self._now: dict[str, Any] = {}
        self._values: dict[str, Any] = {}  # MISSING: not set
        self._stacks: dict[str, tuple[Any, ...]] = {}
        self._is_fresh = False

    def start(self) -> None:
        self._forget()
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        self._forget()

    def read(self) -> dict[str, Any]:
        self._ear.check()
        if self._is_fresh:
            self._is_fresh = False
            self._now = {name: value for name, value in list(self._values.items()) if value is not MISSING}
        return self._now

    def place(self, key: str) -> str:
        return f"C environ {key}"

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        return "os.environ says the same again" if after == _environ.get(key, MISSING) else None

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stacks.get(key, ())

    def restore(self, key: str, before: Any, after: Any) -> None:
        if before is MISSING:
            _unsetenv(key)
        else:
            _putenv(key, before)

    def _on_putenv(self, args: tuple[Any, ...]) -> None:
        self._changes(_text(args[0]), _text(args[1]))

    def _on_unsetenv(self, args: tuple[Any, ...]) -> None:
        self._changes(_text(args[0]), MISSING)

    def _changes(self, name: str, value: Any) -> None:
        if name not in self._values:
            if code_here() in _CODES:
                return  # os.environ does it, at each stage of each test: what the two say stays one
            before = _environ.get(name, MISSING)
            if before is not MISSING:
                self._now[name] = before
        self._values[name] = value
        self._stacks[name] = stack_here()
        self._is_fresh = True

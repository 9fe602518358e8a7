"""A probe of one value that one function tells and another one sets."""

from __future__ import annotations

from typing import Any, ClassVar

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.audit import Ear, stack_here
from pytest_mcpsmoke.state.probes.base import Probe


class Value(Probe):
    """One value of an exact, immutable built-in type.

    at is its place. get and put are bound when the class is made: a test may patch what they stand for.
    event is the audit event that tells who changes it; "": there is none. Where it cannot be heard, the
    value is found to have changed all the same.
    """

    at: ClassVar[str]
    event: ClassVar[str] = ""
    blind: ClassVar[str] = "a value that is changed and put back between two boundaries"

    def __init__(self) -> None:
        self.glance = self.get
        self._last: dict[str, Any] = {}
        self._stack: tuple[Any, ...] = ()
        self._ear = Ear({self.event: self._on_change} if self.event else {})

    @staticmethod
    def get() -> Any:
        """Return the value."""
        raise NotImplementedError

    @staticmethod
    def put(value: Any, /) -> object:
        """Set the value."""
        raise NotImplementedError

    def start(self) -> None:
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        self._last, self._stack = {}, ()

    def read(self) -> dict[str, Any]:
        value = self.get()
        if not self._last or value != self._last[self.at]:
            self._last = {self.at: value}
        return self._last

    def place(self, key: str) -> str:
        return key

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stack

    def restore(self, key: str, before: Any, after: Any) -> None:
        try:
            self.put(before)
        except (OSError, ValueError, OverflowError, RecursionError) as error:
            raise CannotRestore(str(error)) from error

    def _on_change(self, arguments: tuple[Any, ...]) -> None:
        self._stack = stack_here()


class Hook(Value):
    """One object of any type: compared by identity, never asked."""

    def __init__(self) -> None:
        super().__init__()
        self.glance = None

    def read(self) -> dict[str, Any]:
        value = self.get()
        if not self._last or value is not self._last[self.at]:
            self._last = {self.at: value}
        return self._last

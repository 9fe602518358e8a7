"""What all doubles have in common: they keep what went wrong, and check at the end that nothing was left."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn, Self


class Double:
    """A double that is strict: what it refused is never forgotten, whoever swallowed the exception.

    As a context manager it closes itself and, when the block raised nothing, raises what it refused, or
    else what of its script was left over. The fixtures do the same around a test.

    Attributes:
        failures: What it refused so far, in order; each was raised at the call, too.
    """

    def __init__(self) -> None:
        self.failures: list[AssertionError] = []

    def refuse(self, failure: AssertionError) -> NoReturn:
        """Keep the failure and raise it."""
        __tracebackhide__ = True  # a runner that knows the sign shows who called the double instead
        self.failures.append(failure)
        raise failure

    def verify(self) -> None:
        """Raise UnusedScript when something of the script was never asked for."""

    def close(self) -> None:
        """End what the double started. Closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            if self.failures:
                raise self.failures[0]
            self.verify()

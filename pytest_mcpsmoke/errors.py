"""What can go wrong, each said in one line: the thing, the place and the next keystroke."""

from __future__ import annotations


class McpsmokeError(Exception):
    """Base of the exceptions that this package raises on purpose."""


class UsageProblem(McpsmokeError):
    """An option, a marker or an argument that cannot be obeyed; its text is one line."""


class EngineUnavailable(UsageProblem):
    """The engine that was asked for does not work on this interpreter; its text says why."""


class LeakError(AssertionError):
    """State was left changed by a block under no_leaks(); its text is the report."""


class CannotRestore(McpsmokeError):
    """A change that cannot be put back; its text says why, in half a line."""

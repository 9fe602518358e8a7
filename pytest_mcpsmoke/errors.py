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


class MissingExtra(UsageProblem):
    """A part that needs a package which is not installed; its text gives the command that installs it."""


class UnexpectedCall(McpsmokeError, AssertionError):
    """A double was asked for what its script does not hold; its text shows what came, what was expected."""


class NetworkRefused(McpsmokeError, AssertionError):
    """A smoke test reached for the network; its text names test, address, line and remedy."""


class UnusedScript(McpsmokeError, AssertionError):
    """What a double's script holds was never asked for; its text lists it."""


class NoSuchName(UsageProblem, AttributeError):
    """A name to patch that is not there; its text gives the nearest ones."""


class NoSuchModule(UsageProblem, ModuleNotFoundError):
    """A module of a dotted name that cannot be found; its text gives the nearest ones."""


class PatchWarning(UserWarning):
    """A patch that does not reach everybody; its text names who was left alone, and the remedy."""


class BudgetOver(McpsmokeError):
    """No more pytest processes may be started; its text says what was used up."""

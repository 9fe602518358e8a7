"""How the commands end."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit status of a command."""

    GREEN = 0  # as wanted
    RED = 1  # not as wanted
    USAGE = 2  # bad usage: nothing was done
    UNFINISHED = 3  # the budget was used up: the same command goes on where this one stopped
    INTERRUPTED = 130  # by Ctrl-C; culprit goes on where it stopped

"""The command that shows a leak again: its owner alone, as this run was started."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pytest_mcpsmoke.report.model import Finding

# Options that decide what is collected, and how it is looked at; all others change nothing that leaks.
_VALUED: Final = {
    **{name: name for name in ("-p", "-c", "-o", "-W", "--rootdir", "--confcutdir", "--import-mode")},
    **{"--config-file": "-c", "--override-ini": "-o", "--pythonwarnings": "-W"},
    **{name: name for name in ("--doctest-glob", "--leaks-depth", "--leaks-size", "--leaks-unread")},
    **{name: name for name in ("--leaks-engine", "--leaks")},
}
_FLAGS: Final = frozenset({"--doctest-modules", "--noconftest"})
_NEEDLESS: Final = frozenset(
    {("-p", "xdist"), ("-p", "no:xdist"), ("-p", "no:cacheprovider"), ("--leaks-engine", "auto")}
)


class Command:
    """Tells for each finding what to type, in the folder where pytest was started."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._here = config.invocation_params.dir
        self._given: list[str] = list(config.option.file_or_dir)
        is_off = config.getini("mcpsmoke_leaks") == "off"
        given = _kept([os.fspath(argument) for argument in config.invocation_params.args])
        kept = [pair for pair in given if pair[0] != "--leaks" and pair not in _NEEDLESS]
        kept += [("--leaks", "report")] if is_off else []
        self._kept = kept
        self._options = [word for option, value in kept for word in _words(option, value)]

    @property
    def plain_options(self) -> list[str]:
        """The options that decide what is collected, without what the command gives itself."""
        kept = [
            pair for pair in self._kept if pair != ("-p", "mcpsmoke") and not pair[0].startswith("--leaks")
        ]
        return [word for option, value in kept for word in _words(option, value)]

    def again(self, finding: Finding) -> str | None:
        """Return the command; None for what is no leak, allowed or not."""
        if finding.verdict == "warm-up":
            return None
        words = ["pytest", *self._options, *self._target(finding)]
        return shlex.join(words) if all(word.isprintable() for word in words) else None

    def _target(self, finding: Finding) -> list[str]:
        if finding.owner_kind == "test" or finding.during is not None:
            return [self.from_here(finding.during or finding.owner)]
        path = finding.owner.partition("::")[0]
        # a conftest in a folder that is named to pytest is imported before anything is looked at
        at = self._given if os.path.basename(path) == "conftest.py" else [self.from_here(path)]
        return ["--collect-only", *at] if finding.owner_kind == "module" else at

    def from_here(self, nodeid: str) -> str:
        """A node id, relative to the folder where pytest was started instead of the rootdir."""
        path, colons, rest = nodeid.partition("::")
        if self._root == self._here:
            return nodeid
        return os.path.relpath(self._root / path, self._here).replace(os.sep, "/") + colons + rest


def _kept(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """The options that matter, each with its value; None: it takes none."""
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument in _FLAGS:
            yield argument, None
        elif name in _VALUED:
            yield _VALUED[name], value if equals else next(waiting, "")
        elif argument[:2] in _VALUED:  # "-pNAME"
            yield argument[:2], argument[2:]


def _words(option: str, value: str | None) -> list[str]:
    if value is None:
        return [option]
    return [f"{option}={value}"] if option.startswith("--") else [option, value]

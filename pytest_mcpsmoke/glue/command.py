"""The command that shows a leak again: its owner alone, as this run was started."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence, Set
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
# What the run is made of, and in which order: for a command that makes such a run anew.
_SELECTING: Final = {name: name for name in ("-k", "-m", "--deselect", "--ignore", "--ignore-glob", "--tier")}
_ORDERING: Final = frozenset({"--in-given-order", "--randomly-dont-reorganize"})
_GIVEN_BY_CULPRIT: Final = frozenset(
    ("-p", name)
    for name in ("mcpsmoke", "randomly", "pytest_randomly")  # the last two with the seed
)
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
        self._arguments = [os.fspath(argument) for argument in config.invocation_params.args]
        self._is_nameable = not config.option.pyargs and not any(
            argument.startswith("@") for argument in self._arguments
        )
        self._kept = self._keep(_VALUED, _FLAGS)
        kept = [*self._kept, *([("--leaks", "report")] if is_off else [])]
        self._options = [word for option, value in kept for word in _words(option, value)]

    def _keep(self, valued: Mapping[str, str], flags: Set[str]) -> list[tuple[str, str | None]]:
        kept = _kept(self._arguments, valued, flags)
        return [pair for pair in kept if pair[0] != "--leaks" and pair not in _NEEDLESS]

    def culprit(self, nodeid: str, report: str | None, seed: int | None) -> str | None:
        """Return the command that says who broke a test; None where that takes more than a line.

        report: the file of --leaks-report; without one the command makes such a run anew. seed: of
        pytest-randomly.
        """
        words = ["mcpsmoke", "culprit", self._from_here(nodeid)]
        names: list[str] = []
        if report is not None:
            words += ["--from", report]
            kept = self._kept
        elif self._is_nameable:
            words += [] if seed is None else ["--seed", str(seed)]
            kept = self._keep(_VALUED | _SELECTING, _FLAGS | _ORDERING)
            names = self._given
        else:
            return None
        kept = [pair for pair in kept if pair not in _GIVEN_BY_CULPRIT]
        rest = [*(word for option, value in kept for word in _words(option, value)), *names]
        return _line([*words, *(["--", *rest] if rest else [])])

    def again(self, finding: Finding) -> str | None:
        """Return the command; None for what is no leak, allowed or not."""
        if finding.verdict == "warm-up":
            return None
        return _line(["pytest", *self._options, *self._target(finding)])

    def _target(self, finding: Finding) -> list[str]:
        if finding.owner_kind == "test" or finding.during is not None:
            return [self._from_here(finding.during or finding.owner)]
        path = finding.owner.partition("::")[0]
        # a conftest in a folder that is named to pytest is imported before anything is looked at
        at = self._given if os.path.basename(path) == "conftest.py" else [self._from_here(path)]
        return ["--collect-only", *at] if finding.owner_kind == "module" else at

    def _from_here(self, nodeid: str) -> str:
        """A node id, relative to the folder where pytest was started instead of the rootdir."""
        path, colons, rest = nodeid.partition("::")
        if self._root == self._here:
            return nodeid
        return os.path.relpath(self._root / path, self._here).replace(os.sep, "/") + colons + rest


def _line(words: Sequence[str]) -> str | None:
    """What to paste; None where that cannot be printed."""
    return shlex.join(words) if all(word.isprintable() for word in words) else None


def _kept(
    arguments: Sequence[str], valued: Mapping[str, str], flags: Set[str]
) -> Iterator[tuple[str, str | None]]:
    """The options that matter, each with its value; None: it takes none."""
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument in flags:
            yield argument, None
        elif name in valued:
            yield valued[name], value if equals else next(waiting, "")
        elif argument[:2] in valued:  # "-pNAME"
            yield argument[:2], argument[2:]


def _words(option: str, value: str | None) -> list[str]:
    if value is None:
        return [option]
    return [f"{option}={value}"] if option.startswith("--") else [option, value]

"""References to variables in configurations, as each client writes them, filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

_REFERENCE: Final = re.compile(r"\$\{([^{}]*)\}")
_SHELL: Final = re.compile(r"([A-Za-z_]\w*)(?::-(.*))?", re.DOTALL)
ANSWER: Final = "MCPSMOKE_INPUT_"  # and the id, in capitals: stands for what VS Code asks the user


class Expanded(NamedTuple):
    """A text with its references filled in as far as they can be."""

    text: str
    unset: tuple[str, ...] = ()  # names of environment variables
    foreign: tuple[str, ...] = ()  # references that this client does not fill in, as they stand
    asked: tuple[str, ...] = ()  # ids of inputs that nobody has answered


class Variables:
    """How one client fills in references.

    `expands` is "shell" (`${NAME}`, `${NAME:-default}`), "editor" (`${env:NAME}`, `${input:id}`,
    `${workspaceFolder}` …) or "nothing".
    """

    def __init__(self, expands: str, environ: Mapping[str, str], folder: Path, takes_inputs: bool) -> None:
        self._expands = expands
        self._environ = environ
        self._takes_inputs = takes_inputs
        self._predefined = {
            "workspaceFolder": str(folder),
            "workspaceFolderBasename": folder.name,
            "userHome": str(Path.home()),
            "pathSeparator": os.sep,
            "/": os.sep,
            "cwd": str(folder),
        }

    def expand(self, text: str) -> Expanded:
        """Fill in the references of a text."""
        unset: list[str] = []
        foreign: list[str] = []
        asked: list[str] = []

        def replace(found: re.Match[str]) -> str:
            value = self._value(found[1], unset, asked)
            if value is None:
                foreign.append(found[0])
                return found[0]
            return value

        filled = _REFERENCE.sub(replace, text)
        return Expanded(filled, tuple(unset), tuple(foreign), tuple(asked))

    def _value(self, reference: str, unset: list[str], asked: list[str]) -> str | None:
        """The value of a reference; None when this client has no word for it."""
        if self._expands == "shell":
            found = _SHELL.fullmatch(reference)
            if found is None:
                return None
            return self._of(found[1], found[2], unset)
        if self._expands == "editor":
            kind, _, name = reference.partition(":")
            if kind == "env" and name:
                return self._of(name, None, unset)
            if kind == "input" and name and self._takes_inputs:
                variable = ANSWER + re.sub(r"\W", "_", name).upper()
                if variable not in self._environ:
                    asked.append(name)
                return self._environ.get(variable, "")
            return self._predefined.get(reference)
        return None

    def _of(self, name: str, default: str | None, unset: list[str]) -> str:
        value = self._environ.get(name) or default
        if value is None and name not in self._environ:
            unset.append(name)
        return value or ""


def expand_shell(text: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Fill in `${NAME}` and `${NAME:-default}`; returns the text, and the names that are not set."""
    expanded = Variables("shell", environ, Path(), takes_inputs=False).expand(text)
    return expanded.text, expanded.unset


def without_references(text: str) -> str:
    """Return a text without its references."""
    return _REFERENCE.sub("", text)


def inputs_of(text: str) -> list[str]:
    """The ids of the inputs that a text refers to."""
    return [found.removeprefix("input:") for found in _REFERENCE.findall(text) if found.startswith("input:")]

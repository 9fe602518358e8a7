"""References to variables in configurations, as each client writes them, filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from pytest_mcpsmoke.readiness.configurations.model import is_telling

_REFERENCE: Final = re.compile(r"\$\{([^{}\r\n]*)\}")
_SHELL: Final = re.compile(r"([A-Za-z_]\w*)(?::-(.*))?", re.DOTALL)
ANSWER: Final = "MCPSMOKE_INPUT_"  # and the id, in capitals: stands for what VS Code asks the user


class Expanded(NamedTuple):
    """A text with its references filled in as far as they can be."""

    text: str
    unset: tuple[str, ...] = ()  # names of environment variables
    foreign: tuple[str, ...] = ()  # references that this client does not fill in, as they stand
    asked: tuple[str, ...] = ()  # ids of inputs that nobody has answered
    secrets: tuple[str, ...] = ()  # values of inputs, and of variables whose names suggest a secret


@dataclass
class _Filling:
    """What turns up while a text is filled in."""

    unset: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)


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
        filling = _Filling()

        def replace(found: re.Match[str]) -> str:
            value = self._value(found[1], filling)
            if value is None:
                filling.foreign.append(found[0])
            return found[0] if value is None else value

        filled = _REFERENCE.sub(replace, text)
        lists = filling.unset, filling.foreign, filling.asked, filling.secrets
        return Expanded(filled, *map(tuple, lists))

    def _value(self, reference: str, filling: _Filling) -> str | None:
        """The value of a reference; None when this client has no word for it."""
        if self._expands == "shell":
            found = _SHELL.fullmatch(reference)
            return None if found is None else self._of(found[1], found[2], filling)
        if self._expands != "editor":
            return None
        kind, _, name = reference.partition(":")
        if kind == "env" and name:
            return self._of(name, None, filling)
        if kind == "input" and name and self._takes_inputs:
            return self._answer(name, filling)
        return self._predefined.get(reference)

    def _of(self, name: str, default: str | None, filling: _Filling) -> str:
        value = self._environ.get(name) or default
        if value is None and name not in self._environ:
            filling.unset.append(name)
        if value and is_telling(name):
            filling.secrets.append(value)
        return value or ""

    def _answer(self, name: str, filling: _Filling) -> str:
        value = self._environ.get(ANSWER + re.sub(r"\W", "_", name).upper())
        if value is None:
            filling.asked.append(name)
        elif value:
            filling.secrets.append(value)
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

"""How a section of the configuration is declared: its keys, and what a key may hold.

A section is a dataclass, a key is a field of it. What a key holds is said by a kind, which reads one value;
by another section; or by one of the forms below, for what is made of several. They nest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reference_app.config_kinds import Kind


@dataclass(frozen=True)
class Each:
    """A list, read as a tuple of what `kind` makes of each value."""

    kind: Form


@dataclass(frozen=True)
class Entries:
    """A mapping whose names are free; `names` may refuse one, `kind` reads what stands behind it."""

    kind: Form
    names: Kind = str


@dataclass(frozen=True)
class Beside:
    """A path, relative to the folder of the file; `read` gets the resolved one."""

    read: Callable[[Path], Any]


@dataclass(frozen=True)
class JsonObject:
    """A mapping of plain JSON data, of any depth."""


Form = Kind | type | Each | Entries | Beside | JsonObject  # a type is a section


def key(form: Form, default: Any = None) -> Any:
    """Declares a key of a section: how a file's value is read, and the value without one."""
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={"form": form})
    return field(default=default, metadata={"form": form})


def required(form: Form, example: str) -> Any:
    """Declares a key that a file has to give; who left it out is shown the example."""
    return field(metadata={"form": form, "example": example})

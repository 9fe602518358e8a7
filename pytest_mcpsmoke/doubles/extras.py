"""Imports of packages that come with an extra, with the command that installs what is missing."""

from __future__ import annotations

import importlib
from typing import Any

from pytest_mcpsmoke.errors import MissingExtra


def need(module: str, extra: str, who: str) -> Any:
    """Import a module on behalf of `who`; raise MissingExtra, naming the extra, when it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # something inside the package is broken: that is not ours to explain away
        raise MissingExtra(
            f"{who} needs {error.name}, which is not installed: pip install 'pytest-mcpsmoke[{extra}]'"
        ) from None

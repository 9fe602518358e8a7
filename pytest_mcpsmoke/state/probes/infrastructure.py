"""Helpers that multiprocessing starts once per process and keeps: nobody's leak."""

from __future__ import annotations

import sys
from typing import Final

from pytest_mcpsmoke.state.place import is_module, module_dict, plain_contents

_HELPERS: Final = (
    ("multiprocessing.resource_tracker", "_resource_tracker"),
    ("multiprocessing.forkserver", "_forkserver"),
)


def infrastructure(*attributes: str) -> set[int]:
    """The numbers that the helpers hold under these attributes: process ids, descriptors."""
    found: set[int] = set()
    for name, variable in _HELPERS:
        module = sys.modules.get(name)
        helper = module_dict(module).get(variable) if is_module(module) else None
        contents = (plain_contents(helper) if helper is not None else None) or {}
        numbers = [contents.get(attribute) for attribute in attributes]
        found.update(number for number in numbers if type(number) is int)
    return found

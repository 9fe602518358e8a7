"""Modules that were first imported while one of their imports was a stub: they stay bound to it."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any, ClassVar

from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.place import (
    MISSING,
    is_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    qualname_of,
    text_of,
)
from pytest_mcpsmoke.state.readers import attributes_of


class BoundToStubs:
    """Holds, under the name of a module, what it was bound to when it was imported."""

    probe: ClassVar[str] = "stubs"
    is_one_act: ClassVar[bool] = False

    def place(self, key: str) -> str:
        return key

    def stubs(self, entries: dict[str, Any]) -> dict[str, Any]:
        """Of what was written into sys.modules: that which no import put there, and is no alias."""
        written = {name: value for name, value in entries.items() if value is not MISSING}
        return {
            name: value
            for name, value in written.items()
            if not _is_imported(value)
            and not any(other is value and key != name for key, other in sys.modules.copy().items())
        }

    def imported(self, name: str, stubs: dict[str, Any]) -> list[Write]:
        """A module has been imported: what it got from a stub, if anything."""
        module = sys.modules.get(name)
        if not is_module(module) or not _is_imported(module):
            return []
        for stub_name, stub in stubs.items():
            given = {id(stub), *(id(value) for value in _inside(stub))}
            held = [key for key, value in module_dict(module).copy().items() if id(value) in given]
            if held:
                after = f"imported while sys.modules[{stub_name!r}] was a stub, held as {', '.join(held[:3])}"
                return [Write(self, name, MISSING, after, ())]
        return []


def _is_imported(value: object) -> bool:
    return is_module(value) and type(module_dict(value).get("__spec__")) is ModuleSpec


def _inside(stub: Any) -> list[Any]:
    """What a stub gives out: its names; the children of a mock."""
    held = list((module_dict(stub) if is_module(stub) else attributes_of(stub)).values())
    children = attributes_of(stub).get("_mock_children")
    held += list(dict.values(children)) if type(children) is dict else []
    plain = (type(None), bool, int, str, bytes, float)
    return [value for value in held if kind_of(value) not in plain and not _is_of_another(value, stub)]


def _is_of_another(value: Any, stub: Any) -> bool:
    """Whether a class or function comes from a module that is no stub, and is at home there."""
    if is_class(value):
        home, name = module_of(value), text_of(qualname_of(value))
    elif kind_of(value) in (types.FunctionType, types.BuiltinFunctionType):
        home, name = text_of(value.__module__), text_of(value.__name__)
    else:
        return is_module(value) and value is not stub
    module = sys.modules.get(home or "")
    return is_module(module) and module is not stub and module_dict(module).get(name or "") is value

"""Who else holds an object: the modules that imported it, found without running any of their code."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from pytest_mcpsmoke.doubles.importing import imports_of
from pytest_mcpsmoke.doubles.naming import dotted_name
from pytest_mcpsmoke.state.place import (
    is_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    open_classes,
    text_of,
)
from pytest_mcpsmoke.state.probes.modules import ADDRESS, identities
from pytest_mcpsmoke.state.stubs import PLAIN, is_empty
from pytest_mcpsmoke.state.writer import is_runner_module


class Holder(NamedTuple):
    """A name of a module, or of a class that stands in a module; module is its name in sys.modules."""

    owner: Any
    attribute: str
    module: str

    @property
    def name(self) -> str:
        """How it is written, dotted."""
        return f"{dotted_name(self.owner) if is_class(self.owner) else self.module}.{self.attribute}"


def holders_of(value: object, owner: object, attribute: str) -> list[Holder]:
    """Return who holds a value besides the attribute of its owner, those of the owner's own package first.

    A value that many share without having imported it (None, a number, a text, an Enum's member, what is
    built in) proves nothing: with it only modules count that imported the name from where the owner has it,
    or from the owner, as their sources say.
    """
    package = package_of(owner)
    if _is_shared(value):
        found = _with_import(value, owner, attribute)
    else:
        found = _with_identity(value, package)
    others = [one for one in found if not (one.owner is owner and one.attribute == attribute)]
    return sorted(others, key=lambda one: (one.module.partition(".")[0] != package, one.name))


def importers_of(holders: list[Holder], owner: object, attribute: str) -> list[Holder]:
    """Return those holders that got the value from the owner: imported it from there, or from one another."""
    return _importers(holders, {_name_in(owner, attribute)}) if is_module(owner) else []


def _importers(holders: list[Holder], sources: set[str]) -> list[Holder]:
    """Return those holders that import a name from these sources, or from one another."""
    found: list[Holder] = []
    grows = True
    while grows:
        known = sources.union(one.name for one in found)
        new = [one for one in holders if one.name not in known and _imports_from(one, known)]
        found += new
        grows = bool(new)
    return found


def _name_in(module: object, attribute: str) -> str:
    return f"{text_of(module_dict(module).get('__name__'))}.{attribute}"


def is_left_alone(holder: Holder, owner: object) -> bool:
    """Whether a holder is none of the program's: the interpreter's library, the test runner, this package.

    Those keep what they have even where everybody is patched, unless they are of the owner's own package.
    """
    package = holder.module.partition(".")[0]
    if package == package_of(owner):
        return False
    return package in sys.stdlib_module_names - {"__main__"} or is_runner_module(holder.module)


def is_test_module(name: str) -> bool:
    """Whether a module is test code, by its name: such a module holds the real thing on purpose."""
    *folders, last = name.split(".")
    is_test = last.startswith("test_") or last.endswith("_test") or last in ("conftest", "__main__")
    return is_test or "tests" in folders


def package_of(owner: object) -> str:
    """The top-level package that a module, a class or an instance belongs to."""
    if is_module(owner):
        name = text_of(module_dict(owner).get("__name__"))
    else:
        name = module_of(owner if is_class(owner) else type(owner))
    return (name or "").partition(".")[0]


def _modules() -> Iterator[tuple[str, Any]]:
    """Every real module of sys.modules, once."""
    seen: set[int] = set()
    for name, module in sys.modules.copy().items():
        if type(name) is str and is_module(module) and id(module) not in seen:
            seen.add(id(module))
            yield name, module


def _with_identity(value: object, package: str) -> list[Holder]:
    """The names of all modules, and the attributes of the classes that one package holds."""
    address = id(value).to_bytes(ADDRESS, sys.byteorder)
    found: list[Holder] = []
    classes: dict[int, tuple[type, dict[str, Any]]] = {}
    for name, module in _modules():
        contents = module_dict(module)
        if address in identities(contents):  # hardly ever, and then by chance at times: all modules are asked
            found += [Holder(module, key, name) for key in _keys(contents, value)]
        if name.partition(".")[0] == package:
            classes.update((id(cls), (cls, inside)) for cls, inside in open_classes(contents))
    for cls, inside in classes.values():
        found += [Holder(cls, key, module_of(cls) or "") for key in _keys(inside, value)]
    return found


def _keys(contents: dict[str, Any], value: object) -> list[str]:
    return [
        key
        for key, one in contents.copy().items()
        if one is value and type(key) is str and not _is_special(key)
    ]


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _with_import(value: object, owner: object, attribute: str) -> list[Holder]:
    if not is_module(owner):
        return []
    sources = _sources(owner, attribute)
    same = [
        Holder(module, attribute, name)
        for name, module in _modules()
        if module_dict(module).get(attribute) is value
    ]
    return [one for one in same if one.name in sources] + _importers(same, sources)


def _sources(module: object, attribute: str) -> set[str]:
    """Where a module's name came from: itself, what its source imports it from, and so on."""
    found: set[str] = set()
    waiting = [(module, attribute)]
    while waiting:
        one, name = waiting.pop()
        if is_module(one) and _name_in(one, name) not in found:
            found.add(_name_in(one, name))
            waiting += [
                (sys.modules.get(made.source), made.name) for made in imports_of(one) if made.bound == name
            ]
    return found


def _imports_from(holder: Holder, sources: set[str]) -> bool:
    if not is_module(holder.owner):
        return False
    for one in imports_of(holder.owner):
        if one.bound == holder.attribute and one.meant in sources:
            return True
        if one.name == "*" and f"{one.source}.{holder.attribute}" in sources:
            return True
    return False


def _is_shared(value: Any) -> bool:
    kind = kind_of(value)
    if kind in PLAIN or is_empty(value) or issubclass(type(type(value)), enum.EnumType):
        return True
    if kind is types.BuiltinFunctionType:
        return text_of(value.__module__) == "builtins"
    return is_class(value) and module_of(value) == "builtins"

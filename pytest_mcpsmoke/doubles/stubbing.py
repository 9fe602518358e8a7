"""Stubs in sys.modules, and the modules that stay bound to one: those first imported while it stood there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import zipimport
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from typing import Any, Final

from pytest_mcpsmoke.doubles.holders import is_test_module
from pytest_mcpsmoke.doubles.importing import imports_of, mentions
from pytest_mcpsmoke.doubles.naming import resolve
from pytest_mcpsmoke.doubles.substitution import Attribute, Item, Substitution
from pytest_mcpsmoke.state.place import MISSING, is_class, is_module, module_dict, module_of, mro_of, text_of
from pytest_mcpsmoke.state.stubs import given_by, is_imported, is_method_of


class StubSpec(ModuleSpec):
    """The spec of a stub: find_spec() answers with it, and the detector tells a stub by it."""


def stub_of(name: str, attributes: Mapping[str, Any]) -> types.ModuleType:
    """Make a module that holds these attributes and nothing else; whatever else is imported from it fails."""
    module = types.ModuleType(name, "A stub.")
    module.__spec__ = StubSpec(name, None, origin="stub")
    vars(module).update(attributes)
    return module


def substitutions(name: str, stub: Any) -> Iterator[Substitution]:
    """Yield what puts a stub in the place of a module; each is to be applied before the next is asked for.

    That is its entry of sys.modules, None for a module that cannot be imported, and the attribute of its
    package, as an import binds it. A package that is not loaded is imported; one that cannot be found
    becomes a stub.
    """
    parent, _, last = name.rpartition(".")
    if parent and sys.modules.get(parent) is None:
        if _can_be_found(parent):
            resolve(parent)
        else:
            yield from substitutions(parent, stub_of(parent, {"__path__": []}))
    yield Substitution(Item(sys.modules, name, shown=f"sys.modules[{name!r}]"), stub)
    if parent:
        attribute = Attribute(sys.modules[parent], last, raising=False)
        yield Substitution(attribute, MISSING if stub is None else stub)


def _can_be_found(name: str) -> bool:
    try:
        return name not in sys.modules and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its own package is not there
        return False


class Unbinding:
    """Notes what is loaded, and later takes those modules out again that were imported since and got a stub.

    They are told by what they hold and by what their source imports, and so are the modules that hold or
    import one of them. The next import of them is a real one. What shares nothing with the stub stays, and
    so do the interpreter's own library and compiled modules, which may own state of the process.

    Attributes:
        stubs: The stubs, by name.
        unbound: Names of the modules that were taken out, once that is done.
        still_bound: Names of those that hold the stub and could not be.
    """

    def __init__(self) -> None:
        self.stubs: dict[str, Any] = {}
        self.unbound: tuple[str, ...] = ()
        self.still_bound: tuple[str, ...] = ()
        self._loaded: dict[str, Any] = {}

    def apply(self) -> None:
        """Note what is loaded now."""
        self._loaded = sys.modules.copy()

    def undo(self) -> None:
        """Take out what was imported since and is bound to the stubs."""
        new = {
            name: module
            for name, module in sys.modules.copy().items()
            if type(name) is str and is_imported(module) and self._loaded.get(name) is not module
        }
        self._loaded = {}
        bound = _with_children(_bound(new, self.stubs), new)
        self.unbound = tuple(sorted(name for name in bound if _can_be_imported_again(new[name])))
        self.still_bound = tuple(sorted(set(bound).difference(self.unbound)))
        for name in self.unbound:
            _take_out(name, new[name])


def _bound(new: Mapping[str, Any], stubs: Mapping[str, Any]) -> list[str]:
    """The names of the new modules that got something from the stubs, themselves or through one another."""
    present = [stub for stub in stubs.values() if stub is not None]
    given = {address for stub in present for address in given_by(stub, is_test_module)}
    bound = [
        name
        for name, module in new.items()
        if _holds(module_dict(module).copy(), given, present) or _imports(module, stubs)
    ]
    grows = bool(bound)
    while grows:
        known = {name: new[name] for name in bound}
        found = [name for name in new if name not in known and _depends(new[name], known)]
        bound += found
        grows = bool(found)
    return bound


def _holds(contents: Mapping[str, Any], given: set[int], stubs: list[Any]) -> bool:
    """Whether a module holds something that is given, what is derived or made from it, or a stub's method."""
    for value in contents.values():
        if id(value) in given or any(is_method_of(value, stub) for stub in stubs):
            return True
        if any(id(cls) in given for cls in mro_of(value if is_class(value) else type(value))):
            return True
    return False


def _imports(module: Any, names: Iterable[str]) -> bool:
    """Whether a module's source imports one of these modules, or from one."""
    mentioned = [name for name in names if mentions(module, name)]
    meant = {part for one in imports_of(module) for part in (one.source, one.meant)} if mentioned else set()
    return any(one == name or one.startswith(f"{name}.") for name in mentioned for one in meant)


def _depends(module: Any, bound: Mapping[str, Any]) -> bool:
    """Whether a module holds, or imports, something of modules that are bound to a stub."""
    contents = module_dict(module).copy()
    own = text_of(contents.get("__name__"))
    children = {
        f"{own}.{name}" for name in contents
    }  # a package holds its modules without having imported them
    others = {name: one for name, one in bound.items() if name not in children}
    return any(_is_of(value, others) for value in contents.values()) or _imports(module, bound)


def _is_of(value: Any, modules: Mapping[str, Any]) -> bool:
    """Whether a value is one of these modules, or a class, a function or an object from one."""
    if is_module(value):
        return any(value is module for module in modules.values())
    if type(value) is types.FunctionType:
        return text_of(value.__module__) in modules
    return module_of(value if is_class(value) else type(value)) in modules


def _with_children(bound: list[str], new: Mapping[str, Any]) -> list[str]:
    """With a package its new modules go: left in sys.modules, they would be no attributes of the next one."""
    inside = tuple(f"{name}." for name in bound)
    return [*bound, *(name for name in new if name not in bound and name.startswith(inside))] if bound else []


_SOURCES: Final = (SourceFileLoader, SourcelessFileLoader, zipimport.zipimporter)


def _can_be_imported_again(module: Any) -> bool:
    spec = module_dict(module)["__spec__"]
    is_library = spec.name.partition(".")[0] in sys.stdlib_module_names
    return not is_library and issubclass(type(spec.loader), _SOURCES)


def _take_out(name: str, module: Any) -> None:
    sys.modules.pop(name, None)
    parent, _, last = name.rpartition(".")
    package = sys.modules.get(parent)
    if is_module(package) and module_dict(package).get(last) is module:
        delattr(package, last)

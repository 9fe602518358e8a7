"""Dotted names: what they stand for, and the nearest ones where they stand for nothing."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable
from typing import Any, Final

from pytest_mcpsmoke.errors import NoSuchModule, NoSuchName
from pytest_mcpsmoke.state.place import (
    MISSING,
    dict_of_class,
    is_class,
    is_module,
    module_dict,
    module_of,
    mro_of,
    qualname_of,
    text_of,
)
from pytest_mcpsmoke.state.readers import attributes_of

__tracebackhide__ = True  # pytest shows the line that patches, not these

_NEAREST: Final = 3  # names offered


def split(dotted: object) -> tuple[str, str]:
    """Split "package.module.NAME" into holder and name; raises TypeError for what is no such text."""
    parts = dotted.split(".") if isinstance(dotted, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise TypeError(f'{dotted!r} is no dotted name such as "package.module.NAME"')
    return ".".join(parts[:-1]), parts[-1]


def resolve(dotted: str) -> Any:
    """Return what a dotted name stands for, importing the modules on the way.

    Raises NoSuchModule (an ImportError) or NoSuchName (an AttributeError), naming the nearest ones.
    """
    first, *rest = dotted.split(".")
    found: Any = _imported(first, None)
    used = first
    for part in rest:
        holder, called, used = found, used, f"{used}.{part}"
        found = getattr(holder, part, MISSING)
        if found is MISSING:
            if not (is_module(holder) and "__path__" in module_dict(holder)):
                raise no_such_name(holder, part, called)
            found = _imported(used, holder)
    return found


def resolved(target: object) -> Any:
    """Return an object itself, and what a dotted name stands for."""
    return resolve(target) if isinstance(target, str) else target


def _imported(name: str, package: Any) -> Any:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # a module that is there lacks one of its own imports
        raise _no_such_module(name, package) from None
    # an import may have put something else into its package under that name, as IMPORT_FROM would find it
    return module if package is None else getattr(package, name.rpartition(".")[2], module)


def _no_such_module(name: str, package: Any) -> NoSuchModule:
    parent, _, last = name.rpartition(".")
    known = {
        module.name for module in pkgutil.iter_modules(module_dict(package)["__path__"] if parent else None)
    }
    if parent:
        known |= names_of(package)
        return NoSuchModule(f"{spelt(package)} has no {last!r}{_offer(last, known)}", name=name)
    known |= {loaded for loaded in sys.modules if "." not in loaded}
    return NoSuchModule(f"there is no module {name!r}{_offer(name, known)}", name=name)


def no_such_name(holder: object, name: str, called: str = "", remedy: str = "") -> NoSuchName:
    """The exception for a name that its holder does not have; called: the dotted name of an instance."""
    is_named = is_module(holder) or is_class(holder) or not called
    return NoSuchName(
        f"{spelt(holder) if is_named else called} has no {name!r}{_offer(name, names_of(holder))}{remedy}"
    )


def _offer(name: str, known: Iterable[str]) -> str:
    lowered = {one.lower(): one for one in sorted(known)}
    nearest = difflib.get_close_matches(name.lower(), lowered, _NEAREST)
    return (
        f"; the nearest: {', '.join(repr(lowered[one]) for one in nearest)}"
        if nearest
        else "; nothing is near"
    )


def names_of(holder: object) -> set[str]:
    """The names that a module, a class or an instance has, found without running its code."""
    held: list[Any] = [module_dict(holder)] if is_module(holder) else [attributes_of(holder)]
    if not is_module(holder):
        held += [dict_of_class(cls) for cls in mro_of(holder if is_class(holder) else type(holder))]
    return {name for names in held for name in list(names) if type(name) is str}


def spelt(holder: object) -> str:
    """What a module, a class or an instance is called in a message: a module with its file."""
    if not is_module(holder):
        return dotted_name(holder)
    file = text_of(module_dict(holder).get("__file__"))
    return dotted_name(holder) + (f" ({_shown_path(file)})" if file else "")


def dotted_name(holder: object) -> str:
    """The dotted name of a module or a class; of an instance, what it is."""
    if is_module(holder):
        return text_of(module_dict(holder).get("__name__")) or "a module"
    cls = holder if is_class(holder) else type(holder)
    name = f"{module_of(cls) or '?'}.{qualname_of(cls)}"
    return name if is_class(holder) else f"<{name} object>"


def _shown_path(path: str) -> str:
    relative = (
        os.path.relpath(path) if os.path.splitdrive(path)[0] == os.path.splitdrive(os.getcwd())[0] else path
    )
    return path if relative.startswith(os.pardir) else relative

"""From pytest's nodes and fixtures to the owners of changes."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from _pytest.doctest import DoctestItem

from pytest_mcpsmoke.state.doctests import file_of, named
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.source import index_of
from pytest_mcpsmoke.state.writer import Span, span_of_code

_WHOLE_FILE = 1_000_000_000  # a last line beyond every file

# xunit and unittest set-up reaches pytest as fixtures with generated names.
_XUNIT = {
    "_xunit_setup_module_fixture_": "setup_module",
    "_xunit_setup_class_fixture_": "setup_class",
    "_unittest_setUpClass_fixture_": "setUpClass",
}
_SETUPS = {
    "setup_module": ("setup_module", "setUpModule", "teardown_module", "tearDownModule"),
    "setup_class": ("setup_class", "teardown_class"),
    "setUpClass": ("setUpClass", "tearDownClass"),
}
_CLASS_SETUP = (
    "setUp", "tearDown", "asyncSetUp", "asyncTearDown", "setup_method", "teardown_method",
)  # fmt: skip


def relative_to(root: Path) -> Callable[[str], str]:
    """Return the function that shows an absolute path as pytest does: relative inside the rootdir."""
    prefix = str(root) + os.sep

    def relative(path: str) -> str:
        path = file_of(path)  # that doctests stand in
        return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else path

    return relative


def owner_of_test(item: pytest.Item) -> Owner:
    """The owner of what a test, with its function-scoped fixtures, changes."""
    return Owner(item.nodeid, "test", find_spans=partial(_spans_of_test, item))


def owner_of_module(nodeid: str, path: Path) -> Owner:
    """The owner of what importing a test module, or a conftest, changes."""
    return Owner(
        nodeid, "module", "module", find_spans=lambda: (Span(str(path), 1, _WHOLE_FILE, "<module>"),)
    )


def owner_of_fixture(fixturedef: pytest.FixtureDef[Any], root: Path, relative: Callable[[str], str]) -> Owner:
    """The owner of what a fixture of class to session scope changes."""
    name = fixturedef.argname
    scope = fixturedef.scope
    for prefix, method in _XUNIT.items():
        if name.startswith(prefix):
            path = root / fixturedef.baseid.partition("::")[0]
            find = partial(_spans_of_setup, str(path), fixturedef.baseid, method)
            return Owner(f"{fixturedef.baseid}::{method}", "fixture", scope, find)
    code = code_of(fixturedef.func)
    file = relative(code.co_filename) if code else fixturedef.baseid
    return Owner(f"{file}::{name}", "fixture", scope, lambda: (span_of_code(code),) if code else ())


def owner_of_package(package: pytest.Package) -> Owner:
    """The owner of what setup_module in a package's __init__.py changes."""
    file = Span(str(package.path / "__init__.py"), 1, _WHOLE_FILE, "setup_module")
    return Owner(f"{package.nodeid}/__init__.py::setup_module", "fixture", "package", lambda: (file,))


def code_of(function: Any) -> types.CodeType | None:
    """The code of a test or fixture function, below its decorators; None when it is no Python function."""
    for _ in range(20):
        if type(function) is types.MethodType:
            function = function.__func__
        wrapped = function.__dict__.get("__wrapped__") if type(function) is types.FunctionType else None
        if wrapped is None:
            break
        function = wrapped
    return function.__code__ if type(function) is types.FunctionType else None


def lines_of_doctest(item: DoctestItem) -> tuple[str, list[int]]:
    """The file that a doctest stands in, and the lines on which its examples begin."""
    first = (item.dtest.lineno or 0) + 1
    return str(item.path), [first + example.lineno for example in item.dtest.examples]


def _spans_of_test(item: pytest.Item) -> tuple[Span, ...]:
    if isinstance(item, DoctestItem):
        path, lines = lines_of_doctest(item)
        last = lines[-1] + item.dtest.examples[-1].source.count("\n") if lines else 0
        return (Span(named(path), min(lines, default=1), last, "<module>"),)
    return tuple(span_of_code(code) for code in _codes_of_test(item))


def _codes_of_test(item: pytest.Item) -> Iterator[types.CodeType]:
    if not isinstance(item, pytest.Function):
        return
    functions = [item.obj]
    for fixturedefs in item._fixtureinfo.name2fixturedefs.values():
        functions += [fixturedef.func for fixturedef in fixturedefs if fixturedef.scope == "function"]
    if item.cls is not None:
        functions += [found for name in _CLASS_SETUP if (found := _method(item.cls, name)) is not None]
    yield from filter(None, map(code_of, functions))


def _method(cls: type, name: str) -> Any:
    """A method as the class or a base of it defines it, without binding it."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _spans_of_setup(path: str, nodeid: str, method: str) -> tuple[Span, ...]:
    """The set-up and tear-down of a class or module, and the head of the class; else the whole file."""
    scopes = index_of(path).scopes
    cls = nodeid.partition("::")[2].replace("::", ".")
    names = {f"{cls}.{name}" if cls else name for name in _SETUPS[method]}
    found = [scope for scope in scopes if scope.name in names]
    if not found:
        return (Span(path, 1, _WHOLE_FILE, nodeid.rpartition("::")[2]),)
    heads = [
        (scope.first, min(inner.first for inner in scopes if inner.name.startswith(f"{cls}.")) - 1)
        for scope in scopes
        if scope.kind == "class" and scope.name == cls
    ]
    return (
        *(Span(path, scope.first, scope.last, method) for scope in found),
        *(Span(path, first, last, method) for first, last in heads),
    )

"""The books that libraries and decorators keep for themselves in what the program and the tests hold."""

from __future__ import annotations

import sys
from types import FunctionType

from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.containers import FixtureValue, Node
from pytest_mcpsmoke.state.place import Namespace, kind_of, module_of, text_of
from pytest_mcpsmoke.state.writer import asks


def is_books_of_library(change: Change) -> bool:
    """A private attribute of an object whose class is not the program's, or something inside one."""
    node = change.holder
    if not isinstance(node, Node) or change.writer.by == "test":
        return False
    if any(_is_wrapper_of_library(one) for one in node.ancestors()):
        return True
    names: list[object] = [node.touched.get(change.key), *(one.key for one in node.ancestors())]
    for one, name in zip(node.ancestors(), names, strict=False):
        is_private = type(name) is str and name.startswith("_")
        if is_private and one.is_instance and not one.graph.is_ours(module_of(type(one.object)) or ""):
            return True
    return False


def _is_wrapper_of_library(node: Node) -> bool:
    """Whether it is a function that a library's decorator made of one of the program's."""
    home = _home_of_code(node)
    return home is not None and not node.graph.is_ours(home)


def _home_of_code(node: Node) -> str | None:
    """The module whose code a function runs; None: it is no function."""
    function = node.object
    return text_of(function.__globals__.get("__name__")) if kind_of(function) is FunctionType else None


def is_books_of_decorator(change: Change) -> bool:
    """What the program's decorator keeps in the function that it made for the tests."""
    node = change.holder
    root = node.root[0] if isinstance(node, Node) else None
    if not isinstance(node, Node) or not isinstance(root, Namespace) or change.writer.by == "test":
        return False
    return node.graph.is_test(root.module) and any(_is_made_for_tests(one) for one in node.ancestors())


def _is_made_for_tests(node: Node) -> bool:
    """Whether it is a function that one of the program's made when it was called."""
    home = _home_of_code(node)
    return (
        home is not None and not node.graph.is_test(home) and "<locals>" in node.object.__code__.co_qualname
    )


def is_service(change: Change) -> bool:
    """What a library writes below a fixture's value, where the owner's code neither calls nor hands it over.

    A server in a thread, which counts its requests.
    """
    node = change.holder
    root = node.root[0] if isinstance(node, Node) else None
    if not isinstance(node, Node) or not isinstance(root, FixtureValue) or change.writer.by == "test":
        return False
    is_of_library = any(one.is_instance and _is_installed(one) for one in node.ancestors())
    return is_of_library and not asks(change.owner, [root.name, *node.names(change.key)])


def _is_installed(node: Node) -> bool:
    """Whether the class of an object is neither the program's nor the standard library's."""
    home = module_of(type(node.object)) or ""
    return not node.graph.is_ours(home) and home.partition(".")[0] not in sys.stdlib_module_names

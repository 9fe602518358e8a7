"""The books that libraries and decorators keep for themselves in what the program and the tests hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CoroutineType, FunctionType
from typing import Any

from pytest_mcpsmoke.state.change import Change, added
from pytest_mcpsmoke.state.containers import Graph
from pytest_mcpsmoke.state.kinds import PENDING_TASKS, WORDS_OF_PARTS
from pytest_mcpsmoke.state.nodes import FixtureValue, Node
from pytest_mcpsmoke.state.place import MISSING, Namespace, kind_of, module_of, text_of
from pytest_mcpsmoke.state.writer import asks, calls_in, file_of_module, is_file_of, stores


def is_books_of_library(change: Change) -> bool:
    """Something that a library keeps for itself; on its loops also tasks, unless the test has made them."""
    node = change.holder
    if not isinstance(node, Node) or change.writer.by == "test":
        return False
    if change.key == PENDING_TASKS and calls_in(change.owner, WORDS_OF_PARTS[PENDING_TASKS]):
        return False
    if change.key == PENDING_TASKS and not _are_of_library(node, added(change)):
        return False
    return any(_is_wrapper_of_library(one) for one in node.ancestors()) or _is_private_to_library(
        node, change
    )


def _is_private_to_library(node: Node, change: Change) -> bool:
    """A private attribute of an object whose class is not the program's, or something inside one."""
    names: list[object] = [node.touched.get(change.key), *(one.key for one in node.ancestors())]
    for one, name in zip(node.ancestors(), names, strict=False):
        is_private = type(name) is str and name.startswith("_")
        if is_private and one.is_instance and not one.graph.is_ours(module_of(type(one.object)) or ""):
            return True
    return False


def _are_of_library(node: Node, tasks: list[Any]) -> bool:
    """Whether these tasks run coroutines of libraries."""
    coroutines = [task.get_coro() for task in tasks]
    frames = [coroutine.cr_frame for coroutine in coroutines if type(coroutine) is CoroutineType]
    homes = [text_of(frame.f_globals.get("__name__")) for frame in frames if frame is not None]
    return len(homes) == len(coroutines) and not any(node.graph.is_ours(home or "") for home in homes)


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
    """What a library writes in an object of its own, where the owner's code neither calls nor hands it over.

    A server in a thread, which counts its requests; a model that is mapped when it is first used. Not what
    the library was given to keep.
    """
    node = change.holder
    if not isinstance(node, Node) or change.writer.by == "test" or change.writer.is_given:
        return False
    root, name = node.root
    names = [root.name if isinstance(root, FixtureValue) else name, *node.names(change.key)]
    if not any(one.is_instance and _is_installed(one) for one in node.ancestors()):
        return False
    if asks(change.owner, names):
        return False
    return isinstance(root, FixtureValue) or _is_by_library(change, node)


def _is_by_library(change: Change, node: Node) -> bool:
    """Whether a function of a library completed it; where nobody is known, whether it is an attribute.

    Not where the program has a statement that may have written it.
    """
    function, graph, names = change.writer.function, node.graph, node.names(change.key)
    if change.before is not MISSING and change.before is not None:
        return False  # it is switched, and not completed
    if function is None and not (node.is_instance and _is_installed(node)):
        return False
    if function is not None and is_file_of(function.rpartition(":")[0], graph.is_ours):
        return False
    return bool(names) and not any(stores(path, names[0]) for path in _files_of_program(graph))


def _files_of_program(graph: Graph) -> Iterator[str]:
    for name in list(sys.modules):
        path = file_of_module(name) if graph.is_ours(name) and not graph.is_test(name) else None
        if path is not None and path.endswith(".py"):
            yield path


def _is_installed(node: Node) -> bool:
    """Whether the class of an object is neither the program's nor the standard library's."""
    home = module_of(type(node.object)) or ""
    return not node.graph.is_ours(home) and home.partition(".")[0] not in sys.stdlib_module_names

"""How far a name is from a test: in its own code, in what that names, in what that names …"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Final

_FARTHEST: Final = 8
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def definitions(source: str) -> dict[str, set[str]]:
    """Return the names in each definition of a file, and in what is assigned to a name, by its bare name.

    Of a file that cannot be parsed: nothing.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    bodies: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS):
            bodies.setdefault(node.name, set()).update(_names(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):  # an instance leads to its class
            for name, value in _assigned(node):
                bodies.setdefault(name, set()).update(_names(value))
    return bodies


def together(files: Iterable[Mapping[str, Iterable[str]]]) -> dict[str, set[str]]:
    """Return the definitions of several files; what has the same name as something else is taken for both."""
    bodies: dict[str, set[str]] = {}
    for file in files:
        for name, names in file.items():
            bodies.setdefault(name, set()).update(names)
    return bodies


def distances(test: str, bodies: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return for each name how many definitions lie between it and the code of a test.

    test: the test's own name. bodies: the definitions of its file, of conftests and of the program's modules.
    Fixtures are definitions that the names of arguments lead to.
    """
    found = {test: 0}
    edge = {test}
    for distance in range(_FARTHEST):
        edge = {name for near in edge for name in bodies.get(near, ()) if name not in found}
        found.update(dict.fromkeys(edge, distance))
    return found


def _assigned(node: ast.Assign | ast.AnnAssign) -> Iterable[tuple[str, ast.AST]]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if node.value is not None:
        yield from ((target.id, node.value) for target in targets if isinstance(target, ast.Name))


def _names(node: ast.AST) -> Iterable[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Attribute):
            yield each.attr
        elif isinstance(each, ast.arg):
            yield each.arg
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
        elif isinstance(each, ast.alias):
            yield from each.name.split(".")

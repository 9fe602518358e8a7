"""What the source of a module imports when its body runs: which names it bound, and from where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import resolve_name
from typing import Any, NamedTuple

from pytest_mcpsmoke.state.place import module_dict, text_of
from pytest_mcpsmoke.state.source import source_of


class Import(NamedTuple):
    """One name that an import statement bound: `from source import name as bound`.

    Of `import a.b` the source is "a.b", the name "" and what is bound "a". "*" binds whatever is there.
    """

    bound: str
    source: str
    name: str

    @property
    def meant(self) -> str:
        """The dotted name that it stands for, as far as the statement tells."""
        return f"{self.source}.{self.name}" if self.name not in ("", "*") else self.source


def imports_of(module: Any) -> frozenset[Import]:
    """The names that a module's own import statements bound; none where its source cannot be had."""
    contents = module_dict(module)
    file, package = text_of(contents.get("__file__")), text_of(contents.get("__package__"))
    return _imports_in(file, package or "") if file else frozenset()


def mentions(module: Any, name: str) -> bool:
    """Whether the source of a module may import a module of this name: cheaper to ask than imports_of."""
    file = text_of(module_dict(module).get("__file__"))
    text = source_of(file) if file and file.endswith(".py") else ""
    package, _, last = name.rpartition(".")
    return last in text and (package.partition(".")[0] in text or "from ." in text)


@lru_cache(maxsize=1024)
def _imports_in(file: str, package: str) -> frozenset[Import]:
    if not file.endswith(".py"):
        return frozenset()
    try:
        tree = ast.parse(source_of(file))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(found for statement in _run_by(tree) for found in _bound_by(statement, package))


def _run_by(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements that run with the module's body: not those of functions, nor for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            continue
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from _run_by(child)


def _bound_by(statement: ast.stmt, package: str) -> Iterator[Import]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield Import(alias.asname or alias.name.partition(".")[0], alias.name, "")
    elif isinstance(statement, ast.ImportFrom):
        try:
            source = resolve_name("." * statement.level + (statement.module or ""), package)
        except ImportError:  # more dots than the package has parents
            return
        for alias in statement.names:
            yield Import(alias.asname or alias.name, source, alias.name)

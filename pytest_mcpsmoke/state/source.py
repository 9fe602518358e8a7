"""What the source of a file stores, by name: where a write site is searched and an idiom recognised."""

from __future__ import annotations

import ast
import linecache
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from pytest_mcpsmoke.state import doctests

Form = Literal["attribute", "name", "mention"]

# Calls that may write what their string argument names.
_WRITING_CALLS = frozenset(
    {"setattr", "delattr", "__setattr__", "__delattr__", "setitem", "delitem", "__setitem__", "__delitem__"}
    | {"patch", "object", "multiple", "update", "setdefault", "pop", "patch_globals", "patched"}
)


class Store(NamedTuple):
    """One statement that stores (or deletes, or names in a call) something of a given name."""

    line: int
    form: Form
    scope: Scope
    statement: ast.stmt
    on_self: bool  # self.name = … or cls.name = …


class Touch(NamedTuple):
    """One statement that changes, or may change, what an object of a given name holds.

    how: "stores" (name[…] = …, del name[…], name[…] += …), "mutates" (name.append(…)), "calls" (another
    method of it), "passes" (it is an argument of a call). is_innermost: no other name stands between.
    """

    line: int
    how: Literal["stores", "mutates", "calls", "passes"]
    scope: Scope
    statement: ast.stmt
    is_innermost: bool
    is_given: bool  # what it stores is a parameter of the function, as it came


class Scope:
    """A function, a class body or the module body; lines are 1-based, the last one is part of it."""

    __slots__ = (
        "calls",
        "checks",
        "counts",
        "declared_global",
        "first",
        "kind",
        "last",
        "lookups",
        "name",
        "parameters",
        "reads",
    )

    def __init__(
        self, name: str, kind: Literal["module", "class", "function"], first: int, last: int
    ) -> None:
        self.name = name  # qualified name; "<module>" for the module body
        self.kind = kind
        self.first = first
        self.last = last
        self.reads: set[str] = set()
        self.checks: set[str] = set()  # what is read to decide something
        self.calls: dict[str, int] = {}  # last part of what is called -> line
        self.declared_global: set[str] = set()
        self.counts = False  # setattr(…, name, … + 1) with a name that it computes
        self.lookups: set[str] = set()  # names of what is looked into: name[…], name.get(…), … in name
        self.parameters: frozenset[str] = frozenset()

    def settle(self) -> None:
        """Let go of empty sets: a file of tests has a scope for each, and most of theirs are empty."""
        for name in ("reads", "checks", "declared_global", "lookups"):
            if not getattr(self, name):
                setattr(self, name, _NOTHING)


_NOTHING: set[str] = set()


class SourceIndex(NamedTuple):
    """All stores of one file by name, and its scopes in order of appearance."""

    stores: dict[str, list[Store]]
    scopes: list[Scope]
    touches: dict[str, list[Touch]]

    def scope_at(self, line: int) -> Scope | None:
        """Return the innermost scope that this line lies in."""
        inside = [scope for scope in self.scopes if scope.first <= line <= scope.last]
        return min(inside, key=lambda scope: scope.last - scope.first, default=None)

    def statement_at(self, line: int, name: str) -> ast.stmt | None:
        """Return the statement at this line that stores name."""
        return next((store.statement for store in self.stores.get(name, ()) if store.line == line), None)


# Methods of built-in containers, and of their like, that change what they hold.
_MUTATORS = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "move_to_end",
        "pop",
    }
    | {"popitem", "popleft", "put", "put_nowait", "remove", "reverse", "rotate", "set", "setdefault", "sort"}
    | {"subtract", "update", "write", "writelines", "truncate", "fill", "register", "difference_update"}
    | {"intersection_update", "symmetric_difference_update", "__setitem__", "__delitem__", "__setattr__"}
)
_LOOKUPS = frozenset({"get", "setdefault", "__getitem__", "__contains__"})


def _chain(node: ast.expr) -> list[str]:
    """The names that an expression is reached by, innermost first: a.b["c"].d is d, c, b, a."""
    names: list[str] = []
    at: ast.expr | None = node
    while at is not None:
        if isinstance(at, ast.Attribute):
            names.append(at.attr)
            at = at.value
        elif isinstance(at, ast.Subscript):
            if isinstance(at.slice, ast.Constant) and isinstance(at.slice.value, str):
                names += [at.slice.value] if at.slice.value.isidentifier() else []
            at = at.value
        elif isinstance(at, ast.Call):
            at = at.func
        else:
            if isinstance(at, ast.Name):
                names.append(at.id)
            at = None
    return names


_NOT_THERE = {"NameError", "AttributeError", "KeyError", "LookupError"}


def _names(node: ast.expr | None) -> list[ast.Name]:
    return [] if node is None else [part for part in ast.walk(node) if isinstance(part, ast.Name)]


# A compound statement is not kept: with it the whole tree of a file would be, for every file that is indexed.
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete, ast.Expr, ast.Return)
_COMPOUND = ast.Pass()


def is_parameter(statement: ast.stmt, scope: Scope) -> bool:
    """Whether what a statement stores is a parameter of the function that it stands in, as it came."""
    value = getattr(statement, "value", None)
    return isinstance(value, ast.Name) and value.id in scope.parameters


class _Indexer(ast.NodeVisitor):
    """Walks a module once, noting per scope what is read, called and stored."""

    def __init__(self, last_line: int) -> None:
        self.index = SourceIndex(
            defaultdict(list), [Scope("<module>", "module", 1, last_line)], defaultdict(list)
        )
        self.path = [self.index.scopes[0]]
        self.statement: ast.stmt | None = None
        self.checking = False

    def visit(self, node: ast.AST) -> None:
        outer = self.statement
        if isinstance(node, ast.stmt):
            self.statement = node if isinstance(node, _SIMPLE) else _COMPOUND
        super().visit(node)
        self.statement = outer

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        outer = self.path[-1]
        self._bind(node.name, node.lineno)
        prefix = "" if outer.kind == "module" else outer.name + "."
        kind: Literal["class", "function"] = "class" if isinstance(node, ast.ClassDef) else "function"
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        scope = Scope(prefix + node.name, kind, first, node.end_lineno or node.lineno)
        if not isinstance(node, ast.ClassDef):
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            rest = (node.args.vararg, node.args.kwarg)
            scope.parameters = frozenset(argument.arg for argument in (*every, *rest) if argument is not None)
        self.index.scopes.append(scope)
        self.path.append(scope)
        self.generic_visit(node)
        self.path.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _enter

    def visit_Global(self, node: ast.Global) -> None:
        self.path[-1].declared_global.update(node.names)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
        elif isinstance(node.target, ast.Attribute):
            self._read(node.target.attr)
        if not isinstance(node.target, ast.Subscript):  # which touches by itself
            self._touch(node.target, node.lineno, "stores")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id)
        else:
            self._bind(node.id, node.lineno)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]
            self._bind(alias.asname or name, node.lineno)

    visit_ImportFrom = visit_Import

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.attr)
        else:
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            self._store(node.attr, node.lineno, "attribute", on_self=base in {"self", "cls"})
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        # mod.__dict__["NAME"] = …, globals()["NAME"] = …, vars(mod)["NAME"] = …
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(key, str) and not isinstance(node.ctx, ast.Load):
            self._store(key, node.lineno, "attribute")
        if isinstance(node.ctx, ast.Load):
            self.path[-1].lookups.update(_chain(node.value)[:1])
        else:
            self._touch(node.value, node.lineno, "stores")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                self.path[-1].lookups.update(_chain(right)[:1])
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        last = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        self.path[-1].calls[last] = node.lineno
        if last in _WRITING_CALLS or (last == "dict" and isinstance(called, ast.Attribute)):  # patch.dict()
            named = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            named += [keyword.arg for keyword in node.keywords]
            for name in named:
                if isinstance(name, str):
                    self._store(name.rpartition(".")[2], node.lineno, "mention")
        if last == "setattr" and len(node.args) == 3 and not isinstance(node.args[1], ast.Constant):
            value = node.args[2]
            sums = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add)
            self.path[-1].counts = self.path[-1].counts or sums
        if isinstance(called, ast.Attribute):
            self._touch(called.value, node.lineno, "mutates" if last in _MUTATORS else "calls")
            if last in _LOOKUPS:
                self.path[-1].lookups.update(_chain(called.value)[:1])
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self._touch(argument, node.lineno, "passes")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._read(node.value)  # hasattr(cls, "name"), "name" in vars(cls)

    def _bind(self, name: str, line: int) -> None:
        """A plain name is state at module and class level, and in a function that declares it global."""
        if self.path[-1].kind != "function" or name in self.path[-1].declared_global:
            self._store(name, line, "name")

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        self._visit_checking([node.test])
        for part in ast.iter_child_nodes(node):
            if part is not node.test:
                self.visit(part)

    visit_While = visit_IfExp = visit_If

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._visit_checking(node.values)

    def visit_Try(self, node: ast.Try) -> None:
        # try: return NAME / except NameError: …
        caught = {name.id for handler in node.handlers for name in _names(handler.type)}
        self._visit_checking(node.body, not caught.isdisjoint(_NOT_THERE))
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def _visit_checking(self, nodes: Sequence[ast.AST], checking: bool = True) -> None:
        outer, self.checking = self.checking, self.checking or checking
        for node in nodes:
            self.visit(node)
        self.checking = outer

    def _touch(self, node: ast.expr, line: int, how: Literal["stores", "mutates", "calls", "passes"]) -> None:
        if self.statement is None:
            return
        given = is_parameter(self.statement, self.path[-1])
        for at, name in enumerate(_chain(node)):
            touch = Touch(line, how, self.path[-1], self.statement, at == 0, given)
            self.index.touches[name].append(touch)

    def _read(self, name: str) -> None:
        self.path[-1].reads.add(name)
        if self.checking:
            self.path[-1].checks.add(name)

    def _store(self, name: str, line: int, form: Form, on_self: bool = False) -> None:
        if name.isidentifier() and self.statement is not None:
            self.index.stores[name].append(Store(line, form, self.path[-1], self.statement, on_self))


@lru_cache(maxsize=256)
def index_of(path: str) -> SourceIndex:
    """Index one source file; an empty index when it cannot be had or is no Python."""
    text = source_of(path)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        tree = ast.Module([], [])
    indexer = _Indexer(text.count("\n") + 1)
    indexer.visit(tree)
    for scope in indexer.index.scopes:
        scope.settle()
    return indexer.index


def source_of(path: str) -> str:
    """The text of a source file, "" when it cannot be read; of the doctests of one, their statements."""
    lines = linecache.getlines(doctests.file_of(path))
    return doctests.statements(lines) if doctests.is_named(path) else "".join(lines)


def mentions(path: str, name: str) -> bool:
    """Whether the text of a file holds the name at all: a cheap question before index_of."""
    return any(name in line for line in linecache.getlines(path))

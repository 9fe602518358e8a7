"""What to write instead of the statement that leaked."""

from __future__ import annotations

import ast
from typing import Final

from pytest_mcpsmoke.state.describe import redact_source
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.policy import Change

_LONGEST: Final = 60  # characters of a value that is repeated in a remedy


def remedy_for(change: Change) -> str | None:
    """Return the replacement for the statement that wrote, or None where there is no general one.

    Where the function-scoped monkeypatch fixture is out of reach (a wide fixture, a module's import),
    the remedy is its context manager.
    """
    text = _remedy(change)
    return None if text is None else redact_source(text, change.place)


def _remedy(change: Change) -> str | None:
    if change.owner.kind == "module":
        return "do this in a fixture that undoes it, not when the module is imported"
    call = _from_statement(change) if change.writer.statement is not None else None
    if call is None:
        return "undo it in a fixture's teardown, or patch it for the time of the test"
    if change.owner.kind == "fixture":
        return f"with pytest.MonkeyPatch.context() as monkeypatch: monkeypatch.{call}, and yield inside"
    return f"monkeypatch.{call}"


def _from_statement(change: Change) -> str | None:
    statement, key = change.writer.statement, change.key
    if isinstance(statement, ast.Delete):
        return _from_target(next(iter(_targets(statement.targets, key)), None), key, None)
    if isinstance(statement, ast.Assign):
        values = [statement.value]
        target = next(iter(_targets(statement.targets, key)), None)
        plain = any(target is whole for whole in statement.targets)
        return _from_target(target, key, values[0] if plain else None, is_write=True)
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        return _from_target(statement.target, key, None, is_write=True)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _from_call(statement.value)
    if change.after is MISSING:
        return f'delattr({change.namespace.name}, "{key}")'
    return None


def _targets(targets: list[ast.expr], key: str) -> list[ast.expr]:
    """The parts of assignment targets that stand for this name."""
    return [
        node
        for target in targets
        for node in ast.walk(target)
        if (isinstance(node, ast.Attribute) and node.attr == key)
        or (isinstance(node, ast.Name) and node.id == key)
        or (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and node.slice.value == key
        )
    ]


def _from_target(
    target: ast.expr | None, key: str, value: ast.expr | None, is_write: bool = False
) -> str | None:
    new = "…" if value is None or len(ast.unparse(value)) > _LONGEST else ast.unparse(value)
    if isinstance(target, ast.Attribute):
        where, verb = ast.unparse(target.value), "attr"
    elif isinstance(target, ast.Name):
        where, verb = "globals()", "item"
    elif isinstance(target, ast.Subscript):
        where, verb = ast.unparse(target.value), "item"
    else:
        return None
    return f'set{verb}({where}, "{key}", {new})' if is_write else f'del{verb}({where}, "{key}")'


def _from_call(call: ast.Call) -> str | None:
    """setattr(…) and delattr(…) become the methods of the monkeypatch fixture."""
    name = call.func.id if isinstance(call.func, ast.Name) else None
    if name not in ("setattr", "delattr"):
        return None
    text = ast.unparse(call)
    return text if len(text) <= 2 * _LONGEST else None

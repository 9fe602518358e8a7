"""What to write instead of the statement that leaked."""

from __future__ import annotations

import ast
from typing import Final

from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.describe import redact_source
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.place import MISSING, Namespace
from pytest_mcpsmoke.state.source import source_of

_LONGEST: Final = 60  # characters of a value that is repeated in a remedy
_GENERAL: Final = "undo it in a fixture's teardown, or patch it for the time of the test"
# by probe, or place
_AROUND: Final = {
    "warnings.filters": "with warnings.catch_warnings(): …",
    "sys.path": "monkeypatch.syspath_prepend(…)",
    "environ": "monkeypatch.setenv(…) or monkeypatch.delenv(…)",
    "cwd": "monkeypatch.chdir(…)",
    "files": "write into tmp_path",
    "sys.modules": "monkeypatch.setitem(sys.modules, …) or monkeypatch.delitem(sys.modules, …)",
    "stubs": "import it before the stub is set up, or stub it in all tests that use it",
    "descriptors": "close it, or open it in a with statement",
    "threads": "stop and join it in a fixture's teardown",
    "children": "end it and wait for it in a fixture's teardown",
    "random": "draw from a random.Random(seed) of the test's own, or put random.getstate() back",
    "numpy.random": "draw from a numpy.random.default_rng(seed) of the test's own",
    "decimal": "with decimal.localcontext() as context: …",
    "numpy errors": "with numpy.errstate(…): …",
    "numpy printing": "with numpy.printoptions(…): …",
    "event loop": "asyncio.run(…), or close the loop and asyncio.set_event_loop(None)",
}


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
    call = _call_for(change)
    if call is None:
        around = _AROUND.get(change.holder.probe) or _AROUND.get(change.place)
        return around or _of_copy(change) or _GENERAL
    if change.owner.kind == "fixture":
        return f"with pytest.MonkeyPatch.context() as monkeypatch: monkeypatch.{call}, and yield inside"
    return f"monkeypatch.{call}"


def _of_copy(change: Change) -> str | None:
    """A list, a set and their like are not patched piece by piece: the test gets a copy of its own."""
    node = change.holder
    if not (isinstance(node, Node) and node.reader.is_whole and isinstance(node.parent, Namespace)):
        return None
    return f'change a copy: monkeypatch.setattr("{node.path}", {node.path}.copy())'


def _key_of(change: Change) -> str:
    """The name, or the key, that stands in the source for what has changed."""
    key = change.holder.touched.get(change.key) if isinstance(change.holder, Node) else change.key
    return key if type(key) is str else ""


def _call_for(change: Change) -> str | None:
    """The call of the monkeypatch fixture that does what the statement did."""
    statement, site = change.writer.statement, change.writer.site
    if statement is None or site is None:
        return None
    source = source_of(site.path)
    if isinstance(statement, ast.Expr):
        return _from_call(statement.value, change, source)
    key = _key_of(change)
    target, value = _assigned(statement, key)
    where = _container(target, source)
    if where is None:
        return None
    verb = "attr" if isinstance(target, ast.Attribute) else "item"
    if isinstance(statement, ast.Delete):
        return f'del{verb}({where}, "{key}")'
    new = None if value is None else _text(value, source)
    shown = new if new is not None and len(new) <= _LONGEST else "…"
    return f'set{verb}({where}, "{key}", {shown}{_raising(change, verb)})'


def _raising(change: Change, verb: str) -> str:
    return ", raising=False" if verb == "attr" and change.before is MISSING else ""


def _assigned(statement: ast.stmt, key: str) -> tuple[ast.expr | None, ast.expr | None]:
    """The part of a statement that stands for this name, and the value given to it if that is told apart."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign):
        targets, value = [statement.target], statement.value
    elif isinstance(statement, ast.AugAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.Delete):
        targets = statement.targets
    parts = (node for target in targets for node in ast.walk(target) if _stands_for(node, key))
    found = next((node for node in parts if isinstance(node, ast.expr)), None)
    return found, value if found in targets else None


def _stands_for(node: ast.AST, key: str) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == key
    return key == (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None))


def _container(target: ast.expr | None, source: str) -> str | None:
    """What the name was written into: an object, a dict, or the globals of the test module."""
    if isinstance(target, ast.Attribute | ast.Subscript):
        return _text(target.value, source)
    return "globals()" if isinstance(target, ast.Name) else None


def _from_call(call: ast.expr, change: Change, source: str) -> str | None:
    """setattr(…) and delattr(…) become the methods of the monkeypatch fixture."""
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    text = _text(call, source)
    if call.func.id not in ("setattr", "delattr") or len(text) > 2 * _LONGEST:
        return None
    return f"{text[:-1]}{_raising(change, 'attr')})" if call.func.id == "setattr" else text


def _text(node: ast.expr, source: str) -> str:
    """An expression as it stands in the source, if it stands on one line."""
    written = ast.get_source_segment(source, node)
    return written if written is not None and "\n" not in written else ast.unparse(node)

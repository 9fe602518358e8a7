"""Who wrote: the frames of an observed write, or the statement found by searching the source."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pytest_mcpsmoke.state import doctests
from pytest_mcpsmoke.state.place import Namespace, is_module, module_dict, text_of
from pytest_mcpsmoke.state.source import Scope, SourceIndex, Store, index_of, is_parameter, mentions

if TYPE_CHECKING:
    from pytest_mcpsmoke.state.ledger import Owner

By = Literal["test", "program", "import", "runner", "unknown"]

# Code that writes on behalf of whoever calls it: what it writes, the test wrote.
_PATCHERS = (
    os.path.join("unittest", "mock.py"),
    os.path.join("_pytest", "monkeypatch.py"),
    os.path.join("pytest_mcpsmoke", "doubles", "substitution.py"),
)
_RUNNER_PACKAGES = frozenset({"_pytest", "pytest", "pluggy", "xdist", "execnet", "pytest_mcpsmoke"})
_CONFTEST = os.sep + "conftest.py"
_SESSION, _BEGINS_RUN = os.path.join("_pytest", "main.py"), "wrap_session"
_RUNNING = ("runpytest", "runpytest_inprocess", "inline_run", "inline_genitems")  # of pytester
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__"})
_CLASS_MAKERS = frozenset({"__new__", "__init__", "__init_subclass__", "__set_name__", "__prepare__"})
_ASSIGNERS = frozenset({"__setattr__", "__delattr__"})  # they write what a statement elsewhere assigns
_IMPORT_SYSTEM = ("<frozen importlib", "<frozen zipimport")


class Site(NamedTuple):
    """The line that wrote: absolute path, 1-based line, function, and how it is known."""

    path: str
    line: int
    function: str
    certainty: Literal["observed", "searched"]


class Span(NamedTuple):
    """Lines of a source file that belong to an owner: its function, its fixtures' functions."""

    path: str
    first: int
    last: int
    function: str = ""


class Writer(NamedTuple):
    """Who wrote a place, and what its source says about the habit of writing it."""

    by: By
    site: Site | None
    function: str | None = None  # identity of the writing function, "path:first line"
    reads: bool = False  # it reads the name that it writes: count up, renew
    checks: bool = False  # it reads it to decide whether to write: check-then-set
    looks_up: bool = False  # it looks into the container that it writes into
    is_given: bool = False  # what it stores came as an argument
    counts: bool = False  # it stores a sum under a name that it computes
    is_lazy: bool = False  # it ran for a module's __getattr__ or a descriptor's __get__
    statement: ast.stmt | None = None  # of test code, where the site was found in its source


def span_of_code(code: types.CodeType) -> Span:
    """The source lines of a function, of the functions inside it too."""
    index = index_of(code.co_filename)
    scope = index.scopes[0] if code.co_name == "<module>" else index.scope_at(code.co_firstlineno)
    return Span(
        code.co_filename, code.co_firstlineno, scope.last if scope else code.co_firstlineno, code.co_name
    )


def is_runner_module(name: str) -> bool:
    """Whether a module belongs to pytest, its engine or this plugin."""
    return name.partition(".")[0] in _RUNNER_PACKAGES


class Files:
    """Which source files are test code: the collected test modules and every conftest.py."""

    def __init__(self) -> None:
        self.plugins: set[str] = set()  # modules that pytest registered as plugins
        self.tests: set[str] = set()  # shared with the compiled part, so it is only ever added to
        self._examples: dict[str, tuple[str, list[int]]] = {}  # doctests: where each of their lines stands
        files = [file_of_module(name) for name in _RUNNER_PACKAGES]
        self._runner_folders = tuple(os.path.dirname(file) + os.sep for file in files if file)

    def is_test(self, path: str) -> bool:
        return path in self.tests or path.endswith(_CONFTEST) or _name_of_doctest(path) in self._examples

    def add_doctest(self, name: str, path: str, lines: list[int]) -> None:
        """The examples of a doctest are test code: they stand in a file, each from one of these lines on."""
        self.tests.add(doctests.named(path))
        self._examples[f"<doctest {name}["] = doctests.named(path), lines

    def located(self, path: str, line: int) -> tuple[str, int]:
        """Where code stands: an example of a doctest is compiled as if it were a file of its own."""
        found = self._examples.get(_name_of_doctest(path))
        number = path[len(_name_of_doctest(path)) : -len("]>")]
        if found is None or not number.isdecimal():
            return path, line
        name, lines = found
        return name, lines[int(number)] + line - 1

    def is_of_plugin(self, value: object) -> bool:
        """Whether it is a function that a plugin defines."""
        return type(value) is types.FunctionType and value.__code__.co_filename in self.plugins

    def role(self, path: str) -> By | Literal["patcher"]:
        """Which role code from this file plays."""
        if self.is_test(path):
            return "test"
        if path.startswith(_IMPORT_SYSTEM):
            return "import"
        if path.endswith(_PATCHERS):
            return "patcher"
        return "runner" if path.startswith(self._runner_folders) else "program"


def _name_of_doctest(path: str) -> str:
    """What the file names of one doctest's examples begin with; "" for a real file."""
    return path[: path.rfind("[") + 1] if path.startswith("<doctest ") else ""


def _frames(stack: tuple[Any, ...]) -> Iterator[tuple[Any, int]]:
    return zip(stack[::2], stack[1::2], strict=True)


def observed(files: Files, stack: tuple[Any, ...], name: str) -> Writer:
    """Name the writer of an observed write from its frames, innermost first."""
    frames = list(_frames(stack))
    code, line = frames[0]
    role = files.role(code.co_filename)
    # By position: code objects of different files may be equal.
    tests = [at for at, frame in enumerate(frames) if files.is_test(frame[0].co_filename)]
    where, at = frames[tests[0] if tests else 0]
    inside = frames[: tests[0]] if tests else frames
    site = Site(*files.located(where.co_filename, at), where.co_name, "observed")
    statement = index_of(site.path).statement_at(site.line, name) if tests else None
    if role in ("patcher", "test"):
        return Writer("test", site, statement=statement)
    if any(files.role(frame[0].co_filename) == "import" for frame in inside):
        return Writer("import", site)
    if role in ("import", "runner"):
        return Writer(role, site)
    if _is_hook(files, [frame[0] for frame in frames]):
        return Writer("runner", site)
    code, line = next((one for one in inside if one[0].co_name not in _ASSIGNERS), frames[0])
    index = index_of(_source_path(code.co_filename))
    scope = index.scope_at(line)
    return Writer(
        "program",
        site,
        function=f"{code.co_filename}:{code.co_firstlineno}",
        counts=scope is not None and scope.counts,
        reads=scope is not None and name in scope.reads,
        checks=scope is not None and name in scope.checks,
        is_given=scope is not None and _is_given(scope, index.statement_at(line, name)),
        is_lazy=any(frame[0].co_name in ("__getattr__", "__get__") for frame in inside),
    )


def _is_hook(files: Files, codes: list[types.CodeType]) -> bool:
    """Whether a plugin wrote as a hook: the first frame of pytest on the way out is a hook call.

    Of this run: what the hooks of a run inside a test write, that test has brought about.
    """
    for at, code in enumerate(codes):
        if files.is_test(code.co_filename):
            return False
        if files.role(code.co_filename) == "runner":
            is_called = os.sep + "pluggy" + os.sep in code.co_filename
            return is_called and not _is_nested(files, codes[at:])
    return False


def _is_nested(files: Files, codes: list[types.CodeType]) -> bool:
    """Whether code of pytest belongs to a run that a test has begun."""
    test = next((at for at, code in enumerate(codes) if files.is_test(code.co_filename)), 0)
    return any(
        code.co_name == "wrap_session" and code.co_filename.endswith(_SESSION) for code in codes[:test]
    )


def _is_given(scope: Scope, statement: ast.stmt | None) -> bool:
    """Whether what a statement stores is made of what its function was given."""
    value = getattr(statement, "value", None)
    names = {part.id for part in ast.walk(value) if isinstance(part, ast.Name)} if value is not None else ()
    return not scope.parameters.isdisjoint(names)


def _source_path(path: str) -> str:
    """Where the source of code lies: for "<frozen posixpath>" the file that posixpath was frozen from."""
    name = path.removeprefix("<frozen ").removesuffix(">")
    return path if name == path else file_of_module(name) or path


def searched(files: Files, namespace: Namespace, name: str, owner: Owner, fits_body: bool = True) -> Writer:
    """Infer the writer from source: the owner's own code first, then the code of the program.

    fits_body: running the module's body (again) explains the change.
    """
    store_in_test = _best_in_tests(files, namespace, name, owner)
    if store_in_test is not None:
        return _by_test(*store_in_test)
    if is_runner_module(namespace.module):
        return Writer("runner", None)
    in_plugins = [(path, store) for path in sorted(files.plugins) for store in _in_functions(path, name)]
    in_program = (
        writer
        for path in _program_files(namespace, name)
        if (writer := _in_program(path, namespace, name, owner, fits_body)) is not None
    )
    if in_plugins:
        return _called_by(owner, in_program) or _by_plugin(in_plugins, owner)
    return next(in_program, None) or _in_conftests(files, name) or Writer("unknown", owner.start)


def _called_by(owner: Owner, writers: Iterable[Writer]) -> Writer | None:
    """The one of these writers that the owner's own code calls: a better explanation than a hook."""
    return next((one for one in writers if one.site is not None and _in_spans(*one.site[:2], owner)), None)


def _by_plugin(found: list[tuple[str, Store]], owner: Owner) -> Writer:
    """A hook of a plugin; unless the owner is its fixture, calls the writer, or runs pytest itself."""
    for path, store in found:
        call = _call_of(store.scope, owner)
        if call is not None:
            return Writer("program", call)
        if _in_spans(path, store.line, owner):
            function = store.scope.name.rpartition(".")[2]
            return Writer("program", Site(path, store.line, function, "searched"))
    call = next((site for word in _RUNNING if (site := _line_calling(word, owner))), None)
    return Writer("runner", None) if call is None else Writer("program", call)


def _in_conftests(files: Files, name: str) -> Writer | None:
    """A hook of a conftest, which runs in every test's time and belongs to none: the last explanation."""
    conftests = sorted(path for path in files.tests if path.endswith(_CONFTEST))
    return next((_by_test(path, store) for path in conftests for store in _in_functions(path, name)), None)


def _by_test(path: str, store: Store) -> Writer:
    """The writer whose statement of test code was found by searching."""
    site = Site(path, store.line, store.scope.name.rpartition(".")[2], "searched")
    return Writer("test", site, statement=store.statement)


def _best_in_tests(files: Files, namespace: Namespace, name: str, owner: Owner) -> tuple[str, Store] | None:
    """The likeliest statement of test code: in the owner's own functions, else elsewhere in its files."""
    paths = [path for path in dict.fromkeys(span.path for span in owner.spans) if files.is_test(path)]
    runs_body = any(span.function == "<module>" for span in owner.spans)
    candidates = []
    for path in paths:
        for store in index_of(path).stores.get(name, ()):
            if store.form == "name" and file_of_module(namespace.module) != path:
                continue  # a global of the test module, not of this namespace
            if store.scope.kind != "function" and not runs_body:
                continue  # it ran when the module was imported
            inside = any(span.path == path and span.first <= store.line <= span.last for span in owner.spans)
            if store.form == "mention" and not inside:
                continue  # a word in some other test's call
            at_import = runs_body and store.scope.kind == "module"
            rank = (inside, at_import, store.form != "mention", not store.on_self, store.line)
            candidates.append((rank, path, store))
    if not candidates:
        return None
    _, path, store = max(candidates, key=lambda candidate: candidate[0])
    return path, store


def file_of_module(name: str) -> str | None:
    """The source file of a loaded module, as its namespace says."""
    module = sys.modules.get(name)
    return text_of(module_dict(module).get("__file__")) if is_module(module) else None


def is_file_of(path: str, is_one: Callable[[str], bool]) -> bool:
    """Whether a module that was loaded from this file is one of these."""
    return any(is_one(name) for name in list(sys.modules) if file_of_module(name) == path)


def _program_files(namespace: Namespace, name: str) -> Iterable[str]:
    """Source files that may hold the writer: the namespace's own first, then the rest of its package."""
    own = file_of_module(namespace.module)
    if own is not None:
        yield own
    package = namespace.module.partition(".")[0]
    for other in list(sys.modules):
        path = file_of_module(other) if other.partition(".")[0] == package else None
        if path is not None and path != own and path.endswith(".py") and mentions(path, name):
            yield path


def _in_program(path: str, namespace: Namespace, name: str, owner: Owner, fits_body: bool) -> Writer | None:
    index = index_of(path)
    own = path == file_of_module(namespace.module)
    stores = [
        store
        for store in index.stores.get(name, ())
        if store.scope.kind == "function" and (store.form == "attribute" or (store.form == "name" and own))
    ]
    if not stores:
        if not own or namespace.kind != "module":
            return None
        return _lazy_module(index, path, namespace, name, fits_body)
    # A function that the owner calls is the best explanation, then one that reads before it writes.
    calls = [(_call_of(store.scope, owner), store) for store in stores]
    call, store = max(calls, key=lambda found: (found[0] is not None, name in found[1].scope.reads))
    function = store.scope.name.rpartition(".")[2]
    return Writer(
        "program",
        call or Site(path, store.line, function, "searched"),
        function=f"{path}:{store.scope.first}",
        reads=name in store.scope.reads,
        checks=name in store.scope.checks,
        is_given=_is_given(store.scope, store.statement),
        is_lazy=function in ("__getattr__", "__get__"),
    )


def _in_functions(path: str, name: str) -> list[Store]:
    """The statements of this file's functions that store an attribute of this name."""
    stores = index_of(path).stores.get(name, ()) if mentions(path, name) else ()
    return [store for store in stores if store.form == "attribute" and store.scope.kind == "function"]


@lru_cache(maxsize=10_000)
def stores(path: str, name: str) -> bool:
    """Whether a function of this file stores an attribute of this name, or into what has it."""
    if not mentions(path, name):
        return False
    touches = index_of(path).touches.get(name, ())
    inside = (one.how in ("stores", "mutates") and one.scope.kind == "function" for one in touches)
    return bool(_in_functions(path, name)) or any(inside)


def _lazy_module(
    index: SourceIndex, path: str, namespace: Namespace, name: str, fits_body: bool
) -> Writer | None:
    """A module that computes attributes on demand, or whose body ran late."""
    in_body = next((store for store in index.stores.get(name, ()) if store.scope.kind == "module"), None)
    if fits_body and in_body is not None and in_body.form == "name":
        return Writer("import", Site(path, in_body.line, "<module>", "searched"))
    if "__getattr__" in (namespace.contents or {}):
        lazy = next((scope.first for scope in index.scopes if scope.name == "__getattr__"), 1)
        return Writer("program", Site(path, lazy, "__getattr__", "searched"), is_lazy=True)
    return None


def reloaded(owner: Owner) -> Writer:
    """The writer of what a reload bound anew: the module's body, run by this call of the owner's."""
    return Writer("import", _line_calling("reload", owner) or owner.start)


def _call_of(scope: Scope, owner: Owner) -> Site | None:
    """The line of the owner's code that calls this function; its class where it is a constructor."""
    cls, _, function = scope.name.rpartition(".")
    return _line_calling(cls.rpartition(".")[2] if function in _CONSTRUCTORS else function, owner)


def _makes(store: Store) -> bool:
    """Whether a constructor stores it in what it makes: that is no object that was there before."""
    return store.on_self and store.scope.name.rpartition(".")[2] in _CONSTRUCTORS


def _line_calling(function: str, owner: Owner) -> Site | None:
    """The line of the owner's code that calls a function of this name."""
    for span in owner.spans:
        scopes: list[Scope] = [
            scope
            for scope in index_of(span.path).scopes
            if span.first <= scope.first and scope.last <= span.last
        ]
        for scope in scopes:
            if function in scope.calls:
                return Site(span.path, scope.calls[function], scope.name.rpartition(".")[2], "searched")
    return None


def searched_inside(
    files: Files, names: list[str], modules: list[str], owner: Owner, words: tuple[str, ...] = ()
) -> Writer:
    """Infer who changed what an object holds; names: of the place, innermost first; words: as of a probe.

    The owner's own code first, then the functions of these modules that write under the innermost names.
    """
    found = _direct_touch(files, names, owner)
    if found is not None:
        return _by_test(*found)
    mention = _mention(
        files, [*words, *names, *(module.rpartition(".")[2] for module in modules[-1:])], owner
    )
    for module in dict.fromkeys(modules):
        path = file_of_module(module)
        writer = _inside_program(path, names, owner) if path is not None and path.endswith(".py") else None
        if writer is not None:
            call = _line_calling(writer.site.function, owner) if writer.site is not None else None
            return writer._replace(site=mention or call or _class_defined(writer, owner) or writer.site)
    return Writer("unknown", mention or owner.start)


def _class_defined(writer: Writer, owner: Owner) -> Site | None:
    """The class that the owner defines, where defining one is what ran the program's function."""
    if writer.site is None or writer.site.function not in _CLASS_MAKERS:
        return None
    for span in owner.spans:
        for scope in index_of(span.path).scopes:
            if scope.kind == "class" and span.first <= scope.first <= span.last:
                return Site(span.path, scope.first, span.function, "searched")
    return None


def searched_around(files: Files, words: tuple[str, ...], key: str, owner: Owner) -> Writer:
    """Infer who changed ambient state: the owner's last statement with one of the words that stand for it.

    One that names the key as well is the better one.
    """
    for path in dict.fromkeys(span.path for span in owner.spans):
        if not files.is_test(path):
            continue
        index = index_of(path)
        found = [(touch.line, touch.scope) for word in words for touch in index.touches.get(word, ())] + [
            (scope.calls[word], scope) for scope in index.scopes for word in words if word in scope.calls
        ]
        found = [one for one in found if _in_spans(path, one[0], owner)]
        if found:
            name = key.rpartition("['")[2].removesuffix("']")
            line, scope = max(found, key=lambda one: (_is_in_line(path, one[0], name), one[0]))
            return Writer("test", Site(path, line, scope.name.rpartition(".")[2], "searched"))
    return Writer("unknown", owner.start)


def _is_in_line(path: str, line: int, name: str) -> bool:
    return bool(name) and name in linecache.getline(path, line)


def _in_spans(path: str, line: int, owner: Owner) -> bool:
    return any(span.path == path and span.first <= line <= span.last for span in owner.spans)


def _direct_touch(files: Files, names: list[str], owner: Owner) -> tuple[str, Store] | None:
    """The last statement of the owner's that writes the place itself: stores it, or changes its container."""
    found: list[tuple[int, str, Store]] = []
    for path in dict.fromkeys(span.path for span in owner.spans):
        if not files.is_test(path):
            continue
        index = index_of(path)
        for at, name in enumerate(names[:2]):
            for touch in index.touches.get(name, ()):
                writes = touch.how in ("stores", "mutates") and touch.is_innermost
                ran = owner.kind != "module" or touch.scope.kind != "function"
                if writes and ran and _in_spans(path, touch.line, owner):
                    store = Store(touch.line, "attribute", touch.scope, touch.statement, False)
                    found.append((-at, path, store))
        for store in index.stores.get(names[0], ()) if names else ():
            ran = owner.kind != "module" or store.scope.kind != "function"
            if ran and store.form != "name" and _in_spans(path, store.line, owner):
                found.append((0, path, store))
    best = max(found, key=lambda one: (one[0], one[2].line), default=None)
    return None if best is None else (best[1], best[2])


def calls_in(owner: Owner, names: Collection[str]) -> bool:
    """Whether the owner's code calls something of one of these names."""
    return any(
        span.first <= line <= span.last
        for span in owner.spans
        for scope in index_of(span.path).scopes
        for name, line in scope.calls.items()
        if name in names
    )


def asks(owner: Owner, names: Collection[str]) -> bool:
    """Whether the owner's code calls a method of, changes, or hands over something of one of these names."""
    return any(
        touch.is_innermost and span.first <= touch.line <= span.last
        for span in owner.spans
        for name in names
        for touch in index_of(span.path).touches.get(name, ())
    )


def _mention(files: Files, names: list[str], owner: Owner) -> Site | None:
    """The owner's last statement that hands over, or calls, something on the way to the place."""
    for name in names:
        lines = [
            (touch.line, path, touch.scope)
            for path in dict.fromkeys(span.path for span in owner.spans)
            if files.is_test(path)
            for touch in index_of(path).touches.get(name, ())
            if _in_spans(path, touch.line, owner)
        ]
        calls = [
            (scope.calls[name], path, scope)
            for path in dict.fromkeys(span.path for span in owner.spans)
            for scope in index_of(path).scopes
            if name in scope.calls and _in_spans(path, scope.calls[name], owner)
        ]
        if lines or calls:
            line, path, scope = max([*lines, *calls], key=lambda found: found[0])
            return Site(path, line, scope.name.rpartition(".")[2], "searched")
    return None


def _inside_program(path: str, names: list[str], owner: Owner) -> Writer | None:
    """The function of this file that stores the attribute, or into the container, of the innermost name."""
    index = index_of(path)
    for name in names[:2]:
        stores = [store for store in index.stores.get(name, ()) if store.scope.kind == "function"]
        touches = [
            touch
            for touch in index.touches.get(name, ())
            if touch.scope.kind == "function" and touch.how in ("stores", "mutates") and touch.is_innermost
        ]
        if stores and not (touches and all(map(_makes, stores))):
            found = [(not _makes(one), _call_of(one.scope, owner) is not None, one) for one in stores]
            *_, store = max(
                found, key=lambda one: (*one[:2], name in one[2].scope.checks, name in one[2].scope.reads)
            )
            return Writer(
                "program",
                Site(path, store.line, store.scope.name.rpartition(".")[2], "searched"),
                function=f"{path}:{store.scope.first}",
                reads=name in store.scope.reads,
                checks=name in store.scope.checks,
                is_given=is_parameter(store.statement, store.scope),
            )
        if touches:
            called = [(_call_of(one.scope, owner) is not None, one) for one in touches]
            _, touch = max(
                called, key=lambda one: (one[0], name in one[1].scope.lookups, not one[1].is_given)
            )
            return Writer(
                "program",
                Site(path, touch.line, touch.scope.name.rpartition(".")[2], "searched"),
                function=f"{path}:{touch.scope.first}",
                reads=name in touch.scope.reads,
                looks_up=name in touch.scope.lookups and touch.how == "stores",
                is_given=touch.is_given,
            )
    return None

"""Patches that are undone whatever happens: names, items, the environment, stubs, applications.

    with Patches() as patch:                                    # or the fixture patch_globals
        patch("reference_app.agent_proxy.HttpToolsInvoker", fake)
        patch.env(MINI_AGENT_STORE_TRACES="1")

    @patched("reference_app.agent_proxy.HttpToolsInvoker", fake)  # for one function, or one with statement
    async def test_run(): ...

What is patched is the process's: every thread and task meets it while it stands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, overload

from pytest_mcpsmoke.doubles.applications import override_place, state_place
from pytest_mcpsmoke.doubles.naming import resolve, resolved, split
from pytest_mcpsmoke.doubles.patch import Patch as Patch
from pytest_mcpsmoke.doubles.patch import Plan, Step, raise_all
from pytest_mcpsmoke.doubles.reach import holders_of_module, reach, warn
from pytest_mcpsmoke.doubles.stubbing import Unbinding, stub_of, substitutions
from pytest_mcpsmoke.doubles.substitution import Attribute, Item, Substitution
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.place import MISSING, is_class, is_module
from pytest_mcpsmoke.state.readers import subscript

__tracebackhide__ = True  # pytest shows the line that patches, not these


class Vocabulary:
    """What can be patched; each form gives a Patch, which stands at once, with `patched` later."""

    def _given(self, plan: Plan) -> Patch:
        raise NotImplementedError

    @overload
    def __call__(
        self, target: str, value: object, /, *, everywhere: bool | None = None, raising: bool = True
    ) -> Patch: ...
    @overload
    def __call__(
        self,
        target: object,
        name: str,
        value: object,
        /,
        *,
        everywhere: bool | None = None,
        raising: bool = True,
    ) -> Patch: ...
    @overload
    def __call__(
        self, target: object, /, *, everywhere: bool | None = None, raising: bool = True, **names: object
    ) -> Patch: ...
    @overload
    def __call__(
        self, /, *targets: tuple[Any, ...], everywhere: bool | None = None, raising: bool = True
    ) -> Patch: ...
    def __call__(
        self, /, *what: Any, everywhere: bool | None = None, raising: bool = True, **names: object
    ) -> Patch:
        """Patch names of modules, attributes of classes and objects.

            patch("package.module.NAME", value)                 # a dotted name
            patch(module, "NAME", value)                        # an object: a module, a class, an instance
            patch(module, NAME=value, OTHER=other)              # several of one; "package.module", too
            patch({"package.a.X": 1, "package.b.Y": 2})         # several anywhere
            patch(("package.a.X", 1), (module, "Y", 2))

        everywhere: True patches all names of modules that hold the same object, and the attributes of classes
            in the same package; but for the interpreter's library and the test runner. Otherwise those are
            listed in left_alone, and PatchWarning tells of the modules that imported the name from the place
            that is patched, for they keep what they have. False: as meant, no warning.
        raising: Whether a name must be there.

        Raises NoSuchName (an AttributeError) or NoSuchModule (an ImportError), with the nearest names.
        """
        wanted = list(_targets(what, names))

        def plan(patch: Patch) -> Iterator[Step]:
            places = ((_attribute(target, name, raising), value) for target, name, value in wanted)
            yield from reach(patch, places, everywhere)

        return self._given(plan)

    def delete(self, target: Any, name: str | None = None, /, *, raising: bool = True) -> Patch:
        """Remove a name: delete("package.module.NAME"), delete(module, "NAME")."""
        holder, attribute = split(target) if name is None else (target, name)

        def plan(patch: Patch) -> Iterator[Step]:
            yield Substitution(_attribute(holder, attribute, raising), MISSING)

        return self._given(plan)

    def item(self, container: Any, key: Any, value: object, /) -> Patch:
        """Patch container[key] of a mapping or a list; the container may be given by its dotted name."""

        def plan(patch: Patch) -> Iterator[Step]:
            yield Substitution(_item(container, key), value)

        return self._given(plan)

    def delete_item(self, container: Any, key: Any, /, *, raising: bool = True) -> Patch:
        """Remove a key of a mapping; raises KeyError when it is not there."""

        def plan(patch: Patch) -> Iterator[Step]:
            yield Substitution(_item(container, key, raising), MISSING)

        return self._given(plan)

    def env(
        self,
        values: Mapping[str, str | None] | None = None,
        /,
        *,
        prepend: str | None = None,
        **more: str | None,
    ) -> Patch:
        """Set environment variables, or remove those given as None: env(MODE="test", HTTP_PROXY=None).

        prepend: Put the value before what is there, with this in between: env(PATH=folder, prepend=":").
        """
        wanted: dict[str, Any] = {**(values or {}), **more}
        for name, value in wanted.items():
            if not isinstance(value, str | None):
                shown = describe(value, name)
                warn(f"the value of the environment variable {name} is {shown}, not a str: it is converted")
                wanted[name] = str(value)

        def plan(patch: Patch) -> Iterator[Step]:
            for name, value in wanted.items():
                if value is not None and prepend is not None and name in os.environ:
                    value = value + prepend + os.environ[name]
                place = Item(os.environ, name, raising=False, shown=f"os.environ[{name!r}]")
                yield Substitution(place, MISSING if value is None else value)

        return self._given(plan)

    def stub_module(self, name: str, stub: Any = MISSING, /, **attributes: object) -> Patch:
        """Let a stub stand for a module: stub_module("mcp.types", Tool=object).

        The stub may be any object; None makes the import fail, as if nothing were installed. Without one it
        is a module of these attributes. The attribute of its package is patched, too; packages that cannot be
        found become stubs. What imported the real module before keeps it, and is listed in left_alone.

        When it is undone, modules first imported under the stub that got something from it, themselves or
        from one another, are taken out of sys.modules, so that the next import is a real one: see unbound.
        """
        if stub is not MISSING and attributes:
            raise TypeError("stub_module takes a stub or its attributes, not both")
        if not all(part.isidentifier() for part in name.split(".")):
            raise TypeError(f"{name!r} is no name of a module")

        def plan(patch: Patch) -> Iterator[Step]:
            unbinding = Unbinding()
            yield unbinding
            patch.left_alone = tuple(one.name for one in holders_of_module(name))
            wanted = stub_of(name, attributes) if stub is MISSING else stub
            for substitution in substitutions(name, wanted):
                if isinstance(substitution.place, Item):
                    unbinding.stubs[substitution.place.item] = substitution.value
                yield substitution

        return self._given(plan)

    def app_state(self, app: Any, values: Mapping[str, object] | None = None, /, **more: object) -> Patch:
        """Patch app.state of a FastAPI or Starlette application: app_state(app, invoker=fake).

        The application may be given by its dotted name. A name that is not there is added, and removed again.
        Raises UsageProblem for what is no application.
        """
        wanted = {**(values or {}), **more}

        def plan(patch: Patch) -> Iterator[Step]:
            for name, value in wanted.items():
                yield Substitution(state_place(resolved(app), name), value)

        return self._given(plan)

    def override(self, app: Any, dependency: Any, replacement: Callable[..., Any], /) -> Patch:
        """Let a FastAPI application call a replacement for a dependency: override(app, get_db, lambda: fake).

        Application and dependency may be given by their dotted names. Raises UsageProblem for what is no
        application, TypeError for a replacement that cannot be called.
        """
        if not callable(replacement):
            raise TypeError(f"a replacement is called, and {describe(replacement)} cannot be: lambda: value")

        def plan(patch: Patch) -> Iterator[Step]:
            yield Substitution(override_place(resolved(app), resolved(dependency)), replacement)

        return self._given(plan)


class Patches(Vocabulary):
    """A stack of patches, undone last in first out: a context manager, or undo() at the end.

    Each call patches at once and gives a Patch, which can be undone before the others.
    """

    def __init__(self, told: Callable[[Patch], None] = lambda patch: None) -> None:
        self._stack: list[Patch] = []
        self._told = told  # of each patch that stands

    def _given(self, plan: Plan) -> Patch:
        patch = Patch(plan)
        self._stack = [one for one in self._stack if one.substitutions]
        self._stack.append(patch)
        patch.apply()
        self._told(patch)
        return patch

    def undo(self) -> None:
        """Undo everything, the last patch first; undoing twice is fine.

        What cannot be undone keeps nothing else from it: its exception is raised at the end, several as a
        group.
        """
        failures: list[BaseException] = []
        while self._stack:
            failures += self._stack.pop()._undo()
        raise_all(failures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


class Later(Vocabulary):
    """The same forms, for a with statement or a decorator: nothing is patched before."""

    def _given(self, plan: Plan) -> Patch:
        return Patch(plan)


patched: Final = Later()


_FORMS: Final = (
    'patch("package.module.NAME", value), patch(module, "NAME", value) or patch(module, NAME=value)'
)


def _targets(what: tuple[Any, ...], names: Mapping[str, object]) -> Iterator[tuple[Any, str, Any]]:
    """Take the forms of a call apart: what holds a name (itself, or dotted), the name and the value."""
    if names and len(what) == 1:
        for name, value in names.items():
            yield what[0], name, value
    elif names or not what:
        raise TypeError(_FORMS)
    elif len(what) == 1 and isinstance(what[0], Mapping):
        for target, value in what[0].items():
            yield from _targets((*target, value) if isinstance(target, tuple) else (target, value), {})
    elif all(isinstance(one, tuple) for one in what):
        for one in what:
            yield from _targets(one, {})
    elif len(what) == 2:
        yield *split(what[0]), what[1]
    elif len(what) == 3 and isinstance(what[1], str):
        yield what
    else:
        raise TypeError(_FORMS)


def _attribute(target: Any, name: str, raising: bool) -> Attribute:
    holder = resolved(target)
    is_instance = isinstance(target, str) and not (is_module(holder) or is_class(holder))
    return Attribute(holder, name, raising, shown=f"{target}.{name}" if is_instance else "")


def _item(container: Any, key: Any, raising: bool = True) -> Item:
    if not isinstance(container, str):
        return Item(container, key, raising)
    return Item(resolve(container), key, raising, shown=f"{container}{subscript(key)}")

"""Patches that are undone whatever happens: names, items, the environment, stubs, applications.

    with Patches() as patch:                                    # or the fixture patch_globals
        patch("reference_app.agent_proxy.HttpToolsInvoker", fake)
        patch.env(MINI_AGENT_STORE_TRACES="1")

    @patched("reference_app.agent_proxy.HttpToolsInvoker", fake)  # for one function, or one with statement
    async def test_run(): ...

What is patched is the process's: every thread and task meets it while it stands.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, overload

from pytest_mcpsmoke.doubles.applications import override_place, state_place
from pytest_mcpsmoke.doubles.holders import Holder, holders_of, importers_of, is_left_alone, is_test_module
from pytest_mcpsmoke.doubles.naming import resolve, resolved, split
from pytest_mcpsmoke.doubles.stubbing import Unbinding, stub_of, substitutions
from pytest_mcpsmoke.doubles.substitution import Attribute, Item, Substitution
from pytest_mcpsmoke.doubles.wrapping import wrapped
from pytest_mcpsmoke.errors import PatchWarning
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.readers import subscript

__tracebackhide__ = True  # pytest shows the line that patches, not these

T = TypeVar("T")


class Step(Protocol):
    """Something that is done, and can be undone."""

    def apply(self) -> None:
        """Do it, or raise and have done nothing."""

    def undo(self) -> None:
        """Undo it."""


Plan = Callable[["Patch"], Iterator[Step]]


class Patch:
    """What one call patches: a context manager for `with` and `async with`, and a decorator.

    Leaving the block, the last of them, undoes it, whether it stood before the block or not. A decorated
    function, coroutine function or generator is patched while it runs, and only then; of a decorated class
    each method called test….

    Attributes:
        places: What is patched, dotted.
        left_alone: Names that hold what was there before, and still do: of the modules that imported it.
        unbound: After the undoing of a stub: modules imported under it that were taken out of sys.modules.
        still_bound: The same, of those that could not be taken out.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._steps: list[Step] = []
        self._blocks = 0  # entered, and not left yet
        self.left_alone: tuple[str, ...] = ()
        self.unbound: tuple[str, ...] = ()
        self.still_bound: tuple[str, ...] = ()

    @property
    def substitutions(self) -> list[Substitution]:
        """The single substitutions that stand, in the order in which they were made."""
        return [step for step in self._steps if isinstance(step, Substitution)]

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(one.place.name for one in self.substitutions)

    def apply(self) -> None:
        """Patch; when a part of it cannot be, what was patched before it is undone."""
        self.left_alone = ()
        try:
            for step in self._plan(self):
                step.apply()
                self._steps.append(step)
        except BaseException as error:
            for failure in self._undo():
                error.add_note(f"and undoing what was patched before failed: {failure!r}")
            raise

    def undo(self) -> None:
        """Undo all of it, the last part first; undoing twice is fine.

        A part that cannot be undone keeps no other from it: its exception is raised at the end, several of
        them as a group.
        """
        raise_all(self._undo())

    def _undo(self) -> list[BaseException]:
        failures: list[BaseException] = []
        while self._steps:
            step = self._steps.pop()
            try:
                step.undo()
            except BaseException as failure:
                if isinstance(step, Substitution):
                    failure.add_note(f"while {step.place.name} was put back")
                failures.append(failure)
            if isinstance(step, Unbinding):
                self.unbound, self.still_bound = step.unbound, step.still_bound
        return failures

    def __enter__(self) -> Self:
        if not (self._blocks or self._steps):
            self.apply()
        self._blocks += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocks -= 1
        if not self._blocks:
            self.undo()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, target: T) -> T:
        """Decorate a function or a class; what stands is undone. Raises TypeError for anything else."""
        decorated = wrapped(target, lambda: Patch(self._plan))
        self.undo()
        return decorated

    def __repr__(self) -> str:
        places = ", ".join(self.places) or "nothing stands"
        left = f"; left alone: {', '.join(self.left_alone)}" if self.left_alone else ""
        return f"<Patch: {places}{left}>"


def raise_all(failures: list[BaseException]) -> None:
    """Raise the failures of undoing: one as it is, several as a group."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise BaseExceptionGroup("could not be undone", failures)


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
            for target, name, value in wanted:
                place = _attribute(target, name, raising)
                yield from _with_holders(patch, place, value, everywhere)

        return self._given(plan)

    def delete(self, target: Any, name: str | None = None, /, *, raising: bool = True) -> Patch:
        """Remove a name: delete("package.module.NAME"), delete(module, "NAME")."""
        holder, attribute = (split(target)) if name is None else (target, name)

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
                _warn(f"the value of the environment variable {name} is {shown}, not a str: it is converted")
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
            patch.left_alone = tuple(one.name for one in _holders_of_module(name))
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
    return Attribute(resolved(target), name, raising)


def _item(container: Any, key: Any, raising: bool = True) -> Item:
    if not isinstance(container, str):
        return Item(container, key, raising)
    return Item(resolve(container), key, raising, shown=f"{container}{subscript(key)}")


def _with_holders(
    patch: Patch, place: Attribute, value: Any, everywhere: bool | None
) -> Iterator[Substitution]:
    before = place.now()
    holders = [] if before is MISSING else holders_of(before, place.target, place.attribute)
    yield Substitution(place, value)
    if everywhere:
        for one in holders:
            if not is_left_alone(one, place.target):
                yield Substitution(Attribute(one.owner, one.attribute, shown=one.name), value)
        holders = [one for one in holders if is_left_alone(one, place.target)]
    patch.left_alone += tuple(one.name for one in holders)
    if everywhere is None:
        _warn_of(place, importers_of(holders, place.target, place.attribute))


def _holders_of_module(name: str) -> list[Holder]:
    """Who holds the module that is loaded under a name, besides its package."""
    parent, _, last = name.rpartition(".")
    real = sys.modules.get(name)
    return [] if real is None else holders_of(real, sys.modules.get(parent, real), last)


def _warn_of(place: Attribute, importers: list[Holder]) -> None:
    """Tell of the program's modules that imported the name from the place, and keep what they have."""
    names = [
        one.name for one in importers if not (is_test_module(one.module) or is_left_alone(one, place.target))
    ]
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        _warn(
            f"{place.name} is patched, but not what was imported from there: "
            f"{', '.join(names[:_SHOWN])}{more}; "
            "everywhere=True patches that, too, everywhere=False says that it is meant"
        )


_SHOWN: Final = 5  # names in a message
_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep


def _warn(text: str) -> None:
    """Warn at the line of whoever patches."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, contextlib.__file__)):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, PatchWarning, stacklevel=level)

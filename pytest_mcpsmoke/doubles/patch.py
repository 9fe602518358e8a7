"""One patch: steps that are done in order, undone the other way round, for a block or for a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

from pytest_mcpsmoke.doubles.stubbing import Unbinding
from pytest_mcpsmoke.doubles.substitution import Substitution
from pytest_mcpsmoke.doubles.wrapping import wrapped

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

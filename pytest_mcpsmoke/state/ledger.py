"""Who owns a change: a place is outstanding from its first change until it holds its old value again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pytest_mcpsmoke.state.diff import same
from pytest_mcpsmoke.state.engines import Write
from pytest_mcpsmoke.state.place import Holder
from pytest_mcpsmoke.state.writer import Site, Span

Cause = Literal["import", "reload"]  # one act that changes many names


def _nowhere() -> tuple[Span, ...]:
    return ()


class Owner:
    """A test, a fixture of class to session scope, or the import of a test module.

    id is the node id; for a fixture "path::name". find_spans is asked only about an owner that left
    something.
    """

    __slots__ = ("_spans", "find_spans", "id", "kind", "scope")

    def __init__(
        self,
        id: str,
        kind: Literal["test", "fixture", "module"],
        scope: Literal["function", "class", "module", "package", "session"] = "function",
        find_spans: Callable[[], tuple[Span, ...]] = _nowhere,
    ) -> None:
        self.id = id
        self.kind = kind
        self.scope = scope
        self.find_spans = find_spans
        self._spans: tuple[Span, ...] | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        """The source lines that belong to this owner, its own function first."""
        if self._spans is None:  # each of its changes asks, some of them often
            self._spans = self.find_spans()
        return self._spans

    @property
    def start(self) -> Site | None:
        """Where the owner's code begins: the last resort for a write site."""
        return next((Site(span.path, span.first, span.function, "searched") for span in self.spans), None)


class Step:
    """What one owner made of one place; at numbers the writes of a run, the last one counts.

    puts_back: after is the value that an earlier, reported leak replaced. act: what else was done in one go
    bears the same words.
    """

    __slots__ = ("act", "after", "at", "before", "cause", "during", "owner", "puts_back", "stack")

    def __init__(
        self,
        owner: Owner,
        write: Write,
        during: str | None,
        cause: Cause | None,
        puts_back: bool,
        at: int,
        act: str | None = None,
    ) -> None:
        self.act = act
        self.at = at
        self.owner = owner
        self.before = write.old
        self.after = write.new
        self.stack = write.stack
        self.during = during
        self.cause = cause
        self.puts_back = puts_back


class Ledger:
    """Outstanding changes by place, oldest step first."""

    def __init__(self) -> None:
        self._open: dict[tuple[Holder, str], list[Step]] = {}
        self._reported: dict[tuple[Holder, str], Any] = {}
        self._count = 0  # of the writes booked

    def book(
        self,
        writes: list[Write],
        owner: Owner,
        during: str | None,
        cause: Cause | None = None,
        act: str | None = None,
    ) -> None:
        """Book writes to an owner; a place that holds the value again that the owner found is none of its.

        That it undid what another owner changed shows only when its time is over: it may do that again.
        """
        for write in writes:
            self._count += 1
            place = (write.holder, write.key)
            steps = self._open.setdefault(place, [])
            own = _steps_at_the_end(steps, owner)
            back = _first_with(write.new, steps[own:])
            if back is not None:
                del steps[own + back :]
            elif steps and steps[-1].owner is owner and (steps[-1].cause == cause or write.holder.is_one_act):
                last = steps[-1]
                last.after, last.stack, last.during, last.at = write.new, write.stack, during, self._count
                last.puts_back, last.act = self._puts_back(write), act
            elif not same(write.new, write.old):
                steps.append(Step(owner, write, during, cause, self._puts_back(write), self._count, act))
            if not steps:
                del self._open[place]

    def end(self, owner: Owner) -> list[tuple[Holder, str, Step]]:
        """Return and forget what is outstanding of an owner: from here on it is the state of things."""
        left = []
        for (holder, key), steps in list(self._open.items()):
            if not any(step.owner is owner for step in steps):
                continue
            back = _first_with(steps[-1].after, steps)
            if back is not None:
                del steps[back:]
            for step in [step for step in steps if step.owner is owner]:
                steps.remove(step)
                if step.puts_back:
                    self._reported.pop((holder, key), None)
                left.append((holder, key, step))
            if not steps:
                del self._open[holder, key]
        return left

    def values_at(self, holder: Holder) -> dict[str, Any]:
        """What stands now at the outstanding places of one holder, by key; not what an import put there."""
        return {
            key: steps[-1].after
            for (one, key), steps in self._open.items()
            if one is holder and steps[-1].cause is None
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing is outstanding of anybody."""
        return not self._open

    def owners(self) -> list[Owner]:
        """Everybody who has something outstanding, in the order of their first change."""
        return list(dict.fromkeys(step.owner for steps in self._open.values() for step in steps))

    def discard(self, is_over: Callable[[Holder, Owner], bool]) -> None:
        """Forget what is outstanding at places that are no more."""
        for place, steps in list(self._open.items()):
            if any(is_over(place[0], step.owner) for step in steps):
                del self._open[place]

    def remember(self, holder: Holder, key: str, original: Any) -> None:
        """Keep the value that a reported leak replaced, to recognise who puts it back."""
        self._reported.setdefault((holder, key), original)

    def forget(self, holder: Holder, key: str) -> None:
        """A reported leak has been put back."""
        self._reported.pop((holder, key), None)

    def forget_all(self, is_over: Callable[[Holder], bool]) -> None:
        """Nobody can put back any more what was reported at places of these holders."""
        self._reported = {place: value for place, value in self._reported.items() if not is_over(place[0])}

    def _puts_back(self, write: Write) -> bool:
        """Whether a write brings back the value that an earlier, reported leak replaced."""
        place = (write.holder, write.key)
        return place in self._reported and same(self._reported[place], write.new)


def _steps_at_the_end(steps: list[Step], owner: Owner) -> int:
    """Where the unbroken run of an owner's steps begins that ends the list."""
    at = len(steps)
    while at and steps[at - 1].owner is owner:
        at -= 1
    return at


def _first_with(value: Any, steps: list[Step]) -> int | None:
    """The first step before which a place held this value."""
    return next((at for at, step in enumerate(steps) if same(value, step.before)), None)

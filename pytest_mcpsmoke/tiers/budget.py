"""What a test may use of a model while it is sampled, and what it has used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from pytest_mcpsmoke.errors import UsageProblem

_WHOLE: Final = ("max_calls", "max_tokens")


@dataclass(frozen=True)
class Budget:
    """Upper limits for all samples of one test together; None is no limit.

    Attributes:
        max_wall_s: Seconds from the opening of the account; a request in flight is cut, too.
        max_calls: Requests to the model, those that it did not answer among them.
        max_tokens: Prompt and completion tokens, as the model tells them in its answers.
        max_cost: In the currency of the prices.

    Raises UsageProblem for a limit that is not a number above zero.
    """

    max_wall_s: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            kinds = (int,) if name in _WHOLE else (int, float)
            if limit is None or (type(limit) in kinds and 0 < limit < float("inf")):
                continue
            kind = "a whole number" if name in _WHOLE else "a number"
            raise UsageProblem(f"{name}={limit!r}: expected {kind} above zero")


UNLIMITED: Final = Budget()


@dataclass
class Usage:
    """What was used so far.

    Attributes:
        calls: Requests that were let through to the model.
        prompt_tokens: As far as the answers told.
        completion_tokens: As far as the answers told.
        cost: In the currency of the prices; None when no answer told and no price is known.
        latencies: Seconds of each call that the model answered, from its arrival to its last byte.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    latencies: list[float] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def copy(self) -> Usage:
        """Return a copy that grows no more."""
        return replace(self, latencies=list(self.latencies))


class Account:
    """A budget with what was used of it. One thread writes: admit() and book() are not for several.

    Attributes:
        budget: The limits.
        usage: What was used.
        spent: The limit that a call was refused or cut for first, as "max_calls"; None while there is none.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the account: max_wall_s counts from here. clock: seconds."""
        self.budget = budget
        self.usage = Usage()
        self.spent: str | None = None
        self._clock = clock
        self._opened = clock()

    @property
    def wall_s(self) -> float:
        """Seconds since the account was opened."""
        return self._clock() - self._opened

    @property
    def left_s(self) -> float | None:
        """Seconds until a request in flight is cut; None without a limit."""
        limit = self.budget.max_wall_s
        return None if limit is None else max(0.0, limit - self.wall_s)

    @property
    def exhausted(self) -> str | None:
        """The limit that the next call would be refused for; None when it would be let through."""
        budget, usage = self.budget, self.usage
        used = {
            "max_wall_s": (self.wall_s, budget.max_wall_s),
            "max_calls": (usage.calls, budget.max_calls),
            "max_tokens": (usage.tokens, budget.max_tokens),
            "max_cost": (usage.cost or 0.0, budget.max_cost),
        }
        return next((name for name, (has, limit) in used.items() if limit is not None and has >= limit), None)

    def admit(self) -> str | None:
        """Count a call that is let through and return None, or return the limit that refuses it."""
        name = self.exhausted
        if name is None:
            self.usage.calls += 1
        else:
            self.spend(name)
        return name

    def spend(self, name: str) -> None:
        """Say that a call was refused or cut for this limit."""
        self.spent = self.spent or name

    def book(
        self, prompt: int | None, completion: int | None, cost: float | None, seconds: float | None
    ) -> None:
        """Add what a call used; None is what nobody told. seconds: None for a call without an answer."""
        usage = self.usage
        usage.prompt_tokens += prompt or 0
        usage.completion_tokens += completion or 0
        if cost is not None:
            usage.cost = (usage.cost or 0.0) + cost
        if seconds is not None:
            usage.latencies.append(seconds)

    def told(self, name: str) -> str:
        """Return half a sentence about a limit: what it is, and what was used."""
        usage = self.usage
        used = {
            "max_wall_s": f"{self.wall_s:.1f} s have passed",
            "max_calls": f"{usage.calls} calls were made",
            "max_tokens": f"{usage.tokens} tokens were used",
            "max_cost": f"{usage.cost or 0.0:.6g} was spent",
        }
        return f"{name}={getattr(self.budget, name):g}: {used[name]}"

"""What one nd_real test asks of the model: sample by sample, and within its budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from pytest_mcpsmoke.tiers.plan import Plan
from pytest_mcpsmoke.tiers.tally import Spent

if TYPE_CHECKING:  # most tests of the tier ask for a model, not all
    from pytest_mcpsmoke.glue.nd_model import ModelAccess
    from pytest_mcpsmoke.tiers.provider import NdModel
    from pytest_mcpsmoke.tiers.relay import ModelRelay


class Seen(NamedTuple):
    """What reached the model in one sample; by default: no model was asked for."""

    cut: str | None = None  # the budget that ended it
    fault: str | None = None
    is_neutered: bool = False
    tools: tuple[str, ...] = ()
    latencies: tuple[float, ...] = ()


class Meter:
    """Reads the relay for one test; without nd_model only the clock."""

    def __init__(self, access: ModelAccess, plan: Plan) -> None:
        self._access = access
        self._plan = plan
        self._began = time.perf_counter()
        self._relay: ModelRelay | None = None
        self._model: NdModel | None = None

    def join(self) -> NdModel:
        """Give the test its model, and open its account. Raises UsageProblem where there is none."""
        from pytest_mcpsmoke.tiers.budget import Budget

        if self._model is None:
            plan = self._plan
            self._relay, self._model = self._access.open()
            self._relay.open_account(Budget(plan.max_wall_s, plan.max_calls, plan.max_tokens, plan.max_cost))
        return self._model

    def begin(self) -> None:
        """Begin a sample."""
        if self._relay is not None:
            self._relay.begin()

    def seen(self) -> Seen:
        """Return what reached the model since begin()."""
        relay = self._relay
        if relay is None:
            return Seen()
        exchanges = relay.exchanges()
        calls = [one for one in exchanges if one.is_call and one.refused is None]
        faults = [one.fault for one in exchanges if one.fault is not None]
        return Seen(
            cut=None if relay.spent is None else relay.told(relay.spent),
            fault=faults[0] if faults else None,
            is_neutered=not any(one.status is not None for one in calls),
            tools=tuple(name for one in calls for name in one.tools),
            latencies=tuple(one.seconds for one in calls if one.has_ended and one.fault is None),
        )

    def stop(self) -> str | None:
        """Why no further sample can be run; None while one can."""
        relay, limit = self._relay, self._plan.max_wall_s
        if relay is None:
            passed = time.perf_counter() - self._began
            is_over = limit is not None and passed >= limit
            return f"max_wall_s={limit:g}: {passed:.1f} s have passed" if is_over else None
        if relay.exhausted is not None:
            return relay.told(relay.exhausted)
        limits = [name for name in ("max_tokens", "max_cost") if getattr(self._plan, name) is not None]
        unseen = [one for one in relay.unmetered if any(name in one.limits for name in limits)]
        return f"{' and '.join(limits)} cannot be kept: {unseen[0].reason}" if unseen else None

    def spent(self, wall_s: float) -> Spent:
        """Return what all samples took together."""
        if self._relay is None or self._model is None:
            return Spent(wall_s)
        used = self._relay.total
        return Spent(wall_s, used.calls, used.tokens, used.cost, self._model.model)

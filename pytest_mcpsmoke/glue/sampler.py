"""Takes the place of the runner's protocol for the tests that have a plan."""

from __future__ import annotations

import pytest

from pytest_mcpsmoke.glue.meter import Meter
from pytest_mcpsmoke.glue.nd_model import METER, ModelAccess, uses_model
from pytest_mcpsmoke.glue.samples import Sampling
from pytest_mcpsmoke.tiers.plan import Plan


class Sampler:
    """Runs each test of the tier as its plan says.

    is_strict: whether INCONCLUSIVE fails a test.
    """

    def __init__(self, plans: dict[pytest.Item, Plan], access: ModelAccess, is_strict: bool) -> None:
        self._plans = plans
        self._access = access
        self._is_strict = is_strict

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run all samples; before pytest-rerunfailures: what is run until it passes is no sample."""
        plan = self._plans.get(item)
        if plan is None:
            return None
        meter = item.stash[METER] = Meter(self._access, plan)
        if uses_model(item):
            meter.join()  # now, while no test is watched
        if item.config.getoption("setuponly", False):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        Sampling(item, plan, meter, self._is_strict).run(nextitem)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

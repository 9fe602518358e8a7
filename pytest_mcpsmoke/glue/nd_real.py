"""The tier nd_real: its gate, its plans, and what it needs before the first sample."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.glue.markers import marked
from pytest_mcpsmoke.glue.refusing import refuse

if TYPE_CHECKING:  # most runs sample nothing
    from pytest_mcpsmoke.tiers.plan import Plan

_GATE: Final = "ND_REAL"
_STRICT: Final = "STRICT_READY"
_OF_MODEL: Final = ("max_calls", "max_tokens", "max_cost", "max_latency_p95_s")
_REMEDY: Final = "@pytest.mark.nd_real(samples=30, min_pass_rate=0.9, confidence=0.95)"


def register(config: pytest.Config) -> None:
    """Look for tests of the tier, once they are collected; and collect their results, if it is open."""
    config.pluginmanager.register(_Tier(config), "mcpsmoke-nd-real")
    if _is_set(_GATE):
        from pytest_mcpsmoke.glue import nd_report

        nd_report.register(config)


def _is_set(name: str) -> bool:
    return os.environ.get(name) == "1"


class _Tier:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)  # what is not selected needs no model
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse plans that cannot be obeyed; skip the tier where it is closed, else make it ready."""
        found = list(marked(items, "nd_real"))
        if not found:
            return None
        try:
            plans = {item: plan_of(item) for item in found}
        except UsageProblem as problem:
            return refuse(self._config, str(problem))
        if _is_set(_GATE):
            return self._open(plans)
        if _is_set(_STRICT):
            self._config.pluginmanager.register(_Absent(frozenset(found)), "mcpsmoke-nd-absent")
            return None
        skip = pytest.mark.skip(reason=f"nd_real: talks to something real; set {_GATE}=1 to run it")
        for item in found:
            item.add_marker(skip)
        return None

    def _open(self, plans: dict[pytest.Item, Plan]) -> None:
        """Find the model, if a test asks for it, before any test runs; then take over from the runner."""
        from pytest_mcpsmoke.glue.nd_model import ModelAccess, uses_model
        from pytest_mcpsmoke.glue.sampler import Sampler

        config = self._config
        access = ModelAccess(config)
        config.pluginmanager.register(access, "mcpsmoke-nd-model")
        try:
            if any(map(uses_model, plans)) and not config.getoption("collectonly"):
                access.open()
        except UsageProblem as problem:
            return refuse(config, str(problem))
        config.pluginmanager.register(Sampler(plans, access, _is_set(_STRICT)), "mcpsmoke-sampler")
        return None


def plan_of(item: pytest.Item) -> Plan:
    """The plan of the closest marker. Raises UsageProblem, which names the test, for a misused one."""
    from pytest_mcpsmoke.tiers.plan import Plan

    mark = item.get_closest_marker("nd_real")
    assert mark is not None
    try:
        plan = Plan(*mark.args, **mark.kwargs)
    except (TypeError, UsageProblem) as error:
        text = str(error).replace("Plan.__init__", "nd_real")
        remedy = f"; write {_REMEDY}" if isinstance(error, TypeError) else ""
        raise UsageProblem(f"{item.nodeid}: nd_real: {text}{remedy}") from error
    needing = [name for name in _OF_MODEL if getattr(plan, name) is not None]
    if needing and "nd_model" not in getattr(item, "fixturenames", ()):
        raise UsageProblem(
            f"{item.nodeid}: nd_real: {needing[0]} is measured on the way to the model, and the test does not"
            " ask for the fixture nd_model; let it, or leave the limit out"
        )
    return plan


class _Absent:
    """Under STRICT_READY=1 a tier that is closed is a failure: what was not measured may not ship."""

    def __init__(self, items: frozenset[pytest.Item]) -> None:
        self._items = items

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail in the place of a skip."""
        if item in self._items:
            text = f"nd_real: {_STRICT}=1, and the tier is closed; set {_GATE}=1 to run it, or {_STRICT}=0"
            raise pytest.fail.Exception(text, pytrace=False)

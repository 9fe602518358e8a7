"""--tier: runs the tests of the named tiers only."""

from __future__ import annotations

import pytest

from pytest_mcpsmoke.glue.markers import marked

TIERS = ("smoke", "nd_real")


def register(config: pytest.Config) -> None:
    """Select by tier if the option is given; raises pytest.UsageError for a name that is no tier."""
    names = [name.strip() for text in config.getoption("mcpsmoke_tier") for name in text.split(",")]
    for name in names:
        if name not in TIERS:
            raise pytest.UsageError(f"--tier={name}: choose from {', '.join(TIERS)}")
    if names:
        config.pluginmanager.register(_Selection(names), "mcpsmoke-tier-option")


class _Selection:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect what is in none of the tiers."""
        chosen = {item for name in self._names for item in marked(items, name)}
        others = [item for item in items if item not in chosen]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item in chosen]

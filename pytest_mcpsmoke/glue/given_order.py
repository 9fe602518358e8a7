"""--in-given-order: nothing reorders the tests, and no worker takes them."""

from __future__ import annotations

from typing import Any

import pytest


def register(config: pytest.Config) -> None:
    """Keep the order if the option is given; before xdist's pytest_configure, which comes last."""
    if not config.getoption("mcpsmoke_in_given_order"):
        return
    config.pluginmanager.register(_GivenOrder(), "mcpsmoke-given-order")
    if config.pluginmanager.has_plugin("xdist"):
        config.option.dist = "no"
        config.option.tx = []
        config.option.numprocesses = None


class _GivenOrder:
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Any:
        """Bring what is left of the items back into the order of collection: that of the command line."""
        collected = {item: at for at, item in enumerate(items)}
        result = yield
        items.sort(key=lambda item: collected.get(item, len(collected)))  # what a plugin added comes last
        return result

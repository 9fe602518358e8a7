"""pytest-timeout's timer, which it sets once around all samples: each is a test, and gets its own time."""

from __future__ import annotations

from typing import Any

import pytest


class Timer:
    """The timer of one item, where pytest-timeout is there and times whole tests."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        plugin: Any = item.config.pluginmanager.get_plugin("timeout")
        settings: Any = plugin._get_item_settings(item) if hasattr(plugin, "_get_item_settings") else None
        is_set = settings is not None and bool(settings.timeout) and not settings.func_only
        self._settings = settings if is_set else None

    def restart(self) -> None:
        """Give the next sample as much time as the first had."""
        if self._settings is not None:
            hook = self._item.config.hook
            hook.pytest_timeout_cancel_timer(item=self._item)
            hook.pytest_timeout_set_timer(item=self._item, settings=self._settings)

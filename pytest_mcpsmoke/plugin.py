"""The pytest11 entry point "mcpsmoke". Declares and registers; decides nothing."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini keys of the plugin."""
    from pytest_mcpsmoke.glue.options import add_options

    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which others extend the detector."""
    from pytest_mcpsmoke.glue import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, the tiers and the fixtures, and the detector unless it is off."""
    from pytest_mcpsmoke.glue import fixtures, given_order, markers, nd_real, refusing, smoke, tier_option
    from pytest_mcpsmoke.glue.options import Settings

    refusing.register(config)
    markers.register(config)
    nd_real.register(config)
    smoke.register(config)
    tier_option.register(config)
    given_order.register(config)
    config.pluginmanager.register(fixtures, "mcpsmoke-fixtures")
    settings = Settings.of(config)
    if settings.mode != "off":
        from pytest_mcpsmoke.glue import start  # and with it the detector: not for nothing

        start.register(config, settings)
    elif settings.report is not None:
        from pytest_mcpsmoke.glue import report_file

        report_file.register(config, settings.report)
    place = config.getoption("mcpsmoke_leaks_where")
    if place is not None:
        from pytest_mcpsmoke.glue import where

        where.register(config, place, settings)

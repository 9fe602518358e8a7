"""Which probes a run has."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import pytest

from pytest_mcpsmoke.glue.options import Settings
from pytest_mcpsmoke.glue.randomly import reseeded
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.builtin import interpreter_probes
from pytest_mcpsmoke.state.probes.registries import CodecSearch, MimeTypes
from pytest_mcpsmoke.state.probes.resources import resource_probes

_WATCHED_WITH: Final = ((), ("trace function",))  # by whether lines are watched: on 3.11 that takes tracing


def open_probes(config: pytest.Config, settings: Settings) -> list[Probe]:
    """The probes of a run: the built-in ones and those that plugins bring along.

    Raises pytest.UsageError when a plugin brings something else.
    """
    probes = [*interpreter_probes(), *resource_probes(str(config.rootpath), _is_ours(config, settings))]
    probes += [MimeTypes(), CodecSearch()]
    skipped = {*reseeded(config), *_WATCHED_WITH[config.getoption("mcpsmoke_leaks_where") is not None]}
    probes = [probe for probe in probes if probe.name not in skipped]
    for found in config.hook.pytest_mcpsmoke_probes(config=config):
        probes += map(_checked, found or ())
    return probes


def _checked(probe: object) -> Probe:
    if not isinstance(probe, Probe):
        remedy = "return instances of subclasses of pytest_mcpsmoke.state.probes.base.Probe"
        raise pytest.UsageError(f"pytest_mcpsmoke_probes: {type(probe).__qualname__} is no probe; {remedy}")
    return probe


def _is_ours(config: pytest.Config, settings: Settings) -> Callable[[str], bool]:
    """Whether a path is one of the files that pytest, its plugins and this one write."""
    given = (
        settings.report,
        *(config.getoption(name, None) for name in ("xmlpath", "log_file", "resultlog")),
    )
    files = {os.path.abspath(path) for path in given if path}
    base = config.getoption("basetemp", None)
    folder = None if base is None else os.path.join(os.path.abspath(base), "")
    return lambda path: path in files or (folder is not None and (path + os.sep).startswith(folder))

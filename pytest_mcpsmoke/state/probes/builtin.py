"""The probes of the interpreter, the process and well-known libraries, in the order of reading."""

from __future__ import annotations

from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.clib import clib_probes
from pytest_mcpsmoke.state.probes.clock import clock_probes
from pytest_mcpsmoke.state.probes.farewells import ExitFunctions
from pytest_mcpsmoke.state.probes.interpreter import setting_probes
from pytest_mcpsmoke.state.probes.libraries import library_probes
from pytest_mcpsmoke.state.probes.loops import EventLoop
from pytest_mcpsmoke.state.probes.process import process_probes
from pytest_mcpsmoke.state.probes.randomness import NumpyRandom, Random
from pytest_mcpsmoke.state.probes.signals import signal_probes


def interpreter_probes() -> list[Probe]:
    """One probe each, fresh. Environ comes before TimeZone, so that TZ is put back before the zone is."""
    return [
        *process_probes(),
        *signal_probes(),
        *clib_probes(),
        *clock_probes(),
        *setting_probes(),
        ExitFunctions(),
        Random(),
        NumpyRandom(),
        *library_probes(),
        EventLoop(),
    ]

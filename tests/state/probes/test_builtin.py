"""All probes of the interpreter together."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.builtin import interpreter_probes
from pytest_mcpsmoke.state.probes.readings import Readings

PROBES = interpreter_probes()


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_says_what_it_is(probe: Probe) -> None:
    assert probe.name
    assert probe.words
    assert probe.blind
    assert type(probe).__doc__


def test_names_are_used_once() -> None:
    assert len({probe.name for probe in PROBES}) == len(PROBES)


def test_the_environment_is_put_back_before_the_time_zone() -> None:
    names = [probe.name for probe in PROBES]
    assert "time zone" not in names or names.index("environ") < names.index("time zone")


def test_nothing_happens_and_nothing_is_found() -> None:
    readings = Readings(interpreter_probes())
    readings.start()
    found = [readings.drain() for _ in range(3)]
    readings.stop()
    readings.stop()
    assert (found, readings.broken()) == ([[], [], []], [])


def test_a_second_start_takes_a_new_baseline() -> None:
    readings = Readings(interpreter_probes())
    limit = sys.getrecursionlimit()
    for _ in range(2):
        readings.start()
        sys.setrecursionlimit(limit + 1)
        try:
            assert [write.key for write in readings.drain()] == ["sys.getrecursionlimit()"]
        finally:
            sys.setrecursionlimit(limit)
            readings.stop()


def test_no_heavy_module_is_loaded() -> None:
    code = """
import sys
from pytest_mcpsmoke.state.probes.readings import Readings
before = set(sys.modules)
from pytest_mcpsmoke.state.probes.builtin import interpreter_probes
readings = Readings(interpreter_probes())
readings.start()
print(*sorted(set(sys.modules) - before))
assert not readings.broken()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    heavy = {
        "asyncio",
        "ctypes",
        "decimal",
        "locale",
        "logging",
        "multiprocessing",
        "numpy",
        "signal",
        "socket",
    }
    assert heavy.isdisjoint(done.stdout.split())

"""What a process holds: files, descriptors, threads, children and the C environment."""

from __future__ import annotations

from collections.abc import Callable

from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.children import Children
from pytest_mcpsmoke.state.probes.descriptors import Descriptors
from pytest_mcpsmoke.state.probes.files import Files
from pytest_mcpsmoke.state.probes.putenv import Putenv
from pytest_mcpsmoke.state.probes.threads import Threads


def resource_probes(rootdir: str, exempt: Callable[[str], bool]) -> list[Probe]:
    """The probes of this kind; exempt: whether a path is the runner's own (its report, its base folder)."""
    return [Files(rootdir, exempt), Putenv(), Descriptors(exempt), Threads(), Children()]

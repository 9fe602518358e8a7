"""What of a report belongs together: the leaks of one cause, and the same places left by many owners."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from pytest_mcpsmoke.report.model import Finding

Unit = list[Finding]  # leaks of one owner that have one cause, or a single one
_NUMBERED: Final = frozenset({"descriptors", "threads", "children"})  # the number is the process's own


class Block(NamedTuple):
    """What stands together in a report: all units of one owner, or one unit that several owners left."""

    units: list[Unit]
    is_shared: bool

    @property
    def leaks(self) -> int:
        return sum(len(unit) for unit in self.units)


def blocks(leaks: Iterable[Finding]) -> list[Block]:
    """Fold leaks, in the order in which the first of each block was found.

    The same place is one of the same name, the container where an entry came or went, and the kind of change:
    whatever the values are, and whichever line wrote them.
    """
    same: dict[object, list[Unit]] = {}
    for unit in _units(leaks):
        same.setdefault(tuple(map(_place, unit)), []).append(unit)
    result: dict[object, Block] = {}
    for key, units in same.items():
        is_shared = len({unit[0].owner for unit in units}) > 1
        for unit in units:
            block = result.setdefault(key if is_shared else unit[0].owner, Block([], is_shared))
            block.units.append(unit)
    return list(result.values())


def _units(leaks: Iterable[Finding]) -> list[Unit]:
    units: dict[object, Unit] = {}
    for at, finding in enumerate(leaks):
        units.setdefault((finding.owner, at if finding.cause is None else finding.cause), []).append(finding)
    return list(units.values())


def _place(finding: Finding) -> tuple[str, ...]:
    return shared_place(finding), finding.probe, finding.change


def shared_place(finding: Finding) -> str:
    """Return what a place is called where several owners left it."""
    if finding.within is not None:
        return f"{finding.within}[…]"
    return re.sub(r"\d+", "…", finding.place) if finding.probe in _NUMBERED else finding.place

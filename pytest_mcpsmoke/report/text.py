"""The report as lines of text, for the terminal, for no_leaks() and for files."""

from __future__ import annotations

import linecache
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from pytest_mcpsmoke.report.folding import Block, Unit, blocks, shared_place
from pytest_mcpsmoke.report.model import Finding, SiteText
from pytest_mcpsmoke.state.describe import LIMIT, redact_source

_FIRST: Final = 3  # of many places, or owners, that are told one by one
_NOUNS: Final = {"test": "test", "fixture": "fixture", "module": "module import"}


class _Text(NamedTuple):
    """A block as text: its first line, its units piece by piece, its last lines."""

    head: str
    items: list[list[str]]
    foot: list[str]

    def lines(self) -> list[str]:
        return [self.head, *(line for item in self.items for line in item), *self.foot]


def plural(number: int, noun: str) -> str:
    """Return "1 leak", "2,000 leaks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def few(lines: list[str], most: int, noun: str) -> list[str]:
    """Return lines, at most so many: instead of the rest, how many more there are."""
    return lines if len(lines) <= most else [*lines[: most - 1], f"and {len(lines) - most + 1:,} more {noun}"]


def report_lines(leaks: list[Finding], root: str, limit: int | None = None, rest: str = "") -> list[str]:
    """Return the entries of a report: one for each owner, but one for what several owners left.

    root is the folder that the sites' paths are relative to. limit: how many lines there may be; then what
    most owners left comes first, and rest says where all the others are. None: all is told, one by one.
    """
    folded = blocks(leaks)
    if limit is None:
        return [line for block in folded for line in _text(block, root, None).lines()]
    lines: list[str] = []
    for block in folded:
        lines += _text(block, root, _FIRST).lines()
        if len(lines) > limit:
            return _cut(folded, root, limit, rest)
    return lines


def _cut(folded: list[Block], root: str, limit: int, rest: str) -> list[str]:
    """The blocks that fit, and one line about the others."""
    waiting = sorted(folded, key=lambda block: -len(block.units) if block.is_shared else 0)
    lines: list[str] = []
    for at, block in enumerate(waiting):
        text = _text(block, root, _FIRST)
        if len(lines) + len(text.lines()) >= limit:
            if not lines and (lines := _shortened(text, limit - 1)):
                at += 1
            break
        lines += text.lines()
    else:
        return lines
    others = [finding for block in waiting[at:] for unit in block.units for finding in unit]
    if others:
        lines.append(f"and {plural(len(others), 'more leak')} left by {_owners(others)}{rest}")
    return lines


def _shortened(text: _Text, limit: int) -> list[str]:
    """A block that alone is too long: as many of its pieces as fit; nothing when none does."""
    room = limit - 2 - len(text.foot)
    kept: list[list[str]] = []
    for item in text.items:
        room -= len(item)
        if room < 0:
            break
        kept.append(item)
    if not kept:
        return []
    return _Text(text.head, [*kept, [f"  and {len(text.items) - len(kept):,} more"]], text.foot).lines()


def owner_lines(found: list[Finding], root: str) -> list[str]:
    """Return the entry of one owner: who left how many places changed, and each place; see report_lines()."""
    return [line for block in blocks(found) for line in _text(block, root, _FIRST).lines()]


def _text(block: Block, root: str, most: int | None) -> _Text:
    """most: how many places of one cause, owners of one place, are told; None: all."""
    return _shared_text(block, root, most) if block.is_shared else _owner_text(block, root, most)


def _owner_text(block: Block, root: str, most: int | None) -> _Text:
    head = f"{_named(block.units[0][0])} left {plural(block.leaks, 'place')} changed"
    width = max((len(unit[0].place) for unit in block.units if len(unit) == 1), default=0)
    items = [
        [f"  {_change(unit[0], width)}", *_below(unit, root)]
        if len(unit) == 1
        else [f"  {unit[0].cause}: {plural(len(unit), 'place')}", *_extent(unit, most), *_below(unit, root)]
        for unit in block.units
    ]
    return _Text(head, items, _again(block))


def _shared_text(block: Block, root: str, most: int | None) -> _Text:
    first, *others = block.units
    places = list(dict.fromkeys(shared_place(finding) for finding in first))
    more = f" and {plural(len(places) - 1, 'more place')}" if len(places) > 1 else ""
    head = f"{_owners(finding for unit in block.units for finding in unit)} left {places[0]}{more} changed"
    top = [f"  {_named(first[0])}{_of_one(first)}"]
    if len(first) > 1:
        top += [f"    {first[0].cause}", *_extent(first, most)]
    items = [[*top, *_below(first, root)]]
    told = others if most is None else others[: most - 1]
    for unit in told:
        site = next((f"   {one.site.path}:{one.site.line}" for one in unit if one.site is not None), "")
        items.append([f"  {_named(unit[0])}{_of_one(unit)}{site}"])
    if len(told) < len(others):
        items.append([f"  and {len(others) - len(told):,} more"])
    return _Text(head, items, _again(block))


def _of_one(unit: Unit) -> str:
    """What one of several owners did to the place that stands above, if it is one."""
    if len(unit) > 1:
        return ""
    finding = unit[0]
    is_told = shared_place(finding) == finding.place
    key = "" if is_told else f"   {finding.place.removeprefix(finding.within or '')}"
    return f"{key}   {_values(finding)}"


def _change(finding: Finding, width: int) -> str:
    return f"{finding.place:<{width}}   {_values(finding)}"


def _values(finding: Finding) -> str:
    restored = ", put back" if finding.restored else ""
    return f"{finding.change}: {finding.before} -> {finding.after}{restored}"


def _extent(unit: Unit, most: int | None) -> list[str]:
    """The places of one cause."""
    told = unit if most is None else unit[:most]
    width = max(len(finding.place) for finding in told)
    lines = [f"    {_change(finding, width)}" for finding in told]
    return lines if len(told) == len(unit) else [*lines, f"    and {len(unit) - len(told):,} more"]


def _below(unit: Unit, root: str) -> Iterator[str]:
    """Where it was written, why it could not be put back, what to write instead: once for all places."""
    first = next((finding for finding in unit if finding.site is not None), unit[0])
    if first.site is not None:
        yield f"      {site_line(first.site, first.place, root)}"
    failed = next((finding for finding in unit if finding.restored is False), None)
    if failed is not None:
        yield f"      not put back: {failed.reason}"
    if first.remedy is not None:
        yield f"      use: {first.remedy}"


def _again(block: Block) -> list[str]:
    command = block.units[0][0].command
    return [] if command is None else [f"  again: {command}"]


def _named(finding: Finding) -> str:
    if finding.owner_kind == "fixture":
        during = f" (set up for {finding.during})" if finding.during else ""
        return f"{finding.scope} fixture {finding.owner}{during}"
    return f"importing {finding.owner}" if finding.owner_kind == "module" else finding.owner


def _owners(leaks: Iterable[Finding]) -> str:
    """How many tests, fixtures and imports left something."""
    kind_of = {finding.owner: finding.owner_kind for finding in leaks}
    kinds: Counter[str] = Counter(kind_of.values())
    return ", ".join(plural(kinds[kind], noun) for kind, noun in _NOUNS.items() if kinds[kind])


def site_line(site: SiteText, place: str, root: str) -> str:
    """Return "path:line  source", saying so where the line was searched rather than observed."""
    source = linecache.getline(os.path.join(root, site.path), site.line).strip()
    shown = redact_source(source, place)
    shown = shown if len(shown) <= LIMIT + 20 else shown[: LIMIT + 19] + "…"
    searched = "" if site.certainty == "observed" else "  (searched)"
    return f"{site.path}:{site.line}  {shown}{searched}"


def summary_line(leaks: list[Finding], verdicts: Mapping[str, int]) -> str:
    """Return the one line with the counts: leaks and who left them, warm-ups, what was allowed."""
    return (
        f"{plural(len(leaks), 'leak')} left by {_owners(leaks)};"
        f" {plural(verdicts.get('warm-up', 0), 'warm-up')}, {verdicts.get('allowed', 0):,} allowed"
    )

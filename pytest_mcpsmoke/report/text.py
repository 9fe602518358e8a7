"""The report as lines of text, for the terminal, for no_leaks() and for files."""

from __future__ import annotations

import linecache
import os
from collections import Counter
from collections.abc import Iterable, Iterator

from pytest_mcpsmoke.report.model import Finding, SiteText
from pytest_mcpsmoke.state.describe import LIMIT, redact_source


def plural(number: int, noun: str) -> str:
    """Return "1 leak", "2 leaks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def owner_lines(owner: str, found: list[Finding], root: str) -> Iterator[str]:
    """Yield the entry of one owner: who left how many places changed, and each place.

    root is the folder that the sites' paths are relative to.
    """
    yield f"{_named(found[0], owner)} left {plural(len(found), 'place')} changed"
    width = max(len(finding.place) for finding in found)
    for finding in found:
        restored = ", put back" if finding.restored else ""
        yield f"  {finding.place:<{width}}   {finding.change}: {finding.before} -> {finding.after}{restored}"
        if finding.site is not None:
            yield f"      {site_line(finding.site, finding.place, root)}"
        if finding.restored is False:
            yield f"      not put back: {finding.reason}"
        if finding.remedy is not None:
            yield f"      use: {finding.remedy}"


def _named(finding: Finding, owner: str) -> str:
    if finding.owner_kind == "fixture":
        during = f" (set up for {finding.during})" if finding.during else ""
        return f"{finding.scope} fixture {owner}{during}"
    return f"importing {owner}" if finding.owner_kind == "module" else owner


def site_line(site: SiteText, place: str, root: str) -> str:
    """Return "path:line  source", saying so where the line was searched rather than observed."""
    source = linecache.getline(os.path.join(root, site.path), site.line).strip()
    shown = redact_source(source, place)
    shown = shown if len(shown) <= LIMIT + 20 else shown[: LIMIT + 19] + "…"
    searched = "" if site.certainty == "observed" else "  (searched)"
    return f"{site.path}:{site.line}  {shown}{searched}"


def report_lines(found: Iterable[Finding], root: str) -> Iterator[str]:
    """Yield the whole report: entries grouped by owner, then one line with the counts.

    Yields nothing when nothing leaked.
    """
    every = list(found)
    owners: dict[str, list[Finding]] = {}
    for finding in every:
        if finding.verdict == "leak":
            owners.setdefault(finding.owner, []).append(finding)
    if not owners:
        return
    for owner, group in owners.items():
        yield from owner_lines(owner, group, root)
    yield summary_line(every)


def summary_line(found: list[Finding]) -> str:
    """Return the one line with the counts: leaks and who left them, warm-ups, what was allowed."""
    leaks = [finding for finding in found if finding.verdict == "leak"]
    kind_of = {finding.owner: finding.owner_kind for finding in leaks}
    kinds: Counter[str] = Counter(kind_of.values())
    nouns = {"test": "test", "fixture": "fixture", "module": "module import"}
    owners = ", ".join(plural(kinds[kind], noun) for kind, noun in nouns.items() if kinds[kind])
    verdicts = Counter(finding.verdict for finding in found)
    return (
        f"{plural(len(leaks), 'leak')} left by {owners};"
        f" {plural(verdicts['warm-up'], 'warm-up')}, {verdicts['allowed']} allowed"
    )

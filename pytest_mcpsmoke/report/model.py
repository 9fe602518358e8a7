"""The finding: what every rendering of the report is made from. Fields as in the report contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

from pytest_mcpsmoke.report.causes import REMEDIES, causes
from pytest_mcpsmoke.report.remedy import remedy_for
from pytest_mcpsmoke.state.change import Change, Verdict
from pytest_mcpsmoke.state.describe import describe_pair, redact_value
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.nodes import Node
from pytest_mcpsmoke.state.observer import Judged
from pytest_mcpsmoke.state.place import Holder, Namespace
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.writer import Site

_MOST_KEYS: Final = 4  # of one object that are told one by one
_OPTIONAL: Final = ("cause", "extent", "within", "command")  # left out of the record where there is none

Counted = Literal["leak", "warm-up", "allowed"]


class SiteText(NamedTuple):
    """A write site with its path as pytest prints it."""

    path: str
    line: int
    function: str
    certainty: Literal["observed", "searched"]


class Finding(NamedTuple):
    """One place that one owner left changed; all values are bounded, redacted text.

    cause: what it shares with others of the same owner. extent: the places, where it tells of several.
    within: the container, where it is an entry of one that came or went. command: what shows it again.
    """

    owner: str
    owner_kind: Literal["test", "fixture", "module"]
    scope: Literal["function", "class", "module", "package", "session"]
    during: str | None
    place: str
    probe: str
    change: Literal["added", "removed", "rebound", "mutated"]
    before: str
    after: str
    site: SiteText | None
    verdict: Counted
    reason: str | None = None
    restored: bool | None = None
    remedy: str | None = None
    cause: str | None = None
    extent: tuple[str, ...] | None = None
    within: str | None = None
    command: str | None = None

    def record(self) -> dict[str, Any]:
        """Return the JSON object of the report contract."""
        fields = self._asdict()
        if self.site is not None:
            fields["site"] = self.site._asdict()
        for name in _OPTIONAL:
            if fields[name] is None:
                del fields[name]
        return {"type": "finding", **fields}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Finding:
        """Build a finding from its JSON object. Raises KeyError or TypeError when it is none."""
        fields = {**cls._field_defaults, **{name: record[name] for name in cls._fields if name in record}}
        site, extent = record["site"], fields["extent"]
        fields["site"] = None if site is None else SiteText(**site)
        fields["extent"] = None if extent is None else tuple(extent)
        return cls(**fields)

    def allowed(self, reason: str) -> Finding:
        """Return the same finding, declared intended."""
        return self._replace(verdict="allowed", reason=reason)

    def put_back(self, failures: Iterable[str | None]) -> Finding:
        """Return the same finding after an attempt to restore it; failures: of each of its changes."""
        failed = [failure for failure in failures if failure is not None]
        return self._replace(restored=not failed, reason=redact_value(failed[0]) if failed else self.reason)


class Entry(NamedTuple):
    """A finding and the changes that it tells of: what putting it back takes."""

    finding: Finding
    changes: list[Change]


def findings(judged: Iterable[Judged], relative: Callable[[str], str]) -> list[Finding]:
    """Turn what an owner left into findings; see entries()."""
    return [entry.finding for entry in entries(judged, relative)]


def entries(judged: Iterable[Judged], relative: Callable[[str], str]) -> list[Entry]:
    """Turn what an owner left into findings: recorded verdicts only, one per reloaded module.

    relative maps an absolute path to the path that pytest prints.
    """
    judged = list(judged)
    result: list[Entry] = []
    inside: dict[Holder, list[tuple[Change, Verdict, str | None]]] = {}
    reloads: dict[str, list[tuple[Change, Verdict, str | None]]] = {}
    for change, verdict, reason in judged:
        if verdict == "ignored":
            continue
        if change.cause == "reload" and isinstance(change.holder, Namespace):
            reloads.setdefault(change.namespace.name, []).append((change, verdict, reason))
        elif verdict == "leak" and not isinstance(change.holder, Namespace | Probe):
            inside.setdefault(change.holder, []).append((change, verdict, reason))
            if len(inside[change.holder]) <= _MOST_KEYS:
                result.append(Entry(_finding(change, verdict, reason, relative), [change]))
        else:
            result.append(Entry(_finding(change, verdict, reason, relative), [change]))
    many = {holder: group for holder, group in inside.items() if len(group) > _MOST_KEYS}
    result = [entry for entry in result if entry.changes[0].holder not in many]
    result += [
        Entry(_many(holder, group, relative), [change for change, _, _ in group])
        for holder, group in many.items()
    ]
    result += [
        Entry(_reload(group, relative), [change for change, _, _ in group]) for group in reloads.values()
    ]
    shared = causes((change for change, verdict, _ in judged if verdict == "leak"), relative)
    return [_with_cause(entry, shared) for entry in result]


def _with_cause(entry: Entry, shared: dict[Change, str]) -> Entry:
    cause = next((shared[change] for change in entry.changes if change in shared), entry.changes[0].act)
    if cause is None:
        return entry
    finding = entry.finding._replace(cause=cause, remedy=REMEDIES.get(cause, entry.finding.remedy))
    return entry._replace(finding=finding)


def broken_probe(probe: Probe, error: Exception, owner: Owner) -> Finding:
    """The finding that a probe has raised; the owner's doing or not, it is nothing that they left."""
    return Finding(
        owner=owner.id,
        owner_kind=owner.kind,
        scope=owner.scope,
        during=None,
        place=f"probe {probe.name}",
        probe=probe.name,
        change="removed",
        before="read at every boundary",
        after=redact_value(f"raised {type(error).__name__}: {error}"),
        site=None,
        verdict="warm-up",
        reason="it is off for the rest of the run",
    )


def _finding(change: Change, verdict: Counted, reason: str | None, relative: Callable[[str], str]) -> Finding:
    # searching for a writer only to file a warm-up would cost more than it tells
    site = change.writer.site if verdict == "leak" or change.is_writer_known else None
    before, after = _texts(change)
    return Finding(
        owner=change.owner.id,
        owner_kind=change.owner.kind,
        scope=change.owner.scope,
        during=change.during if change.owner.kind == "fixture" else None,
        place=redact_value(change.place) if isinstance(change.holder, Probe) else change.place,
        probe=change.holder.probe,
        change=change.kind,
        before=before,
        after=after,
        site=None if site is None else _site_text(site, relative),
        verdict=verdict,
        reason=reason,
        remedy=remedy_for(change) if verdict == "leak" else None,
        within=_container(change),
    )


def _container(change: Change) -> str | None:
    """What an entry came into or went from: tests that register one each change one registry."""
    holder = change.holder
    if change.kind not in ("added", "removed") or not isinstance(holder, Node) or holder.is_instance:
        return None
    path = holder.path
    return path if change.place != path else None


def _texts(change: Change) -> tuple[str, str]:
    holder = change.holder
    if isinstance(holder, Probe):
        told = holder.text(change.before), holder.text(change.after)
        if told[0] is not None and told[1] is not None:
            return told[0], told[1]
    return describe_pair(change.before, change.after, change.place)


def _site_text(site: Site, relative: Callable[[str], str]) -> SiteText:
    return SiteText(relative(site.path), site.line, site.function, site.certainty)


def _many(
    holder: Holder, group: list[tuple[Change, Verdict, str | None]], relative: Callable[[str], str]
) -> Finding:
    """Many keys of one object are one finding."""
    one = _finding(group[-1][0], "leak", None, relative)
    kinds = Counter(change.kind for change, _, _ in group)
    shown = ", ".join(change.place.removeprefix(holder.place("")) for change, _, _ in group[:_MOST_KEYS])
    return one._replace(
        place=holder.place(""),
        within=None,
        extent=tuple(change.place for change, _, _ in group),
        change="mutated",
        before=f"{len(group)} of its parts were other than now",
        after=", ".join(f"{number} {kind}" for kind, number in kinds.items()) + f": {shown}, …",
    )


def _reload(group: list[tuple[Change, Verdict, str | None]], relative: Callable[[str], str]) -> Finding:
    """One importlib.reload is one finding, however many names it bound anew."""
    leaks = [entry for entry in group if entry[1] == "leak"]
    change, verdict, reason = (leaks or group)[0]
    one = _finding(change, "leak" if verdict == "leak" else "warm-up", reason, relative)
    names = [entry[0].key for entry in leaks or group]
    names = [name for name in names if not name.startswith("__")] or names
    shown = ", ".join(names[:4]) + (f", and {len(names) - 4} more" if len(names) > 4 else "")
    return one._replace(
        place=change.namespace.name,
        extent=tuple(change.namespace.place(name) for name in names),
        change="rebound",
        before=f"module {change.namespace.name}",
        after=f"reloaded: {shown} defined anew",
        remedy="reload it again in a fixture's teardown, and import names from it inside the tests"
        if verdict == "leak"
        else None,
    )

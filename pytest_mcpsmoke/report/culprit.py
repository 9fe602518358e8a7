"""What an investigation came to, as text and as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.order.conclusion import Conclusion, Kind
from pytest_mcpsmoke.order.experiment import Experiment, Seen
from pytest_mcpsmoke.report.model import Finding, SiteText
from pytest_mcpsmoke.report.text import plural, site_line

SAYS: Final = {
    Kind.VICTIM: "it passes alone, and fails after its polluter",
    Kind.BRITTLE: "it fails alone, and passes after a state-setter",
    Kind.BOTH_WAYS: "it fails alone, passes after a state-setter, and fails again after a polluter",
    Kind.NON_DETERMINISTIC: "one and the same order brings both verdicts; no order is to blame",
    Kind.NOT_REPRODUCIBLE: "its recorded verdict does not depend on who ran before, as far as was tried",
    Kind.FAILS_ALWAYS: "no other test is to blame",
}
_UNKNOWN: Final = "unknown: not seen, as a file outside of the rootdir, or still held by a wide fixture"
_WIDTH: Final = 11


class Told(NamedTuple):
    """A conclusion with what a reader needs beside it.

    findings: of each place that is the cause. ways: from the test to the write of each, () where that was not
    watched. reproduce, heal: the commands, None where there are none. runs: of pytest; earlier: those of them
    that an unfinished investigation made; seconds: without these. root: what paths are relative to.
    """

    victim: str
    conclusion: Conclusion
    findings: tuple[Finding, ...]
    ways: tuple[tuple[SiteText, ...], ...]
    reproduce: str | None
    heal: str | None
    runs: int
    earlier: int
    seconds: float
    root: str

    def record(self) -> dict[str, Any]:
        """Return the JSON object of `mcpsmoke culprit --json`."""
        found = self.conclusion
        return {
            "type": "culprit",
            "schema": 1,
            "victim": self.victim,
            "verdict": str(found.kind),
            "premises": list(found.premises),
            "polluters": list(found.polluters),
            "setters": list(found.setters),
            "cleaners": list(found.cleaners),
            "places": [finding._replace(site=_site(finding, way)).record() for finding, way in self._written],
            "ways": [[step._asdict() for step in way] for way in self.ways],
            "ruled_out": list(found.ruled_out),
            "failure": None if found.failure is None else found.failure._asdict(),
            "remedy": _remedy(self.findings),
            "reproduce": self.reproduce,
            "heal": self.heal,
            "runs": self.runs,
            "seconds": round(self.seconds, 3),
        }

    def lines(self) -> list[str]:
        """Return the chain from polluter to failure, and the commands that show it."""
        found = self.conclusion
        article = "a " if found.kind is Kind.VICTIM else ""
        lines = [f"{self.victim}: {article}{found.kind}: {SAYS[found.kind]}"]
        lines += _named("polluter", found.polluters)
        lines += _named("setter", found.setters)
        for finding, way in self._written:
            lines += _row("place", f"{finding.place}   {finding.change}: {finding.before} -> {finding.after}")
            lines += self._line("written", finding.place, _site(finding, way))
            lines += self._line("called", finding.place, way[0] if len(way) > 1 else None)
        if found.is_proven and not self.findings:
            lines += _row("place", _UNKNOWN)
        lines += _named("cleaner", found.cleaners)
        lines += _named("victim", (self.victim,)) if found.is_proven else []
        if found.failure is not None:
            text = " ".join(found.failure.text.split())
            lines += _row("fails", f"{found.failure.path}:{found.failure.line}  {text}")
        lines += _row("use", _remedy(self.findings))
        lines += _row("premises", "; ".join(found.premises))
        lines += [line for text in found.ruled_out for line in _row("ruled out", text)]
        lines += _row("reproduce", self.reproduce)
        lines += _row("heal" if not found.setters or found.polluters else "break", self.heal)
        earlier = f", {self.earlier} of them earlier" if self.earlier else ""
        return [*lines, f"{plural(self.runs, 'pytest run')}{earlier}, {self.seconds:.1f} s"]

    @property
    def _written(self) -> list[tuple[Finding, tuple[SiteText, ...]]]:
        return list(zip(self.findings, self.ways, strict=True))

    def _line(self, title: str, place: str, site: SiteText | None) -> list[str]:
        return [] if site is None else _row(title, site_line(site, place, self.root))


def _site(finding: Finding, way: tuple[SiteText, ...]) -> SiteText | None:
    """Where a place was written: seen, or else as the report has it."""
    return way[-1] if way else finding.site


def _remedy(findings: tuple[Finding, ...]) -> str | None:
    return next((finding.remedy for finding in findings if finding.remedy is not None), None)


def _named(title: str, names: tuple[str, ...]) -> list[str]:
    return [line for name in names for line in _row(title, name if "::" in name else f"importing {name}")]


def _row(title: str, text: str | None) -> list[str]:
    return [f"  {title:<{_WIDTH}}{text}"] if text else []


def progress_line(number: int, experiment: Experiment, seen: Seen, seconds: float) -> str:
    """Return the line about one experiment: what ran before the victim, and how the victim came out."""
    names = (*experiment.imports, *experiment.before)
    before = (
        "alone" if not names else f"after {names[0]}" if len(names) == 1 else f"after {len(names):,} tests"
    )
    if experiment.put_back:
        verb = "undone" if experiment.undo else "put back"
        what = (
            experiment.put_back[0]
            if len(experiment.put_back) == 1
            else f"{len(experiment.put_back):,} places"
        )
        before += f", {'everything' if what == '*' else what} {verb}"
    again = f", turn {experiment.turn}" if experiment.turn > 1 else ""
    return f"{number:>3}  {before}{again}: {'passed' if seen.is_passed else 'failed'} ({seconds:.1f} s)"


def watched_line(number: int, place: str, way: tuple[SiteText, ...], root: str) -> str:
    """Return the line about a run that looked for who writes a place."""
    return f"{number:>3}  watched {place}: {site_line(way[-1], place, root) if way else 'no write seen'}"


def find(conclusion: Conclusion, findings: Mapping[tuple[str, str], Finding]) -> tuple[Finding, ...]:
    """Return the findings of the places that are the cause."""
    return tuple(findings[place.owner, place.place] for place in conclusion.places)

"""--leaks-undo: putting back warm-ups, too, when an owner's time is over."""

from __future__ import annotations

from pytest_mcpsmoke.report.model import Entry
from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.observer import Judged, Observer
from pytest_mcpsmoke.state.restore import is_back
from pytest_mcpsmoke.state.undoing import Undoing, goes_along


class Undo:
    """Undoes what an owner left at the places that the globs match, all in one go, the last change first."""

    def __init__(self, globs: tuple[str, ...], observer: Observer) -> None:
        self._observer = observer
        self._undoing = Undoing(globs, observer.files)

    def told(self, judged: list[Judged]) -> list[Judged]:
        """Return what an owner left; with it, as warm-ups, what only this option records."""
        return self._undoing.told(judged)

    def undone(self, every: list[Entry]) -> list[Entry]:
        """Undo what is wanted of an owner's findings; each of those then says whether it could be."""
        wanted = [entry for entry in every if self._undoing.wants(entry.finding.place)]
        along = {id(entry) for entry in wanted if all(map(goes_along, entry.changes))}
        failures = self._stay([entry for entry in wanted if id(entry) not in along], every)
        going = [change for change, why in failures.items() if why is None]
        failures |= self._observer.restore(going, may_un_import=True)
        for entry in wanted:  # with their submodules, which may have had a reason to stay
            if id(entry) in along and all(map(is_back, entry.changes)):
                failures |= dict.fromkeys(entry.changes)
        return [
            entry._replace(finding=entry.finding.put_back(failures[change] for change in entry.changes))
            if entry.changes[0] in failures
            else entry
            for entry in every
        ]

    def _stay(self, wanted: list[Entry], every: list[Entry]) -> dict[Change, str | None]:
        """Say of each change why it stays; None: it is to be undone."""
        if not wanted:
            return {}
        warm_ups = [
            change for entry in every if entry.finding.verdict == "warm-up" for change in entry.changes
        ]
        scene = self._undoing.scene(warm_ups)
        return {
            change: self._undoing.why_stays(
                change, entry.finding.place, entry.finding.verdict != "warm-up", scene
            )
            for entry in wanted
            for change in entry.changes
        }

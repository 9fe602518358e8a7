"""A test that is run again (by pytest-rerunfailures, say) leaves the same again: that is told once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_mcpsmoke.report.model import Finding


class Attempts:
    """Remembers what the earlier attempts at the running test have told."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self._earlier: set[tuple[str, str]] = set()  # places and verdicts: what one adds the next rebinds
        self._told: set[tuple[str, str]] = set()  # in this attempt: it may leave two threads of one name

    def begin(self, item: pytest.Item) -> None:
        """A test is run, for the first time or again."""
        if item is self._item:
            self._earlier |= self._told
        else:
            self._item = item
            self._earlier.clear()
        self._told.clear()

    def new(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the findings that no earlier attempt has told."""
        kept = [finding for finding in found if (finding.place, finding.verdict) not in self._earlier]
        self._told.update((finding.place, finding.verdict) for finding in kept)
        return kept

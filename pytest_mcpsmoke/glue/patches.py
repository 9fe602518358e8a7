"""patch_globals in a test: undone in one order with monkeypatch; who was left alone is told if it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.patching import Patch, Patches
    from pytest_mcpsmoke.doubles.substitution import Substitution


@contextmanager
def patches_of(item: pytest.Item, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patches]:
    """Yield a test's patches; undo them when it is over, whatever monkeypatch put over or under them."""
    from pytest_mcpsmoke.doubles.patching import Patches

    def told(patch: Patch) -> None:
        for substitution in patch.substitutions:
            _stand_in_line(substitution, monkeypatch)
        if patch.left_alone:
            names = ", ".join(patch.left_alone[:_SHOWN])
            more = f" and {len(patch.left_alone) - _SHOWN} more" if len(patch.left_alone) > _SHOWN else ""
            text = (
                f"{', '.join(patch.places)}: patched; left alone, though they held the same: {names}{more}\n"
            )
            item.add_report_section("call", "patch_globals", text)

    with Patches(told) as patches:
        yield patches


_SHOWN = 5  # names in the report


def _stand_in_line(substitution: Substitution, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a place in monkeypatch's stack: it undoes what is over ours before, what is under ours after."""
    from pytest_mcpsmoke.doubles.substitution import Attribute

    turn = _Turn(substitution)
    if isinstance(substitution.place, Attribute):
        monkeypatch.setattr(turn, "state", "waiting")
    else:  # these it undoes after all attributes
        monkeypatch.setitem(turn, "state", "waiting")


class _Turn(dict[str, str]):
    """What monkeypatch patches in our substitution's stead: when it puts that back, it is our turn."""

    def __init__(self, substitution: Substitution) -> None:
        super().__init__(state="")
        self._substitution = substitution

    @property
    def state(self) -> str:
        return self["state"]

    @state.setter
    def state(self, value: str) -> None:
        self["state"] = value

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        if not value:
            self._substitution.passed()

"""What the C library keeps for the process: the locale and the time zone."""

from __future__ import annotations

import importlib
import time
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.base import Probe

_locale: Any = importlib.import_module("_locale")  # what locale wraps
_setlocale: Any = _locale.setlocale
_tzset: Any = getattr(time, "tzset", None)  # not on every platform
_of_time: Final = vars(time)

_ALL: Final = _locale.LC_ALL
_CATEGORIES: Final[dict[str, int]] = {
    name: number for name, number in vars(_locale).items() if name.startswith("LC_") and name != "LC_ALL"
}
_ZONE: Final = "time.tzset()"
_ZONE_NAMES: Final = ("tzname", "timezone", "altzone", "daylight")


class Locale(Probe):
    """The locale of each category."""

    is_quiet = True
    name = "locale"
    words = ("setlocale", "resetlocale")
    blind = "a locale that is changed and put back between two boundaries"

    @staticmethod
    def glance() -> Any:
        """The locales of all categories in one text."""
        return _setlocale(_ALL, None)

    def __init__(self) -> None:
        self._whole = ""
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        whole = _setlocale(_ALL, None)
        if whole != self._whole:
            self._whole = whole
            self._last = {name: _setlocale(number, None) for name, number in _CATEGORIES.items()}
        return self._last

    def place(self, key: str) -> str:
        return f"locale.setlocale({key})"

    def restore(self, key: str, before: Any, after: Any) -> None:
        try:
            _setlocale(_CATEGORIES[key], before)
        except _locale.Error as error:
            raise CannotRestore(str(error)) from error


class TimeZone(Probe):
    """The zone in force since the last time.tzset(): its names, its offsets, whether it has summer time."""

    is_quiet = True
    name = "time zone"
    words = ("tzset",)
    blind = "a TZ without time.tzset(), which is found in os.environ"

    def __init__(self) -> None:
        self._names: Any = None
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        names = _of_time.get("tzname")
        if names is not self._names:  # tzset() makes a new one, whatever it finds
            self._names, self._last = names, {_ZONE: _present_zone()}
        return self._last

    def place(self, key: str) -> str:
        return key

    def restore(self, key: str, before: Any, after: Any) -> None:
        _tzset()
        if not self.same(key, before, _present_zone()):
            raise CannotRestore("os.environ['TZ'] is not what it was then")


def _present_zone() -> tuple[Any, ...]:
    return tuple(map(_of_time.get, _ZONE_NAMES))


def clib_probes() -> list[Probe]:
    """The probes of what this platform has."""
    return [Locale()] if _tzset is None else [Locale(), TimeZone()]

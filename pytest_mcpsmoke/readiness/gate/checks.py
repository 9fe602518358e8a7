"""The checks that a project declares in its pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem

KINDS: Final = ("pytest", "command", "probe", "clients")
LIVE_KINDS: Final = ("probe", "clients")  # they talk to endpoints that somebody runs
TIERS: Final = ("smoke", "nd_real")
KEYS: Final = ("kind", "args", "tier", "optional", "timeout", "artifacts")
DEFAULT_TIMEOUT: Final = 600.0  # seconds

_TABLE: Final = "tool.mcpsmoke.readiness.checks"
_NAME: Final = r"[A-Za-z0-9][\w.-]*"


class Check(NamedTuple):
    """One declared check. timeout: seconds of wall clock; artifacts: globs below the project's root."""

    name: str
    kind: str
    args: tuple[str, ...] = ()
    tier: str | None = None
    is_optional: bool = False
    timeout: float = DEFAULT_TIMEOUT
    artifacts: tuple[str, ...] = ()


class Declared(NamedTuple):
    """What a project declares: its root, and its checks in the order of the file."""

    root: Path
    checks: tuple[Check, ...]


def find_config(folder: Path) -> Path:
    """Return the nearest pyproject.toml, from a folder upwards. Raises UsageProblem when there is none."""
    for place in (folder, *folder.parents):
        if (path := place / "pyproject.toml").is_file():
            return path
    raise UsageProblem(
        f"{folder}: no pyproject.toml here or above; declare a check there, in [{_TABLE}.NAME],"
        " or name one with --config PATH"
    )


def read_checks(path: Path, name: str) -> Declared:
    """Read a pyproject.toml; name is what to call it. Raises UsageProblem, one line: file, key, remedy."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageProblem(f"{name}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageProblem(f"{name}: not TOML: {error}") from error
    tables: Any = content
    keys = _TABLE.split(".")
    for at, key in enumerate(keys):
        where = ".".join(keys[: at + 1])
        if key not in tables:
            close = [other for other in nearest(key, tables) if _likeness(key, other) > 0.8] if at else []
            hint = f"; did you mean {key} by {'.'.join([*keys[:at], close[0]])}?" if close else ""
            raise UsageProblem(f"{name}: no check is declared: add a table [{_TABLE}.NAME]{hint}")
        tables = tables[key]
        if not isinstance(tables, dict):
            raise UsageProblem(f"{name}: {where}: a table is wanted, not {_kind_of(tables)}")
    if not tables:
        raise UsageProblem(f"{name}: no check is declared: add a table [{_TABLE}.NAME]")
    checks = tuple(_check(key, table, name) for key, table in tables.items())
    _refuse_twins(checks, name)
    return Declared(path.parent.absolute(), checks)


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return names, those first that look most like the one given."""
    return sorted(names, key=lambda other: -_likeness(name, other))


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _refuse_twins(checks: Iterable[Check], name: str) -> None:
    """Each check has files of its name, and not every file system tells a capital from a small letter."""
    seen: dict[str, str] = {}
    for check in checks:
        twin = seen.setdefault(check.name.lower(), check.name)
        if twin != check.name:
            raise UsageProblem(f"{name}: {_TABLE}.{check.name}: too like {twin}; call it something else")


def _check(key: str, table: Any, source: str) -> Check:
    where = f"{source}: {_TABLE}.{key}"
    if re.fullmatch(_NAME, key) is None:
        raise UsageProblem(f"{where}: a name is made of letters, digits, and . _ - after the first")
    if not isinstance(table, dict):
        raise UsageProblem(f"{where}: a table is wanted, not {_kind_of(table)}; write [{_TABLE}.{key}]")
    for given in table:
        if given not in KEYS:
            raise UsageProblem(
                f"{where}.{given}: no such key; did you mean {nearest(given, KEYS)[0]}? ({', '.join(KEYS)})"
            )
    reader = _Reader(where, table)
    kind = reader.choice("kind", KINDS)
    if kind is None:
        raise UsageProblem(f"{where}.kind: missing; choose from {', '.join(KINDS)}")
    check = Check(
        name=key,
        kind=kind,
        args=reader.texts("args"),
        tier=reader.choice("tier", TIERS),
        is_optional=reader.truth("optional"),
        timeout=reader.seconds("timeout"),
        artifacts=reader.globs("artifacts"),
    )
    if kind == "command" and not check.args:
        raise UsageProblem(f'{where}.args: missing; a command has its program first: args = ["make", "lint"]')
    return check


class _Reader:
    """Takes the values of one table, or says what is wrong with them."""

    def __init__(self, where: str, table: Mapping[str, Any]) -> None:
        self._where = where
        self._table = table

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        value = self._table.get(key)
        if value is None or value in choices:
            return value
        likely = f"; did you mean {nearest(value, choices)[0]}?" if isinstance(value, str) else ""
        raise self._problem(key, f"{value!r} is none of {', '.join(choices)}{likely}")

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._table.get(key, [])
        if isinstance(value, list) and all(isinstance(each, str) and "\0" not in each for each in value):
            return tuple(value)
        raise self._problem(key, f'a list of texts is wanted, as in {key} = ["one", "two"]')

    def truth(self, key: str) -> bool:
        value = self._table.get(key, False)
        if isinstance(value, bool):
            return value
        raise self._problem(key, "true or false is wanted")

    def seconds(self, key: str) -> float:
        value = self._table.get(key, DEFAULT_TIMEOUT)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
            return float(value)
        raise self._problem(key, "a number of seconds above 0 is wanted")

    def globs(self, key: str) -> tuple[str, ...]:
        globs = self.texts(key)
        for glob in globs:
            parts = PurePath(glob)
            if not parts.parts or parts.is_absolute() or parts.drive or ".." in parts.parts:
                raise self._problem(key, f"{glob!r} leaves the project; name files below it")
            if any("**" in part and part != "**" for part in parts.parts):
                raise self._problem(key, f"{glob!r}: ** stands alone between slashes, as in reports/**/*.xml")
        return globs

    def _problem(self, key: str, text: str) -> UsageProblem:
        return UsageProblem(f"{self._where}.{key}: {text}")


def _kind_of(value: object) -> str:
    return {str: "a text", list: "a list", bool: "true or false"}.get(type(value), "a number or a date")

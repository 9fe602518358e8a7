"""TOML with the line of every key: tomllib reads the values, a scan of the text finds the lines."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from pytest_mcpsmoke.readiness.configurations.located import Fault, Located, Path, Unreadable

_SPACE: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_REST: Final = re.compile(r"[^,\]}#\n]+")  # a number, a truth value, a date


def read_toml(text: str) -> Located:
    """Read TOML. Raises Unreadable with the line that tomllib names."""
    text = text.replace("\r\n", "\n")
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Unreadable(_fault(str(error), text)) from None
    return _located(tree, _Scan(text).lines, (), 1)


def _fault(message: str, text: str) -> Fault:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    said, line, column = found.groups() if found else (message, None, None)
    where = f"column {column}" if column else "end of the text"
    number = int(line) if line else text.rstrip("\n").count("\n") + 1
    return Fault(number, "", f"no TOML: {said[:1].lower()}{said[1:]} ({where})", "mend it")


def _located(value: Any, lines: dict[Path, int], path: Path, line: int) -> Located:
    line = lines.get(path, line)
    if isinstance(value, dict):
        return Located({k: _located(item, lines, (*path, k), line) for k, item in value.items()}, line)
    if isinstance(value, list):
        return Located([_located(item, lines, (*path, i), line) for i, item in enumerate(value)], line)
    return Located(value, line)


class _Scan:
    """The lines of the keys and items of a text that tomllib has accepted: nothing is checked again."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._last: dict[Path, int] = {}  # index of the last table of each list of tables
        self._counted = 0, 1  # characters up to here, and the line there
        table: Path = ()
        while self._skip():
            if text.startswith("[[", self._at):
                table = self._header(2)
            elif text.startswith("[", self._at):
                table = self._header(1)
            else:
                self._pair(table)

    def _header(self, brackets: int) -> Path:
        self._at += brackets
        line = self._line()
        path: Path = ()
        names = self._names()
        for at, (name, _) in enumerate(names, 1):
            path = (*path, name)
            self.lines.setdefault(path, line)
            if brackets == 2 and at == len(names):
                self._last[path] = self._last.get(path, -1) + 1
            if path in self._last:
                path = (*path, self._last[path])
                self.lines.setdefault(path, line)
        if brackets == 1:
            self.lines[path] = line  # rather than where a deeper table mentioned it
        self._skip()
        self._at += brackets
        return path

    def _pair(self, table: Path) -> None:
        for name, line in self._names():
            table = (*table, name)
            self.lines.setdefault(table, line)
        self._skip()
        self._at += 1  # the =
        self._value(table)

    def _names(self) -> list[tuple[str, int]]:
        """A key and the line of each of its parts."""
        names = []
        while True:
            self._skip()
            line = self._line()
            bare = _BARE_KEY.match(self._text, self._at)
            names.append((bare[0] if bare else self._quoted(), line))
            self._at = bare.end() if bare else self._at
            self._skip()
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _quoted(self) -> str:
        start = self._at
        self._string()
        return str(tomllib.loads(f"name = {self._text[start : self._at]}")["name"])

    def _value(self, path: Path) -> None:
        self._skip()
        opening = self._text[self._at]
        if opening == "[":
            self._items(path)
        elif opening == "{":
            self._inline(path)
        elif opening in "\"'":
            self._string()
        else:
            rest = _REST.match(self._text, self._at)
            self._at = rest.end() if rest else self._at

    def _items(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip() and self._text[self._at] != "]":
            self.lines[(*path, index)] = self._line()
            self._value((*path, index))
            self._comma()
            index += 1
        self._at += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while self._skip() and self._text[self._at] != "}":
            self._pair(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        self._skip()
        if self._text.startswith(",", self._at):
            self._at += 1

    def _string(self) -> None:
        found = _STRING.match(self._text, self._at)
        assert found is not None, "tomllib has read it"
        self._at = found.end()

    def _skip(self) -> bool:
        """Go on to what is neither space nor comment; whether there is anything."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _line(self) -> int:
        before, line = self._counted
        self._counted = self._at, line + self._text.count("\n", before, self._at)
        return self._counted[1]

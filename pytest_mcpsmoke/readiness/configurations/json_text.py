"""JSON with the line of every value, and with comments and trailing commas where a client takes them."""

from __future__ import annotations

import json
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final, NoReturn

from pytest_mcpsmoke.readiness.configurations.located import Fault, Located, Path, Unreadable, key_text

_DEPTH: Final = 200  # of nested tables and lists


def read_json(text: str, *, is_relaxed: bool = False, first_line: int = 1) -> tuple[Located, list[Fault]]:
    """Read JSON.

    Args:
        text: The JSON.
        is_relaxed: Whether comments and trailing commas are no fault.
        first_line: The number of the first line, where the text is a part of a file.

    Returns:
        The value with its lines, and what is wrong although it can be read: keys that stand twice (the last
        one counts), a comment, a trailing comma.

    Raises:
        Unreadable: It is no JSON.
    """
    reader = _Reader(text, is_relaxed, first_line)
    root = reader.value(())
    reader.skip()
    if reader.at < len(text):
        reader.refuse("something follows the end of the JSON", "remove it")
    return root, reader.faults


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_SCALARS: Final = JSONDecoder(parse_constant=_no_constant)


class _Reader:
    """Where in a text the reading is."""

    def __init__(self, text: str, is_relaxed: bool, first_line: int) -> None:
        self.text = text
        self.at = 0
        self.faults: list[Fault] = []
        self._is_relaxed = is_relaxed
        self._first_line = first_line
        self._ends = [index for index, character in enumerate(text) if character == "\n"]
        self._noted: set[str] = set()
        self._path: Path = ()

    def value(self, path: Path, line: int | None = None) -> Located:
        """Read a value; `line` is that of its key."""
        self.skip()
        self._path = path
        if line is None:
            line = self._line()
        if len(path) > _DEPTH:
            self.refuse(f"nested deeper than {_DEPTH} levels", "flatten it")
        opening = self.text[self.at : self.at + 1]
        if opening == "{":
            return Located(self._table(path), line)
        if opening == "[":
            return Located(self._list(path), line)
        return Located(self._scalar("a value"), line)

    def skip(self) -> None:
        """Go on to what is neither space nor comment."""
        while self.at < len(self.text):
            if self.text[self.at] in " \t\r\n":
                self.at += 1
            elif self.text.startswith("//", self.at):
                self._tolerate("comment", "remove it: this client takes none")
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text.startswith("/*", self.at):
                self._tolerate("comment", "remove it: this client takes none")
                end = self.text.find("*/", self.at + 2)
                if end < 0:
                    self.refuse("a comment is not closed", "close it with */")
                self.at = end + 2
            else:
                return

    def refuse(self, text: str, remedy: str) -> NoReturn:
        """Say that the text cannot be read beyond here."""
        where = f"column {self._column()}" if self.at < len(self.text) else "end of the text"
        raise Unreadable(Fault(self._line(), key_text(self._path), f"no JSON: {text} ({where})", remedy))

    def _table(self, path: Path) -> dict[str, Located]:
        table: dict[str, Located] = {}
        while self._is_more("}", bool(table)):
            line = self._line()
            if self.text[self.at] != '"':
                self.refuse("a key in double quotes is missing", 'write "key": value')
            name = self._scalar("a key")
            self.skip()
            if not self.text.startswith(":", self.at):
                self.refuse(f"no : after the key {json.dumps(name)}", 'write "key": value')
            self.at += 1
            if name in table:
                self._note(line, (*path, name), f"stands twice; line {table[name].line} is lost")
            table[name] = self.value((*path, name), line)
        return table

    def _list(self, path: Path) -> list[Located]:
        items: list[Located] = []
        while self._is_more("]", bool(items)):
            items.append(self.value((*path, len(items))))
        return items

    def _is_more(self, closing: str, is_begun: bool) -> bool:
        """Go past the opening or a comma; whether an item follows. Otherwise go past the closing."""
        if not is_begun:
            self.at += 1
        self.skip()
        is_comma = is_begun and self.text.startswith(",", self.at)
        if is_comma:
            comma = self.at
            self.at += 1
            self.skip()
        if self.text.startswith(closing, self.at):
            if is_comma:
                self.at, after = comma, self.at
                self._tolerate("trailing comma", "remove it: this client takes none")
                self.at = after
            self.at += 1
            return False
        if self.at >= len(self.text):
            self.refuse(f"{closing} is missing", f"close it with {closing}")
        if is_begun and not is_comma:
            self.refuse(f"a comma or {closing} is missing", "separate the items by commas")
        return True

    def _scalar(self, expected: str) -> Any:
        try:
            value, self.at = _SCALARS.raw_decode(self.text, self.at)
        except JSONDecodeError as error:
            if error.msg == "Expecting value":
                self.refuse(f"{expected} is missing", "texts stand in double quotes")
            self.at = error.pos
            self.refuse(error.msg[0].lower() + error.msg[1:].removesuffix(" at"), "mend it")
        except ValueError as error:
            self.refuse(str(error), "write a number")
        return value

    def _tolerate(self, what: str, remedy: str) -> None:
        """Note the first of its kind, where the client takes none."""
        if not self._is_relaxed and what not in self._noted:
            self._noted.add(what)
            self.faults.append(Fault(self._line(), "", f"a {what} (column {self._column()})", remedy))

    def _note(self, line: int, path: Path, text: str) -> None:
        self.faults.append(Fault(line, key_text(path), text, "keep one"))

    def _line(self) -> int:
        return self._first_line + bisect_right(self._ends, self.at - 1)

    def _column(self) -> int:
        index = bisect_right(self._ends, self.at - 1)
        return self.at - (self._ends[index - 1] + 1 if index else 0) + 1

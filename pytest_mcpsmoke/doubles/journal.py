"""The journal of a server on loopback: every request as it arrived, and assertions over them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from pytest_mcpsmoke.doubles import header_lines
from pytest_mcpsmoke.doubles.shown import show_body, show_header, show_target
from pytest_mcpsmoke.errors import UsageProblem

_SHOWN: Final = 20  # requests listed in one failure


@dataclass(eq=False)
class Entry:
    """One request as it stood on the wire; a body that is still arriving grows.

    Attributes:
        method: The method, "POST"; "" for a line over stdio or a message in memory.
        path: The target as it was sent, its query included: "/tools?page=2".
        headers: The header lines in their order, names as they were written, duplicates included.
        body: The payload so far, transfer coding undone.
        connection: Which connection it came over, counted from 1.
        at: When its first byte had arrived, in seconds of time.monotonic().
        ended: When its last byte had arrived; None while it has not, or when the client left before.
        transport: What carried it: "http" unless the server says otherwise.
        status: The status it was answered with; None without an answer.
        answered: When the answer's last byte was handed to the connection; None until then.
        lost: When the connection ended before that; None when it did not.
        malformed: What is wrong with it when it is no HTTP; "" otherwise. Then `body` is all that came.
        note: What the server has to say of it, as "fault: slow 2 s"; "" mostly.
    """

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    connection: int = 0
    at: float = field(default_factory=time.monotonic)
    ended: float | None = None
    transport: str = "http"
    status: int | None = None
    answered: float | None = None
    lost: float | None = None
    malformed: str = ""
    note: str = ""

    def header(self, name: str) -> list[str]:
        """Return the values of all headers of this name, whatever its casing, in order; [] without one."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def sent(self, *names: str) -> list[tuple[str, str]]:
        """Return the headers of these names, whatever their casing: (name as written, value), in order."""
        wanted = {name.lower().encode("latin-1") for name in names}
        return [
            (key.decode("latin-1"), value.decode("latin-1"))
            for key, value in self.headers
            if key.lower() in wanted
        ]

    @property
    def header_names(self) -> list[str]:
        """The header names as they were written, in order, duplicates included."""
        return [name.decode("latin-1") for name, _ in self.headers]

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are none become `\\xNN`."""
        return self.body.decode("utf-8", "backslashreplace")

    @property
    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)

    @property
    def route(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the query, decoded."""
        return parse_qs(self.path.partition("?")[2], keep_blank_values=True)

    def __str__(self) -> str:
        """Tell the request, its headers and its body on lines of their own, secrets redacted."""
        body = [show_body(self.body)] if self.body else []
        return "\n     ".join([self._line(), *self._header_lines(), *body])

    def __repr__(self) -> str:
        """Tell the request in one line, secrets redacted."""
        return f"<Entry {self._line()}>"

    def _line(self) -> str:
        what = f"{self.method} {show_target(self.path)}" if self.method else f"{self.transport} message"
        notes = [f"connection {self.connection}"] if self.connection else []
        if self.malformed:
            what, notes = "not HTTP", [*notes, self.malformed]
        elif self.ended is None:
            notes.append("incomplete")
        if self.status is not None:
            notes.append(f"answered {self.status}")
        if self.note:
            notes.append(self.note)
        return f"{what} ({', '.join(notes)})" if notes else what

    def _header_lines(self) -> list[str]:
        return [show_header(name, value) for name, value in self.headers]


class Journal:
    """Every request that arrived, in order. Read it from any thread, also while requests come in.

    Attributes:
        connections: How many connections were opened so far, those without a request among them.
        of: Whose it is, told first in every failure where there are several; "" for nobody's.
    """

    def __init__(self, of: str = "") -> None:
        self.connections = 0
        self.of = of
        self._entries: list[Entry] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, at: int) -> Entry:
        return self.entries[at]

    @property
    def entries(self) -> list[Entry]:
        """A copy of what arrived so far."""
        with self._changed:
            return list(self._entries)

    def open_connection(self) -> int:
        """Count a connection that was opened, and return its number; for servers."""
        with self._changed:
            self.connections += 1
            return self.connections

    def note(self, entry: Entry) -> Entry:
        """Add what arrived; for servers."""
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def clear(self) -> None:
        """Forget what arrived so far."""
        with self._changed:
            self._entries.clear()

    def requests(self, method: str | None = None, path: str | None = None) -> list[Entry]:
        """Return what arrived with this method and path; a path without "?" matches with any query.

        Raises:
            UsageProblem: The path does not begin with "/", so that it could never match.
        """
        matches = _matcher(method, path)
        return [entry for entry in self.entries if matches(entry)]

    def posts(self, path: str | None = None) -> list[Entry]:
        """Return the POST requests that arrived, all or those to a path."""
        return self.requests("POST", path)

    def gets(self, path: str | None = None) -> list[Entry]:
        """Return the GET requests that arrived, all or those to a path."""
        return self.requests("GET", path)

    def assert_no_requests(self, method: str | None = None, path: str | None = None) -> None:
        """Raise AssertionError, listing what arrived, when any request of this method and path did."""
        __tracebackhide__ = True
        self.assert_requests(0, method, path)

    def assert_requests(self, count: int, method: str | None = None, path: str | None = None) -> list[Entry]:
        """Return the requests of this method and path; raise AssertionError when they are not so many."""
        __tracebackhide__ = True
        found = self.requests(method, path)
        if len(found) != count:
            what = " ".join(filter(None, (method, path)))
            raise AssertionError(self._told(f"{_times(count, what)} expected, {len(found)} arrived", found))
        return found

    def assert_one(self, method: str | None = None, path: str | None = None) -> Entry:
        """Return the only request of this method and path; raise AssertionError when it is not one."""
        __tracebackhide__ = True
        return self.assert_requests(1, method, path)[0]

    def assert_header(
        self,
        name: str,
        value: str | Sequence[str] | None = None,
        *,
        casing: str | None = None,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        """Raise AssertionError unless every request of this method and path carries the header.

        It fails, too, when there is no such request.

        Args:
            name: The header, in whatever casing.
            value: A text: it stands there exactly once, with it. Several: so often, in this order. None:
                whatever its value, however often.
            casing: The name exactly as it has to be written.
        """
        __tracebackhide__ = True
        what = " ".join(filter(None, (method, path)))
        self._check_header(self.requests(method, path), what, name, value, casing)

    def assert_no_header(self, name: str, *, method: str | None = None, path: str | None = None) -> None:
        """Raise AssertionError when a request of this method and path carries the header, or none arrived."""
        __tracebackhide__ = True
        self.assert_header(name, [], method=method, path=path)

    def wait_for(
        self, count: int = 1, method: str | None = None, path: str | None = None, *, timeout: float = 5.0
    ) -> list[Entry]:
        """Wait until so many requests of this method and path have begun to arrive, and return them.

        Raises:
            AssertionError: They did not within `timeout` seconds; the text lists what did.
        """
        __tracebackhide__ = True
        matches = _matcher(method, path)
        with self._changed:
            came = self._changed.wait_for(lambda: sum(map(matches, self._entries)) >= count, timeout)
        if not came:
            what = " ".join(filter(None, (method, path)))
            found = self.requests(method, path)
            wanted = f"{_times(count, what)} expected within {timeout:g} s"
            raise AssertionError(self._told(f"{wanted}, {len(found)} arrived", found))
        return self.requests(method, path)

    def __str__(self) -> str:
        """List what arrived, secrets redacted."""
        return _listed(self.entries)

    def _check_header(
        self,
        found: list[Entry],
        what: str,
        name: str,
        value: str | Sequence[str] | None,
        casing: str | None,
    ) -> None:
        __tracebackhide__ = True
        if not found:
            raise AssertionError(self._told(f"no {_noun(what)} arrived", found))
        values = [value] if isinstance(value, str) else value
        for entry in found:
            problem = header_lines.problem(entry.sent(name), name, values, casing)
            if problem:
                told = _noun(what) if what else f"{entry.method} {entry.route}"
                raise AssertionError(self._told(f"{told} arrived {problem}", [entry]))

    def _headline(self, text: str) -> str:
        return f"{self.of}: {text}" if self.of else text

    def _told(self, headline: str, found: list[Entry]) -> str:
        entries = self.entries
        headline = self._headline(headline)
        if not entries:
            return f"{headline}: nothing at all did"
        if found and len(found) != len(entries):
            others = [entry for entry in entries if entry not in found]
            return f"{headline}:\n{_listed(found)}\nbesides these:\n{_listed(others, brief=True)}"
        return f"{headline}{':' if found else '; what did:'}\n{_listed(entries)}"


def _matcher(method: str | None, path: str | None) -> Callable[[Entry], bool]:
    if path is not None and not path.startswith("/"):
        raise UsageProblem(f'{path!r} matches no request: a path begins with "/", without scheme and host')
    verb = method and method.upper()
    return lambda entry: (
        (verb is None or entry.method.upper() == verb) and (path is None or path in (entry.path, entry.route))
    )


def _times(count: int, what: str) -> str:
    noun = _noun(what)
    return f"no {noun}" if count == 0 else f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _noun(what: str) -> str:
    return f"{what} request".lstrip()


def _listed(entries: list[Entry], *, brief: bool = False) -> str:
    shown = [f"  {at}. {entry._line() if brief else entry}" for at, entry in enumerate(entries[:_SHOWN], 1)]
    more = [f"  … and {len(entries) - _SHOWN} more"] if len(entries) > _SHOWN else []
    return "\n".join([*shown, *more])

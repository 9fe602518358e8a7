"""Collects the problems of one file, and holds the checks that every client's configuration needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from pytest_mcpsmoke.doubles.shown import HIDDEN, show_value
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.configurations.clients import Client, is_of_kind, kind_text
from pytest_mcpsmoke.readiness.configurations.located import Fault, Located, Path, key_text, plain
from pytest_mcpsmoke.readiness.configurations.model import Problem, is_telling
from pytest_mcpsmoke.readiness.configurations.variables import Expanded, Variables, without_references
from pytest_mcpsmoke.readiness.events import secrets_of_url
from pytest_mcpsmoke.readiness.probing import check_url
from pytest_mcpsmoke.state.describe import redact_value

SELECTION: Final = "x-mcp-servers"  # the header by which a client selects servers of a gateway
_HARMLESS: Final = re.compile(r"[\d.,]*|true|false|yes|no|none|null|[~./].*|<.*>|file:.*", re.I | re.DOTALL)
_SCHEME: Final = re.compile(r"(?i)\s*(bearer|basic|token|digest)\b\s*")


class Checker:
    """Collects problems; the checks say what is of use, too."""

    def __init__(self, file: str, client: Client, variables: Variables) -> None:
        self.client = client
        self.file = file
        self.problems: list[Problem] = []
        self.secrets: set[str] = set()  # of the server that is being read
        self.not_tried: list[str] = []  # why it cannot be tried
        self._variables = variables

    def begin(self) -> None:
        """Begin with another server."""
        self.secrets = set()
        self.not_tried = []

    def note(self, line: int, path: Path, text: str, remedy: str, *, is_fatal: bool = False) -> None:
        """Add a problem; a fatal one is why the server is not tried."""
        text, remedy = _printable(text), _printable(remedy)
        self.problems.append(Problem(self.file, line, key_text(path), text, remedy))
        if is_fatal:
            self.not_tried.append(f"line {line}: {text}")

    def add(self, faults: Iterable[Fault]) -> None:
        """Add what a reader found."""
        self.problems += [Problem(self.file, *fault) for fault in faults]

    def known(
        self,
        table: Mapping[str, Located],
        path: Path,
        names: Iterable[str],
        *,
        near: float = 0.5,
        is_open: bool = False,
    ) -> None:
        """Check that keys are known; in an open table only those that are nearly a known one are a problem.

        `near` is how alike names have to be, from 0 to 1 (difflib's ratio).
        """
        known = {_folded(name): name for name in names}
        for name, item in table.items():
            if name in known.values():
                continue
            nearest = difflib.get_close_matches(_folded(name), known, 1, near)
            if nearest or not is_open:
                remedy = f"write {known[nearest[0]]}" if nearest else "remove it"
                self.note(item.line, (*path, name), f"{self.client.title} knows no such key", remedy)

    def kind(self, item: Located, path: Path, kind: str) -> bool:
        """Check the kind of a value; tables of headers and variables are looked into when they are read."""
        if is_of_kind(plain(item), kind):
            return True
        self.note(item.line, path, f"not {kind_text(kind)}", f"write {kind_text(kind)}", is_fatal=True)
        return False

    def text(self, item: Located, path: Path) -> str:
        """Fill in the references of a text."""
        expanded = self._variables.expand(item.value)
        self._note_references(expanded, item, path)
        for value in expanded.secrets:
            self.keep(value)
        return expanded.text

    def _note_references(self, expanded: Expanded, item: Located, path: Path) -> None:
        for name in expanded.unset:
            self.note(
                item.line,
                path,
                f"the environment variable {name} is not set",
                f"set {name}, or give it with --env-file",
                is_fatal=True,
            )
        for reference in expanded.foreign:
            self.note(
                item.line,
                path,
                f"{self.client.title} does not fill in {re.sub(':-.*}', ':-…}', reference)}",
                self._other_way(reference, path),
                is_fatal=True,
            )
        for name in expanded.asked:
            self.not_tried.append(_printable(f"the user is asked for {name}"))

    def _other_way(self, reference: str, path: Path) -> str:
        name = re.sub(r"^env:|:-.*", "", reference[2:-1])
        if self.client.expands == "editor":
            return f"write ${{env:{name}}}"
        if self.client.expands == "shell":
            return f"write ${{{name}}}"
        if self.client.headers in path:
            return f"name the variable {name} in env_http_headers"
        if "env" in path and self.client.stdio.get("env_vars"):
            return f"name the variable {name} in env_vars"
        return "write the value"

    def secret(self, name: str, item: Located, path: Path, remedy: str, filled: str = "") -> None:
        """Check that a named text is no secret in plain text, and keep it, filled in, from being shown."""
        value = without_references(item.value)
        bare = _SCHEME.sub("", value).strip()
        tells = show_value(name, "x") == HIDDEN if self.client.headers in path else is_telling(name)
        is_secret = tells and not _HARMLESS.fullmatch(_SCHEME.sub("", filled or bare))
        if is_secret:
            self.keep(filled or item.value)
        is_plain = is_secret and bool(bare) and not _HARMLESS.fullmatch(bare)
        if is_plain or redact_value(value) != value:
            self.keep(item.value)
            self.note(item.line, path, "a secret in plain text", remedy)

    def arguments(self, items: list[Located], path: Path, remedy: str) -> None:
        """Check that the arguments of a command hold no secret in plain text."""
        before = ""
        for index, item in enumerate(items):
            flag, is_pair, value = item.value.partition("=")
            is_named = before.startswith("-") and "=" not in before and not item.value.startswith("-")
            name = before if is_named else flag if is_pair and flag.startswith("-") else ""
            inside = value if is_pair and not is_named and name else item.value
            self.secret(name, Located(inside, item.line), (*path, index), remedy)
            before = item.value

    def url(self, item: Located, path: Path, text: str) -> bool:
        """Check an address, after references were filled in."""
        try:
            check_url(text)
        except UsageProblem:
            self.note(item.line, path, "no http or https URL", "write http://HOST:PORT/PATH", is_fatal=True)
            return False
        for value in secrets_of_url(text):
            self.keep(value)
        if any(one.strip(":") for one in secrets_of_url(without_references(item.value))):
            self.note(item.line, path, "a secret in plain text", "send it in a header, from a variable")
        return True

    def headers(self, headers: Mapping[str, str], lines: Mapping[str, Located], path: Path) -> None:
        """Check headers as they are sent: `x-mcp-servers`, line breaks, names that stand twice."""
        seen: dict[str, str] = {}
        for name, value in headers.items():
            item = lines[name]
            if name.lower() in seen:
                self.note(
                    item.line,
                    (*path, name),
                    f"the header stands twice, as {seen[name.lower()]} too",
                    "keep one",
                )
            seen[name.lower()] = name
            if not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII):
                self.note(item.line, (*path, name), "no name of a header", "remove it", is_fatal=True)
            elif re.search(r"[\r\n\0]", value) or not value.isascii():
                text = "a header holds plain ASCII on one line"
                self.note(item.line, (*path, name), text, "write it so", is_fatal=True)
            elif name.lower() == SELECTION:
                self._selection(value, item, (*path, name))

    def bearer(self, token: str, line: int, path: Path) -> dict[str, str]:
        """The header that bears a token; nothing where there is none, or it cannot be sent."""
        self.keep(token)
        if not re.fullmatch(r"[!-~]*", token):
            self.note(line, path, "no key: not plain ASCII, or with spaces", "copy it again", is_fatal=True)
            return {}
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _selection(self, value: str, item: Located, path: Path) -> None:
        names = [name.strip() for name in value.split(",")]
        if not value.strip():
            self.note(item.line, path, "names no server", "name some, or remove the header")
            return
        for at, name in enumerate(names):
            if not name:
                self.note(item.line, path, f"entry {at + 1} is empty", "remove the comma")
            elif name in names[:at]:
                first = names.index(name) + 1
                self.note(item.line, path, f"entries {first} and {at + 1} name the same server", "remove one")

    def keep(self, value: str) -> None:
        """Keep a value from being shown, and what follows its scheme; words that short are everywhere."""
        for text in {value, _SCHEME.sub("", value, count=1)}:
            if len(text) > 3:
                self.secrets.add(text)


def _folded(name: str) -> str:
    """A key as it sounds: bearerToken and bearer_token are the same."""
    return re.sub(r"[-_]", "", name).lower()


def _printable(text: str) -> str:
    """A text on one line; names of variables may hold whatever a file holds."""
    return "".join(character if character.isprintable() else "?" for character in text)

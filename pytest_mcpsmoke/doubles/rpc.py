"""The journal of an MCP server: the same requests, read as JSON-RPC messages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from pytest_mcpsmoke.doubles.journal import Entry, Journal
from pytest_mcpsmoke.doubles.shown import without_secrets

_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_SHOWN: Final = 20  # lines of one list
_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"  # in params._meta, since 2026-07-28


@dataclass(frozen=True, eq=False)
class Call:
    """One JSON-RPC message of a client.

    Attributes:
        method: "tools/call"; for a request without a message its HTTP method, "GET".
        params: Its parameters, {} without any.
        id: Its id; None of a notification.
        entry: The request, line or message that carried it.
    """

    method: str
    params: dict[str, Any]
    id: int | str | None
    entry: Entry

    @property
    def name(self) -> str | None:
        """The tool or prompt it names, or the URI of a resource; None of other methods."""
        name = self.params.get(_NAMED_BY.get(self.method, ""))
        return name if isinstance(name, str) else None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a tool or prompt; {} without any."""
        arguments = self.params.get("arguments")
        return arguments if isinstance(arguments, dict) else {}

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed: not to a notification."""
        return self.id is not None

    def __str__(self) -> str:
        """Tell it as `tools/call add({"a": 1})`, secrets redacted."""
        shown = json.dumps(without_secrets(self.arguments), ensure_ascii=False) if self.arguments else ""
        return f"{self.method} {self.name}({shown})" if self.name is not None else self.method

    def __repr__(self) -> str:
        return f"<Call {self}>"


def calls_of(entry: Entry) -> list[Call]:
    """Read the messages that a request carries; [] when it carries none, or only answers."""
    try:
        body = json.loads(entry.body)
    except (ValueError, RecursionError):
        return []
    return [
        Call(message["method"], _mapping(message.get("params")), message.get("id"), entry)
        for message in (body if isinstance(body, list) else [body])
        if isinstance(message, dict) and isinstance(message.get("method"), str)
    ]


class McpJournal(Journal):
    """A journal whose entries carry JSON-RPC."""

    def rpc(self, method: str | None = None, name: str | None = None) -> list[Call]:
        """Return the messages of this method, naming this tool, prompt or resource, in order."""
        return [
            call
            for entry in self.entries
            for call in calls_of(entry)
            if method in (None, call.method) and name in (None, call.name)
        ]

    def assert_called(
        self, name: str, arguments: dict[str, Any] | None = None, *, times: int = 1
    ) -> list[Call]:
        """Return the calls of a tool; raise AssertionError, listing all, when they are not so many.

        Args:
            name: The tool.
            arguments: Count only calls with exactly these; None for any.
            times: How many there must be.
        """
        __tracebackhide__ = True
        found = self.rpc("tools/call", name)
        if arguments is not None:
            found = [call for call in found if call.arguments == arguments]
        if len(found) != times:
            shown = "" if arguments is None else json.dumps(without_secrets(arguments), ensure_ascii=False)
            self._fail(f"{_times(times, 'call')} of {name}({shown}) expected, {len(found)} arrived")
        return found

    def assert_not_called(self, name: str) -> None:
        """Raise AssertionError, listing all calls, when the tool was called."""
        __tracebackhide__ = True
        self.assert_called(name, times=0)

    def assert_rpc(self, method: str, *, times: int = 1) -> list[Call]:
        """Return the messages of this method; raise AssertionError, listing all, when not so many came."""
        __tracebackhide__ = True
        found = self.rpc(method)
        if len(found) != times:
            self._fail(f"{_times(times, method)} expected, {len(found)} arrived")
        return found

    def assert_header(
        self,
        name: str,
        value: str | Sequence[str] | None = None,
        *,
        casing: str | None = None,
        method: str | None = None,
        path: str | None = None,
        on: str | None = None,
    ) -> None:
        """Do as every journal does, for the messages that `on` means: a method, or the name of a tool."""
        __tracebackhide__ = True
        if on is None:
            super().assert_header(name, value, casing=casing, method=method, path=path)
            return
        carried = [call.entry for call in self.rpc() if on in (call.method, call.name)]
        found = [entry for entry in self.requests(method, path) if entry in carried]
        self._check_header(found, on, name, value, casing)

    def assert_no_header(
        self, name: str, *, method: str | None = None, path: str | None = None, on: str | None = None
    ) -> None:
        """Do as every journal does, for the messages that `on` means: a method, or the name of a tool."""
        __tracebackhide__ = True
        self.assert_header(name, [], method=method, path=path, on=on)

    def assert_routing_headers(self) -> None:
        """Check that headers and bodies say the same, as protocol 2026-07-28 demands of every POST.

        Raises:
            AssertionError: A request's `MCP-Protocol-Version`, `Mcp-Method` or `Mcp-Name` is missing, is
                there twice, or is not what its body says; or no request of that protocol arrived at all.
        """
        __tracebackhide__ = True
        modern = [call for call in self.rpc() if call.is_request and _is_modern(call)]
        wrong = [f"  {call}: {problem}" for call in modern for problem in _mismatches(call)]
        if wrong:
            headline = self._headline("headers and body do not say the same:\n")
            raise AssertionError(headline + _cut_short(wrong))
        if not modern:
            self._fail("no request of protocol 2026-07-28 arrived over streamable HTTP")

    def _fail(self, headline: str) -> NoReturn:
        __tracebackhide__ = True
        raise AssertionError(self._headline(headline) + listed(self.rpc()))


def listed(calls: list[Call]) -> str:
    """List all that arrived, one a line, to follow a headline without a full stop."""
    if not calls:
        return "; nothing else did"
    return "; all that did:\n" + _cut_short(
        [f"  {at}. {call} ({_how(call)})" for at, call in enumerate(calls, 1)]
    )


def _times(count: int, what: str) -> str:
    plural = f"{what}s" if what.isalpha() else f"{what} messages"
    return f"no {what}" if count == 0 else f"1 {what}" if count == 1 else f"{count} {plural}"


def _how(call: Call) -> str:
    answer = f", answered {call.entry.status}" if call.entry.status is not None else ""
    note = f", {call.entry.note}" if call.entry.note else ""
    return f"{call.entry.transport}{answer}{note}"


def _cut_short(lines: list[str]) -> str:
    more = [f"  … and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _version(call: Call) -> object:
    return _mapping(call.params.get("_meta")).get(_VERSION_KEY)


def _is_modern(call: Call) -> bool:
    return call.entry.transport == "streamable-http" and _version(call) is not None


def _mismatches(call: Call) -> list[str]:
    wanted = {"MCP-Protocol-Version": str(_version(call)), "Mcp-Method": call.method}
    if call.name is not None:
        wanted["Mcp-Name"] = call.name
    problems = []
    for header, value in wanted.items():
        sent = call.entry.header(header)
        if not sent:
            problems.append(f"{header} is missing, {value!r} expected")
        elif len(sent) > 1:
            problems.append(f"{header} is there {len(sent)} times: {sent!r}")
        elif _decoded(sent[0]) != value:
            problems.append(f"{header} is {sent[0]!r}, {value!r} expected")
    return problems


def _decoded(value: str) -> str:
    """Undo the encoding of names that do not fit into a header: =?base64?…?=."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return value

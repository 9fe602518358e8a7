"""What travelled while an endpoint was probed, as it may be shown: bounded, and without secrets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pytest_mcpsmoke.doubles.shown import HIDDEN, show_body, show_header, show_value, without_secrets
from pytest_mcpsmoke.state.describe import is_secret_name, redact_value

_MOST: Final = 1_000  # events kept of one probe
_SHORTEST: Final = 4  # characters of a secret that is hidden wherever it turns up
_KEYS: Final = frozenset({"key", "code", "sig", "state"})  # telling names of queries, beside those of headers


class Event(NamedTuple):
    """One thing that was sent or seen.

    Attributes:
        at: Seconds since the probe began.
        what: "request", "response", "event" or "comment" (of an event stream), "body", "stdin", "stdout",
            "stderr", "ended", "failed" or "note".
        text: What it was, on one line.
        headers: Of a request or response, as `Name: value`.
    """

    at: float
    what: str
    text: str
    headers: tuple[str, ...] = ()


class Evidence:
    """Keeps events in order, at most 1,000, each without the secrets that it is told of.

    Attributes:
        events: What was kept.
    """

    def __init__(
        self, secrets: Iterable[str] = (), on_event: Callable[[Event], object] | None = None
    ) -> None:
        """Begin to count seconds; `on_event` is called with each event that is kept, when it happens."""
        self.events: list[Event] = []
        self._began = time.monotonic()
        self._on_event = on_event
        known = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
        self._secrets = sorted((one for one in known if len(one) >= _SHORTEST), key=len, reverse=True)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def note(self, what: str, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Keep an event; the text is bounded and its secrets are hidden here."""
        if len(self.events) > _MOST:
            return
        event = Event(
            round(self.seconds, 4),
            what,
            self.shown(text),
            tuple(self.without_secrets(show_header(name, value)) for name, value in headers),
        )
        if len(self.events) == _MOST:
            event = Event(event.at, "note", f"more than {_MOST:,} events: the rest is not kept")
        self.events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    def shown(self, text: str) -> str:
        """A text on one line, bounded, without secrets; JSON without what stands under telling names."""
        return show_body(self.without_secrets(text).encode("utf-8", "replace"))

    def line(self, text: str, most: int = 200) -> str:
        """A text as part of a sentence: one line, at most so many characters, without secrets."""
        words = " ".join(redact_value(self.without_secrets(text)).split())
        return words if len(words) <= most else words[: most - 1] + "…"

    def without_secrets(self, text: str) -> str:
        """A text without the secrets that the probe was given."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def show_url(url: str) -> str:
    """Show a URL without its userinfo, and without the values of telling names in its query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{host[2]}" if host[1] else parts.netloc
    query = "&".join(
        f"{name}={HIDDEN}" if value and _tells(name) else f"{name}{sign}{redact_value(value)}"
        for name, sign, value in (pair.partition("=") for pair in parts.query.split("&"))
    )
    return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))


def secrets_of_url(url: str) -> list[str]:
    """The parts of a URL that must not be shown anywhere, as they stand and decoded."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    found = [userinfo, userinfo.partition(":")[2] or userinfo]
    found += [
        value for name, _, value in (pair.partition("=") for pair in parts.query.split("&")) if _tells(name)
    ]
    return [form for one in found if one for form in (one, unquote(one))]


def secrets_of_headers(headers: Mapping[str, str]) -> list[str]:
    """The values of headers that must not be shown anywhere: whole, and without their scheme."""
    found = [value for name, value in headers.items() if HIDDEN in show_value(name, value)]
    return [form for value in found for form in (value, value.partition(" ")[2]) if form]


def secrets_of_settings(env: Mapping[str, str], args: Sequence[str]) -> list[str]:
    """What must not be shown anywhere of a command's environment and arguments."""
    shown = without_secrets([*args])
    hidden = [given for given, told in zip(args, shown, strict=True) if told == HIDDEN]
    pairs = [arg.partition("=") for arg in args]
    return [
        *(value for name, value in env.items() if value and _tells(name)),
        *hidden,
        *(value for name, _, value in pairs if value and _tells(name)),
    ]


def _tells(name: str) -> bool:
    return is_secret_name(name) or name.lower() in _KEYS or show_value(name, "x") == HIDDEN

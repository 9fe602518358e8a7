"""What a test asserts about recorded requests; each failure shows all of them, header by header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from pytest_mcpsmoke.doubles import layers
from pytest_mcpsmoke.doubles.layers import LAYERS, Supplied
from pytest_mcpsmoke.doubles.sent import Sent, describe
from pytest_mcpsmoke.doubles.shown import show_header, show_value, text_of
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.state.describe import redact_value

__tracebackhide__ = True  # for pytest: what failed is the test's line, not ours


class Asserting:
    """Assertions over a list of requests.

    `method` and `url` choose the requests that an assertion is about, all of them by default: `url` is a path
    ("/invoke", compared without the query), a path with a query, or a whole URL. An assertion about no
    request at all fails.

    Attributes:
        sent: The requests so far, in the order in which they reached their transports.
    """

    sent: list[Sent]

    def __init__(self) -> None:
        self.sent = []
        self._declared: dict[str, list[tuple[str, str]]] = {}

    def requests(self, method: str | None = None, url: str | None = None) -> list[Sent]:
        """The requests so far that these describe, in order."""
        return [sent for sent in list(self.sent) if _is(sent, method, url)]

    @property
    def last(self) -> Sent:
        """The latest request. Raises AssertionError when nothing was sent."""
        if not self.sent:
            self._fail("nothing was sent")
        return self.sent[-1]

    def layers(self, **supplies: Mapping[str, str] | Mapping[bytes, bytes]) -> None:
        """Name layers of the application, above the client, with the headers that each supplies.

        `layers(env={"X-Env": "A"}, request={"x-env": "B"})`: the application merges both before the client
        sees them; assert_precedence() and `layer=` then know "env" and "request". A name that is one of the
        client's layers, too, means the application's from then on.
        """
        for name, headers in supplies.items():
            self._declared[name] = [(_text(key), _text(value)) for key, value in headers.items()]

    def assert_sent_once(self, method: str | None = None, url: str | None = None) -> Sent:
        """Assert that exactly one request is described; return it."""
        found = self.requests(method, url)
        if len(found) != 1:
            self._fail(f"{_wanted(method, url)} {_was_sent(len(found))}, expected once")
        return found[0]

    def assert_nothing_sent(self, method: str | None = None, url: str | None = None) -> None:
        """Assert that no request is described."""
        found = self.requests(method, url)
        if found:
            self._fail(f"{_wanted(method, url)} {_was_sent(len(found))}, expected never")

    def assert_header(
        self,
        name: str,
        value: str | Sequence[str] | None = None,
        *,
        casing: str | None = None,
        layer: str | None = None,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        """Assert that every request described carries the header.

        value: a text: the header stands exactly once, with it. A list: it stands so often, in that order.
        None: whatever its value, however often.
        casing: the name exactly as it has to be sent; a header that stands several times has it in each.
        layer: the layer that has to have supplied it.
        """
        for sent in self._described(method, url):
            found = layers.named(sent.layers, name)
            texts = [text_of(one.value) for one in found]
            expected = [value] if isinstance(value, str) else value
            if not found or (expected is not None and texts != list(expected)):
                self._fail_on(sent, f"{_state(found, name)}, expected {_expected(name, expected)}")
            wrong = {text_of(one.name) for one in found} - {casing}
            if casing is not None and wrong:
                self._fail_on(sent, f"{name} is sent as {', '.join(sorted(wrong))}, expected {casing}")
            if layer is not None:
                self._check_layer(sent, name, found, layer)

    def assert_no_header(self, name: str, *, method: str | None = None, url: str | None = None) -> None:
        """Assert that no request described carries the header."""
        for sent in self._described(method, url):
            found = layers.named(sent.layers, name)
            if found:
                self._fail_on(sent, f"{_state(found, name)}, expected none")

    def assert_precedence(
        self, name: str, *, winner: str, over: str, method: str | None = None, url: str | None = None
    ) -> None:
        """Assert that two layers supplied the header and that `winner`'s was sent, once, in its casing.

        Of every request described. A layer is one of the client's ("default", "client", "request", "cookies",
        "auth", "redirect", "event_hook") or one that layers() named. The assertion fails, too, when it would
        be vacuous: when one of both supplied nothing, or both the same value. Raises UsageProblem for a layer
        that nobody knows.
        """
        for sent in self._described(method, url):
            ours, theirs = self._supplied(sent, winner, name), self._supplied(sent, over, name)
            for layer, line in ((winner, ours), (over, theirs)):
                if line is None:
                    self._fail_on(
                        sent, f"{layer} supplied no {name}: nothing was won by {winner} over {over}"
                    )
            assert ours is not None
            assert theirs is not None
            if ours.value == theirs.value:
                told = show_header(ours.name, ours.value)
                self._fail_on(sent, f"{winner} and {over} supplied the same {told}: nobody can tell who won")
            self._check_winner(sent, name, winner, over, ours, theirs)

    def _check_winner(
        self, sent: Sent, name: str, winner: str, over: str, ours: Supplied, theirs: Supplied
    ) -> None:
        found = layers.named(sent.layers, name)
        expected = f"expected {winner}'s {show_header(ours.name, ours.value)} alone"
        if len(found) != 1:
            self._fail_on(sent, f"{_state(found, name)}, {expected}")
        (line,) = found
        if line.value == theirs.value:
            self._fail_on(
                sent, f"{over} won over {winner}: {show_header(line.name, line.value)} is sent, {expected}"
            )
        if line.value != ours.value or (winner not in self._declared and line.layer != winner):
            self._fail_on(sent, f"{show_header(line.name, line.value)} of {line.layer} is sent, {expected}")
        if line.name != ours.name:
            self._fail_on(
                sent,
                f"{name} is sent as {text_of(line.name)}, expected {winner}'s casing, {text_of(ours.name)}",
            )

    def _check_layer(self, sent: Sent, name: str, found: list[Supplied], layer: str) -> None:
        if layer in self._declared:
            line = self._supplied(sent, layer, name)
            if line is None or any((one.name, one.value) != (line.name, line.value) for one in found):
                supplied = show_header(line.name, line.value) if line else f"no {name}"
                self._fail_on(sent, f"{_state(found, name)}, but {layer} supplied {supplied}")
            return
        self._known(layer)
        wrong = sorted({one.layer for one in found} - {layer})
        if wrong:
            self._fail_on(sent, f"{name} comes from {', '.join(wrong)}, expected from {layer}")

    def _supplied(self, sent: Sent, layer: str, name: str) -> Supplied | None:
        """What a layer supplied under a name, sent or lost; of several lines the last."""
        if layer in self._declared:
            lines = [
                Supplied(key.encode(), value.encode(), layer)
                for key, value in self._declared[layer]
                if key.lower() == name.lower()
            ]
        else:
            self._known(layer)
            lines = [one for one in layers.named((*sent.lost, *sent.layers), name) if one.layer == layer]
        return lines[-1] if lines else None

    def _known(self, layer: str) -> None:
        if layer not in LAYERS:
            known = ", ".join([*LAYERS, *self._declared])
            raise UsageProblem(
                f'no layer is called "{layer}" ({known}): say what it supplies,'
                f' with layers({layer}={{"Name": "value"}})'
            )

    def _described(self, method: str | None, url: str | None) -> list[Sent]:
        found = self.requests(method, url)
        if not found:
            self._fail(f"{_wanted(method, url)} {_was_sent(0)}")
        return found

    def _fail_on(self, sent: Sent, what: str) -> NoReturn:
        self._fail(f"in {sent.method} {redact_value(sent.path)}: {what}")

    def _fail(self, what: str) -> NoReturn:
        requests = list(self.sent)
        lines = [what, f"sent: {len(requests) or 'nothing'}", *describe(requests)]
        for layer, headers in self._declared.items():
            told = ", ".join(show_header(*header) for header in headers)
            lines.append(f"declared: {layer} supplies {told or 'nothing'}")
        raise AssertionError("\n".join(lines))


def _text(part: str | bytes) -> str:
    return text_of(part) if isinstance(part, bytes) else str(part)


def _is(sent: Sent, method: str | None, url: str | None) -> bool:
    if method is not None and sent.method != method.upper():
        return False
    if url is None:
        return True
    if "://" in url:
        return sent.url == str(type(sent.request.url)(url))
    if "?" in url:
        return str(sent.request.url.raw_path.decode("ascii")) == url
    return url in (sent.path, urlsplit(sent.url).path)


def _wanted(method: str | None, url: str | None) -> str:
    return " ".join(part for part in ((method or "").upper(), redact_value(url or "")) if part) or "a request"


def _was_sent(count: int) -> str:
    return f"was sent {_times(count)}" if count else "was never sent"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _state(found: list[Supplied], name: str) -> str:
    if not found:
        return f"{name} is not sent"
    lines = ", ".join(show_header(one.name, one.value) for one in found)
    return f"{lines} is sent" if len(found) == 1 else f"{name} is sent {_times(len(found))} ({lines})"


def _expected(name: str, values: Sequence[str] | None) -> str:
    if values is None:
        return "it"
    return ", ".join(show_value(name, value) for value in values) + (" once" if len(values) == 1 else "")

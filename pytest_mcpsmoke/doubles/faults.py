"""What an upstream is told to do wrong: faults, each met by the first request that fits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

from pytest_mcpsmoke.doubles.rpc import Call, listed
from pytest_mcpsmoke.errors import UnusedScript, UsageProblem

On = str | int | Callable[[Call], bool] | None
Times = int | Literal["any"]
Kind = Literal["status", "slow", "disconnect", "pings only", "malformed", "wrong Mcp-Name"]
_HALF: Final = b'{"jsonrpc": "2.0", "id": 1, "result": {"cont'
_HTTP_ONLY: Final = frozenset({"status", "pings only", "wrong Mcp-Name"})

_STATUSES: Final = frozenset(status.value for status in HTTPStatus)


@dataclass(eq=False)
class Fault:
    """One fault: what goes wrong, at which request, how often."""

    kind: Kind
    on: On
    times: Times
    detail: str = ""
    status: int = 200
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    seconds: float = 0.0
    name: str = ""
    met: int = 0

    def fits(self, call: Call, number: int, *, http: bool) -> bool:
        """Whether this request is to meet it; `number` counts the JSON-RPC requests from 1."""
        if (self.times != "any" and self.met >= self.times) or (self.kind in _HTTP_ONLY and not http):
            return False
        if self.kind == "wrong Mcp-Name" and not call.entry.header("mcp-name"):
            return False  # only protocol 2026-07-28 has it
        if self.on is None:
            return call.is_request
        if isinstance(self.on, int):
            return call.is_request and 0 <= number - self.on < (1 if self.times == "any" else self.times)
        if isinstance(self.on, str):
            return self.on in (call.method, call.name)
        return bool(self.on(call))

    def __str__(self) -> str:
        """Tell it as `status 503 on tools/call`."""
        what = f"{self.kind} {self.detail}".rstrip()
        if self.on is None:
            return f"{what} on any request"
        if isinstance(self.on, int):
            return f"{what} on request {self.on}"
        return f"{what} on {self.on if isinstance(self.on, str) else 'requests of a predicate'}"


class Faults:
    """Adds faults to an upstream, and hands them out.

    Every method takes `on`, which request is meant: a method ("tools/call", "initialize"; "GET" and "DELETE"
    of HTTP, too), the name of a tool or prompt, the URI of a resource, a number (the nth JSON-RPC request,
    from 1), a predicate over the Call, or None: the next request. And `times`: how many requests meet it, or
    "any" number. A request meets the first fault that fits it and is not used up.

    Over stdio and in memory there are slow, disconnect and malformed; requests there do not meet the others.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._requests = 0
        self._broken: Exception | None = None  # what a predicate raised, in a thread of the upstream's
        self._lock = threading.Lock()

    def __call__(
        self,
        status: int,
        *,
        body: str | bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        on: On = None,
        times: Times = 1,
    ) -> Fault:
        """Answer with an HTTP status instead of calling the server.

        Args:
            status: The status, 400 to 599 mostly.
            body: Text, bytes, or what becomes JSON; None for the status in words.
            headers: Further headers, as {"Retry-After": "1"}.
        """
        if isinstance(body, Mapping):
            content, kind = json.dumps(body).encode(), "application/json"
        else:
            content, kind = _text(status if body is None else body), "text/plain; charset=utf-8"
        sent = [*(headers or {}).items()]
        given = {name.lower() for name, _ in sent}
        usual = {"content-type": kind, **({"www-authenticate": "Bearer"} if status == 401 else {})}
        sent += [(name, value) for name, value in usual.items() if name not in given]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
        return self._add(Fault("status", on, times, str(status), status, content, raw))

    def slow(self, seconds: float, *, on: On = None, times: Times = 1) -> Fault:
        """Wait before the request reaches the server; not at all when the client leaves in between."""
        return self._add(Fault("slow", on, times, f"{seconds:g} s", seconds=seconds))

    def disconnect(self, *, on: On = None, times: Times = 1) -> Fault:
        """Let the server answer, and close the connection half-way through the body of its answer."""
        return self._add(Fault("disconnect", on, times))

    def pings_only(self, *, every: float = 0.05, on: On = None, times: Times = 1) -> Fault:
        """Answer with an event stream of keep-alive comments, without an event, until the client leaves."""
        return self._add(Fault("pings only", on, times, seconds=every))

    def malformed(self, body: str | bytes = _HALF, *, on: On = None, times: Times = 1) -> Fault:
        """Answer 200 with a body that is no JSON."""
        return self._add(Fault("malformed", on, times, body=_text(body)))

    def wrong_mcp_name(self, name: str = "another-name", *, on: On = None, times: Times = 1) -> Fault:
        """Let the request arrive with another `Mcp-Name` than its body names: the server refuses it.

        That is what a gateway sees when something before the upstream rewrites headers. Only requests of
        protocol 2026-07-28 carry the header; others do not meet this fault.
        """
        return self._add(Fault("wrong Mcp-Name", on, times, name, name=name))

    def take(self, call: Call, *, http: bool = True) -> Fault | None:
        """Return the fault that this request is to meet, and count it as met; for the upstream."""
        with self._lock:
            self._requests += call.is_request
            try:
                fault = next((one for one in self._faults if one.fits(call, self._requests, http=http)), None)
            except Exception as error:
                self._broken = error
                raise
            if fault is not None:
                fault.met += 1
                call.entry.note = f"fault: {fault}"
        return fault

    def verify(self, calls: list[Call]) -> None:
        """Raise UnusedScript, naming them and what arrived instead, when faults were not met so often.

        What a predicate raised comes first.
        """
        if self._broken is not None:
            raise self._broken
        unmet = [fault for fault in self._faults if fault.times != "any" and fault.met < fault.times]
        if unmet:
            told = "\n".join(f"  {fault}, met {fault.met} of {fault.times} times" for fault in unmet)
            noun = "1 fault was" if len(unmet) == 1 else f"{len(unmet)} faults were"
            came = f"{len(calls)} messages arrived{listed(calls)}" if calls else "Nothing arrived."
            raise UnusedScript(
                f"{noun} not met as often as declared:\n{told}\n{came}\n"
                'Take out a fault that is not needed, or give it times="any".'
            )

    def _add(self, fault: Fault) -> Fault:
        if fault.times != "any" and fault.times < 1:
            raise UsageProblem(f'times={fault.times}: a fault is met once or more often, or "any" times')
        with self._lock:
            if isinstance(fault.on, int) and fault.on <= self._requests:
                raise UsageProblem(f"on={fault.on}: {self._requests} requests have arrived already")
            self._faults.append(fault)
        return fault


def _text(value: str | bytes | int) -> bytes:
    if isinstance(value, int):
        return f"{value} {HTTPStatus(value).phrase}".encode() if value in _STATUSES else str(value).encode()
    return value.encode() if isinstance(value, str) else value

"""One request on its way through the relay, to the provider and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

from pytest_mcpsmoke.doubles._http import Library
from pytest_mcpsmoke.doubles.journal import Entry
from pytest_mcpsmoke.doubles.loopback import Receive, Scope, Send
from pytest_mcpsmoke.doubles.unrecorded import going_out, gone_out
from pytest_mcpsmoke.tiers.budget import Account
from pytest_mcpsmoke.tiers.credentials import inward, outward
from pytest_mcpsmoke.tiers.metering import Meter, Reading, amount, asked_model
from pytest_mcpsmoke.tiers.prices import Prices
from pytest_mcpsmoke.tiers.upstream_faults import fault_of, fault_of_status

_CODINGS: Final = ("gzip", "deflate")  # that some servers use although nobody accepts them
_COST: Final = "x-litellm-response-cost"
_FINAL: Final = {"x-should-retry": "false"}  # OpenAI's clients repeat a 5xx otherwise


class Exchange(NamedTuple):
    """One request of the program, as the relay saw it."""

    path: str  # without the query
    model: str | None  # that was asked for, or else that answered
    status: int | None  # the provider's; None when it did not answer
    seconds: float  # from the request's last byte to the answer's
    fault: str | None  # why the infrastructure did not answer: "refused", "timed out", "HTTP 429", …
    is_call: bool  # a request to the model, as any POST is; GET /models is none
    prompt_tokens: int | None  # as the answer told; None when it did not
    completion_tokens: int | None
    cost: float | None  # as the answer told, or by the price list
    tools: tuple[str, ...]  # names of the tools that the model called in this answer
    refused: str | None  # the budget that refused or cut it, as "max_calls"
    has_ended: bool = True  # False: the program left, or the connection broke, before the answer's end


@dataclass(frozen=True)
class Route:
    """Where requests go, and with what."""

    library: Library
    client: Any
    upstream: str  # the base URL, for messages
    here: str  # scheme and authority of the relay
    key: str | None = field(repr=False)  # the real one
    token: str  # what stands for it
    prices: Prices
    timeout_s: float
    who: str


class Passage:
    """A request to be passed on within an account; run() once.

    note: Is called once with what became of it: before the program is sent the end of the answer, which it
    may be looked at right after, or else when all is over.
    """

    def __init__(
        self,
        route: Route,
        account: Account,
        note: Callable[[Exchange, bool], None],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._route = route
        self._account = account
        self._note = note
        self._receive = receive
        self._send = send
        self._entry: Entry = scope["state"]["entry"]
        self._cut = scope["state"]["cut"]
        self._is_call = self._entry.method == "POST"
        self._began = monotonic()
        self._model: str | None = None
        self._status: int | None = None
        self._fault: str | None = None
        self._refused: str | None = None
        self._meter = Meter("")
        self._header_cost: float | None = None
        self._booked = (0, 0, 0.0)  # prompt tokens, completion tokens, cost
        self._is_started = self._is_over = self._is_noted = False

    async def run(self) -> None:
        """Pass the request on, and its answer back; raises what is our own mistake."""
        try:
            await self._run()
        except Exception as error:
            self._fault = f"relay: {type(error).__name__}"
            raise
        finally:
            self._tell()

    async def _run(self) -> None:
        body = await self._body()
        if body is None:
            return  # the program left: no fault of the infrastructure
        self._began = monotonic()
        self._model = asked_model(body)
        if self._is_call and (name := self._account.admit()):
            self._refused = name
            await self._say(403, f"nothing more is asked of the model, {self._account.told(name)}", name)
            return
        await self._pass_or_cut(body)

    def _tell(self) -> None:
        """Note what became of it, where that is not done yet."""
        if not self._is_noted:
            self._is_noted = True
            self._note(self._exchange(), self._meter.is_stream)

    def _exchange(self) -> Exchange:
        """What became of it, booked to the account; to be asked once, at the end."""
        seconds = monotonic() - self._began
        self._meter.end()
        self._book()
        told = self._meter.reading()
        fault = self._fault or told.error
        if self._is_call and self._is_over and self._status and not fault and not self._refused:
            self._account.book(None, None, None, seconds)
        return Exchange(
            self._entry.route,
            self._model or told.model,
            self._status,
            seconds,
            fault,
            self._is_call,
            told.prompt_tokens,
            told.completion_tokens,
            self._cost(told),
            told.tools,
            self._refused,
            self._is_over,
        )

    def _book(self) -> None:
        """Book what the answer told since the last time; before the program sees it, and asks again."""
        if not self._is_call:
            return
        told = self._meter.reading()
        cost = self._cost(told)
        prompt, completion, before = self._booked
        self._booked = (told.prompt_tokens or 0, told.completion_tokens or 0, cost or 0.0)
        more = None if cost is None else cost - before
        self._account.book(self._booked[0] - prompt, self._booked[1] - completion, more, None)

    def _cost(self, told: Reading) -> float | None:
        """As the answer told, in itself or in a header, or else by the price list."""
        for cost in (told.cost, self._header_cost):
            if cost is not None:
                return cost
        return self._route.prices.cost(self._model or told.model, told.prompt_tokens, told.completion_tokens)

    async def _body(self) -> bytes | None:
        """The request's body; None when the client left before its end."""
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    async def _pass_or_cut(self, body: bytes) -> None:
        """Pass it on until it is answered, the client leaves or time is up, whichever comes first."""
        passing = asyncio.create_task(self._pass_on(body))
        leaving = asyncio.create_task(self._client_left())
        both = (passing, leaving)
        try:
            await asyncio.wait(both, timeout=self._account.left_s, return_when=asyncio.FIRST_COMPLETED)
            is_late = not any(task.done() for task in both)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        if not passing.cancelled():
            passing.result()
        elif is_late:
            await self._out_of_time()

    async def _client_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _out_of_time(self) -> None:
        self._refused = "max_wall_s"
        self._account.spend("max_wall_s")
        if self._is_started:
            self._cut()
        else:
            why = f"the answer was not waited for, {self._account.told('max_wall_s')}"
            await self._say(504, why, "max_wall_s")

    async def _pass_on(self, body: bytes) -> None:
        module = self._route.library.module
        try:
            answer = await self._ask(body)
            try:
                await self._answer(answer)
            finally:
                await answer.aclose()
        except module.HTTPError as error:
            fault = fault_of(error, module, self._route.timeout_s)
            self._fault = fault.name
            if self._is_started:
                self._cut()
            else:
                await self._say(fault.status, f"{self._route.upstream} {fault.why}", fault.name)

    async def _ask(self, body: bytes) -> Any:
        """Send the request, until the head of the answer is here."""
        route = self._route
        url = route.library.module.URL(route.upstream).copy_with(raw_path=self._entry.path.encode("latin-1"))
        request = route.library.module.Request(
            self._entry.method, url, headers=outward(self._entry.headers, route.key), content=body or None
        )
        token = going_out(self)
        try:
            return await route.client.send(request, stream=True)
        finally:
            gone_out(self, token)

    async def _answer(self, answer: Any) -> None:
        """Pass the answer back, each chunk as it comes; one of an error as a whole."""
        self._status = answer.status_code
        self._fault = fault_of_status(answer.status_code)
        self._header_cost = amount(answer.headers.get(_COST))
        self._meter = Meter(answer.headers.get("content-type", ""))
        is_decoded = answer.headers.get("content-encoding", "").strip().lower() in _CODINGS
        headers = [(name, self._own(value)) for name, value in inward(answer.headers.raw, is_decoded)]
        if answer.status_code >= 400:
            whole = self._hidden(await answer.aread())
            headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
            await self._start(answer.status_code, [*headers, (b"content-length", b"%d" % len(whole))])
            await self._end(whole)
            return
        await self._start(answer.status_code, headers)
        held = b""  # what tells its tokens at its end is booked before its end is seen
        length = None if is_decoded else answer.headers.get("content-length")
        came = 0
        async for chunk in answer.aiter_bytes() if is_decoded else answer.aiter_raw():
            self._meter.feed(chunk)
            came += len(chunk)
            self._is_over = self._meter.is_over or str(came) == length
            self._book()
            if self._is_over:  # the program need not wait for more
                self._tell()
            held, chunk = (chunk, held) if self._meter.tells_at_end else (b"", chunk)
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._meter.end()
        self._book()
        await self._end(held)

    def _own(self, value: bytes) -> bytes:
        """A header of the answer: a redirect within the provider leads through the relay again."""
        origin = self._route.library.module.URL(self._route.upstream).copy_with(raw_path=b"/")
        prefix = str(origin).encode()
        if value.startswith(prefix):
            value = self._route.here.encode() + b"/" + value.removeprefix(prefix)
        return self._hidden(value)

    def _hidden(self, text: bytes) -> bytes:
        """Some providers repeat the key that they refuse."""
        route = self._route
        return text.replace(route.key.encode(), route.token.encode()) if route.key else text

    async def _say(self, status: int, why: str, code: str) -> None:
        """Answer for the relay itself, in OpenAI's words."""
        error = {"message": f"{self._route.who}: {why}", "type": "mcpsmoke", "param": None, "code": code}
        body = json.dumps({"error": error}).encode()
        retry = _FINAL if self._refused else {}
        headers = {"content-type": "application/json", "content-length": str(len(body)), **retry}
        await self._start(status, [(name.encode(), value.encode()) for name, value in headers.items()])
        await self._end(body)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._is_started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _end(self, body: bytes) -> None:
        self._is_over = True
        self._tell()
        await self._send({"type": "http.response.body", "body": body})

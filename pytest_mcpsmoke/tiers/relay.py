"""The way of a test to a real model: a relay on loopback that counts, and keeps to a budget."""

from __future__ import annotations

import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pytest_mcpsmoke.doubles._http import library
from pytest_mcpsmoke.doubles.loopback import LoopbackServer, Receive, Scope, Send
from pytest_mcpsmoke.state.ours import claim, disclaim
from pytest_mcpsmoke.tiers.address import is_loopback, usable
from pytest_mcpsmoke.tiers.budget import UNLIMITED, Account, Budget, Usage
from pytest_mcpsmoke.tiers.passage import Exchange, Passage, Route
from pytest_mcpsmoke.tiers.prices import UNPRICED, Prices

_PATIENCE: Final = 1.0  # seconds for what the program has done with, or left to itself


class Unmetered(NamedTuple):
    """Calls that a limit on tokens or cost could not see."""

    calls: int
    reason: str  # with the remedy
    limits: tuple[str, ...]  # that do not see them


class _Sample:
    """What arrived during one sample, in order; None for what is not answered yet."""

    def __init__(self) -> None:
        self.seen: list[Exchange | None] = []

    @property
    def under_way(self) -> int:
        return self.seen.count(None)


class ModelRelay:
    """Passes every request on to a provider, whichever HTTP library of whichever program sends it.

    It is given to the program under test in the place of the provider: `base_url` and `api_key`. Any thread
    may ask it what it saw. As a context manager it is started and closed.

    Attributes:
        api_key: A token that stands for the real key, which the program never sees.
        upstream: The provider's base URL.
    """

    def __init__(
        self,
        upstream: str,
        *,
        api_key: str | None = None,
        prices: Prices = UNPRICED,
        budget: Budget = UNLIMITED,
        timeout_s: float = 120.0,
        who: str = "nd_model",
    ) -> None:
        """Prepare the relay; nothing is started yet.

        Args:
            upstream: The provider's base URL, as "https://models.example/v1".
            api_key: The real key, put in the place of the token on the way out; None sends none on.
            prices: For models whose answers do not tell what they cost.
            budget: What may be used; its clock runs from start() on.
            timeout_s: Seconds that the provider may take to connect, and be silent between two chunks.
            who: Who needs the relay, for messages and the thread's name.

        Raises:
            UsageProblem: No request can be sent to that base URL.
            MissingExtra: httpx2 or uvicorn is not installed.
        """
        self.upstream = usable(upstream, f"{who}: upstream")
        self.api_key = f"mcpsmoke-{secrets.token_hex(16)}"
        self._key = api_key or None
        self._library = library("httpx2", who)
        self._prices = prices
        self._timeout_s = timeout_s
        self._who = who
        self._client: Any = None
        self._changed = threading.Condition()
        self._server = LoopbackServer(self._serve, who=who, around=self._connected)
        self.open_account(budget)

    @property
    def base_url(self) -> str:
        """Where it listens, with the path of the provider's base URL; RuntimeError while it does not."""
        return self._server.url + urlsplit(self.upstream).path

    def start(self) -> Self:
        """Listen, and open the account anew. Starting twice is fine."""
        if self._server.address is None:
            self._server.start()
            self.open_account(self._account.budget)
        return self

    def close(self) -> None:
        """Cut what is under way, and end the thread. Closing twice is fine."""
        self._server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_account(self, budget: Budget) -> None:
        """Begin with nothing used, in a new sample, under a budget whose clock starts now."""
        with self._changed:
            self._account = Account(budget)
            self._unmetered: dict[tuple[str, tuple[str, ...]], int] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a sample: what arrives from here on is its own. What is under way stays where it began."""
        with self._changed:
            self._sample = _Sample()
            self._server.journal.clear()  # bodies of earlier samples are of no use any more

    def exchanges(self, patience_s: float = _PATIENCE) -> list[Exchange]:
        """Return what the current sample's requests came to, in the order in which they arrived.

        patience_s: seconds to wait for requests that are under way; what takes longer is left out.
        """
        with self._changed:
            sample = self._sample
            self._changed.wait_for(lambda: not sample.under_way, patience_s)
            return [one for one in sample.seen if one is not None]

    @property
    def under_way(self) -> int:
        """How many requests of the current sample are not answered yet."""
        return self._sample.under_way

    @property
    def total(self) -> Usage:
        """What was used since the account was opened."""
        with self._changed:
            return self._account.usage.copy()

    @property
    def spent(self) -> str | None:
        """The first limit that a call was refused or cut for, as "max_calls"; None while there is none."""
        return self._account.spent

    @property
    def exhausted(self) -> str | None:
        """The limit that the next call would be refused for; None when it would be let through."""
        return self._account.exhausted

    def told(self, limit: str) -> str:
        """Return half a sentence about a limit: "max_calls=20: 20 calls were made"."""
        return self._account.told(limit)

    @property
    def unmetered(self) -> list[Unmetered]:
        """What limits on tokens and cost could not see since the account was opened, by reason."""
        with self._changed:
            return [Unmetered(calls, *unseen) for unseen, calls in self._unmetered.items()]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        """The client, on the server's loop. Proxies of the environment do not lead to this machine."""
        module = self._library.module
        async with module.AsyncClient(
            timeout=self._timeout_s,
            # A connection for each request: nothing of one sample serves another, and none fails because
            # the provider has closed an idle one.
            limits=module.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=not is_loopback(self.upstream),
            # Reading the authorities takes longer than starting all the rest.
            verify=urlsplit(self.upstream).scheme == "https",
        ) as self._client:
            claim()  # a program that keeps its client keeps our end of the connection open, too
            try:
                yield
            finally:
                disclaim()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on. Whose it is, is decided when it arrives."""
        with self._changed:
            sample, account = self._sample, self._account
            at = len(sample.seen)
            sample.seen.append(None)

        def note(exchange: Exchange, is_stream: bool) -> None:
            with self._changed:
                sample.seen[at] = exchange
                if account is self._account and (unseen := _unseen(exchange, is_stream)):
                    self._unmetered[unseen] = self._unmetered.get(unseen, 0) + 1
                self._changed.notify_all()

        await Passage(self._route(), account, note, scope, receive, send).run()

    def _route(self) -> Route:
        return Route(
            self._library,
            self._client,
            self.upstream,
            self._server.url,
            self._key,
            self.api_key,
            self._prices,
            self._timeout_s,
            self._who,
        )


def _unseen(exchange: Exchange, is_stream: bool) -> tuple[str, tuple[str, ...]] | None:
    """Why limits do not see a call that was answered, and which; None when all do."""
    if not exchange.is_call or exchange.status is None or exchange.status >= 400 or exchange.fault:
        return None
    if exchange.prompt_tokens is None:
        return _why_no_tokens(exchange, is_stream), ("max_tokens", "max_cost")
    if exchange.cost is None:
        why = f"no cost was told for {exchange.model!r} and no price is known: set ini mcpsmoke_nd_prices"
        return why, ("max_cost",)
    return None


def _why_no_tokens(exchange: Exchange, is_stream: bool) -> str:
    if not exchange.has_ended:
        return "the answer was left before it told its tokens: read streams to their end"
    if is_stream:
        return 'the stream told no tokens: set stream_options={"include_usage": true}'
    return "the answer told no tokens: the provider has to send usage"

"""A provider that does not answer is a fault, faithfully passed on; what is beyond a budget is refused."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest
from providers import ANSWER, ASKED, JSON, SSE, Gated, answering, ask, breaking_off, event, failure

from pytest_mcpsmoke.doubles.loopback import App, LoopbackServer
from pytest_mcpsmoke.tiers.budget import Budget
from pytest_mcpsmoke.tiers.prices import Prices
from pytest_mcpsmoke.tiers.relay import Exchange, ModelRelay
from pytest_mcpsmoke.tiers.upstream_faults import fault_of

LONG = 60.0  # seconds, that no test takes
SHORT = 2.0  # seconds that a test waits for; enough for a busy machine to get a request through


@contextmanager
def relayed(app: App, **options: Any) -> Iterator[tuple[ModelRelay, LoopbackServer]]:
    with LoopbackServer(app) as server, ModelRelay(server.url, **options) as relay:
        yield relay, server


def exchanges(relay: ModelRelay) -> list[Exchange]:
    """What the sample's requests came to, once the last of them is over."""
    return relay.exchanges(LONG)


def seen(relay: ModelRelay) -> list[tuple[int | None, str | None, str | None]]:
    return [(one.status, one.fault, one.refused) for one in exchanges(relay)]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("status", [401, 402, 403, 408, 429, 500, 503, 529])
def test_a_status_that_is_a_fault_comes_as_the_provider_sent_it(status: int) -> None:
    told = {"error": {"message": "not now"}}
    with relayed(answering(status, told, JSON, (b"retry-after", b"7"))) as (relay, _):
        with httpx.Client(trust_env=False, timeout=LONG) as client:
            answer = client.post(f"{relay.base_url}/chat/completions", json=ASKED)
        assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (status, told, "7")
        assert seen(relay) == [(status, f"HTTP {status}", None)]
        assert (relay.total.calls, relay.total.latencies, relay.unmetered) == (1, [], [])


def test_refused(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/v1"
    with ModelRelay(url) as relay:
        assert failure(ask(relay)) == (
            502,
            "refused",
            f"nd_model: {url} refused the connection; start the model's server, or set ND_REAL_BASE_URL",
        )
        assert seen(relay) == [(None, "refused", None)]


def test_a_host_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def unknown(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("model.invalid", b"model.invalid"):
            raise socket.gaierror(-2, "Name or service not known")
        return look_up(host, *args, **options)

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ModelRelay("http://model.invalid/v1") as relay:
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        answered = ask(relay)
        monkeypatch.undo()
        assert failure(answered) == (
            502,
            "name not found",
            "nd_model: http://model.invalid/v1 has a host that no look-up finds; start the model's server, or"
            " set ND_REAL_BASE_URL",
        )
        assert seen(relay) == [(None, "name not found", None)]


def test_no_tls_where_it_is_asked_for() -> None:
    with LoopbackServer(answering()) as server, ModelRelay(server.url.replace("http", "https")) as relay:
        status, code, message = failure(ask(relay))
        assert (status, code) == (502, "TLS")
        assert message.endswith("did not agree on TLS; check http:// or https://, and the certificate")
        assert seen(relay) == [(None, "TLS", None)]


def test_silence_until_time_is_up() -> None:
    gated = Gated(None)
    with relayed(gated, timeout_s=SHORT) as (relay, server):
        assert failure(ask(relay)) == (
            504,
            "timed out",
            f"nd_model: {server.url} was silent for 2 s; look there, or ask for less",
        )
        assert gated.left.wait(LONG)
        assert seen(relay) == [(None, "timed out", None)]


def test_silence_within_a_stream() -> None:
    with relayed(Gated(event({"model": "m"})), timeout_s=SHORT) as (relay, _):
        with pytest.raises(http.client.IncompleteRead):
            ask(relay)
        assert seen(relay) == [(200, "timed out", None)]


def test_a_connection_that_is_closed_before_the_answer() -> None:
    with relayed(breaking_off) as (relay, server):
        assert failure(ask(relay)) == (
            502,
            "disconnected",
            f"nd_model: {server.url} closed the connection before its answer had ended; look there",
        )
        assert seen(relay) == [(None, "disconnected", None)]


def test_a_connection_that_is_closed_within_the_answer() -> None:
    with relayed(breaking_off) as (relay, _):
        with pytest.raises(http.client.IncompleteRead):
            ask(relay, path="/half")
        (one,) = exchanges(relay)
        assert (one.status, one.fault, one.has_ended, one.prompt_tokens) == (200, "disconnected", False, None)
        assert relay.total.latencies == []


def test_an_error_that_is_told_within_a_stream() -> None:
    told = event({"error": {"code": 503, "message": "overloaded"}})
    with relayed(answering(200, told, SSE)) as (relay, _):
        assert ask(relay) == (200, told)
        assert seen(relay) == [(200, "HTTP 503", None)]


@pytest.mark.parametrize(
    ("error", "cause", "name", "status"),
    [
        (httpx2.ConnectTimeout("x"), None, "timed out", 504),
        (httpx2.PoolTimeout("x"), None, "timed out", 504),
        (httpx2.ProxyError("x"), None, "proxy", 502),
        (httpx2.ConnectError("x"), OSError("no route"), "unreachable", 502),
        (httpx2.ConnectError("x"), ssl.SSLError("x"), "TLS", 502),
        (httpx2.ConnectError("x"), ExceptionGroup("all", [ConnectionRefusedError()]), "refused", 502),
        (httpx2.WriteError("x"), None, "disconnected", 502),
    ],
)
def test_every_exception_of_the_library_has_a_name(
    error: Exception, cause: Exception | None, name: str, status: int
) -> None:
    error.__cause__ = cause
    fault = fault_of(error, httpx2, 1.0)
    assert (fault.name, fault.status) == (name, status)


def test_the_model_s_end_in_the_middle_of_a_sample() -> None:
    with LoopbackServer(answering()) as server, ModelRelay(server.url) as relay:
        assert ask(relay)[0] == 200
        server.close()
        assert failure(ask(relay))[1] == "refused"
        assert seen(relay) == [(200, None, None), (None, "refused", None)]


# budgets


def test_fifty_calls_at_once_do_not_overshoot() -> None:
    with relayed(answering(), budget=Budget(max_calls=20)) as (relay, server):
        with ThreadPoolExecutor(50) as crowd:
            answers = list(crowd.map(lambda _: ask(relay), range(50)))
        assert sorted(status for status, _ in answers) == [200] * 20 + [403] * 30
        assert len(server.journal) == 20
        refused = next(answer for answer in answers if answer[0] == 403)
        assert failure(refused) == (
            403,
            "max_calls",
            "nd_model: nothing more is asked of the model, max_calls=20: 20 calls were made",
        )
        assert (relay.spent, relay.exhausted, relay.total.calls) == ("max_calls", "max_calls", 20)
        assert relay.told("max_calls") == "max_calls=20: 20 calls were made"
        assert [one.refused for one in exchanges(relay)].count("max_calls") == 30


TOLD = json.dumps(ANSWER).encode()
STREAM = event({"choices": []}) + event({"usage": ANSWER["usage"]})


@pytest.mark.parametrize("limit", ["max_tokens", "max_cost"])
@pytest.mark.parametrize(("told", "kind"), [(TOLD, JSON), (STREAM, SSE)], ids=["answer", "stream"])
def test_what_was_used_is_known_before_the_next_call(
    limit: str, told: bytes, kind: tuple[bytes, bytes]
) -> None:
    budget = Budget(max_tokens=24) if limit == "max_tokens" else Budget(max_cost=23.9e-6)
    prices = Prices.of(["* 1 1"], "here")
    with relayed(answering(200, told, kind), budget=budget, prices=prices) as (relay, server):
        for _ in range(20):
            relay.open_account(budget)
            assert [ask(relay)[0] for _ in range(3)] == [200, 200, 403]  # 12 tokens each
            assert (relay.spent, relay.total.tokens, relay.total.cost) == (limit, 24, pytest.approx(24e-6))
        assert len(server.journal) == 40


def test_a_refused_call_is_not_repeated_by_openai_s_client() -> None:
    openai = pytest.importorskip("openai")
    with (
        relayed(answering(), budget=Budget(max_calls=1)) as (relay, _),
        httpx.Client(trust_env=False, timeout=LONG) as own,
    ):
        program = openai.OpenAI(base_url=relay.base_url, api_key=relay.api_key, http_client=own)
        program.chat.completions.create(**ASKED)
        with pytest.raises(openai.PermissionDeniedError, match="max_calls=1: 1 calls were made"):
            program.chat.completions.create(**ASKED)
        assert [one.refused for one in exchanges(relay)] == [None, "max_calls"]


def test_time_cuts_a_call_in_flight() -> None:
    gated = Gated(None)
    with relayed(gated, budget=Budget(max_wall_s=SHORT)) as (relay, _):
        status, code, message = failure(ask(relay))
        assert (status, code) == (504, "max_wall_s")
        assert message.startswith("nd_model: the answer was not waited for, max_wall_s=2: ")
        assert gated.left.wait(LONG)
        assert failure(ask(relay))[:2] == (403, "max_wall_s")
        assert (relay.spent, relay.total.calls, relay.total.latencies) == ("max_wall_s", 1, [])
        assert seen(relay) == [(None, None, "max_wall_s")] * 2


def test_time_cuts_a_stream_in_flight() -> None:
    gated = Gated(event({"model": "m"}))
    with relayed(gated, budget=Budget(max_wall_s=SHORT)) as (relay, _):
        with pytest.raises(http.client.IncompleteRead):
            ask(relay)
        assert gated.left.wait(LONG)
        (one,) = exchanges(relay)
        assert (one.status, one.fault, one.refused, one.has_ended) == (200, None, "max_wall_s", False)
        assert relay.spent == "max_wall_s"


def test_a_new_account_begins_with_nothing_used() -> None:
    with relayed(answering(), budget=Budget(max_calls=1)) as (relay, _):
        assert [ask(relay)[0], ask(relay)[0]] == [200, 403]
        relay.open_account(Budget(max_calls=2))
        assert (exchanges(relay), relay.spent, relay.total.calls, relay.unmetered) == ([], None, 0, [])
        assert [ask(relay)[0] for _ in range(3)] == [200, 200, 403]


def test_samples_share_one_account() -> None:
    with relayed(answering(), budget=Budget(max_calls=2)) as (relay, _):
        for expected in (200, 200, 403):
            relay.begin()
            assert ask(relay)[0] == expected
        assert relay.total.calls == 2


def test_a_call_under_way_is_booked_where_it_began() -> None:
    gated = Gated(None, json.dumps(ANSWER).encode())
    with relayed(gated) as (relay, _):
        slow = threading.Thread(target=ask, args=[relay])
        slow.start()
        assert gated.asked.wait(LONG)
        relay.open_account(Budget())
        gated.go_on.set()
        slow.join()
        assert (relay.total.calls, relay.total.latencies, exchanges(relay)) == (0, [], [])

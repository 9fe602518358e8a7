"""The relay passes on what any program sends, and counts it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from providers import (
    ANSWER,
    ASKED,
    JSON,
    PROGRAMS,
    SSE,
    Answered,
    Gated,
    answering,
    ask,
    by_http_client,
    event,
)

from pytest_mcpsmoke import ScriptedModel
from pytest_mcpsmoke.doubles.loopback import App, LoopbackServer
from pytest_mcpsmoke.doubles.recording import Recorder
from pytest_mcpsmoke.errors import UnexpectedCall, UsageProblem
from pytest_mcpsmoke.tiers.budget import Budget
from pytest_mcpsmoke.tiers.passage import Passage
from pytest_mcpsmoke.tiers.prices import Prices
from pytest_mcpsmoke.tiers.relay import Exchange, ModelRelay, Unmetered

KEY = "sk-real-0123456789"
PATIENCE = 30.0  # seconds, that only what hangs takes
BODY = json.dumps(ANSWER).encode()


@contextmanager
def relayed(app: App, **options: Any) -> Iterator[tuple[ModelRelay, LoopbackServer]]:
    """A relay before an app, and the server of the app."""
    options.setdefault("api_key", KEY)
    with LoopbackServer(app) as server, ModelRelay(f"{server.url}/v1", **options) as relay:
        yield relay, server


def exchanges(relay: ModelRelay) -> list[Exchange]:
    """What the sample's requests came to, once the last of them is over."""
    return relay.exchanges(PATIENCE)


def only(relay: ModelRelay) -> Exchange:
    (exchange,) = exchanges(relay)
    return exchange


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_any_library_reaches_the_model_and_is_counted(
    program: Callable[..., Answered], monkeypatch: pytest.MonkeyPatch
) -> None:
    with relayed(answering()) as (relay, server):
        assert program(relay.base_url, relay.api_key, "/chat/completions", ASKED) == (200, BODY)
        seen = only(relay)
        assert seen._replace(seconds=0) == Exchange(
            *("/v1/chat/completions", "m", 200, 0, None, True, 7, 5, None, ("weather",), None)
        )
        total = relay.total
        assert (total.calls, total.tokens, total.cost, total.latencies) == (1, 12, None, [seen.seconds])
    came = server.journal.assert_one("POST", "/v1/chat/completions")
    assert came.header("authorization") == [f"Bearer {KEY}"]
    assert {name: came.json[name] for name in ASKED} == ASKED


def test_openai_s_client_reads_a_stream_through_it() -> None:
    openai = pytest.importorskip("openai")
    model = ScriptedModel().script("one two three")
    with model, ModelRelay(model.serve()) as relay, httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        program = openai.OpenAI(base_url=relay.base_url, api_key=relay.api_key, http_client=client)
        stream = program.chat.completions.create(
            model="m", messages=ASKED["messages"], stream=True, stream_options={"include_usage": True}
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text == "one two three"
        seen = only(relay)
    assert (seen.status, seen.fault, seen.has_ended) == (200, None, True)
    assert (seen.prompt_tokens or 0) >= 1
    assert (seen.completion_tokens or 0) >= 1


def test_a_stream_arrives_while_the_model_still_thinks() -> None:
    first, last = event({"choices": []}), event({"choices": [], "usage": ANSWER["usage"]})
    gated = Gated(first, last, b"data: [DONE]\n\n")
    with relayed(gated) as (relay, _), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        with client.stream("POST", f"{relay.base_url}/chat/completions", json=ASKED) as answer:
            chunks = answer.iter_raw()
            assert next(chunks) == first
            assert relay.exchanges(patience_s=0) == []
            assert relay.under_way == 1
            gated.go_on.set()
            assert b"".join(chunks) == last + b"data: [DONE]\n\n"
        seen = only(relay)
    assert (seen.prompt_tokens, seen.completion_tokens, seen.has_ended) == (7, 5, True)


@pytest.mark.parametrize(
    "app",
    [
        answering(),
        answering(500, {}),
        answering(200, b"sound", (b"Content-Type", b"audio/mpeg")),
        answering(200, event({"usage": ANSWER["usage"]}), SSE),
        Gated(event({}) + b"data: [DONE]\n\n"),
    ],
    ids=["answer", "error", "sound", "stream", "a stream that goes on"],
)
def test_an_answer_is_noted_before_the_program_has_it_whole(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program may be looked at right then, when the relay has not had its turn again."""
    looked = threading.Event()
    run = Passage.run

    async def lingering(self: Passage) -> None:
        await run(self)
        while not looked.is_set():
            await asyncio.sleep(0.002)

    monkeypatch.setattr(Passage, "run", lingering)
    with relayed(app) as (relay, _), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        with client.stream("POST", f"{relay.base_url}/chat/completions", json=ASKED) as answer:
            chunks = answer.iter_raw()
            next(chunks) if isinstance(app, Gated) else list(chunks)
            assert [one.has_ended for one in relay.exchanges(patience_s=0)] == [True]
        looked.set()


def test_a_request_belongs_to_the_sample_that_it_began_in() -> None:
    gated = Gated(None, BODY)
    with relayed(gated) as (relay, _):
        slow = threading.Thread(target=ask, args=[relay, {**ASKED, "model": "slow"}])
        slow.start()
        assert gated.asked.wait(PATIENCE)
        first = relay._sample
        relay.begin()
        assert (exchanges(relay), relay.under_way) == ([], 0)
        gated.go_on.set()
        slow.join()
        ask(relay, {**ASKED, "model": "quick"})
        assert [one.model for one in exchanges(relay)] == ["quick"]
        with relay._changed:
            assert relay._changed.wait_for(lambda: not first.under_way, PATIENCE)
        assert [one and one.model for one in first.seen] == ["slow"]
        assert relay.total.calls == 2
        relay.begin()
        assert exchanges(relay) == []


def test_exchanges_stand_in_the_order_in_which_they_arrived() -> None:
    gated = Gated(None, BODY)
    with relayed(gated, budget=Budget(max_calls=1)) as (relay, _):
        slow = threading.Thread(target=ask, args=[relay])
        slow.start()
        assert gated.asked.wait(PATIENCE)
        assert ask(relay)[0] == 403
        gated.go_on.set()
        slow.join()
        assert [one.refused for one in exchanges(relay)] == [None, "max_calls"]


def test_the_real_key_is_nowhere_but_at_the_provider() -> None:
    refusal = {"error": {"message": f"Incorrect API key provided: {KEY}."}}
    app = answering(401, refusal, JSON, (b"x-seen", KEY.encode()))
    with relayed(app) as (relay, server), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        answer = client.post(f"{relay.base_url}/x", json=ASKED, headers={"api-key": relay.api_key})
        assert answer.json()["error"]["message"] == f"Incorrect API key provided: {relay.api_key}."
        assert answer.headers["x-seen"] == relay.api_key
        assert KEY not in f"{answer.text}{answer.headers}{exchanges(relay)}{relay._route()}"
        assert only(relay).fault == "HTTP 401"
    assert server.journal.assert_one().header("api-key") == [KEY]


def test_without_a_key_none_is_sent_on() -> None:
    with relayed(answering(), api_key=None) as (relay, server):
        ask(relay)
    assert server.journal.assert_one().header("authorization") == []


def test_what_the_program_sends_and_gets_is_not_changed() -> None:
    asked = {"model": "m", "input": secrets.token_hex(1_000_000)}
    told = secrets.token_bytes(3_000_000)
    with relayed(answering(200, told, (b"Content-Type", b"audio/mpeg"))) as (relay, server):
        target = "/audio%20x?voice=%2Fa&b"
        assert ask(relay, asked, target) == (200, told)
        assert only(relay).path == "/v1/audio%20x"
    came = server.journal.assert_one()
    assert (came.path, came.json) == (f"/v1{target}", asked)


def test_a_list_of_models_is_no_call() -> None:
    with relayed(answering()) as (relay, _), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        client.get(f"{relay.base_url}/models")
        assert (only(relay).is_call, relay.total.calls, relay.total.latencies) == (False, 0, [])
        assert relay.unmetered == []


def test_a_request_that_is_the_program_s_own_fault_is_no_fault() -> None:
    with relayed(answering(400, {"error": {"message": "no messages"}})) as (relay, _):
        assert ask(relay) == (400, b'{"error": {"message": "no messages"}}')
        assert (only(relay).status, only(relay).fault) == (400, None)
        assert relay.unmetered == []


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_an_answer_that_is_compressed_all_the_same(coding: str) -> None:
    packed = gzip.compress(BODY) if coding == "gzip" else b"who knows"
    app = answering(200, packed, JSON, (b"content-encoding", coding.encode()))
    with relayed(app) as (relay, server):
        answer = ask(relay)
        assert answer == (200, BODY if coding == "gzip" else packed)
        assert only(relay).prompt_tokens == (7 if coding == "gzip" else None)
    assert server.journal.assert_one().header("accept-encoding") == ["identity"]


def test_a_redirect_within_the_provider_leads_through_the_relay() -> None:
    class Redirecting:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            here = f"http://127.0.0.1:{scope['server'][1]}".encode()
            there = answering(307, {}, (b"location", here + b"/v1/real/"))
            await (answering() if scope["path"] == "/v1/real/" else there)(scope, receive, send)

    with relayed(Redirecting()) as (relay, _), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        answer = client.post(f"{relay.base_url}/real", json=ASKED, follow_redirects=True)
        assert (answer.status_code, answer.content) == (200, BODY)
        assert [one.status for one in exchanges(relay)] == [307, 200]


@pytest.mark.parametrize(
    ("told", "headers", "cost"),
    [
        ({**ANSWER, "usage": {**ANSWER["usage"], "cost": 0.5}}, [(b"x-litellm-response-cost", b"0.25")], 0.5),
        (ANSWER, [(b"x-litellm-response-cost", b"0.25")], 0.25),
        (ANSWER, [], 7e-6 * 1 + 5e-6 * 2),
    ],
    ids=["in the answer", "in a header", "by the list"],
)
def test_what_a_call_costs(told: Any, headers: list[tuple[bytes, bytes]], cost: float) -> None:
    prices = Prices.of(["m 1 2"], "here")
    with relayed(answering(200, told, JSON, *headers), prices=prices) as (relay, _):
        ask(relay)
        assert only(relay).cost == relay.total.cost == pytest.approx(cost)
        assert relay.unmetered == []


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (answering(), "no cost was told for 'm' and no price is known: set ini mcpsmoke_nd_prices"),
        (answering(200, {}), "the answer told no tokens: the provider has to send usage"),
        (
            answering(200, event({}) + b"data: [DONE]\n\n", SSE),
            'the stream told no tokens: set stream_options={"include_usage": true}',
        ),
    ],
    ids=["no price", "no usage", "no usage in the stream"],
)
def test_what_limits_cannot_see_is_told_with_the_remedy(app: App, reason: str) -> None:
    with relayed(app) as (relay, _):
        for _ in range(2):
            ask(relay)
        assert exchanges(relay)
        limits = ("max_cost",) if "price" in reason else ("max_tokens", "max_cost")
        assert relay.unmetered == [Unmetered(2, reason, limits)]
        relay.begin()
        limits = ("max_cost",) if "price" in reason else ("max_tokens", "max_cost")
        assert relay.unmetered == [Unmetered(2, reason, limits)]


def test_a_program_that_leaves_early_ends_the_answer_at_the_provider() -> None:
    gated = Gated(event({"model": "m"}))
    with relayed(gated) as (relay, _):
        with (
            httpx.Client(trust_env=False, timeout=PATIENCE) as client,
            client.stream("POST", f"{relay.base_url}/chat/completions", json=ASKED) as answer,
        ):
            next(answer.iter_raw())
        seen = only(relay)
        assert gated.left.wait(PATIENCE)
        assert (seen.status, seen.fault, seen.has_ended) == (200, None, False)
        (unmetered,) = relay.unmetered
        assert unmetered.reason.startswith("the answer was left before it told its tokens")


def test_a_program_may_leave_when_the_stream_says_that_it_is_over() -> None:
    gated = Gated(event({"usage": ANSWER["usage"]}) + b"data: [DONE]\n\n")
    with relayed(gated) as (relay, _):
        with (
            httpx.Client(trust_env=False, timeout=PATIENCE) as client,
            client.stream("POST", f"{relay.base_url}/chat/completions", json=ASKED) as answer,
        ):
            assert b"[DONE]" in next(answer.iter_raw())
        seen = only(relay)
        assert (seen.status, seen.fault, seen.has_ended, seen.prompt_tokens) == (200, None, True, 7)
        assert relay.total.latencies == [seen.seconds]


def test_a_program_that_does_not_wait_for_the_answer() -> None:
    gated = Gated(None)
    with relayed(gated) as (relay, _):
        address = relay._server.address
        assert address is not None
        with socket.create_connection(address) as client:
            client.sendall(b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert gated.asked.wait(PATIENCE)
        assert gated.left.wait(PATIENCE)
        assert (only(relay).status, only(relay).fault, only(relay).has_ended) == (None, None, False)


def test_a_request_that_breaks_off_reaches_nobody() -> None:
    with relayed(answering()) as (relay, server):
        address = relay._server.address
        assert address is not None
        with socket.create_connection(address) as client:
            client.sendall(b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            relay._server.journal.wait_for()
            while not relay.under_way:  # noted a moment before it is served
                time.sleep(0.001)
        assert (only(relay).status, only(relay).fault, relay.total.calls) == (None, None, 0)
        server.journal.assert_no_requests()


def test_a_recorder_of_another_library_does_not_catch_it() -> None:
    respx = pytest.importorskip("respx")
    with respx.mock(assert_all_called=False) as routes, relayed(answering()) as (relay, server):
        route = routes.route().respond(599)
        assert ask(relay) == (200, BODY)
        server.journal.assert_one()
        assert not route.called
        assert httpx.get(f"{relay.base_url}/models").status_code == 599  # it is in force


class Plain(BaseHTTPRequestHandler):
    """A provider that no double serves, so that guards do not know it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def plain() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_recorder_s_guard_lets_it_through(plain: str) -> None:
    recorder = Recorder()
    with ModelRelay(plain) as relay:
        try:
            recorder.client("httpx").close()
            with pytest.raises(UnexpectedCall):
                by_http_client(plain, "key", "/x", ASKED)  # the guard is in force
            recorder.failures.clear()
            assert ask(relay) == (200, b"{}")
            assert recorder.failures == []
        finally:
            recorder.close()


def descriptors() -> list[str]:
    gc.collect()
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


def test_nothing_is_left_behind() -> None:
    with LoopbackServer(answering()) as server:
        with ModelRelay(server.url) as relay:  # what the first one imports stays
            ask(relay)
        threads, files = threading.enumerate(), descriptors()
        gated = Gated(event({}))
        with LoopbackServer(gated) as slow:
            relay = ModelRelay(slow.url)
            assert relay.start().start() is relay
            address = relay._server.address
            assert address is not None
            client = socket.create_connection(address)
            client.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert gated.asked.wait(PATIENCE)
            relay.close()
            relay.close()
            client.close()
        assert set(threading.enumerate()) <= set(threads)
        assert len(descriptors()) <= len(files)


@pytest.mark.skipif(not descriptors(), reason="needs a system that lists descriptors")
def test_a_sample_leaves_no_connection_open() -> None:
    with relayed(answering()) as (relay, server):
        ask(relay)
        assert exchanges(relay)
        files = len(descriptors())
        for _ in range(10):
            relay.begin()
            ask(relay)
            assert exchanges(relay)
            deadline = time.monotonic() + PATIENCE
            while len(descriptors()) > files:  # whoever was left hears of it a moment later
                assert time.monotonic() < deadline, descriptors()
                time.sleep(0.001)
        assert server.journal.connections == 11


def test_it_listens_only_between_start_and_close() -> None:
    relay = ModelRelay("http://127.0.0.1:1/api/v1/")
    with pytest.raises(RuntimeError, match="start"):
        _ = relay.base_url
    with relay:
        assert relay.base_url.startswith("http://127.0.0.1:")
        assert relay.base_url.endswith("/api/v1")
    with pytest.raises(RuntimeError, match="start"):
        _ = relay.base_url


def test_a_base_url_that_is_none_is_told_at_once() -> None:
    with pytest.raises(UsageProblem) as told:
        ModelRelay("models.example/v1", who="my relay")
    assert str(told.value) == (
        "my relay: upstream=models.example/v1: http:// or https:// is missing; write it as"
        " http://127.0.0.1:11434/v1"
    )


def test_a_mistake_of_the_relay_s_own_is_no_failure_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise TypeError("our own")

    monkeypatch.setattr("pytest_mcpsmoke.tiers.passage.outward", broken)
    with relayed(answering()) as (relay, _):
        assert ask(relay)[0] == 500
        assert only(relay).fault == "relay: TypeError"
        assert [str(error) for error in relay._server.errors] == ["our own"]

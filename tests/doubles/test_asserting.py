"""Assertions on recorded requests: what they demand, and the whole text of their failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.doubles import layers
from pytest_mcpsmoke.doubles.headers import HeaderView
from pytest_mcpsmoke.doubles.recording import Recorder
from pytest_mcpsmoke.errors import UsageProblem

TOOLS = "http://tools.test"


@pytest.fixture
def recorder() -> Recorder:
    """A recorder of two requests: GET /tools, and POST /invoke with headers from several layers."""
    with Recorder() as recorder:
        client = recorder.client(
            transport=recorder.reply(),
            headers={"X-Env": "A", "X-Who": "plain", "User-Agent": "me"},
        )
        for name in ("Accept-Encoding", "Connection"):
            del client.headers[name]
        client.get(f"{TOOLS}/tools?page=2", headers={"Authorization": "Bearer hush"})
        client.post(f"{TOOLS}/invoke", headers=[("x-env", "B"), ("X-Tag", "1"), ("x-tag", "2")])
    return recorder


def failure_of(check: Callable[[], Any]) -> str:
    with pytest.raises(AssertionError) as failure:
        check()
    return str(failure.value)


SENT = """\
sent: 2
1. GET http://tools.test/tools?page=2 -> 200 (httpx)
     Host: tools.test            default
     Accept: */*                 default
     X-Env: A                    client
     X-Who: plain                client
     User-Agent: me              client, over default's User-Agent: python-httpx/VERSION
     Authorization: Bearer ***   request
     (not sent: Accept-Encoding: ENCODINGS, of default, lost to client)
     (not sent: Connection: keep-alive, of default, lost to client)
2. POST http://tools.test/invoke -> 200 (httpx)
     Host: tools.test    default
     Content-Length: 0   default
     Accept: */*         default
     X-Who: plain        client
     User-Agent: me      client, over default's User-Agent: python-httpx/VERSION
     x-env: B            request, over client's X-Env: A
     X-Tag: 1            request
     x-tag: 2            request
     (not sent: Accept-Encoding: ENCODINGS, of default, lost to client)
     (not sent: Connection: keep-alive, of default, lost to client)"""


def whole(first: str, *more: str) -> str:
    import httpx

    encodings = httpx.Client(transport=httpx.MockTransport(print)).headers["accept-encoding"]
    sent = SENT.replace("VERSION", httpx.__version__).replace("ENCODINGS", encodings)
    return "\n".join([first, sent, *more])


class TestSentOnce:
    def test_it_returns_the_request(self, recorder: Recorder) -> None:
        assert recorder.assert_sent_once("post", "/invoke") is recorder.sent[1]
        assert recorder.assert_sent_once("GET", "/tools?page=2") is recorder.sent[0]
        assert recorder.assert_sent_once(url=f"{TOOLS}/tools?page=2") is recorder.assert_sent_once("GET")

    @pytest.mark.parametrize(
        ("wanted", "told"),
        [
            ((), "a request was sent twice, expected once"),
            (("PUT",), "PUT was never sent, expected once"),
            (("POST", "/invok"), "POST /invok was never sent, expected once"),
            ((None, f"{TOOLS}/tools"), f"{TOOLS}/tools was never sent, expected once"),
        ],
    )
    def test_failing_shows_everything(self, recorder: Recorder, wanted: Any, told: str) -> None:
        assert failure_of(lambda: recorder.assert_sent_once(*wanted)) == whole(told)

    def test_of_nothing(self) -> None:
        with Recorder() as recorder:
            recorder.assert_nothing_sent()
            assert (
                failure_of(recorder.assert_sent_once)
                == "a request was never sent, expected once\nsent: nothing"
            )
            assert failure_of(lambda: recorder.last) == "nothing was sent\nsent: nothing"

    def test_nothing_sent(self, recorder: Recorder) -> None:
        recorder.assert_nothing_sent("PUT")
        told = failure_of(lambda: recorder.assert_nothing_sent("POST"))
        assert told == whole("POST was sent once, expected never")


class TestHeader:
    @pytest.mark.parametrize(
        "demands",
        [
            {"value": "B", "casing": "x-env", "layer": "request", "method": "POST"},
            {"value": "A", "casing": "X-Env", "layer": "client", "url": "/tools"},
            {"value": None},
            {"name": "x-tag", "value": ["1", "2"], "method": "POST"},
            {"name": "X-TAG", "layer": "request", "method": "POST"},
            {"name": "authorization", "value": "Bearer hush", "method": "GET"},
        ],
    )
    def test_what_holds(self, recorder: Recorder, demands: dict[str, Any]) -> None:
        recorder.assert_header(**{"name": "x-env"} | demands)

    @pytest.mark.parametrize(
        ("demands", "told"),
        [
            ({"value": "A"}, "in POST /invoke: x-env: B is sent, expected A once"),
            ({"value": "A", "method": "POST"}, "in POST /invoke: x-env: B is sent, expected A once"),
            ({"name": "x-none"}, "in GET /tools: x-none is not sent, expected it"),
            ({"casing": "X-ENV"}, "in GET /tools: x-env is sent as X-Env, expected X-ENV"),
            ({"layer": "client"}, "in POST /invoke: x-env comes from request, expected from client"),
            (
                {"name": "x-tag", "value": "1", "method": "POST"},
                "in POST /invoke: x-tag is sent twice (X-Tag: 1, x-tag: 2), expected 1 once",
            ),
            (
                {"name": "x-tag", "casing": "X-Tag", "method": "POST"},
                "in POST /invoke: x-tag is sent as x-tag, expected X-Tag",
            ),
            (
                {"name": "authorization", "value": "Bearer other", "method": "GET"},
                "in GET /tools: Authorization: Bearer *** is sent, expected Bearer *** once",
            ),
            ({"method": "PUT"}, "PUT was never sent"),
        ],
    )
    def test_what_does_not(self, recorder: Recorder, demands: dict[str, Any], told: str) -> None:
        assert failure_of(lambda: recorder.assert_header(**{"name": "x-env"} | demands)) == whole(told)

    def test_no_header(self, recorder: Recorder) -> None:
        recorder.assert_no_header("authorization", url="/invoke")
        told = failure_of(lambda: recorder.assert_no_header("AUTHORIZATION"))
        assert told == whole("in GET /tools: Authorization: Bearer *** is sent, expected none")


class TestPrecedence:
    def test_of_the_client_s_layers(self, recorder: Recorder) -> None:
        recorder.assert_precedence("x-env", winner="request", over="client", url="/invoke")
        recorder.assert_precedence("User-agent", winner="client", over="default")

    def test_of_the_application_s(self) -> None:
        """The app merges both before its client sees them."""
        with Recorder() as recorder:
            client = recorder.client(transport=recorder.reply(), headers={"x-env": "B"})
            client.get(f"{TOOLS}/tools")
            recorder.layers(env={"X-Env": "A"}, request={"x-env": "B"})
            recorder.assert_precedence("x-env", winner="request", over="env")
            recorder.assert_header("X-Env", layer="request")
            told = failure_of(lambda: recorder.assert_precedence("x-env", winner="env", over="request"))
        lines = told.splitlines()
        assert (
            lines[0] == "in GET /tools: request won over env: x-env: B is sent, expected env's X-Env: A alone"
        )
        assert lines[-2:] == ["declared: env supplies X-Env: A", "declared: request supplies x-env: B"]

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            ({"X-Env": "A"}, "env won over request: X-Env: A is sent, expected request's x-env: B alone"),
            ({"X-Env": "B"}, "X-Env is sent as X-Env, expected request's casing, x-env"),
            ({"x-env": "C"}, "x-env: C of client is sent, expected request's x-env: B alone"),
            ([("X-Env", "A"), ("x-env", "B")], "X-Env is sent twice (X-Env: A, x-env: B), expected request's"
             " x-env: B alone"),
            ({}, "X-Env is not sent, expected request's x-env: B alone"),
        ],
    )  # fmt: skip
    def test_what_went_wrong(self, sent: Any, told: str) -> None:
        with Recorder() as recorder:
            recorder.client(transport=recorder.reply(), headers=sent).get(f"{TOOLS}/tools")
        recorder.layers(env={"X-Env": "A"}, request={"x-env": "B"})
        message = failure_of(lambda: recorder.assert_precedence("X-Env", winner="request", over="env"))
        assert message.splitlines()[0] == f"in GET /tools: {told}"

    @pytest.mark.parametrize(
        ("env", "told"),
        [
            ({}, "env supplied no x-env: nothing was won by request over env"),
            ({"X-Other": "A"}, "env supplied no x-env: nothing was won by request over env"),
            ({"X-Env": "B"}, "request and env supplied the same x-env: B: nobody can tell who won"),
        ],
    )
    def test_what_would_be_vacuous_fails(self, recorder: Recorder, env: dict[str, str], told: str) -> None:
        recorder.layers(env=env)
        message = failure_of(
            lambda: recorder.assert_precedence("x-env", winner="request", over="env", method="POST")
        )
        assert message.splitlines()[0] == f"in POST /invoke: {told}"

    def test_a_winner_that_supplied_nothing(self, recorder: Recorder) -> None:
        recorder.layers(env={"X-Env": "A"})
        message = failure_of(lambda: recorder.assert_precedence("x-env", winner="auth", over="env"))
        assert message.startswith("in GET /tools: auth supplied no x-env: nothing was won by auth over env\n")

    def test_a_layer_that_nobody_knows(self, recorder: Recorder) -> None:
        with pytest.raises(UsageProblem) as refused:
            recorder.assert_precedence("x-env", winner="request", over="env", method="POST")
        assert str(refused.value) == (
            'no layer is called "env" (default, client, request, cookies, auth, redirect, event_hook,'
            ' unseen): say what it supplies, with layers(env={"Name": "value"})'
        )

    def test_a_declared_layer_s_secrets_are_hidden(self) -> None:
        with Recorder() as recorder:
            recorder.layers(env={"Authorization": "Bearer hush"})
            recorder.client(transport=recorder.reply()).get(TOOLS)
            told = failure_of(lambda: recorder.assert_header("authorization", "Bearer hush"))
        assert "hush" not in told
        assert told.endswith("declared: env supplies Authorization: Bearer ***")


NAMES = st.sampled_from([b"A", b"a", b"B-c", b"b-C", b"D"])
PAIRS = st.lists(st.tuples(NAMES, st.sampled_from([b"1", b"2"])), max_size=6)


class TestLayersOfPairs:
    @given(PAIRS, PAIRS, PAIRS)
    def test_what_was_sent_is_told_whole_and_in_order(self, first: Any, second: Any, third: Any) -> None:
        told = layers.by_hand(first, "request")
        for raw, stage in ((second, "auth"), (third, "event_hook")):
            told = layers.after(told, raw, stage)
            assert [(one.name, one.value) for one in told.sent] == raw
        assert all(one.lost_to is None for one in told.sent)
        assert all(one.lost_to in ("auth", "event_hook") for one in told.lost)

    @given(PAIRS, PAIRS)
    def test_nothing_supplied_gets_out_of_sight(self, first: Any, second: Any) -> None:
        told = layers.after(layers.by_hand(first, "request"), second, "auth")
        seen = sorted((one.name, one.value) for one in (*told.sent, *told.lost) if one.layer == "request")
        assert seen == sorted(first)


class TestView:
    VIEW = HeaderView([(b"X-Env", b"A"), (b"x-env", b"\xc3\xa9"), (b"Cookie", b"a=b"), (b"X-Raw", b"\xff")])

    def test_names_in_whatever_case(self) -> None:
        view = self.VIEW
        assert (view["X-ENV"], view.all("x-env"), view.casings("X-eNV")) == (
            "A, é",
            ["A", "é"],
            ["X-Env", "x-env"],
        )
        assert view.get("none") is None
        assert list(view) == ["X-Env", "Cookie", "X-Raw"]
        assert len(view) == 3
        assert "x-RAW" in view
        assert 3 not in view
        assert view["x-raw"] == "ÿ"
        with pytest.raises(KeyError, match="none"):
            view["none"]

    @pytest.mark.parametrize(
        "name",
        ["Authorization", "X-Auth", "X-API-Key", "Ocp-Apim-Subscription-Key", "Session-Id", "X-Signature"],
    )
    def test_headers_that_are_secret(self, name: str) -> None:
        assert repr(HeaderView([(name.encode(), b"plain")])) == f"HeaderView({name}: ***)"

    def test_its_text_hides_secrets(self) -> None:
        assert repr(self.VIEW) == "HeaderView(X-Env: A, x-env: é, Cookie: ***, X-Raw: ÿ)"

"""What a recorder keeps of each request: raw headers, bodies, outcomes, and the layer behind each header."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from httpx_stacks import STACKS, Stack, each_stack

from pytest_mcpsmoke.doubles.recording import Recorder
from pytest_mcpsmoke.doubles.replies import Delay, Disconnect, Malformed, RateLimited, Status
from pytest_mcpsmoke.errors import UsageProblem

URL = "http://tools.test/invoke"


def layers_of(sent: Any) -> dict[str, str]:
    return {one.name.decode(): one.layer for one in sent.layers}


class TestWire:
    @contextmanager
    def server(self) -> Iterator[tuple[int, list[bytes]]]:
        """A socket that takes requests as bytes; each is answered with 200, and closes the connection."""
        heard: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(10)

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    data = b""
                    while not data.endswith((b"0\r\n\r\n", b"END")):
                        data += connection.recv(65536)
                    heard.append(data)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield listener.getsockname()[1], heard
            finally:
                thread.join()

    @each_stack
    def test_the_raw_headers_are_the_bytes_on_the_wire(self, stack: Stack) -> None:
        with self.server() as (port, heard), Recorder() as recorder:
            client = stack.make(recorder, headers=[("X-tWo", "1"), ("x-TWO", "2")])
            stack.send(
                client, "POST", f"http://127.0.0.1:{port}/a?b=c", content=b"END", headers={"x-CASE": "c"}
            )
        (sent,) = recorder.sent
        head, _, body = heard[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /a?b=c HTTP/1.1"
        assert [tuple(line.split(b": ", 1)) for line in lines[1:]] == sent.raw
        assert {b"Host", b"Content-Length", b"x-CASE", b"X-tWo", b"x-TWO"} <= {name for name, _ in sent.raw}
        assert sent.body == body == b"END"
        assert (sent.status, sent.response.content) == (200, b"ok")
        assert sent.started <= (sent.ended or 0)

    @each_stack
    def test_a_streamed_body(self, stack: Stack) -> None:
        with self.server() as (port, heard), Recorder() as recorder:
            stack.send(
                stack.make(recorder),
                "POST",
                f"http://127.0.0.1:{port}/",
                content=stack.chunks(b"one", b"two"),
            )
        assert b"Transfer-Encoding: chunked\r\n" in heard[0]
        assert b"\r\n3\r\none\r\n3\r\ntwo\r\n" in heard[0]
        assert recorder.last.body == b"onetwo"


class TestLayers:
    @each_stack
    def test_each_header_has_its_layer(self, stack: Stack) -> None:
        def hook(request: Any) -> None:
            request.headers["X-Hook"] = "h"

        with Recorder() as recorder:
            client = stack.make(
                recorder,
                transport=recorder.reply(),
                headers={"X-Client": "c", "User-Agent": "mine"},
                auth=("user", "pass"),
                cookies={"session": "s"},
                event_hooks={"request": [stack.hook(hook)]},
            )
            stack.send(client, "POST", URL, json={}, headers={"X-Request": "r"})
        assert layers_of(recorder.last) == {
            "Host": "default",
            "Accept": "default",
            "Accept-Encoding": "default",
            "Connection": "default",
            "User-Agent": "client",
            "X-Client": "client",
            "X-Request": "request",
            "Cookie": "cookies",
            "Content-Length": "default",
            "Content-Type": "default",
            "Authorization": "auth",
            "X-Hook": "event_hook",
        }
        (lost,) = recorder.last.lost
        assert (lost.name, lost.layer, lost.lost_to) == (b"User-Agent", "default", "client")

    @each_stack
    def test_what_lost_is_kept_from_layer_to_layer(self, stack: Stack) -> None:
        def hook(request: Any) -> None:
            request.headers["X-ENV"] = "hook"

        def auth(request: Any) -> Any:
            request.headers["X-Env"] = "auth"
            return request

        with Recorder() as recorder:
            client = stack.make(
                recorder,
                transport=recorder.reply(),
                headers={"x-env": "client"},
                auth=auth,
                event_hooks={"request": [stack.hook(hook)]},
            )
            stack.send(client, "GET", URL, headers={"X-env": "request"})
        sent = recorder.last
        assert sent.layer_of("x-env") == "event_hook"
        assert sent.headers.casings("x-env") == ["X-ENV"]
        assert [(one.name, one.value, one.layer, one.lost_to) for one in sent.lost] == [
            (b"x-env", b"client", "client", "request"),
            (b"X-env", b"request", "request", "auth"),
            (b"X-Env", b"auth", "auth", "event_hook"),
        ]

    @each_stack
    def test_an_equal_value_given_again_is_the_request_s(self, stack: Stack) -> None:
        with Recorder() as recorder:
            client = stack.make(recorder, transport=recorder.reply(), headers={"X-Env": "A"})
            stack.send(client, "GET", URL, headers={"X-Env": "A", "Accept": "*/*"})
        assert recorder.last.layer_of("x-env") == recorder.last.layer_of("accept") == "request"

    @each_stack
    def test_a_request_made_by_hand_is_the_request_layer(self, stack: Stack) -> None:
        with Recorder() as recorder:
            client = stack.make(recorder, transport=recorder.reply(), headers={"X-Client": "c"})
            request = stack.module.Request("POST", URL, headers={"X-Env": "A"}, content=b"x")
            stack.run(client, lambda one: one.send(request))
        assert layers_of(recorder.last) == {
            "Host": "default",
            "X-Env": "request",
            "Content-Length": "default",
        }

    @each_stack
    def test_what_is_changed_between_building_and_sending_is_the_request_layer(self, stack: Stack) -> None:
        async def body(client: Any) -> None:
            request = client.build_request("POST", URL, json={})
            request.headers["Content-Type"] = "application/x+json"
            request.headers["X-Late"] = "1"
            del request.headers["X-Client"]
            await client.send(request)

        with Recorder() as recorder:
            stack.run(stack.make(recorder, transport=recorder.reply(), headers={"X-Client": "c"}), body)
        told = layers_of(recorder.last)
        assert (told["Content-Type"], told["X-Late"]) == ("request", "request")
        assert [(one.name, one.layer, one.lost_to) for one in recorder.last.lost] == [
            (b"X-Client", "client", "request"),
            (b"Content-Type", "default", "request"),
        ]

    @each_stack
    @pytest.mark.parametrize("given", ["headers object", "pairs", "iterator", "bytes"])
    def test_every_form_of_headers(self, stack: Stack, given: str) -> None:
        forms: dict[str, Any] = {
            "headers object": stack.module.Headers({"X-Env": "B"}),
            "pairs": [("X-Env", "B")],
            "iterator": iter([("X-Env", "B")]),
            "bytes": {b"X-Env": b"B"},
        }
        with Recorder() as recorder:
            client = stack.make(recorder, transport=recorder.reply(), headers={"x-env": "A"})
            stack.send(client, "GET", URL, headers=forms[given])
        recorder.assert_precedence("x-env", winner="request", over="client")
        recorder.assert_header("x-env", "B", casing="X-Env")

    @each_stack
    def test_hooks_that_come_and_go(self, stack: Stack) -> None:
        def first(request: Any) -> None:
            request.headers["X-First"] = "1"

        async def body(client: Any) -> None:
            await client.get(URL)
            real = getattr(client, "client", client)
            real.event_hooks = {"request": [stack.hook(first)]}
            await client.get(URL)
            real.event_hooks["request"].clear()
            await client.get(URL)

        with Recorder() as recorder:
            stack.run(stack.make(recorder, transport=recorder.reply()), body)
        assert [sent.layer_of("x-first") for sent in recorder.sent] == [None, "event_hook", None]


class TestFlows:
    @each_stack
    def test_a_redirect_is_a_request_of_its_own(self, stack: Stack) -> None:
        def answer(request: Any) -> Any:
            if request.url.path == "/invoke":
                return stack.module.Response(
                    302,
                    headers={"Location": "http://other.test/there", "Set-Cookie": "a=b; Domain=other.test"},
                )
            return recorder.reply(text="there")

        with Recorder() as recorder:
            client = stack.make(
                recorder,
                transport=answer,
                follow_redirects=True,
                headers={"Authorization": "Bearer t", "X-A": "1"},
            )
            stack.send(client, "POST", URL, json={})
        first, second = recorder.sent
        assert [(sent.method, sent.url, sent.status) for sent in recorder.sent] == [
            ("POST", URL, 302),
            ("GET", "http://other.test/there", 200),
        ]
        assert first.layer_of("authorization") == "client"
        assert second.layer_of("host") == "redirect"
        assert second.layer_of("x-a") == "client"
        gone = {(one.name, one.lost_to) for one in second.lost} - {
            (one.name, one.lost_to) for one in first.lost
        }
        assert gone == {
            (b"Authorization", "redirect"),
            (b"Host", "redirect"),
            (b"Content-Length", "redirect"),
        }

    @each_stack
    def test_a_redirected_stream_is_kept_for_each_request(self, stack: Stack) -> None:
        async def body(client: Any) -> None:
            await client.post(URL, files={"file": ("a.txt", b"contents")})

        def answer(request: Any) -> Any:
            if request.url.path == "/invoke":
                return stack.module.Response(307, headers={"Location": "/again"})
            return recorder.reply()

        with Recorder() as recorder:
            stack.run(stack.make(recorder, transport=answer, follow_redirects=True), body)
        first, second = recorder.sent
        assert first.body == second.body
        assert b"contents" in first.body
        assert first.headers["content-type"].startswith("multipart/form-data; boundary=")

    @each_stack
    def test_digest_sends_twice(self, stack: Stack) -> None:
        def answer(request: Any) -> Any:
            if "Authorization" in request.headers:
                return recorder.reply()
            return recorder.reply(
                401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
            )

        with Recorder() as recorder:
            client = stack.make(recorder, transport=answer)
            stack.send(client, "GET", URL, auth=stack.module.DigestAuth("u", "p"), headers={"X-A": "1"})
        first, second = recorder.sent
        assert [first.status, second.status] == [401, 200]
        assert (first.layer_of("authorization"), second.layer_of("authorization")) == (None, "auth")
        assert second.layer_of("x-a") == "request"

    @each_stack
    def test_a_flow_that_fetches_a_token_first(self, stack: Stack) -> None:
        module = stack.module

        class Token(module.Auth):  # type: ignore[misc, name-defined]
            def auth_flow(self, request: Any) -> Any:
                token = yield module.Request("POST", "http://auth.test/token", headers={"X-Grant": "g"})
                request.headers["Authorization"] = f"Bearer {token.status_code}"
                yield request

        with Recorder() as recorder:
            stack.send(stack.make(recorder, transport=recorder.reply(201)), "GET", URL, auth=Token())
        token, real = recorder.sent
        assert token.layer_of("x-grant") == "auth"
        assert real.layer_of("authorization") == "auth"
        assert real.layer_of("accept") == "default"

    @each_stack
    def test_what_the_transport_raises_is_kept(self, stack: Stack) -> None:
        def answer(request: Any) -> Any:
            raise stack.module.ConnectTimeout("token=abc")

        with Recorder() as recorder, pytest.raises(stack.module.ConnectTimeout):
            stack.send(stack.make(recorder, transport=answer), "GET", URL)
        assert type(recorder.last.error) is stack.module.ConnectTimeout
        assert recorder.last.title == f"GET {URL} -> ConnectTimeout: token=*** ({stack.flavour})"

    @each_stack
    def test_a_streamed_response(self, stack: Stack) -> None:
        async def body(client: Any) -> list[bytes]:
            async with client.stream("GET", URL) as response:
                return [chunk async for chunk in response.aiter_bytes()]

        with Recorder() as recorder:
            assert stack.run(stack.make(recorder, transport=recorder.reply(text="all")), body) == [b"all"]
        assert recorder.last.status == 200

    def test_concurrent_requests_keep_their_own_headers(self) -> None:
        async def main(recorder: Recorder) -> None:
            async def answer(request: Any) -> Any:
                await asyncio.sleep(0.001)
                return recorder.reply()

            async with recorder.async_client(transport=answer) as client:
                await asyncio.gather(
                    *(
                        client.get(f"{URL}/{n}", headers={"X-Key": f"k{n}"}, auth=("u", str(n)))
                        for n in range(100)
                    )
                )

        with Recorder() as recorder:
            asyncio.run(main(recorder))
        assert len(recorder.sent) == 100
        for sent in recorder.sent:
            assert sent.headers["x-key"] == "k" + sent.path.rpartition("/")[2]
            assert (sent.layer_of("x-key"), sent.layer_of("authorization")) == ("request", "auth")

    def test_a_request_within_a_request_is_told_apart(self) -> None:
        inner_recorder = Recorder()

        def answer(request: Any) -> Any:
            inner.get("http://inner.test/", headers={"X-Inner": "1"})
            return recorder.reply()

        with Recorder() as recorder, inner_recorder:
            inner = recorder.client("httpx2", transport=recorder.reply(), headers={"X-I": "1"})
            outer = recorder.client(transport=answer, headers={"X-O": "1"})
            outer.get("http://outer.test/", headers={"X-Outer": "1"})
        first, second = recorder.sent
        assert (first.path, first.url, second.url) == ("/", "http://outer.test/", "http://inner.test/")
        assert (first.layer_of("x-outer"), first.layer_of("x-o")) == ("request", "client")
        assert (second.layer_of("x-inner"), second.layer_of("x-i")) == ("request", "client")


class TestAttaching:
    @each_stack
    def test_a_client_is_given_back_as_it_was(self, stack: Stack) -> None:
        def hook(request: Any) -> None:
            request.headers["X-Hook"] = "1"

        transport = stack.module.MockTransport(lambda request: stack.module.Response(204))
        client = stack.Client(transport=transport, event_hooks={"request": [stack.hook(hook)]})
        before, hooks = dict(vars(client)), list(client.event_hooks["request"])
        recorder = Recorder()
        assert recorder.attach(client) is client
        recorder.attach(client)

        async def body(one: Any) -> None:
            await one.get(URL)
            recorder.close()
            await one.get(URL)
            after = dict(vars(client))
            assert after.pop("_state") is not before.pop("_state")
            assert after == before
            assert client.event_hooks["request"] == hooks

        stack.run(client, body)
        assert len(recorder.sent) == 1
        assert recorder.last.layer_of("x-hook") == "event_hook"

    @each_stack
    def test_a_client_can_be_answered_meanwhile(self, stack: Stack) -> None:
        client = stack.Client(transport=stack.module.MockTransport(lambda _: stack.module.Response(500)))

        async def body(one: Any) -> list[int]:
            with Recorder() as recorder:
                recorder.attach(client, transport=recorder.reply(201))
                first = await one.get(URL)
            return [first.status_code, (await one.get(URL)).status_code]

        assert stack.run(client, body) == [201, 500]

    @each_stack
    def test_two_recorders_on_one_client_keep_the_same(self, stack: Stack) -> None:
        def hook(request: Any) -> None:
            request.headers["X-Hook"] = "1"

        with Recorder() as one, Recorder() as other:
            client = stack.make(
                one, transport=one.reply(), auth=("u", "p"), event_hooks={"request": [stack.hook(hook)]}
            )
            other.attach(client)
            stack.send(client, "GET", URL, headers={"X-R": "r"})
        assert layers_of(one.last) == layers_of(other.last)
        assert (one.last.layer_of("x-hook"), one.last.layer_of("authorization")) == ("event_hook", "auth")
        assert len(one.sent) == len(other.sent) == 1

    @each_stack
    def test_a_transport_of_its_own_tells_no_layers(self, stack: Stack) -> None:
        with Recorder() as recorder:
            transport = recorder.attach(
                stack.module.MockTransport(lambda request: stack.module.Response(204))
            )
            stack.send(stack.Client(transport=transport), "GET", URL, headers={"X-Env": "A"})
        assert recorder.last.layer_of("x-env") == "unseen"
        recorder.assert_header("x-env", "A")

    @each_stack
    def test_mounts_are_recorded(self, stack: Stack) -> None:
        mock = stack.module.MockTransport
        mounted = mock(lambda request: stack.module.Response(201))
        with Recorder() as recorder:
            client = stack.make(
                recorder, transport=recorder.reply(202), mounts={"all://mounted.test": mounted}
            )

            async def body(one: Any) -> None:
                await one.get("http://mounted.test/")
                await one.get("http://plain.test/")

            stack.run(client, body)
        assert [sent.status for sent in recorder.sent] == [201, 202]

    def test_starlette_s_test_client(self) -> None:
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route, WebSocketRoute
        from starlette.testclient import TestClient

        async def page(request: Any) -> PlainTextResponse:
            return PlainTextResponse(request.headers["x-env"])

        async def socket(websocket: Any) -> None:
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.close()

        app = Starlette(routes=[Route("/page", page), WebSocketRoute("/socket", socket)])
        with Recorder() as recorder, TestClient(app, headers={"X-Env": "A"}) as client:
            recorder.attach(client)
            assert client.get("/page", headers={"x-env": "B"}).text == "B"
            with client.websocket_connect("/socket") as session:
                assert session.receive_text() == "hello"
        recorder.assert_precedence("x-env", winner="request", over="client", url="/page")
        bases = [base.__module__ for base in TestClient.__mro__]  # httpx2 since Starlette 1
        assert recorder.sent[0].flavour == ("httpx2" if "httpx2" in bases else "httpx")

    def test_the_client_that_something_holds(self) -> None:
        import httpx2

        class Sdk:
            _client = httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(204)))

        with Recorder() as recorder:
            sdk = recorder.attach(Sdk())
            sdk._client.get(URL)
        assert recorder.last.url == URL

    @pytest.mark.parametrize("thing", [object(), "httpx", None])
    def test_anything_else_is_refused(self, thing: object) -> None:
        with Recorder() as recorder, pytest.raises(UsageProblem, match="neither a client nor a transport"):
            recorder.attach(thing)


class TestAnswers:
    @each_stack
    def test_an_async_function(self, stack: Stack) -> None:
        async def answer(request: Any) -> Any:
            return recorder.reply(json={"n": 1}, headers={"content-type": "application/x+json"})

        with Recorder() as recorder:
            client = stack.make(
                recorder, transport=answer if stack.is_async else recorder.reply(json={"n": 1})
            )
            response = stack.send(client, "GET", URL)
        assert response.json() == {"n": 1}

    @each_stack
    @pytest.mark.parametrize(
        ("answer", "status", "body"),
        [
            (Status(503, "down"), 503, "down"),
            (Status(422, {"detail": "x"}), 422, '{"detail": "x"}'),
            (Delay(0.001, Delay(0.001, Status(201))), 201, ""),
            (Malformed(), 200, '{"text": "cut off'),
            (lambda request: {"path": request.url.path}, 200, '{"path": "/invoke"}'),
            (lambda request: "text", 200, "text"),
        ],
    )
    def test_replies_as_other_doubles_take_them(
        self, stack: Stack, answer: Any, status: int, body: str
    ) -> None:
        with Recorder() as recorder:
            response = stack.send(stack.make(recorder, transport=answer), "GET", URL)
        assert (response.status_code, response.text) == (status, body)

    def test_functions_that_do_not_answer(self) -> None:
        async def late(request: Any) -> None:
            pass

        with Recorder() as recorder:
            with pytest.raises(UsageProblem, match="returned None: return a response"):
                recorder.client(transport=lambda request: None).get(URL)
            with pytest.raises(UsageProblem, match="an async function cannot answer a sync client"):
                recorder.client(transport=late).get(URL)

    @each_stack
    def test_rate_limited_first(self, stack: Stack) -> None:
        async def body(client: Any) -> list[Any]:
            return [await client.get(URL) for _ in range(3)]

        with Recorder() as recorder:
            client = stack.make(recorder, transport=RateLimited(1, RateLimited(None, Status(200))))
            first, second, third = stack.run(client, body)
        assert [one.status_code for one in (first, second, third)] == [429, 429, 200]
        assert (first.headers["retry-after"], "retry-after" in second.headers) == ("1", False)

    @each_stack
    def test_a_connection_that_is_closed(self, stack: Stack) -> None:
        error = stack.module.RemoteProtocolError
        with Recorder() as recorder:
            with pytest.raises(error, match="Server disconnected without sending a response"):
                stack.send(stack.make(recorder, transport=Disconnect()), "GET", URL)
            with pytest.raises(error, match=r"received 3 bytes, expected 5"):
                stack.send(stack.make(recorder, transport=Disconnect("whole", after=3)), "GET", URL)
            with pytest.raises(OSError, match="gone"):
                stack.send(stack.make(recorder, transport=OSError("gone")), "GET", URL)
        assert [sent.status for sent in recorder.sent] == [None, 200, None]

    @each_stack
    def test_a_respx_router_answers_both_libraries(self, stack: Stack) -> None:
        import respx

        router = respx.Router(assert_all_called=True)
        route = router.post("http://tools.test/invoke", json={"name": "x"}).respond(
            201, json={"ok": True}, headers={"X-Reply": "r"}
        )
        with Recorder() as recorder:
            response = stack.send(stack.make(recorder, transport=router), "POST", URL, json={"name": "x"})
            assert isinstance(response, stack.module.Response)
            assert (response.status_code, response.json(), response.headers["x-reply"]) == (
                201,
                {"ok": True},
                "r",
            )
        assert route.call_count == 1
        assert json.loads(recorder.last.body) == {"name": "x"}

    @pytest.mark.parametrize("order", ["router first", "client first"])
    @pytest.mark.parametrize("using", ["httpcore", "httpx"])
    @pytest.mark.parametrize("stack", STACKS[:2], ids=["sync", "async"])  # respx knows no httpx2
    def test_respx_beside_the_recorder(self, stack: Stack, using: str, order: str) -> None:
        import respx

        with Recorder() as recorder:
            early = stack.make(recorder) if order == "client first" else None
            with respx.mock(using=using) as router:
                router.get(URL).respond(418)
                client = early or stack.make(recorder)
                assert stack.send(client, "GET", URL, headers={"X-Env": "A"}).status_code == 418
        assert (recorder.last.status, recorder.last.layer_of("x-env")) == (418, "request")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"transport": 3}, "transport=int: expected a transport, a function, reply"),
            ({"flavour": "requests"}, 'flavour=\'requests\': expected "httpx" or "httpx2"'),
            ({"app": print, "transport": print}, "app= and transport= both: only one of them can answer"),
        ],
    )
    def test_misuse(self, options: dict[str, Any], message: str) -> None:
        with Recorder() as recorder, pytest.raises(UsageProblem, match=message):
            recorder.client(**options)


class TestEnd:
    @pytest.mark.parametrize("flavour", ["httpx", "httpx2"])
    def test_an_async_client_that_holds_connections_is_told(self, flavour: str) -> None:
        recorder = Recorder()
        client = recorder.async_client(flavour)
        client._transport._pool._connections.append(object())  # as after a request; its loop is gone
        recorder.close()
        assert [str(failure) for failure in recorder.failures] == [
            "an AsyncClient still holds connections, which only its own loop can close: use it as"
            " `async with …:`, or `await client.aclose()`"
        ]

    def test_one_that_holds_none_needs_no_closing(self) -> None:
        with Recorder() as recorder:
            client = recorder.async_client(transport=recorder.reply())
            asyncio.run(client.get(URL))
        assert recorder.failures == []

    def test_sync_clients_are_closed(self) -> None:
        with Recorder() as recorder:
            client = recorder.client(transport=recorder.reply())
        assert client.is_closed


def test_secrets_are_in_memory_and_in_no_text() -> None:
    with Recorder() as recorder:
        client = recorder.client(
            transport=recorder.reply(headers={"Set-Cookie": "session=hush1"}),
            headers={"Authorization": "Bearer hush2abc", "X-Api-Key": "hush3", "X-Note": "Bearer hush4abc"},
        )
        client.get("http://user:hush5@tools.test/?api_key=hush6", headers={"x-api-key": "hush7"})
    sent = recorder.last
    assert sent.headers["x-api-key"] == "hush7"
    with pytest.raises(AssertionError) as failure:
        recorder.assert_header("x-api-key", "hush8")
    texts = [repr(sent), repr(sent.headers), repr(sent.layers), repr(sent.lost), repr(recorder), sent.title]
    texts += [str(failure.value), repr(sent.response_headers)]
    with pytest.raises(AssertionError) as failure:
        recorder.assert_sent_once("GET", "/?api_key=hush9")
    texts.append(str(failure.value))
    assert [text for text in texts if "hush" in text] == []
    assert texts[-3].startswith("in GET /: x-api-key: *** is sent, expected *** once\nsent: 1\n1. GET http")

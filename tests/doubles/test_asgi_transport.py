"""Requests to an app in this process: read while they are sent, told when the client goes, nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import anyio
import pytest
from httpx_stacks import Stack, each_stack

from pytest_mcpsmoke.doubles import asgi
from pytest_mcpsmoke.doubles.recording import Recorder

START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]}


def body(chunk: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


class Endless:
    """Sends events for ever; notes how it ended."""

    def __init__(self, listens: bool = False, sleeps: float = 0.001) -> None:
        self.ended: list[str] = []
        self.sent = 0
        self._listens = listens
        self._sleeps = sleeps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
            await send(START)
            while True:
                await send(body(b"data: %d\n\n" % self.sent, more=True))
                self.sent += 1
                if self._listens and self.sent >= 3:
                    self.ended.append((await receive())["type"])
                    return
                await asyncio.sleep(self._sleeps)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@each_stack
class TestStreams:
    @pytest.mark.parametrize(
        ("app", "end"),
        [
            (lambda: Endless(), "Disconnected"),
            (lambda: Endless(listens=True), "http.disconnect"),
            (lambda: Endless(sleeps=3600), "CancelledError"),
        ],
        ids=["sends", "listens", "sleeps"],
    )
    def test_an_endless_stream_ends_when_it_is_closed(
        self, stack: Stack, app: Any, end: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asgi, "GRACE", 0.05)
        endless = app()
        wanted = 1 if end == "CancelledError" else 3

        async def read(client: Any) -> list[bytes]:
            events = []
            async with client.stream("GET", "/events") as response:
                assert response.status_code == 200
                async for chunk in response.aiter_bytes():
                    events.append(chunk)
                    if len(events) == wanted:
                        break
            return events

        with Recorder() as recorder:
            events = stack.run(stack.make(recorder, app=endless), read)
        assert b"".join(events).startswith(b"data: 0\n\n")
        assert endless.ended == [end]

    def test_chunks_arrive_while_the_app_waits(self, stack: Stack) -> None:
        ready = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"one", more=True))
            while not ready.is_set():
                await asyncio.sleep(0.001)
            await send(body(b"two"))

        async def read(client: Any) -> list[bytes]:
            async with client.stream("GET", "/") as response:
                chunks = []
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)
                    ready.set()
                return chunks

        with Recorder() as recorder:
            assert stack.run(stack.make(recorder, app=app), read) == [b"one", b"two"]

    def test_an_app_is_not_far_ahead_of_its_reader(self, stack: Stack) -> None:
        endless = Endless(sleeps=0)

        async def read(client: Any) -> None:
            async with client.stream("GET", "/"):
                await asyncio.sleep(0.05)

        with Recorder() as recorder:
            stack.run(stack.make(recorder, app=endless), read)
        assert endless.sent <= 17

    def test_a_silent_app_ends_in_the_client_s_timeout(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asgi, "GRACE", 0.02)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/later":
                await send(START)
            await anyio.sleep(3600)

        for path in ("/", "/later"):
            with (
                Recorder() as recorder,
                pytest.raises(stack.module.ReadTimeout, match="the app sent nothing in time"),
            ):
                stack.send(stack.make(recorder, app=app, timeout=0.02), "GET", path)

    def test_a_streamed_request_body_reaches_the_app_in_chunks(self, stack: Stack) -> None:
        heard: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            while True:
                message = await receive()
                heard.append((message["body"], message["more_body"]))
                if not message["more_body"]:
                    break
            await send(START)
            await send(body(b"ok"))

        with Recorder() as recorder:
            stack.send(stack.make(recorder, app=app), "POST", "/", content=stack.chunks(b"a", b"b"))
            assert recorder.last.body == b"ab"
        assert heard == [(b"a", True), (b"b", True), (b"", False)]


@each_stack
class TestCalls:
    def test_the_scope(self, stack: Stack) -> None:
        scopes: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            assert await receive() == {"type": "http.request", "body": b"{}", "more_body": False}
            await send(
                {"type": "http.response.start", "status": 201, "headers": [(b"X-A", b"1"), (b"x-a", b"2")]}
            )
            await send(body(b""))

        with Recorder() as recorder:
            client = stack.make(recorder, app=app)
            response = stack.send(client, "POST", "/a%20b?c=d", content=b"{}", headers={"X-Env": "A"})
        (scope,) = scopes
        assert {
            key: scope[key] for key in ("type", "method", "path", "raw_path", "query_string", "server")
        } == {
            "type": "http",
            "method": "POST",
            "path": "/a b",
            "raw_path": b"/a%20b",
            "query_string": b"c=d",
            "server": ("testserver", 80),
        }
        assert (b"x-env", b"A") in scope["headers"]
        assert (response.status_code, response.headers.raw) == (201, [(b"X-A", b"1"), (b"x-a", b"2")])
        assert recorder.last.headers.casings("x-env") == ["X-Env"]

    def test_a_framework(self, stack: Stack) -> None:
        from fastapi import FastAPI
        from fastapi.responses import StreamingResponse

        app = FastAPI()
        done: list[str] = []

        @app.get("/events")
        async def events() -> StreamingResponse:
            async def endless() -> Any:
                try:
                    number = 0
                    while True:
                        yield f"data: {number}\n\n"
                        number += 1
                        await asyncio.sleep(0.001)
                finally:
                    done.append("left")

            return StreamingResponse(endless(), media_type="text/event-stream")

        async def read(client: Any) -> int:
            count = 0
            async with client.stream("GET", "/events") as response:
                async for _ in response.aiter_bytes():
                    count += 1
                    if count == 3:
                        break
            return count

        with Recorder() as recorder:
            assert stack.run(stack.make(recorder, app=app), read) == 3
        assert done == ["left"]

    def test_what_an_app_does_after_its_response_is_done_before_the_test_goes_on(self, stack: Stack) -> None:
        done: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"ok"))
            assert (await receive())["type"] == "http.request"
            assert (await receive())["type"] == "http.disconnect"
            await asyncio.sleep(0.02)
            done.append("background")

        with Recorder() as recorder:
            stack.send(stack.make(recorder, app=app), "GET", "/")
            assert done == ["background"]

    def test_a_head_request_has_no_body(self, stack: Stack) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"ok"))

        with Recorder() as recorder:
            assert stack.send(stack.make(recorder, app=app), "HEAD", "/").content == b""


@each_stack
class TestFaults:
    def test_what_the_app_raises_is_raised(self, stack: Stack) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/early":
                await send(START)
            if scope["path"] == "/complete":
                await send(body(b"ok"))
            raise LookupError("app")

        for path in ("/early", "/late", "/complete"):
            with Recorder() as recorder, pytest.raises(LookupError, match="app"):
                stack.send(stack.make(recorder, app=app), "GET", path)

    def test_or_answered_as_a_server_does(self, stack: Stack) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/early":
                await send(START)
            if scope["path"] == "/complete":
                await send(body(b"ok"))
            raise LookupError("app")

        with Recorder() as recorder:

            def ask(path: str) -> Any:
                transport = recorder.asgi(app, stack.flavour, raises=False)
                return stack.send(stack.make(recorder, transport=transport, base_url="http://a"), "GET", path)

            assert ask("/early").status_code == 500
            assert ask("/complete").text == "ok"
            with pytest.raises(stack.module.RemoteProtocolError, match="before its response was complete"):
                ask("/late")

    @pytest.mark.parametrize(
        ("messages", "told"),
        [
            ([], "the app returned without a response"),
            ([START, body(b"x", more=True)], "the app returned before its response was complete"),
        ],
    )
    def test_an_app_that_breaks_off(self, stack: Stack, messages: list[Any], told: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)

        with Recorder() as recorder, pytest.raises(stack.module.RemoteProtocolError, match=told):
            stack.send(stack.make(recorder, app=app), "GET", "/")

    @pytest.mark.parametrize(
        ("messages", "told"),
        [
            ([body(b"x")], "http.response.body before http.response.start"),
            ([START, START], "http.response.start twice"),
            ([START, body(b"x"), body(b"y")], "http.response.body after the response was complete"),
        ],
    )
    def test_an_app_that_breaks_the_rules(self, stack: Stack, messages: list[Any], told: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)

        with Recorder() as recorder, pytest.raises(RuntimeError, match=told):
            stack.send(stack.make(recorder, app=app), "GET", "/")

    def test_an_app_that_goes_on_for_ever_after_its_response(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asgi, "PATIENCE", 0.05)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"ok"))
            await asyncio.sleep(3600)

        with (
            Recorder() as recorder,
            pytest.raises(stack.module.RemoteProtocolError, match=r"went on for 0\.05 s"),
        ):
            stack.send(stack.make(recorder, app=app), "GET", "/")


class TestCancelling:
    def test_a_cancelled_request_ends_its_app(self) -> None:
        ended: list[str] = []
        asked = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            asked.set()
            ended.append((await receive())["type"])

        async def main(recorder: Recorder) -> None:
            async with recorder.async_client(app=app, timeout=None) as client:
                asking = asyncio.create_task(client.get("/"))
                await asked.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                assert ended == ["http.disconnect"]
                assert len(asyncio.all_tasks()) == 1

        with Recorder() as recorder:
            asyncio.run(main(recorder))

    def test_closing_the_client_ends_open_responses(self) -> None:
        endless = Endless()

        async def main(recorder: Recorder) -> None:
            client = recorder.async_client(app=endless)
            response = await client.send(client.build_request("GET", "/"), stream=True)
            await client.aclose()
            assert endless.ended == ["Disconnected"]
            await response.aclose()

        with Recorder() as recorder:
            asyncio.run(main(recorder))

    def test_the_sync_client_s_thread_ends_with_the_recorder(self) -> None:
        endless = Endless()
        with Recorder() as recorder:
            client = recorder.client(app=endless)
            client.send(client.build_request("GET", "/"), stream=True)
        assert endless.ended == ["Disconnected"]


@each_stack
class TestLifespan:
    def test_start_up_and_shutdown(self, stack: Stack) -> None:
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        told: list[str] = []

        @contextlib.asynccontextmanager
        async def lifespan(app: Any) -> Any:
            told.append("up")
            yield {"name": "state"}
            told.append("down")

        async def page(request: Any) -> PlainTextResponse:
            told.append(request.state.name)
            return PlainTextResponse("ok")

        app = Starlette(routes=[Route("/", page)], lifespan=lifespan)
        with Recorder() as recorder:
            transport = recorder.asgi(app, stack.flavour, lifespan=True)

            async def twice(client: Any) -> None:
                await client.get("/")
                await client.get("/")

            stack.run(stack.make(recorder, transport=transport, base_url="http://a"), twice)
        assert told == ["up", "state", "state", "down"]

    def test_a_start_up_that_fails(self, stack: Stack) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        with Recorder() as recorder:
            transport = recorder.asgi(app, stack.flavour, lifespan=True)
            client = stack.make(recorder, transport=transport, base_url="http://a")
            with pytest.raises(asgi.Unanswered, match=r"lifespan\.startup\.failed: no database"):
                stack.send(client, "GET", "/")


def test_200_requests_at_once_get_their_own_answers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.001)
        await send(START)
        await send(body(dict(scope["headers"])[b"x-key"]))

    async def main(recorder: Recorder) -> None:
        async with recorder.async_client("httpx2", app=app) as client:
            answers = await asyncio.gather(*(client.get("/", headers={"X-Key": str(n)}) for n in range(200)))
        assert [answer.text for answer in answers] == [str(n) for n in range(200)]
        assert len(asyncio.all_tasks()) == 1

    with Recorder() as recorder:
        start = time.monotonic()
        asyncio.run(main(recorder))
    assert all(start <= sent.started <= (sent.ended or 0) for sent in recorder.sent)

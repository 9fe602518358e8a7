"""Clients that the code under test makes itself: recorded through a stand-in for the module."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import types
from typing import Any

import httpx
import httpx2
import pytest

from pytest_mcpsmoke.doubles.recording import Recorder
from pytest_mcpsmoke.errors import UnexpectedCall, UsageProblem
from reference_app import http_tools_invoker
from reference_app.http_tools_invoker import HttpToolsInvoker, ToolServerError

URL = "http://tools.test/invoke"
LIBRARIES: list[Any] = [httpx, httpx2]
each_library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
CALL = {"function": {"name": "greet", "arguments": {"who": "you"}}}


def app_module(**names: Any) -> Any:
    """A module of an app that holds these names."""
    module = types.ModuleType("app")
    vars(module).update(names)
    return module


class TestInto:
    def test_the_reference_app_s_invoker(self) -> None:
        invoker = HttpToolsInvoker("http://tools.test", headers={"X-Env": "B"})
        with Recorder() as recorder:
            recorder.into("reference_app.http_tools_invoker", transport=recorder.reply(json={"text": "hi"}))
            assert asyncio.run(invoker.call_openai_tool(CALL)) == "hi"
            assert http_tools_invoker.httpx is not httpx
        assert http_tools_invoker.httpx is httpx
        sent = recorder.assert_sent_once("POST", "/invoke")
        recorder.assert_header("x-env", "B", casing="X-Env", layer="client")
        assert json.loads(sent.body) == {"name": "greet", "arguments": {"who": "you"}}

    def test_its_exceptions_are_the_library_s(self) -> None:
        def answer(request: Any) -> Any:
            raise httpx.ConnectError("down")

        with Recorder() as recorder:
            recorder.into(http_tools_invoker, transport=answer)
            with pytest.raises(httpx.ConnectError):
                asyncio.run(HttpToolsInvoker("http://tools.test").list_openai_tools())
            with pytest.raises(httpx.HTTPError):
                asyncio.run(HttpToolsInvoker("http://tools.test").list_openai_tools())

    def test_an_app_answers(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 500})
            await send({"type": "http.response.body", "body": b"broken"})

        with Recorder() as recorder:
            recorder.into(http_tools_invoker, app=app)
            with pytest.raises(ToolServerError, match="HTTP 500: broken"):
                asyncio.run(HttpToolsInvoker("http://tools.test").call_openai_tool(CALL))
        recorder.assert_sent_once("POST", "http://tools.test/invoke")

    @each_library
    @pytest.mark.parametrize("name", ["httpx", "http", "Client", "fetch"])
    def test_whatever_name_it_has(self, library: Any, name: str) -> None:
        value = {"Client": library.Client, "fetch": library.get}.get(name, library)
        module = app_module(**{name: value}, other=json_free())
        before = dict(vars(module))
        with Recorder() as recorder:
            recorder.into(module, transport=recorder.reply(204))
            found = getattr(module, name)
            if name == "fetch":
                found(URL, headers={"X-Env": "A"})
            else:
                client = found() if name == "Client" else found.Client()
                with client:
                    client.get(URL, headers={"X-Env": "A"})
            assert vars(module) | {name: value} == before
        assert vars(module) == before
        recorder.assert_header("x-env", "A", layer="request")
        assert recorder.last.flavour == library.__name__

    def test_several_modules_and_both_libraries(self) -> None:
        one, other = app_module(httpx=httpx, new=httpx2), app_module(AsyncClient=httpx2.AsyncClient)
        with Recorder() as recorder:
            recorder.into(one, other, transport=recorder.reply())
            one.httpx.get(URL)
            one.new.get(URL)

            async def ask() -> None:
                async with other.AsyncClient() as client:
                    await client.get(URL)

            asyncio.run(ask())
        assert [sent.flavour for sent in recorder.sent] == ["httpx", "httpx2", "httpx2"]

    @each_library
    def test_a_client_that_the_module_holds(self, library: Any) -> None:
        client = library.Client(headers={"X-Env": "A"})
        module = app_module(CLIENT=client)
        before = dict(vars(client))
        with Recorder() as recorder:
            recorder.into(module, transport=recorder.reply(418))
            assert module.CLIENT is client
            assert client.get("http://no.such.host.invalid/").status_code == 418
        recorder.assert_header("x-env", "A", layer="client")
        assert vars(client) | {"_state": None} == before | {"_state": None}
        client.close()

    def test_two_recorders_in_one_module(self) -> None:
        module = app_module(httpx=httpx, Client=httpx.Client)
        with Recorder() as one, Recorder() as other:
            one.into(module, transport=one.reply(201))
            other.into(module, transport=other.reply(202))
            assert [client().get(URL).status_code for client in (module.httpx.Client, module.Client)] == [
                202,
                202,
            ]
        assert (len(one.sent), len(other.sent)) == (0, 2)
        assert (module.httpx, module.Client) == (httpx, httpx.Client)

    @pytest.mark.parametrize("stub", [None, types.ModuleType("httpx2")])
    def test_a_stub_of_the_other_library(self, stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "httpx2", stub)
        module = app_module(httpx=httpx)
        with Recorder() as recorder:
            recorder.into(module, transport=recorder.reply())
            module.httpx.get(URL)
        recorder.assert_sent_once("GET", "/invoke")

    def test_a_module_without_one_is_refused(self) -> None:
        with Recorder() as recorder, pytest.raises(UsageProblem) as refused:
            recorder.into(app_module())
        assert str(refused.value) == (
            "app has no name for httpx, httpx2 or a client of theirs: name the module that makes the client,"
            " or give the client to attach()"
        )

    def test_without_an_answer_requests_go_out_and_are_recorded(self) -> None:
        with Recorder() as recorder:
            recorder.into(http_tools_invoker)
            with pytest.raises(httpx.ConnectError):
                asyncio.run(HttpToolsInvoker("http://127.0.0.1:9").list_openai_tools())
        assert isinstance(recorder.last.error, httpx.ConnectError)

    def test_a_transport_of_the_code_s_own_is_kept(self) -> None:
        module = app_module(httpx=httpx)
        with Recorder() as recorder:
            recorder.into(module, transport=recorder.reply(500))
            client = module.httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(201)))
            assert client.get(URL).status_code == 201
        assert recorder.last.status == 201


def json_free() -> object:
    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked whether it is equal")

        __hash__ = None  # type: ignore[assignment]

    return Hostile


@each_library
class TestStandIn:
    def test_every_other_name_is_the_library_s(self, library: Any) -> None:
        with Recorder() as recorder:
            stand_in = recorder.stand_in(library.__name__)
            ours = {
                "Client",
                "AsyncClient",
                *(["delete", "get", "head", "options", "patch", "post", "put", "request", "stream"]),
            }
            ours |= {"query", "websocket"} & set(library.__all__)
            for name in set(library.__all__) - {"main"}:
                assert (getattr(stand_in, name) is getattr(library, name)) == (name not in ours), name
            assert set(library.__all__) <= set(dir(stand_in))
            with pytest.raises(AttributeError, match="no_such_name"):
                _ = stand_in.no_such_name

    def test_kinds_hold(self, library: Any) -> None:
        with Recorder() as recorder:
            stand_in = recorder.stand_in(library.__name__, transport=recorder.reply())
            client, real = stand_in.Client(), library.Client(transport=library.MockTransport(print))
            assert isinstance(client, library.Client)
            assert isinstance(client, stand_in.Client)
            assert isinstance(real, stand_in.Client)
            assert not isinstance(client, stand_in.AsyncClient)
            assert issubclass(library.Client, stand_in.Client)
            assert type(client).__name__ == "Client"
            assert type(client).__module__ == library.__name__

            class Own(stand_in.Client):  # type: ignore[misc, name-defined]
                pass

            assert Own().get(URL).status_code == 200
            assert isinstance(Own(), Own)
            assert not isinstance(client, Own)
            assert not issubclass(library.Client, Own)
        assert len(recorder.sent) == 1

    def test_signatures_are_true(self, library: Any) -> None:
        with Recorder() as recorder:
            stand_in = recorder.stand_in(library.__name__)
            for name in ("get", "post", "request", "stream", "Client", "AsyncClient"):
                ours, real = getattr(stand_in, name), getattr(library, name)
                assert inspect.signature(ours).parameters == inspect.signature(real).parameters
            with pytest.raises(TypeError, match="unexpected keyword argument"):
                stand_in.Client(heders={})
            with pytest.raises(TypeError, match="unexpected keyword argument"):
                stand_in.get(URL, heders={})

    def test_functions_are_recorded(self, library: Any) -> None:
        with Recorder() as recorder:
            stand_in = recorder.stand_in(library.__name__, transport=recorder.reply(text="ok"))
            assert stand_in.post(URL, json={"a": 1}, headers={"X-Env": "A"}).text == "ok"
            assert stand_in.request("PUT", URL).status_code == 200
            with stand_in.stream("GET", URL) as response:
                assert response.read() == b"ok"
        assert [sent.method for sent in recorder.sent] == ["POST", "PUT", "GET"]
        recorder.assert_header("x-env", "A", layer="request", method="POST")

    def test_the_real_module_is_not_touched(self, library: Any) -> None:
        before = dict(vars(library)), dict(library.get.__globals__), dict(vars(library.Client))
        with Recorder() as recorder:
            stand_in = recorder.stand_in(library.__name__, transport=recorder.reply())
            stand_in.get(URL)
            assert (dict(vars(library)), dict(library.get.__globals__), dict(vars(library.Client))) == before
            with pytest.raises(UnexpectedCall):
                library.get("http://127.0.0.1:9/")
            recorder.failures.clear()

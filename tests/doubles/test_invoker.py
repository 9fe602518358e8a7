"""The fake invoker: what it offers, what it answers, what it refuses, and what it keeps."""

from __future__ import annotations

import asyncio
import inspect
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pytest_mcpsmoke import Delay, Disconnect, Malformed, RateLimited, Status
from pytest_mcpsmoke.doubles.invoker import FakeInvoker
from pytest_mcpsmoke.errors import UnexpectedCall, UnusedScript


def ask(invoker: Any, name: str, arguments: Any = None) -> str:
    function = {"name": name, "arguments": {} if arguments is None else arguments}
    return asyncio.run(invoker.call_openai_tool({"id": "c1", "type": "function", "function": function}))


def catalogue(invoker: Any) -> Any:
    return asyncio.run(invoker.list_openai_tools())


class TestTools:
    def test_a_tool_by_name_is_offered_and_answers_in_turn(self) -> None:
        with FakeInvoker() as fake:
            fake.tool("weather", "sunny", {"temp": 3}, description="Weather.", parameters={"type": "object"})
            assert catalogue(fake) == [
                {
                    "type": "function",
                    "function": {
                        "name": "weather",
                        "description": "Weather.",
                        "parameters": {"type": "object"},
                    },
                }
            ]
            assert [ask(fake, "weather"), ask(fake, "weather", {"city": "Kyiv"})] == ["sunny", '{"temp": 3}']
            assert (fake.listings, repr(fake.calls)) == (1, "[weather(), weather(city='Kyiv')]")

    def test_a_function_is_a_tool_that_answers_every_call(self) -> None:
        with FakeInvoker() as fake:

            @fake.tool
            def add(a: int, b: int = 2) -> int:
                """Add two numbers."""
                return a + b

            @fake.tool
            async def greet(name: str) -> str:
                await asyncio.sleep(0)
                return f"hello {name}"

            assert add(1) == 3  # it stays the function it was
            assert catalogue(fake)[0]["function"] == {
                "name": "add",
                "description": "Add two numbers.",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
                    "required": ["a"],
                },
            }
            assert [ask(fake, "add", {"a": 1}), ask(fake, "add", '{"a": 1, "b": 5}')] == ["3", "6"]
            assert ask(fake, "greet", {"name": "Ada"}) == "hello Ada"
            assert [call.arguments for call in fake.calls] == [{"a": 1}, {"a": 1, "b": 5}, {"name": "Ada"}]

    def test_an_expected_call_goes_before_the_function(self) -> None:
        with FakeInvoker() as fake:
            fake.tool(lambda_tool := _named("clock", lambda: "now"))
            fake.expect("clock", {}, TimeoutError("slow"))
            with pytest.raises(TimeoutError, match="slow"):
                ask(fake, "clock")
            assert ask(fake, "clock") == lambda_tool()

    def test_what_nothing_else_answers_may_always_be_answered(self) -> None:
        with FakeInvoker() as fake:
            fake.tool("t", "once").tool(_named("clock", lambda: "now"))
            fake.always(None)
            replies = [ask(fake, name) for name in ("t", "t", "clock", "other")]
            assert replies == ["once", "null", "now", "null"]
        FakeInvoker().always("never asked for").verify()

    def test_a_function_may_return_any_reply(self) -> None:
        with FakeInvoker() as fake:
            replies = [Delay(0, "late"), Status(503, "down"), RateLimited(0, "in the end")]
            fake.tool(_named("t", lambda: replies.pop(0)))
            assert ask(fake, "t") == "late"
            with pytest.raises(RuntimeError, match="HTTP 503: down"):
                ask(fake, "t")
            assert (ask(fake, "t"), fake.calls[-1].attempts) == ("in the end", 2)

    @pytest.mark.parametrize("tool", [3, None])
    def test_what_is_no_tool_is_refused(self, tool: Any) -> None:
        with pytest.raises(TypeError, match="a function alone, or a name and its replies"):
            FakeInvoker().tool(tool)

    def test_an_expected_call_needs_a_reply(self) -> None:
        with pytest.raises(TypeError, match=r"expect\('weather', …\) needs at least one reply"):
            FakeInvoker().expect("weather", None)


def _named(name: str, function: Any) -> Any:
    function.__name__ = name
    return function


class TestReplies:
    @pytest.mark.parametrize(
        ("reply", "text"),
        [
            ("plain", "plain"),
            ({"é": [1, None]}, '{"é": [1, null]}'),
            (None, "null"),
            (Status(200, "fine"), "fine"),
            (Status(201, {"a": 1}), '{"a": 1}'),
            (Delay(0, "late"), "late"),
            (RateLimited(1, "in the end"), "in the end"),
            (Malformed(b"{cut"), "{cut"),
        ],
        ids=str,
    )
    def test_is_a_text(self, reply: Any, text: str) -> None:
        with FakeInvoker() as fake:
            fake.expect("t", None, reply)
            assert ask(fake, "t") == text
            assert fake.calls[0].reply == text

    @pytest.mark.parametrize(
        ("reply", "kind", "text"),
        [
            (Status(503, "down"), LookupError, "HTTP 503: down"),
            (Status(500, "x" * 300), LookupError, "HTTP 500: " + "x" * 256),
            (Status(404, {"detail": "no"}), LookupError, 'HTTP 404: {"detail": "no"}'),
            (RateLimited(1, Status(429, "again")), LookupError, "HTTP 429: again"),
            (OSError("gone"), OSError, "gone"),
            (KeyError, KeyError, ""),
            (Disconnect(), ConnectionError, "closed the connection"),
        ],
        ids=str,
    )
    def test_is_an_exception(self, reply: Any, kind: type[Exception], text: str) -> None:
        with FakeInvoker(error=LookupError) as fake:
            fake.expect("t", None, reply)
            with pytest.raises(kind) as caught:
                ask(fake, "t")
            assert text in str(caught.value)
            assert (fake.calls[0].error, fake.calls[0].reply) == (caught.value, None)

    def test_a_429_is_two_attempts_of_one_call(self) -> None:
        with FakeInvoker() as fake:
            fake.tool("t", RateLimited(1, "yes"), "at once")
            assert [ask(fake, "t"), ask(fake, "t")] == ["yes", "at once"]
            assert [call.attempts for call in fake.calls] == [2, 1]

    @pytest.mark.parametrize("code", [0, 99, 600])
    def test_a_status_is_one(self, code: int) -> None:
        with pytest.raises(ValueError, match=f"^{code} is no HTTP status: give one from 100 to 599$"):
            Status(code)

    @pytest.mark.parametrize("seconds", [-1, float("nan")])
    def test_a_delay_is_not_negative(self, seconds: float) -> None:
        with pytest.raises(ValueError, match="give seconds from 0 on"):
            Delay(seconds, "x")

    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (Status(503, "down"), "HTTP 503: down"),
            (OSError("gone"), "gone"),
            (Malformed(), "not a JSON list"),
        ],
        ids=str,
    )
    def test_a_listing_is_scripted_too(self, reply: Any, said: str) -> None:
        with FakeInvoker() as fake:
            fake.tool("t", "x").catalogue(reply, Delay(0, [{"odd": 1}]), RateLimited(0, []))
            with pytest.raises((RuntimeError, OSError), match=said):
                catalogue(fake)
            assert [catalogue(fake), catalogue(fake)] == [[{"odd": 1}], []]
            assert [tool["function"]["name"] for tool in catalogue(fake)] == ["t"]
            assert (ask(fake, "t"), fake.listings) == ("x", 4)


class TestRefusals:
    def test_an_unscripted_call_says_what_came_and_what_was_expected(self) -> None:
        fake = FakeInvoker()

        @fake.tool
        def add(a: int) -> int:
            return a

        fake.expect("weather", {"city": "Kyiv"}, "sunny").expect("login", None, Status(401, "no"))
        ask(fake, "add", {"a": 1})
        with pytest.raises(UnexpectedCall) as caught:
            ask(fake, "weather", {"city": "Oslo", "api_key": "hunter22"})
        assert str(caught.value).splitlines() == [
            "fake_invoker: unscripted tool call weather(city='Oslo', api_key=str ***)",
            "expected:",
            "  1. weather(city='Kyiv') -> 'sunny'",
            "  2. login(…) -> 401 'no'",
            "  3. add(a: 'int') -> 'int', any number of times",
            "made before:",
            "  1. add(a=1)",
            """to script it: expect('weather', {"city": "Oslo", "api_key": "***"}, <reply>)""",
        ]
        assert fake.failures == [caught.value]
        assert fake.calls[-1].arguments["api_key"] == "hunter22"  # in memory it is all there

    def test_a_call_that_was_swallowed_is_raised_at_the_end(self) -> None:
        def swallow(fake: FakeInvoker) -> None:
            try:
                ask(fake, "x")
            except AssertionError:
                pass

        with pytest.raises(UnexpectedCall, match=r"unscripted tool call x\(\)"), FakeInvoker() as fake:
            swallow(fake)

    def test_each_reply_is_for_one_call(self) -> None:
        fake = FakeInvoker().tool("t", "once")
        ask(fake, "t")
        with pytest.raises(UnexpectedCall, match=r"(?s)unscripted tool call t\(\)\nexpected:\n  no call\n"):
            ask(fake, "t")

    def test_arguments_that_do_not_suit_a_function_are_refused(self) -> None:
        fake = FakeInvoker()
        fake.tool(_named("now", lambda zone: zone))
        with pytest.raises(UnexpectedCall) as caught:
            ask(fake, "now", {"zonne": "UTC"})
        said = "fake_invoker: now(zonne='UTC') does not suit now(zone): missing a required argument: 'zone'"
        assert str(caught.value) == said

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            ({}, "no tool call, function.name is missing: {}"),
            ({"function": {"name": ""}}, "no tool call, function.name is missing"),
            ({"function": {"name": "t", "arguments": "[1]"}}, "t: the arguments are no JSON object: '[1]'"),
            ({"function": {"name": "t", "arguments": "{"}}, "t: the arguments are no JSON object: '{'"),
        ],
        ids=str,
    )
    def test_what_is_no_tool_call_is_refused(self, call: Any, said: str) -> None:
        fake = FakeInvoker()
        with pytest.raises(UnexpectedCall) as caught:
            asyncio.run(fake.call_openai_tool(call))
        assert said in str(caught.value)

    def test_what_is_left_over_is_told_at_the_end(self) -> None:
        fake = FakeInvoker().expect("weather", {"city": "Kyiv"}, "sunny").tool("t", "a", "b")
        fake.catalogue(Status(503))
        ask(fake, "t")
        with pytest.raises(UnusedScript) as caught:
            fake.verify()
        assert str(caught.value).splitlines() == [
            "fake_invoker: 3 scripted calls were never made",
            "  1. weather(city='Kyiv') -> 'sunny'",
            "  2. t(…) -> 'b'",
            "  3. a listing -> 503 ''",
            "made:",
            "  1. t()",
        ]

    def test_the_block_s_own_failure_goes_before_what_is_left(self) -> None:
        with pytest.raises(ZeroDivisionError), FakeInvoker() as fake:
            fake.tool("t", str(1 / 0))

    def test_one_that_is_not_strict_answers_as_an_unknown_tool_does(self) -> None:
        with FakeInvoker(strict=False) as fake:
            fake.tool("t", "left over")
            with pytest.raises(LookupError, match=r"^no tool answers other\(\); offered: t$"):
                ask(fake, "other")


class Real:
    """Stands for the program's invoker."""

    def __init__(self, base_url: str, headers: dict[str, str] | None = None, *, timeout: float = 5) -> None:
        raise AssertionError("the real constructor must not run")

    async def aclose(self) -> None: ...


class TestFactory:
    def test_it_has_the_true_signature_and_keeps_what_each_was_made_with(self) -> None:
        with FakeInvoker() as fake:
            made = fake.factory(Real)
            assert inspect.signature(made) == inspect.signature(Real)
            assert made.__name__ == "Real"
            one = made("http://a", headers={"Authorization": "Bearer hunter22"})
            two = made(base_url="http://b", timeout=1)
            assert [(i.base_url, i.headers) for i in fake.instances] == [
                ("http://a", {"Authorization": "Bearer hunter22"}),
                ("http://b", {}),
            ]
            assert (two.base_url, two.timeout, one.timeout) == ("http://b", 1, 5)
            assert "hunter22" not in repr(fake.instances)
            assert isinstance(one, made)

    @pytest.mark.parametrize(
        ("args", "kwargs"), [((), {}), (("u", {}, 1), {}), (("u",), {"header": {}})], ids=str
    )
    def test_a_wrong_call_is_the_class_s_own_type_error(self, args: Any, kwargs: Any) -> None:
        with pytest.raises(TypeError) as expected:
            inspect.signature(Real).bind(*args, **kwargs)
        with FakeInvoker() as fake:
            with pytest.raises(TypeError) as caught:
                fake.factory(Real)(*args, **kwargs)
            assert (str(caught.value), fake.instances) == (str(expected.value), [])

    def test_without_a_class_it_takes_a_base_url_and_headers(self) -> None:
        with FakeInvoker() as fake:
            fake.factory()("http://a", headers={"X": "1"})
            assert fake.instances[0].headers == {"X": "1"}

    def test_calls_tell_which_object_was_asked(self) -> None:
        with FakeInvoker() as fake:
            fake.tool("t", "1", "2")
            one, two = (fake.factory(Real)(url) for url in ("http://a", "http://b"))
            assert ask(two, "t") + ask(one, "t") == "12"
            assert [call.instance and call.instance.base_url for call in fake.calls] == [
                "http://b",
                "http://a",
            ]

    def test_closing_is_noted_where_the_class_can_be_closed(self) -> None:
        with FakeInvoker() as fake:
            one = fake.factory(Real)("http://a")
            asyncio.run(one.aclose())
            assert fake.instances[0].closed
            assert not hasattr(fake.factory()("http://a"), "aclose")


class TestServed:
    """The same script, as a tool server on a socket."""

    def test_offers_and_answers(self) -> None:
        with FakeInvoker() as fake, httpx.Client(base_url=fake.serve()) as client:
            fake.tool("weather", "sunny", {"temp": 3}, Malformed(b"{cut"))
            assert client.get("/tools").json() == fake.offered()
            replies = [client.post("/invoke", json={"name": "weather", "arguments": {}}) for _ in range(3)]
            assert [reply.content for reply in replies] == [b'{"text": "sunny"}', b'{"temp": 3}', b"{cut"]
            assert {reply.headers["content-type"] for reply in replies} == {"application/json"}
            assert len(fake.calls) == 3
            fake.journal.assert_requests(3, "POST", "/invoke")

    @pytest.mark.parametrize(
        ("retry_after", "header"),
        [
            (1, "1"),
            (0.25, "0.25"),
            ("soon", "soon"),
            (None, None),
            (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "Wed, 02 Jan 2030 03:04:05 GMT"),
        ],
        ids=str,
    )
    def test_a_429_is_one_request_and_its_success_the_next(self, retry_after: Any, header: Any) -> None:
        with FakeInvoker() as fake, httpx.Client(base_url=fake.serve()) as client:
            fake.expect("t", None, RateLimited(retry_after, "yes"))
            one, two = (client.post("/invoke", json={"name": "t", "arguments": {}}) for _ in range(2))
            assert (one.status_code, one.headers.get("retry-after")) == (429, header)
            assert (two.status_code, two.json()) == (200, {"text": "yes"})

    def test_the_second_half_of_a_429_is_left_over_when_nobody_asks_again(self) -> None:
        fake = FakeInvoker().expect("t", None, RateLimited(1, "yes"))
        httpx.post(f"{fake.serve()}/invoke", json={"name": "t"})
        with pytest.raises(UnusedScript, match=r"t\(\) -> 'yes'"), fake:
            pass

    @pytest.mark.parametrize(
        ("reply", "status", "text"),
        [
            (Status(503, "down", {"X-A": "b"}), 503, "down"),
            (OSError("gone"), 500, "gone"),
            (Delay(0, Status(404, {"no": 1})), 404, '{"no": 1}'),
        ],
        ids=str,
    )
    def test_faults_are_statuses(self, reply: Any, status: int, text: str) -> None:
        with FakeInvoker() as fake:
            fake.expect("t", None, reply)
            response = httpx.post(f"{fake.serve()}/invoke", json={"name": "t"})
            assert (response.status_code, response.text) == (status, text)

    @pytest.mark.parametrize("after", [0, 4])
    def test_a_disconnect_is_a_broken_connection(self, after: int) -> None:
        with FakeInvoker() as fake:
            fake.expect("t", None, Disconnect("a longer text", after))
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.post(f"{fake.serve()}/invoke", json={"name": "t"})
            fake.journal.assert_one("POST", "/invoke")

    def test_a_function_may_return_any_reply_here_too(self) -> None:
        with FakeInvoker() as fake:
            replies = [Delay(0, {"n": 1}), RateLimited(0, "in the end"), Status(503, "down")]
            fake.always(lambda **_: replies.pop(0))
            got = [httpx.post(f"{fake.serve()}/invoke", json={"name": "t"}) for _ in range(4)]
            assert [(one.status_code, one.text) for one in got] == [
                (200, '{"n": 1}'),
                (429, "rate limited"),
                (200, '{"text": "in the end"}'),
                (503, "down"),
            ]

    def test_an_unscripted_call_is_answered_and_fails_the_test(self) -> None:
        fake = FakeInvoker()
        response = httpx.post(f"{fake.serve()}/invoke", json={"name": "t"})
        assert response.status_code == 501
        assert response.text.startswith("fake_invoker: unscripted tool call t()")
        with pytest.raises(UnexpectedCall, match=r"unscripted tool call t\(\)"), fake:
            pass

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"name": 1}', b'{"name": "t", "arguments": []}'])
    def test_a_malformed_request_is_a_400(self, body: bytes) -> None:
        with FakeInvoker() as fake:
            assert httpx.post(f"{fake.serve()}/invoke", content=body).status_code == 400

    def test_another_route_is_a_404_that_names_the_routes(self) -> None:
        with FakeInvoker() as fake:
            response = httpx.get(f"{fake.serve()}/other")
            assert (response.status_code, response.text) == (
                404,
                "no GET /other here; there are GET /tools and POST /invoke",
            )

    def test_serving_twice_is_one_server_and_closing_twice_is_fine(self) -> None:
        fake = FakeInvoker()
        url = fake.serve()
        assert fake.serve() == url
        fake.close()
        fake.close()
        fake.journal.assert_no_requests()  # it can still be read
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/tools")


def test_replies_are_json_in_the_order_of_calls_when_calls_run_at_once() -> None:
    async def both(fake: FakeInvoker) -> list[str]:
        calls = [{"function": {"name": "t", "arguments": json.dumps({"n": n})}} for n in range(20)]
        return await asyncio.gather(*map(fake.call_openai_tool, calls))

    with FakeInvoker() as fake:
        for n in range(20):
            fake.expect("t", {"n": n}, Delay(0.001 * (n % 3), str(n)))
        assert asyncio.run(both(fake)) == [str(n) for n in range(20)]
        assert [call.arguments["n"] for call in fake.calls] == list(range(20))

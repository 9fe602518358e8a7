"""The scripted model: as a router's callable and as a server, from one script."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from pytest_mcpsmoke import Delay, Disconnect, Malformed, RateLimited, Status
from pytest_mcpsmoke.doubles.model import ScriptedModel
from pytest_mcpsmoke.errors import UnexpectedCall, UnusedScript

USER = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def ask(model: ScriptedModel, messages: Any = (USER,), name: str = "m", **options: Any) -> Any:
    return asyncio.run(model(name, list(messages), **options))


def text_of(completion: Any) -> str:
    text: str = completion["choices"][0]["message"]["content"]
    return text


def stream(model: ScriptedModel, **options: Any) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        return [chunk async for chunk in await model("m", [USER], stream=True, **options)]

    return asyncio.run(read())


def glued(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client puts together from a stream."""
    message: dict[str, Any] = {"content": "", "tool_calls": []}
    for delta in [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]:
        message["content"] += delta.get("content", "")
        for part in delta.get("tool_calls", []):
            if part["index"] == len(message["tool_calls"]):
                message["tool_calls"].append({"name": part["function"]["name"], "arguments": ""})
            message["tool_calls"][part["index"]]["arguments"] += part["function"]["arguments"]
    return message


class TestCalled:
    def test_it_answers_turn_by_turn_and_keeps_what_each_saw(self) -> None:
        with ScriptedModel() as model:
            model.calls(("weather", {"city": "Kyiv"}), ("clock", {}), text="wait").says("sunny")
            first = ask(model, tools=TOOLS, temperature=0)
            message = first["choices"][0]["message"]
            assert message == {
                "role": "assistant",
                "content": "wait",
                "tool_calls": [
                    {
                        "id": "call_1_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Kyiv"}'},
                    },
                    {"id": "call_1_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
                ],
            }
            assert first.choices[0].message.tool_calls[0].function.name == "weather"  # as attributes, too
            assert first.choices[0].finish_reason == "tool_calls"
            replies = [{"role": "tool", "tool_call_id": f"call_1_{n}", "content": "x"} for n in (1, 2)]
            second = ask(model, [USER, message, *replies], "big")
            assert (text_of(second), second.choices[0].finish_reason) == ("sunny", "stop")
            assert second.usage.prompt_tokens + second.usage.completion_tokens == second.usage.total_tokens
            one, two = model.turns
            assert (one.model, one.messages, one.tool_names, one.options) == (
                "m",
                [USER],
                ["weather"],
                {"temperature": 0},
            )
            assert (two.model, len(two.messages), two.tools, two.stream) == ("big", 4, None, False)
            assert two.answer == {"role": "assistant", "content": "sunny"}

    def test_what_a_turn_saw_does_not_change_afterwards(self) -> None:
        history = [dict(USER)]
        with ScriptedModel() as model:
            model.says("x")
            asyncio.run(model("m", history))
            history[0]["content"] = "changed"
            history.append(USER)
            assert model.turns[0].messages == [USER]

    @pytest.mark.parametrize(
        ("reply", "text"),
        [
            ("text", "text"),
            ({"content": "raw"}, "raw"),
            ({"choices": [{"message": {"content": "whole"}}]}, "whole"),
            (lambda turn: f"turn {turn.number} of {turn.model}", "turn 1 of m"),
            (Delay(0, "late"), "late"),
        ],
    )
    def test_replies(self, reply: Any, text: str) -> None:
        with ScriptedModel() as model:
            model.script(reply)
            assert text_of(ask(model)) == text

    def test_an_async_function_answers_too(self) -> None:
        async def answer(turn: Any) -> str:
            return str(turn.messages[-1]["content"]).upper()

        with ScriptedModel() as model:
            assert text_of(ask(model.always(answer))) == "HI"

    @pytest.mark.parametrize(
        ("reply", "kind", "text"),
        [
            (Status(429, "slow down"), LookupError, "HTTP 429: slow down"),
            (OSError("gone"), OSError, "gone"),
            (KeyError, KeyError, ""),
            (Disconnect(), ConnectionError, "closed the connection"),
            (Malformed(), ValueError, ""),
        ],
        ids=str,
    )
    def test_faults_are_raised(self, reply: Any, kind: type[Exception], text: str) -> None:
        with ScriptedModel(error=LookupError) as model:
            model.script(reply)
            with pytest.raises(kind) as caught:
                ask(model)
            assert text in str(caught.value)
            assert model.turns[0].answer is None

    def test_a_429_is_one_turn_and_its_success_the_next(self) -> None:
        with ScriptedModel() as model:
            model.script(RateLimited(1, "yes"), "and then")
            with pytest.raises(RuntimeError, match=r"^HTTP 429: rate limited$"):
                ask(model)
            assert [text_of(ask(model)), text_of(ask(model))] == ["yes", "and then"]

    def test_after_the_script_it_may_always_answer(self) -> None:
        with ScriptedModel() as model:
            model.says("first").always("more")
            assert [text_of(ask(model)) for _ in range(3)] == ["first", "more", "more"]

    @pytest.mark.parametrize("calls", [(), ("weather",), (("weather",),), (("weather", "Kyiv"),)])
    def test_calls_are_pairs(self, calls: Any) -> None:
        with pytest.raises(TypeError, match="takes pairs of a name and its arguments"):
            ScriptedModel().calls(*calls)

    def test_what_is_no_answer_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match=r"^scripted_model: 3 is no answer"):
            ask(ScriptedModel().script(3))

    def test_messages_may_be_the_models_that_clients_hand_out(self) -> None:
        class Message:
            def model_dump(self, *, exclude_none: bool) -> dict[str, Any]:
                return {"role": "assistant", "content": "hello"} if exclude_none else {"role": None}

        with ScriptedModel() as model:
            ask(model.says("x"), [USER, Message()])
            assert model.turns[0].messages == [USER, {"role": "assistant", "content": "hello"}]


class TestStreamed:
    def test_a_stream_is_the_same_answer_in_pieces(self) -> None:
        with ScriptedModel() as model:
            model.says("It is  sunny, é.").calls(("weather", {"city": "Kyiv, Ukraine"}), ("clock", {}))
            chunks = stream(model)
            assert glued(chunks)["content"] == "It is  sunny, é."
            assert len(chunks) >= 5
            assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
            assert glued(stream(model))["tool_calls"] == [
                {"name": "weather", "arguments": '{"city": "Kyiv, Ukraine"}'},
                {"name": "clock", "arguments": "{}"},
            ]

    def test_usage_comes_last_when_it_is_asked_for(self) -> None:
        with ScriptedModel() as model:
            model.says("a b").says("a b")
            assert all("usage" not in chunk for chunk in stream(model))
            chunks = stream(model, stream_options={"include_usage": True})
            assert (chunks[-1]["choices"], set(chunks[-1]["usage"])) == (
                [],
                {"prompt_tokens", "completion_tokens", "total_tokens"},
            )

    def test_a_stream_may_break_in_the_middle(self) -> None:
        async def read(model: ScriptedModel) -> list[Any]:
            got: list[Any] = []
            try:
                async for chunk in await model("m", [USER], stream=True):
                    got.append(chunk)
            except ConnectionError:
                return got
            raise AssertionError("the stream came to its end")

        with ScriptedModel() as model:
            model.script(Disconnect("one two three four five six", after=500))
            assert 0 < len(asyncio.run(read(model))) < 7


class TestRefusals:
    def test_an_unexpected_turn_is_shown_against_the_script(self) -> None:
        model = ScriptedModel().calls(("login", {"password": "hunter22"})).says("done")
        ask(model)
        ask(model)
        with pytest.raises(UnexpectedCall) as caught:
            ask(model, [USER, {"role": "user", "content": "and?"}])
        assert str(caught.value).splitlines() == [
            "scripted_model: unexpected turn, the script has 2",
            "--- script",
            "+++ asked",
            " turn 1: calls login(password=str ***)",
            " turn 2: says 'done'",
            "+turn 3: asks 'm', 2 messages, the last: user 'and?'",
        ]
        assert model.failures == [caught.value]

    def test_without_a_script_every_turn_is_unexpected(self) -> None:
        with pytest.raises(UnexpectedCall, match=r"^scripted_model: unexpected turn, the script has none\n"):
            ask(ScriptedModel())

    def test_turns_left_over_are_a_diff(self) -> None:
        model = ScriptedModel().says("one").says("two", model="big").script(Status(500, "boom"))
        ask(model)
        with pytest.raises(UnusedScript) as caught, model:
            pass
        assert str(caught.value).splitlines() == [
            "scripted_model: 2 of 3 turns were never asked for",
            "--- script",
            "+++ asked",
            " turn 1: says 'one'",
            "-turn 2: says 'two' as 'big'",
            "-turn 3: answers 500 'boom'",
        ]

    def test_a_malformed_history_is_refused_and_shown(self) -> None:
        model = ScriptedModel().calls(("weather", {})).says("never")
        message = ask(model)["choices"][0]["message"]
        with pytest.raises(UnexpectedCall) as caught:
            ask(model, [USER, message, USER])
        assert str(caught.value).splitlines() == [
            "scripted_model: turn 2 was sent a malformed history: no reply to tool call call_1_1 (weather)",
            "  0 user      'hi'",
            "  1 assistant calls weather() as call_1_1",
            "> 2 user      'hi'",
        ]

    def test_another_model_than_scripted_is_refused(self) -> None:
        model = ScriptedModel().says("x", model="big")
        with pytest.raises(UnexpectedCall) as caught:
            ask(model)
        assert str(caught.value) == "scripted_model: turn 1 asks model 'm'; the script expects 'big'"

    def test_another_history_than_scripted_is_a_diff(self) -> None:
        model = ScriptedModel().says("x", given=[USER, {"role": "user", "content": "api_key=hunter22"}])
        with pytest.raises(UnexpectedCall) as caught:
            ask(model, [USER, {"role": "user", "content": "bye"}])
        assert str(caught.value).splitlines() == [
            "scripted_model: turn 1 was not asked as the script expects",
            "--- expected",
            "+++ asked",
            "  ...",
            "   },",
            "   {",
            '     "role": "user",',
            '-    "content": "api_key=***"',
            '+    "content": "bye"',
            "   }",
            " ]",
        ]

    def test_the_history_as_scripted_is_answered(self) -> None:
        with ScriptedModel() as model:
            assert text_of(ask(model.says("x", given=[USER], model="m"))) == "x"


class TestServed:
    def post(self, model: ScriptedModel, **body: Any) -> httpx.Response:
        return httpx.post(
            f"{model.serve()}/chat/completions", json={"model": "m", "messages": [USER], **body}
        )

    def test_the_same_script_over_http(self) -> None:
        with ScriptedModel() as model:
            model.calls(("weather", {"city": "Kyiv"})).says("sunny")
            one, two = self.post(model, tools=TOOLS, temperature=0), self.post(model)
            assert one.json()["choices"][0]["message"]["tool_calls"][0]["id"] == "call_1_1"
            assert (one.json()["object"], text_of(two.json())) == ("chat.completion", "sunny")
            assert (model.turns[0].tool_names, model.turns[0].options) == (["weather"], {"temperature": 0})
            model.journal.assert_requests(2, "POST", "/v1/chat/completions")

    def test_a_stream_is_server_sent_events(self) -> None:
        with ScriptedModel() as model:
            model.says("It is sunny")
            response = self.post(model, stream=True)
            assert response.headers["content-type"] == "text/event-stream"
            events = response.text.split("\n\n")
            assert events[-2:] == ["data: [DONE]", ""]
            assert glued([json.loads(event[6:]) for event in events[:-2]])["content"] == "It is sunny"

    @pytest.mark.parametrize(
        ("reply", "status", "error"),
        [
            (Status(429, "slow", {"Retry-After": "2"}), 429, {"message": "slow", "type": "rate_limit_error"}),
            (Status(400, "bad"), 400, {"message": "bad", "type": "invalid_request_error"}),
            (OSError("gone"), 500, {"message": "gone", "type": "server_error"}),
            (Delay(0, Status(503, {"error": {"own": 1}})), 503, {"own": 1}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("streamed", [False, True])
    def test_errors_have_openai_s_shape(self, reply: Any, status: int, error: Any, streamed: bool) -> None:
        with ScriptedModel() as model:
            response = self.post(model.script(reply), stream=streamed)
            assert response.status_code == status
            assert response.json()["error"].items() >= error.items()

    def test_a_429_over_http(self) -> None:
        with ScriptedModel() as model:
            model.script(RateLimited(2, "yes"))
            one, two = self.post(model), self.post(model)
            assert (one.status_code, one.headers["retry-after"], text_of(two.json())) == (429, "2", "yes")

    @pytest.mark.parametrize(("streamed", "after"), [(False, 0), (False, 20), (True, 0), (True, 300)])
    def test_a_disconnect_is_a_broken_connection(self, streamed: bool, after: int) -> None:
        with ScriptedModel() as model:
            model.script(Disconnect("one two three four five", after))
            with pytest.raises(httpx.RemoteProtocolError):
                self.post(model, stream=streamed)

    def test_malformed_json(self) -> None:
        with ScriptedModel() as model:
            response = self.post(model.script(Malformed(b"{cut")))
            assert (response.status_code, response.content) == (200, b"{cut")

    def test_an_unexpected_turn_is_an_error_answer_and_fails_the_test(self) -> None:
        model = ScriptedModel()
        response = self.post(model)
        assert response.status_code == 501
        assert "unexpected turn" in response.json()["error"]["message"]
        with pytest.raises(UnexpectedCall, match="unexpected turn"), model:
            pass

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": "m"}'])
    def test_what_is_no_request_is_a_400(self, body: bytes) -> None:
        with ScriptedModel() as model:
            response = httpx.post(f"{model.serve()}/chat/completions", content=body)
            assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")

    def test_other_routes(self) -> None:
        with ScriptedModel() as model:
            assert httpx.get(f"{model.serve()}/models").json()["data"][0]["object"] == "model"
            assert httpx.get(f"{model.serve()}/other").status_code == 404

"""The fixtures fake_invoker and scripted_model: how they look from a test, and what they leave behind."""

from __future__ import annotations

import pytest

PROGRAM = """
async def arouter_call(**request):
    raise RuntimeError("no network here")


class HttpToolsInvoker:
    def __init__(self, base_url, headers=None):
        self.base_url = base_url


async def answer(question, base_url):
    invoker = HttpToolsInvoker(base_url, headers={"X-Env": "B"})
    history = [{"role": "user", "content": question}]
    tools = await invoker.list_openai_tools()
    while True:
        reply = await arouter_call(model="m", messages=history, tools=tools)
        message = reply["choices"][0]["message"]
        history.append(message)
        if not message.get("tool_calls"):
            return message["content"]
        for call in message["tool_calls"]:
            try:
                text = await invoker.call_openai_tool(call)
            except Exception as error:
                text = f"error: {error}"
            history.append({"role": "tool", "tool_call_id": call["id"], "content": text})
"""

SUITE = """
import asyncio
import pytest
import program


@pytest.fixture
def answer(fake_invoker, scripted_model, monkeypatch):
    monkeypatch.setattr(program, "HttpToolsInvoker", fake_invoker.factory(program.HttpToolsInvoker))
    monkeypatch.setattr(program, "arouter_call", scripted_model)
    return lambda question: asyncio.run(program.answer(question, "http://tools"))
"""


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(program=PROGRAM, conftest=SUITE, test_it=body)
    return pytester.runpytest_inprocess("-p", "mcpsmoke", "-p", "anyio", "--leaks=fail", *arguments)


def test_an_agent_is_tested_without_an_assignment_and_leaves_nothing(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        def test_it(answer, fake_invoker, scripted_model):
            fake_invoker.expect("weather", {"city": "Kyiv"}, "sunny")
            scripted_model.calls(("weather", {"city": "Kyiv"})).says("It is sunny")
            assert answer("weather?") == "It is sunny"
            assert fake_invoker.instances[0].headers == {"X-Env": "B"}
            assert scripted_model.turns[0].tool_names == ["weather"]

        @pytest.mark.anyio
        async def test_async(fake_invoker, scripted_model):
            fake_invoker.tool("clock", "noon")
            call = {"function": {"name": "clock", "arguments": "{}"}}
            assert await fake_invoker.call_openai_tool(call) == "noon"
            scripted_model.says("hi")
            await scripted_model("m", [{"role": "user", "content": "hi"}])

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        def test_served(fake_invoker, scripted_model):
            import urllib.request

            for url in (fake_invoker.serve() + "/tools", scripted_model.serve() + "/models"):
                urllib.request.urlopen(url).close()
            assert len(fake_invoker.journal) == len(scripted_model.journal) == 1
        """,
    )
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*state leaks*")


def test_an_unscripted_call_that_the_program_swallows_is_the_test_s_failure(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
        def test_it(answer, fake_invoker, scripted_model):
            fake_invoker.expect("weather", {"city": "Kyiv"}, "sunny")
            scripted_model.calls(("weather", {"city": "Oslo"})).says("no idea")
            assert answer("weather?") == "It is sunny"
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *UnexpectedCall: fake_invoker: unscripted tool call weather(city='Oslo')",
            "E * expected:",
            "E * 1. weather(city='Kyiv') -> 'sunny'",
            "E * made before:",
            "E * none",
            """E * to script it: expect('weather', {"city": "Oslo"}, <reply>)""",
        ],
        consecutive=True,
    )


def test_what_is_left_over_is_an_error_at_teardown(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_a_call(fake_invoker):
            fake_invoker.tool("weather", "sunny")

        def test_a_turn(scripted_model):
            scripted_model.says("never asked for")

        def test_that_fails_itself(fake_invoker, scripted_model):
            fake_invoker.tool("weather", "sunny")
            scripted_model.says("never asked for")
            assert False
        """,
    )
    result.assert_outcomes(passed=2, errors=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "* ERROR at teardown of test_a_call *",
            "fake_invoker: 1 scripted call was never made",
            "  1. weather(…) -> 'sunny'",
            "made:",
            "  none",
            "* ERROR at teardown of test_a_turn *",
            "scripted_model: 1 of 1 turns was never asked for",
            "--- script",
            "+++ asked",
            "-turn 1: says 'never asked for'",
            "*= FAILURES =*",
        ],
        consecutive=True,
    )


@pytest.mark.parametrize("fixture", ["fake_invoker", "scripted_model"])
def test_a_missing_extra_is_named(pytester: pytest.Pytester, fixture: str) -> None:
    result = run(
        pytester,
        f"""
        import sys

        def test_it({fixture}, monkeypatch):
            monkeypatch.setitem(sys.modules, "uvicorn", None)
            {fixture}.serve()
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"E *MissingExtra: {fixture}.serve() needs uvicorn, which is not installed:"
            " pip install 'pytest-mcpsmoke?mcp?'"
        ]
    )


def test_both_are_listed_with_what_they_are(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("-p", "mcpsmoke", "--fixtures", "-q")
    result.stdout.fnmatch_lines(
        [
            "fake_invoker -- *",
            "    A FakeInvoker: offers tools, answers scripted tool calls, refuses every other.",
            "scripted_model -- *",
            "    A ScriptedModel: answers turn by turn, as a router's callable or as an OpenAI-compatible *.",
        ]
    )

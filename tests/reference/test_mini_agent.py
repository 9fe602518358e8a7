"""The agent loop: its bounds, its history, its tool calls, and the real call of a model."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import asdict
from typing import Any

import httpx
import pytest
import respx

from reference_app import mini_agent
from reference_app.history import prune
from reference_app.mini_agent import AgentConfig, AgentResult, ModelError, arouter_call, arun_mcp_mini_agent
from reference_app.tools import EchoInvoker, LocalInvoker, decode_arguments

pytestmark = pytest.mark.smoke

USER = {"role": "user", "content": "hi"}
MODEL_URL = "http://model.test/v1"


class SpyInvoker:
    """Offers `tool`; records calls; `slow_first` makes earlier calls end later; a name `bad…` fails."""

    def __init__(self, slow_first: bool = False) -> None:
        self.calls: list[dict[str, Any]] = []
        self.listed = 0
        self.at_once = 0
        self.most_at_once = 0
        self.finished: list[str] = []
        self.slow_first = slow_first

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        self.listed += 1
        return [{"type": "function", "function": {"name": "tool"}}]

    async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
        self.calls.append(openai_tool)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(20 - 4 * len(self.calls) if self.slow_first else 1):
            await asyncio.sleep(0)
        self.at_once -= 1
        self.finished.append(openai_tool["id"])
        if openai_tool["function"]["name"].startswith("bad"):
            raise RuntimeError("tool broke")
        return f"reply to {openai_tool['id']}"


def go(mcp: Any = None, messages: Any = (USER,), **config: Any) -> AgentResult:
    cfg = AgentConfig(**{"model": "base", "use_tools": True, **config})
    return asyncio.run(arun_mcp_mini_agent(list(messages), mcp=mcp or SpyInvoker(), cfg=cfg))


def replies(result: AgentResult) -> list[tuple[str, str]]:
    return [(m["tool_call_id"], m["content"]) for m in result.messages if m["role"] == "tool"]


def test_a_final_text_ends_the_run(script_model: Any, clock: Any) -> None:
    model = script_model("Done", clock=clock, seconds=0.5)
    result = go(use_tools=False)
    assert asdict(result) == {
        "messages": [USER, {"role": "assistant", "content": "Done"}],
        "final_answer": "Done",
        "stopped_reason": "success",
        "iterations": [{"model": "base", "model_ms": 500.0, "tool_invocations": []}],
        "metrics": {"iterations": 1, "ttotal_ms": 500.0, "escalated": False, "used_model": "base"},
        "warnings": [],
        "calls_for_caller": [],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    assert [(t.model, t.messages, t.tools, t.stream, t.options) for t in model.turns] == [
        ("base", [USER], None, False, {})
    ]


def test_the_caller_s_messages_are_not_changed(script_model: Any) -> None:
    script_model("Done")
    messages = [dict(USER)]
    cfg = AgentConfig(model="base")
    asyncio.run(arun_mcp_mini_agent(messages, mcp=SpyInvoker(), cfg=cfg))
    assert messages == [USER]


def test_a_tool_round_ends_in_an_answer(script_model: Any, call: Any, calling: Any) -> None:
    model = script_model(calling(call("c1", "tool", a=1), content="let me see"), "Done")
    spy = SpyInvoker()
    result = go(spy)
    asked = {"role": "assistant", "content": "let me see", "tool_calls": [call("c1", "tool", a=1)]}
    replied = {"role": "tool", "tool_call_id": "c1", "content": "reply to c1"}
    assert result.messages == [USER, asked, replied, {"role": "assistant", "content": "Done"}]
    assert (result.final_answer, result.stopped_reason, result.metrics.iterations) == ("Done", "success", 2)
    # The invoker gets the arguments read, the history keeps the model's own text.
    function = {"name": "tool", "arguments": {"a": 1}}
    assert spy.calls == [{"id": "c1", "type": "function", "function": function}]
    assert [turn.messages for turn in model.turns] == [[USER], [USER, asked, replied]]
    offered = [{"type": "function", "function": {"name": "tool"}}], {"tool_choice": "auto"}
    assert [(turn.tools, turn.options) for turn in model.turns] == [offered, offered]


def test_the_catalogue_is_listed_once_and_only_when_tools_are_used(
    script_model: Any, call: Any, calling: Any
) -> None:
    script_model(calling(call("c1", "tool")), calling(call("c2", "tool")), "Done")
    with_tools, without = SpyInvoker(), SpyInvoker()
    go(with_tools)
    go(without, use_tools=False)
    assert (with_tools.listed, without.listed) == (1, 0)


def test_without_its_catalogue_the_run_goes_on_and_says_so(
    script_model: Any, call: Any, calling: Any
) -> None:
    class Unlisted(SpyInvoker):
        async def list_openai_tools(self) -> list[dict[str, Any]]:
            raise RuntimeError("HTTP 503: down")

    model, spy = script_model(calling(call("c1", "tool")), "Done"), Unlisted()
    result = go(spy)
    assert result.warnings == ["tool catalogue unavailable, running without tools: HTTP 503: down"]
    assert (result.final_answer, result.stopped_reason) == ("Done", "success")
    assert model.turns[0].tools is None
    assert (spy.calls, replies(result)) == ([], [("c1", "error: not run: this run goes without tools")])
    assert result.last_tool_invocation is None


def test_calls_over_the_limit_are_not_run_but_answered(script_model: Any, call: Any, calling: Any) -> None:
    script_model(calling(*(call(f"c{i}", "tool") for i in range(4))), "Done")
    spy = SpyInvoker()
    result = go(spy, max_tools_per_iter=2)
    over = "error: not run: more than 2 tool calls in one step"
    assert replies(result) == [("c0", "reply to c0"), ("c1", "reply to c1"), ("c2", over), ("c3", over)]
    assert [c["id"] for c in spy.calls] == ["c0", "c1"]
    assert result.last_tool_invocation is not None
    assert result.last_tool_invocation.id == "c1"


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (3, 3), (9, 4)])
def test_concurrency_is_bounded_and_replies_keep_the_call_order(
    script_model: Any, call: Any, calling: Any, concurrency: int, most: int
) -> None:
    script_model(calling(*(call(f"c{i}", "tool") for i in range(4))), "Done")
    spy = SpyInvoker(slow_first=True)
    result = go(spy, tool_concurrency=concurrency)
    assert spy.most_at_once == most
    assert replies(result) == [(f"c{i}", f"reply to c{i}") for i in range(4)]
    if concurrency > 1:
        assert spy.finished != ["c0", "c1", "c2", "c3"]


def test_a_failing_tool_is_answered_and_the_others_run(script_model: Any, call: Any, calling: Any) -> None:
    script_model(calling(call("c1", "bad"), call("c2", "tool")), "Done")
    result = go()
    assert replies(result) == [("c1", "error: tool broke"), ("c2", "reply to c2")]
    assert [(i.id, i.ran, i.ok) for i in result.iterations[0].tool_invocations] == [
        ("c1", True, False),
        ("c2", True, True),
    ]


def test_an_exception_without_words_is_named(script_model: Any, call: Any, calling: Any) -> None:
    class Silent(SpyInvoker):
        async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
            raise TimeoutError

    script_model(calling(call("c1", "tool")), "Done")
    assert replies(go(Silent())) == [("c1", "error: TimeoutError")]


@pytest.mark.parametrize(
    ("given", "reply"),
    [({"a": "é"}, '{"a": "é"}'), (None, "null"), (object(), "error: Object of type object is not JSON ser")],
)
def test_an_invoker_that_gives_no_text_is_answered_for(
    script_model: Any, call: Any, calling: Any, given: object, reply: str
) -> None:
    class NoText(SpyInvoker):
        async def call_openai_tool(self, openai_tool: dict[str, Any]) -> Any:
            return given

    script_model(calling(call("c1", "tool")), "Done")
    [(call_id, content)] = replies(go(NoText()))
    assert (call_id, content[: len(reply)]) == ("c1", reply)


def test_a_tool_that_cancels_itself_is_answered_for(script_model: Any, call: Any, calling: Any) -> None:
    class Cancelled(SpyInvoker):
        async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
            raise asyncio.CancelledError

    script_model(calling(call("c1", "tool")), "Done")
    assert replies(go(Cancelled())) == [("c1", "error: CancelledError")]


def test_a_run_that_is_cancelled_takes_its_tool_calls_along(
    script_model: Any, call: Any, calling: Any
) -> None:
    ended: list[str] = []

    class Endless(SpyInvoker):
        async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
            try:
                started.set()
                await asyncio.Event().wait()
            finally:
                ended.append(openai_tool["id"])
            raise AssertionError("never here")

    async def cancelled() -> int:
        cfg = AgentConfig(model="base", use_tools=True)
        run = asyncio.create_task(arun_mcp_mini_agent([USER], mcp=Endless(), cfg=cfg))
        await started.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return len(asyncio.all_tasks())

    script_model(calling(call("c1", "tool"), call("c2", "tool")), "Done")
    started = asyncio.Event()
    assert asyncio.run(cancelled()) == 1
    assert sorted(ended) == ["c1", "c2"]


@pytest.mark.parametrize(
    "catalogue",
    [None, {"tools": []}, ["tool"], [{"n": float("nan")}], [{"function": {"name": "\ud800"}}], [{"a": b""}]],
)
def test_a_catalogue_that_no_model_can_be_sent_is_a_warning(script_model: Any, catalogue: Any) -> None:
    class Odd(SpyInvoker):
        async def list_openai_tools(self) -> Any:
            return catalogue

    model = script_model("Done")
    [warning] = go(Odd()).warnings
    assert warning.startswith("tool catalogue unavailable, running without tools: the tool catalogue ")
    assert model.turns[0].tools is None


@pytest.mark.parametrize(
    ("badly_formed", "reply"),
    [
        ({"id": "c", "function": {"name": "tool", "arguments": ""}}, ("c", "reply to c")),
        ({"id": "c", "function": {"name": "tool"}}, ("c", "reply to c")),
        ({"id": "c", "function": {"name": "tool", "arguments": {"a": 1}}}, ("c", "reply to c")),
        ({"function": {"name": "tool", "arguments": "{}"}}, ("call_1_0", "reply to call_1_0")),
        (
            {"id": "c", "function": {"name": "tool", "arguments": "{oops"}},
            ("c", "error: tool arguments are not a JSON object: '{oops'"),
        ),
        (
            {"id": "c", "function": {"name": "tool", "arguments": "[1]"}},
            ("c", "error: tool arguments are not a JSON object: '[1]'"),
        ),
        ("not a call at all", ("call_1_0", "reply to call_1_0")),
        ({"id": "c\ud800", "function": {"name": "tool"}}, ("c?", "reply to c?")),
    ],
)
def test_a_badly_formed_call_gets_a_reply_too(
    script_model: Any, calling: Any, badly_formed: Any, reply: tuple[str, str]
) -> None:
    script_model(calling(badly_formed), "Done")
    result = go()
    assert replies(result) == [reply]
    assert result.messages[1]["tool_calls"][0]["id"] == reply[0]
    assert result.messages[1]["tool_calls"][0]["function"]["name"]  # or the next turn would be refused
    json.dumps(result.messages, allow_nan=False, ensure_ascii=False).encode()


def test_iterations_are_bounded(script_model: Any, call: Any, calling: Any) -> None:
    model = script_model(calling(call("c", "tool")))
    result = go(max_iterations=2)
    assert (result.stopped_reason, result.final_answer) == ("max_iterations", None)
    assert (result.metrics.iterations, len(model.turns), len(replies(result))) == (2, 2, 2)


def test_a_spent_budget_asks_no_model(script_model: Any, clock: Any) -> None:
    model = script_model("Done", clock=clock)
    result = go(max_total_seconds=0)
    assert (result.stopped_reason, result.final_answer, model.turns) == ("budget", None, [])
    assert asdict(result.metrics) == {
        "iterations": 0,
        "ttotal_ms": 0.0,
        "escalated": False,
        "used_model": None,
    }


def test_the_budget_is_checked_after_a_model_call_before_tools_run(
    script_model: Any, clock: Any, call: Any, calling: Any
) -> None:
    model = script_model(calling(call("c1", "tool"), call("c2", "tool")), clock=clock, seconds=2.0)
    spy = SpyInvoker()
    result = go(spy, max_total_seconds=1.5)
    late = "error: not run: the budget of 1.5 s is used up"
    assert (result.stopped_reason, len(model.turns), spy.calls) == ("budget", 1, [])
    assert replies(result) == [("c1", late), ("c2", late)]


def test_a_late_text_is_kept_and_called_late(script_model: Any, clock: Any) -> None:
    script_model("Done", clock=clock, seconds=2.0)
    result = go(max_total_seconds=1.5)
    assert (result.stopped_reason, result.final_answer) == ("budget", "Done")


def test_within_its_budget_a_run_succeeds(script_model: Any, clock: Any) -> None:
    script_model("Done", clock=clock, seconds=1.0)
    assert go(max_total_seconds=1.5).stopped_reason == "success"


ESCALATE = {"escalate_on_budget_exceeded": True, "escalate_model": "big", "max_total_seconds": 1.5}


def test_over_budget_the_next_step_goes_to_the_escalation_model(
    script_model: Any, clock: Any, call: Any, calling: Any
) -> None:
    model = script_model(calling(call("c1", "tool")), "Big done", clock=clock, seconds=2.0)
    result = go(**ESCALATE)
    assert [(r.model, r.options["tool_choice"]) for r in model.turns] == [("base", "auto"), ("big", "none")]
    assert model.turns[1].messages[-1] == {
        "role": "user",
        "content": "The time budget is used up. Give the final answer now.",
    }
    assert (result.stopped_reason, result.final_answer) == ("success", "Big done")
    assert asdict(result.metrics) == {
        "iterations": 2,
        "ttotal_ms": 4000.0,
        "escalated": True,
        "used_model": "big",
    }
    assert [step.model for step in result.iterations] == ["base", "big"]


def test_a_late_text_is_escalated_too(script_model: Any, clock: Any) -> None:
    model = script_model("Late", "Big done", clock=clock, seconds=2.0)
    result = go(**ESCALATE)
    assert [r.model for r in model.turns] == ["base", "big"]
    assert (result.stopped_reason, result.final_answer) == ("success", "Big done")


def test_a_budget_spent_before_the_first_step_escalates_at_once(script_model: Any, clock: Any) -> None:
    model = script_model("Big done", clock=clock)
    result = go(**{**ESCALATE, "max_total_seconds": 0})
    assert [r.model for r in model.turns] == ["big"]
    assert (result.metrics.escalated, result.metrics.iterations) == (True, 1)


def test_escalation_happens_once(script_model: Any, clock: Any, call: Any, calling: Any) -> None:
    model = script_model(calling(call("c1", "tool")), clock=clock, seconds=2.0)
    spy = SpyInvoker()
    result = go(spy, **{**ESCALATE, "max_iterations": 9})
    assert [r.model for r in model.turns] == ["base", "big"]
    assert (result.stopped_reason, spy.calls, len(replies(result))) == ("budget", [], 2)


@pytest.mark.parametrize(
    "config",
    [
        {**ESCALATE, "escalate_on_budget_exceeded": False},
        {**ESCALATE, "escalate_model": None},
        {**ESCALATE, "max_iterations": 1},
        {**ESCALATE, "max_total_seconds": 99},
    ],
)
def test_no_escalation_unless_asked_for_possible_and_due(
    script_model: Any, clock: Any, config: dict[str, Any]
) -> None:
    model = script_model("Done", clock=clock, seconds=2.0)
    result = go(**config)
    assert [r.model for r in model.turns] == ["base"]
    assert result.final_answer == "Done"
    assert (result.metrics.escalated, result.metrics.used_model) == (False, "base")


def test_repair_tells_the_model_about_a_failed_call(script_model: Any, call: Any, calling: Any) -> None:
    prompt = "A tool call failed. Read its reply, then correct the call or answer without it."
    script_model(calling(call("c1", "bad")), calling(call("c2", "tool")), "Done")
    assert [m["content"] for m in go(enable_repair=True).messages if m["role"] == "user"] == ["hi", prompt]
    script_model(calling(call("c1", "bad")), "Done")
    assert [m["content"] for m in go().messages if m["role"] == "user"] == ["hi"]


class CodeInvoker(SpyInvoker):
    async def list_openai_tools(self) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": "exec_python"}}]


def test_a_code_block_counts_as_a_call_where_a_tool_runs_code(script_model: Any) -> None:
    script_model("Try\n```python\nprint(42)\n```", "I ran\n```python\nprint(42)\n```")
    spy = CodeInvoker()
    result = go(spy, auto_run_code_on_code_block=True)
    function = {"name": "exec_python", "arguments": {"code": "print(42)\n"}}
    assert spy.calls == [{"id": "auto_run_1", "type": "function", "function": function}]
    assert (result.stopped_reason, result.final_answer) == ("success", "I ran\n```python\nprint(42)\n```")


@pytest.mark.parametrize(
    ("spy", "wanted", "text"),
    [
        (CodeInvoker(), False, "```python\nprint(42)\n```"),
        (CodeInvoker(), True, "```rust\nmain()\n```"),
        (SpyInvoker(), True, "```python\nprint(42)\n```"),
    ],
)
def test_a_code_block_is_else_an_answer(script_model: Any, spy: SpyInvoker, wanted: bool, text: str) -> None:
    script_model(text)
    assert go(spy, auto_run_code_on_code_block=wanted).final_answer == text
    assert spy.calls == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ("lone \ud800", "lone ?"),
    ],
)
def test_answers_are_read_as_text(script_model: Any, content: object, text: str) -> None:
    script_model({"role": "assistant", "content": content})
    assert go().final_answer == text


def test_a_model_s_failure_is_a_model_error(script_model: Any) -> None:
    script_model(httpx.ConnectError("refused"))
    with pytest.raises(ModelError, match=r"^model 'base' failed: refused$"):
        go()


@pytest.mark.parametrize(
    "answer", [None, {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": 1}]}]
)
def test_an_unreadable_answer_is_a_model_error(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    async def router(**request: Any) -> Any:
        return answer

    monkeypatch.setattr(mini_agent, "arouter_call", router)
    with pytest.raises(ModelError, match="the answer has no choices"):
        go()


@pytest.mark.parametrize(
    "bound",
    ["max_iterations", "max_tools_per_iter", "tool_concurrency", "max_history_messages", "max_history_chars"],
)
def test_a_bound_below_one_is_refused(bound: str) -> None:
    with pytest.raises(ValueError, match=f"^{bound} must be at least 1, not 0$"):
        AgentConfig(**{"model": "m", bound: 0})


# --- history


def text(content: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


def pair(name: str, tools: int = 1) -> list[dict[str, Any]]:
    calls = [{"id": f"{name}{i}", "function": {"name": "t", "arguments": "{}"}} for i in range(tools)]
    answers = [{"role": "tool", "tool_call_id": f"{name}{i}", "content": name} for i in range(tools)]
    return [{"role": "assistant", "content": "", "tool_calls": calls}, *answers]


def test_a_history_that_fits_is_left_alone() -> None:
    history = [text("be kind", "system"), text("q"), *pair("a", 2), text("done", "assistant")]
    assert prune(history, max_messages=6, max_chars=10_000) == history


def test_the_newest_messages_stay_with_the_system_s() -> None:
    history = [text("s", "system"), *(text(str(i)) for i in range(9))]
    assert prune(history, max_messages=3, max_chars=99) == [history[0], history[8], history[9]]


def test_characters_are_bounded() -> None:
    history = [text("a" * 50), text("b" * 30), text("c" * 30)]
    assert prune(history, max_messages=9, max_chars=60) == history[1:]
    assert prune(history, max_messages=9, max_chars=59) == history[2:]


def test_a_pair_that_does_not_fit_goes_as_a_whole() -> None:
    history = [text("q"), *pair("a", 2), text("done", "assistant")]
    assert prune(history, max_messages=3, max_chars=10_000) == history[3 + 1 :]
    assert prune(history, max_messages=4, max_chars=10_000) == history[1:]


def test_the_newest_pair_and_the_question_stay_even_when_too_big() -> None:
    history = [text("s", "system"), text("old"), text("q"), *pair("a"), *pair("b", 3)]
    assert prune(history, max_messages=1, max_chars=1, question=2) == [history[0], history[2], *history[5:]]


def test_no_bounds_ever_split_a_call_from_its_replies_or_leave_a_hole() -> None:
    history = [text("s", "system"), text("q"), *pair("a", 2), text("m"), *pair("b"), *pair("c", 3), text("z")]
    for max_messages, max_chars in itertools.product(range(1, 14), range(1, 400, 3)):
        kept = prune(history, max_messages=max_messages, max_chars=max_chars)
        calls = [c["id"] for m in kept for c in m.get("tool_calls", [])]
        assert [m["tool_call_id"] for m in kept if m["role"] == "tool"] == calls
        assert kept == [history[0], *history[len(history) - len(kept) + 1 :]]


def test_replies_that_stand_apart_from_their_call_stay_with_it() -> None:
    asked, first, second = pair("a", 2)
    history = [text("q"), asked, first, text("and?"), second, text("done", "assistant")]
    assert prune(history, max_messages=5, max_chars=999) == history[1:]
    assert prune(history, max_messages=4, max_chars=999) == history[5:]


def test_a_reply_goes_with_the_latest_call_of_its_id() -> None:
    history = [*pair("a"), *pair("a"), text("done", "assistant")]
    assert prune(history, max_messages=3, max_chars=999) == history[2:]


@pytest.mark.parametrize("tool_calls", ["x", 1, [1, None, {"id": []}], {"id": "a"}])
def test_a_history_that_is_badly_formed_is_pruned_too(tool_calls: object) -> None:
    history = [{"role": "assistant", "tool_calls": tool_calls}, {"role": "tool", "tool_call_id": ["a"]}]
    assert prune([text("q"), *history], max_messages=2, max_chars=999) == history


def test_the_developer_s_instructions_stay_like_the_system_s() -> None:
    history = [text("be kind", "developer"), text("old"), text("q")]
    assert prune(history, max_messages=2, max_chars=999) == [history[0], history[2]]


def test_an_empty_history_stays_empty() -> None:
    assert prune([], max_messages=1, max_chars=1) == []


def test_the_model_sees_the_pruned_history_and_the_caller_the_whole(
    script_model: Any, call: Any, calling: Any
) -> None:
    model = script_model(*(calling(call(f"c{i}", "tool")) for i in range(3)), "Done")
    result = go(max_history_messages=3, max_iterations=4)
    whole = result.messages
    assert len(whole) == 8
    assert [r.messages for r in model.turns] == [
        whole[:1],
        whole[:3],
        [USER, *whole[3:5]],
        [USER, *whole[5:7]],
    ]


# --- invokers without an upstream


def invoke(mcp: Any, name: str, arguments: Any) -> str:
    return asyncio.run(mcp.call_openai_tool({"function": {"name": name, "arguments": arguments}}))


def test_local_tools() -> None:
    assert invoke(LocalInvoker(), "add", {"a": 1, "b": 2.5}) == "3.5"
    assert invoke(LocalInvoker(), "compress_runs", '{"text": "aabccc"}') == "a2b1c3"
    catalogue = asyncio.run(LocalInvoker().list_openai_tools())
    assert [tool["function"]["name"] for tool in catalogue] == ["add", "compress_runs"]
    assert catalogue[1] == {
        "type": "function",
        "function": {
            "name": "compress_runs",
            "description": "Run-length encode a text.",
            "parameters": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
        },
    }


def test_an_unknown_local_tool_is_named_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"'rm'; known: \['add', 'compress_runs'\]"):
        invoke(LocalInvoker(), "rm", {})


def test_echo_answers_with_the_arguments() -> None:
    assert invoke(EchoInvoker(), "echo", {"text": "é"}) == '{"text": "é"}'
    catalogue = asyncio.run(EchoInvoker().list_openai_tools())
    assert [tool["function"]["name"] for tool in catalogue] == ["echo"]


@pytest.mark.parametrize("arguments", ["[]", "1", "{", "null", "[" * 200_000, [1]])
def test_arguments_that_are_no_object_are_refused(arguments: object) -> None:
    with pytest.raises(ValueError, match=r"^tool arguments are not a JSON object"):
        decode_arguments(arguments)


# --- the real arouter_call


@pytest.fixture
def model_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", MODEL_URL + "/")
    monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "k-123")


def ask(**fields: Any) -> dict[str, Any]:
    return asyncio.run(arouter_call(model="m", messages=[USER], **fields))


@pytest.mark.usefixtures("model_env")
def test_arouter_call_posts_a_chat_completion() -> None:
    completion = {"choices": [{"message": {"role": "assistant", "content": "ok"}}]}
    with respx.mock() as router:
        route = router.post(f"{MODEL_URL}/chat/completions").respond(json=completion)
        assert ask(tool_choice="auto") == completion
    request = route.calls.last.request
    assert request.headers["Authorization"] == "Bearer k-123"
    assert json.loads(request.content) == {
        "model": "m",
        "messages": [USER],
        "stream": False,
        "tool_choice": "auto",
    }


@pytest.mark.usefixtures("model_env")
def test_arouter_call_reports_an_error_status() -> None:
    with respx.mock() as router:
        route = router.post(f"{MODEL_URL}/chat/completions").respond(500, text="b" * 300)
        with pytest.raises(ModelError) as error:
            ask()
    assert str(error.value) == "HTTP 500: " + "b" * 256
    assert route.call_count == 1


def test_arouter_call_does_not_stream() -> None:
    with pytest.raises(ValueError, match="does not stream"):
        ask(stream=True)


@pytest.mark.parametrize("missing", ["MINI_AGENT_MODEL_BASE_URL", "MINI_AGENT_MODEL_API_KEY"])
@pytest.mark.usefixtures("model_env")
def test_arouter_call_names_the_variable_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(ModelError, match=f"^the environment variable {missing} is not set"):
        ask()

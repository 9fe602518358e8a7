"""The agent loop: ask the model, run the tools it calls, until it answers or a bound is reached."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from reference_app import config
from reference_app.history import Message, prune
from reference_app.tls import tls
from reference_app.tool_calls import (
    ToolCall,
    ToolInvocation,
    describe,
    parse_calls,
    refuse,
    run_calls,
    wire_text,
)
from reference_app.tools import EchoInvoker, LocalInvoker, MCPInvoker, checked_catalogue

__all__ = [
    "AgentConfig",
    "AgentResult",
    "EchoInvoker",
    "Iteration",
    "LocalInvoker",
    "MCPInvoker",
    "Message",
    "Metrics",
    "ModelError",
    "ToolInvocation",
    "arouter_call",
    "arun_mcp_mini_agent",
]

CODE_TOOL = "exec_python"
CODE_BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
REPAIR_PROMPT = "A tool call failed. Read its reply, then correct the call or answer without it."
ESCALATION_PROMPT = "The time budget is used up. Give the final answer now."

StoppedReason = Literal["success", "budget", "max_iterations"]


class ModelError(RuntimeError):
    """The model cannot be asked, or its answer cannot be read."""


@dataclass(frozen=True)
class AgentConfig:
    """The bounds of one run.

    Attributes:
        model: The model to ask.
        max_iterations: How many times at most.
        max_tools_per_iter: How many calls of one answer are run; the others get an error reply.
        tool_concurrency: How many of them at the same time.
        max_history_messages: How many messages the model is sent; see `history.prune`.
        max_history_chars: How many characters it is sent.
        max_total_seconds: The wall-clock budget, checked before and after each model call.
        use_tools: Whether the catalogue is listed and offered.
        auto_run_code_on_code_block: Whether a Python code block in an answer counts as a call of
            `exec_python`, where the catalogue has it.
        enable_repair: Whether the model is told to correct itself after a failed tool call.
        escalate_on_budget_exceeded: Whether `escalate_model` gets one step when the budget is exceeded.
        escalate_model: The model for that step.
        caller_tools: Tools that the caller offers and runs itself, instead of the catalogue's: calls of them
            end the run and are handed to the caller.
        caller_tool_choice: Which of these the model must call; None leaves it to the model.
        model_fields: Further fields of each request to the model, such as `temperature`.
    """

    model: str
    max_iterations: int = 3
    max_tools_per_iter: int = 4
    tool_concurrency: int = 4
    max_history_messages: int = 50
    max_history_chars: int = 16_000
    max_total_seconds: float | None = None
    use_tools: bool = False
    auto_run_code_on_code_block: bool = False
    enable_repair: bool = False
    escalate_on_budget_exceeded: bool = False
    escalate_model: str | None = None
    caller_tools: Sequence[dict[str, Any]] = ()
    caller_tool_choice: str | dict[str, Any] | None = None
    model_fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bounds = {
            "max_iterations": self.max_iterations,
            "max_tools_per_iter": self.max_tools_per_iter,
            "tool_concurrency": self.tool_concurrency,
            "max_history_messages": self.max_history_messages,
            "max_history_chars": self.max_history_chars,
        }
        for name, bound in bounds.items():
            if bound < 1:
                raise ValueError(f"{name} must be at least 1, not {bound}")


@dataclass(frozen=True)
class Iteration:
    """One model call that was answered, and what became of its tool calls."""

    model: str
    model_ms: float
    tool_invocations: list[ToolInvocation] = field(default_factory=list)


@dataclass(frozen=True)
class Metrics:
    """What really ran; `used_model` answered last, and is None when no model was asked."""

    iterations: int
    ttotal_ms: float
    escalated: bool
    used_model: str | None


@dataclass(frozen=True)
class AgentResult:
    """The outcome of one run.

    Attributes:
        messages: The whole history, never pruned.
        calls_for_caller: The calls of `caller_tools` that the run ended with; their replies are the caller's.
        usage: Tokens of all model calls, as the models counted them.
    """

    messages: list[Message]
    final_answer: str | None
    stopped_reason: StoppedReason
    iterations: list[Iteration]
    metrics: Metrics
    warnings: list[str]
    calls_for_caller: list[ToolCall] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)

    @property
    def last_tool_invocation(self) -> ToolInvocation | None:
        """The last call that the invoker was asked to perform."""
        ran = [call for step in self.iterations for call in step.tool_invocations if call.ran]
        return ran[-1] if ran else None


async def arouter_call(
    *, model: str, messages: list[Message], stream: bool = False, **kwargs: Any
) -> dict[str, Any]:
    """Asks an OpenAI-compatible model; returns its chat completion.

    Args:
        model: The model's name, as its server knows it.
        messages: OpenAI chat messages.
        stream: Only False is supported.
        kwargs: Further fields of the request body, such as `tools`.

    Raises:
        ModelError: The model's base URL or key is not configured (`MINI_AGENT_MODEL_BASE_URL`,
            `MINI_AGENT_MODEL_API_KEY`, or a file), or the status is 400 or above.
        ValueError: `stream` is true, or the answer is not JSON.
        httpx.HTTPError: The server cannot be reached.
    """
    if stream:
        raise ValueError("arouter_call does not stream; pass stream=False")
    server = config.current().model
    base_url = _required(server.base_url, config.MODEL_BASE_URL).rstrip("/")
    headers = {"Authorization": f"Bearer {_required(server.api_key, server.api_key_env)}"}
    body = {"model": model, "messages": messages, "stream": stream, **kwargs}
    async with httpx.AsyncClient(headers=headers, timeout=server.timeout_seconds, verify=tls()) as client:
        response = await client.post(f"{base_url}/chat/completions", json=body)
    if response.status_code >= 400:
        raise ModelError(f"HTTP {response.status_code}: {response.text[:256]}")
    completion: dict[str, Any] = response.json()
    return completion


def _required(value: str | None, variable: str) -> str:
    if not value:
        raise ModelError(f"the environment variable {variable} is not set; the agent needs it to ask a model")
    return value


async def arun_mcp_mini_agent(
    messages: Sequence[Message], *, mcp: MCPInvoker, cfg: AgentConfig
) -> AgentResult:
    """Runs the agent on a conversation and returns how it ended.

    Raises:
        ModelError: A model call failed.
    """
    return await _Run(messages, mcp, cfg).finish()


class _Run:
    def __init__(self, messages: Sequence[Message], mcp: MCPInvoker, cfg: AgentConfig) -> None:
        self.started = time.monotonic()
        self.messages = list(messages)
        self.mcp = mcp
        self.cfg = cfg
        self.question = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=None)
        self.tools: list[dict[str, Any]] | None = None  # None: the run goes without tools
        self.escalated = False
        self.iterations: list[Iteration] = []
        self.warnings: list[str] = []
        self.code_that_ran: set[str] = set()
        self.calls_for_caller: list[ToolCall] = []
        self.usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)

    async def finish(self) -> AgentResult:
        if self.cfg.use_tools:
            await self._list_tools()
        while self._steps_left():
            if self._over_budget() and not self._escalate():
                return self._result("budget")
            text, calls = await self._ask()
            late = self._over_budget()
            if calls and self.cfg.caller_tools:
                self.calls_for_caller = calls
                return self._result("success", text or None)
            if calls:
                await self._answer_calls(calls, late)
            elif not (late and self._may_escalate()):
                return self._result("budget" if late and not self.escalated else "success", text)
        return self._result("budget" if self._over_budget() else "max_iterations")

    async def _list_tools(self) -> None:
        try:
            self.tools = checked_catalogue(await self.mcp.list_openai_tools())
        except Exception as error:  # whatever is wrong with the tool server, the model can still answer
            self.warnings.append(f"tool catalogue unavailable, running without tools: {describe(error)}")

    def _steps_left(self) -> bool:
        return len(self.iterations) < self.cfg.max_iterations

    def _over_budget(self) -> bool:
        budget = self.cfg.max_total_seconds
        return budget is not None and time.monotonic() - self.started >= budget

    def _may_escalate(self) -> bool:
        asked = self.cfg.escalate_on_budget_exceeded and bool(self.cfg.escalate_model)
        return asked and not self.escalated and self._steps_left()

    def _escalate(self) -> bool:
        """Hands the next step, and only that, to the escalation model, if that was asked for."""
        if not self._may_escalate():
            return False
        self.escalated = True
        self.messages.append({"role": "user", "content": ESCALATION_PROMPT})
        return True

    async def _ask(self) -> tuple[str, list[ToolCall]]:
        """Asks the model, books the iteration, and returns the answer's text and tool calls."""
        model = self.cfg.escalate_model if self.escalated and self.cfg.escalate_model else self.cfg.model
        start = time.perf_counter()
        try:
            response = await arouter_call(
                model=model,
                messages=self._history(),
                stream=False,
                **self.cfg.model_fields,
                **self._tool_fields(),
            )
            answer = _assistant_message(response)
        except Exception as error:  # the router may raise whatever its transport raises
            raise ModelError(f"model {model!r} failed: {describe(error)}") from error
        self.iterations.append(Iteration(model, (time.perf_counter() - start) * 1000.0))
        for name, tokens in _usage(response).items():
            self.usage[name] += tokens
        return self._book(answer)

    def _history(self) -> list[Message]:
        return prune(
            self.messages,
            max_messages=self.cfg.max_history_messages,
            max_chars=self.cfg.max_history_chars,
            question=self.question,
        )

    def _tool_fields(self) -> dict[str, Any]:
        tools = list(self.cfg.caller_tools) or self.tools
        if not tools:
            return {}
        # The escalated step is past the budget: there is no time left to run what it might call.
        choice = "none" if self.escalated else self.cfg.caller_tool_choice or "auto"
        return {"tools": tools, "tool_choice": choice}

    def _book(self, answer: Message) -> tuple[str, list[ToolCall]]:
        text = _text(answer.get("content"))
        calls = parse_calls(answer.get("tool_calls"), len(self.iterations)) or self._code_call(text)
        message: Message = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = [call.as_openai() for call in calls]
        self.messages.append(message)
        return text, calls

    def _code_call(self, text: str) -> list[ToolCall]:
        block = CODE_BLOCK.search(text)
        if not (self.cfg.auto_run_code_on_code_block and block and self._offers_code_tool()):
            return []
        code = block[1]
        if code in self.code_that_ran:  # the model shows the code it has run: that is its answer
            return []
        self.code_that_ran.add(code)
        return [ToolCall(f"auto_run_{len(self.iterations)}", CODE_TOOL, json.dumps({"code": code}))]

    def _offers_code_tool(self) -> bool:
        functions = [tool.get("function") for tool in self.tools or []]
        return any(isinstance(function, dict) and function.get("name") == CODE_TOOL for function in functions)

    async def _answer_calls(self, calls: list[ToolCall], late: bool) -> None:
        replies = await self._replies(calls, late)
        self.iterations[-1].tool_invocations.extend(replies)
        self.messages.extend(reply.as_message() for reply in replies)
        if self.cfg.enable_repair and not late and not all(reply.ok for reply in replies):
            self.messages.append({"role": "user", "content": REPAIR_PROMPT})

    async def _replies(self, calls: list[ToolCall], late: bool) -> list[ToolInvocation]:
        if late:
            return refuse(calls, f"not run: the budget of {self.cfg.max_total_seconds} s is used up")
        if self.tools is None:
            return refuse(calls, "not run: this run goes without tools")
        return await run_calls(
            calls, self.mcp, limit=self.cfg.max_tools_per_iter, concurrency=self.cfg.tool_concurrency
        )

    def _result(self, reason: StoppedReason, final_answer: str | None = None) -> AgentResult:
        metrics = Metrics(
            iterations=len(self.iterations),
            ttotal_ms=(time.monotonic() - self.started) * 1000.0,
            escalated=self.escalated,
            used_model=self.iterations[-1].model if self.iterations else None,
        )
        return AgentResult(
            self.messages,
            final_answer,
            reason,
            self.iterations,
            metrics,
            self.warnings,
            self.calls_for_caller,
            self.usage,
        )


def _assistant_message(response: object) -> Message:
    match response:
        case {"choices": [{"message": dict() as message}, *_]}:
            return message
    raise ModelError("the answer has no choices[0].message")


def _usage(response: object) -> dict[str, int]:
    """Returns the tokens that a model says it took; none where it says nothing that can be counted."""
    said = response.get("usage") if isinstance(response, dict) else None
    said = said if isinstance(said, dict) else {}
    counted = {name: said.get(name) for name in ("prompt_tokens", "completion_tokens")}
    tokens = {name: n for name, n in counted.items() if isinstance(n, int) and not isinstance(n, bool)}
    return {**tokens, "total_tokens": sum(tokens.values())}


def _text(content: object) -> str:
    """Returns an answer's text, which some models send in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return wire_text("".join(part for part in parts if isinstance(part, str)))
    return wire_text(content) if isinstance(content, str) else ""

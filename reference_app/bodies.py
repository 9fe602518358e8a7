"""What clients send and what they are answered: the app's own OpenAPI is made of these."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from reference_app.headers import check_headers
from reference_app.tool_calls import wire_text

DEEPEST = 100  # levels of nesting that every reader and writer of JSON on the way can follow
# The schemas say what the validators below check, so that whoever follows them is not refused.
Message = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}}),
]
Headers = Annotated[
    dict[str, str],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"},
            "additionalProperties": {"type": "string", "pattern": "^[\\t -~]*$"},
        }
    ),
]
BACKEND_PATTERN = r"^\s*([eE][cC][hH][oO]|[hH][tT][tT][pP]|[lL][oO][cC][aA][lL])\s*$"
PASSED_ON = (
    "frequency_penalty",
    "logit_bias",
    "max_completion_tokens",
    "max_tokens",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "temperature",
    "top_p",
    "user",
)


class AgentRunRequest(BaseModel):
    """The body of `POST /agent/run`; `use_tools` is true by default for the http backend only.

    What a body leaves out may be configured; the defaults here are those without a configuration.
    """

    messages: list[Message] = Field(min_length=1, description="OpenAI chat messages")
    model: str = Field(min_length=1)
    tool_backend: str = Field(
        default="local",
        description="echo, http or local, in any case",
        json_schema_extra={"pattern": BACKEND_PATTERN},
    )
    tool_http_base_url: str | None = Field(default=None, description="needed for the http backend")
    tool_http_headers: Headers | None = Field(default=None, description="win over configured ones")
    use_tools: bool | None = None
    auto_run_code_on_code_block: bool = False
    max_iterations: int = Field(default=3, ge=1, le=100)
    max_total_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    escalate_on_budget_exceeded: bool = False
    escalate_model: str | None = None
    enable_repair: bool = False

    @field_validator("messages")
    @classmethod
    def _are_messages(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not all(isinstance(message.get("role"), str) for message in messages):
            raise ValueError("every message needs a role")
        _check_can_be_sent(messages)
        return messages

    @field_validator("model", "escalate_model")
    @classmethod
    def _is_text(cls, model: str | None) -> str | None:
        if model is not None and wire_text(model) != model:
            raise ValueError("a lone surrogate")
        return model

    @field_validator("tool_http_headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        return check_headers(headers) if headers else headers


class StreamOptions(BaseModel):
    """`include_usage` adds a last chunk that has the usage and no choices."""

    include_usage: bool | None = False


class ChatCompletionRequest(AgentRunRequest):
    """The body of a chat completion: OpenAI's fields, and those of `POST /agent/run` under the same names.

    Sampling fields such as `temperature` are passed on to the model. Fields that are not known are ignored.
    Whoever sends `tools` runs them: the model's calls are handed back, and the agent's own tools stay unused.
    """

    model_config = ConfigDict(extra="allow")

    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=1, ge=1, le=1, description="the agent gives one answer")
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = Field(
        default=None, description="without `tools`, only `none` counts: the run uses no tools"
    )

    @model_validator(mode="after")
    def _rest_can_be_sent(self) -> ChatCompletionRequest:
        _check_can_be_sent([self.tools, self.tool_choice, self.passed_on()])
        return self

    def passed_on(self) -> dict[str, Any]:
        """Returns the fields that are the model's business alone."""
        given = self.model_extra or {}
        return {name: given[name] for name in PASSED_ON if given.get(name) is not None}


def _check_can_be_sent(value: object) -> None:
    """Refuses what Python's JSON reader lets in and no HTTP body can carry: NaN, lone surrogates."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
        if not _is_shallow(value):
            raise RecursionError
    except (ValueError, RecursionError):
        raise ValueError("not valid JSON: NaN, infinity, a lone surrogate or too deep") from None


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return True
    return False


def _inside(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


# --- answers; they describe, the app does not check itself against them


class Metrics(BaseModel):
    """What really ran; `used_model` answered last, and is null when no model was asked."""

    iterations: int
    ttotal_ms: float
    escalated: bool
    used_model: str | None


class ToolInvocation(BaseModel):
    """What became of one tool call."""

    id: str
    name: str
    arguments: str
    ran: bool
    ok: bool
    text: str
    ms: float


class AgentAnswer(BaseModel):
    """The answer of `POST /agent/run`."""

    ok: bool
    final_answer: str | None
    stopped_reason: str = Field(json_schema_extra={"enum": ["success", "budget", "max_iterations"]})
    messages: list[dict[str, Any]]
    metrics: Metrics
    last_tool_invocation: ToolInvocation | None = None
    warnings: list[str] | None = None


class Refused(BaseModel):
    """Why there is no answer."""

    detail: str


class Ready(BaseModel):
    """The answer of `GET /ready`."""

    ok: bool


class Health(BaseModel):
    """Which parts are configured, never how."""

    ok: bool
    model_configured: bool
    traces_enabled: bool


class ChatMessage(BaseModel):
    """The assistant's message; `tool_calls` only for tools that the client sent."""

    role: str
    content: str | None
    tool_calls: list[dict[str, Any]] | None = None


class ChatChoice(BaseModel):
    """The one choice of a completion."""

    index: int
    message: ChatMessage
    finish_reason: str = Field(json_schema_extra={"enum": ["stop", "length", "tool_calls"]})
    logprobs: None = None


class ChatUsage(BaseModel):
    """Tokens as the model counted them, over all its calls in the run; 0 where it did not."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AgentReport(BaseModel):
    """What OpenAI's format has no field for."""

    stopped_reason: str
    metrics: Metrics
    last_tool_invocation: ToolInvocation | None = None
    warnings: list[str] | None = None


class ChatCompletion(BaseModel):
    """OpenAI's chat completion, with the agent's report beside it."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage
    agent: AgentReport


class OpenAIFault(BaseModel):
    """What went wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """OpenAI's answer when there is no completion."""

    error: OpenAIFault

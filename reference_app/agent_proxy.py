"""The agent proxy: `POST /agent/run` and OpenAI's chat completions run the agent loop over a tool backend."""

from __future__ import annotations

import dataclasses
import logging
import os
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from reference_app import chat_completions, config, mini_agent
from reference_app.bodies import (
    AgentAnswer,
    AgentRunRequest,
    ChatCompletion,
    ChatCompletionRequest,
    Health,
    OpenAIError,
    Ready,
    Refused,
)
from reference_app.config import BACKENDS
from reference_app.config_kinds import Fault, http_url
from reference_app.headers import ENV_HEADERS, merge_headers, parse_headers
from reference_app.http_tools_invoker import HttpToolsInvoker
from reference_app.redaction import Redactor, header_secrets
from reference_app.tool_calls import wire_text
from reference_app.traces import store_trace

logger = logging.getLogger(__name__)
app = FastAPI(title="reference agent proxy")


class Refusal(HTTPException):
    """400: a field of the body, named by `param`, cannot be used."""

    def __init__(self, detail: str, param: str) -> None:
        super().__init__(400, wire_text(detail))
        self.param = param


@app.exception_handler(RequestValidationError)
async def _malformed_body(request: Request, error: RequestValidationError) -> Response:
    # FastAPI's own handler repeats the input: it would answer 500 where that holds NaN, and print secrets.
    places = [".".join(map(str, fault["loc"][1:])) for fault in error.errors()]
    faults = [
        f"{place or 'body'}: {fault['msg']}" for place, fault in zip(places, error.errors(), strict=True)
    ]
    detail = wire_text("malformed body: " + "; ".join(faults))
    if request.url.path in chat_completions.PATHS:
        return chat_completions.error(400, detail, wire_text(places[0]) or None)
    return JSONResponse({"detail": detail}, status_code=422)


@app.exception_handler(StarletteHTTPException)
async def _refused(request: Request, error: StarletteHTTPException) -> Response:
    if request.url.path in chat_completions.PATHS:
        response: Response = chat_completions.error(
            error.status_code, error.detail, getattr(error, "param", None)
        )
        response.headers.update(error.headers or {})
        return response
    return await http_exception_handler(request, error)


@app.get("/ready", response_model=Ready)
async def ready() -> dict[str, bool]:
    """Says that requests are accepted."""
    return {"ok": True}


@app.get("/healthz", response_model=Health)
async def healthz() -> dict[str, bool]:
    """Says which parts are configured, never how."""
    now = config.current()
    return {
        "ok": True,
        "model_configured": bool(now.model.base_url),
        "traces_enabled": now.traces.store and bool(now.traces.path),
    }


@app.post(
    "/agent/run",
    responses={
        200: {"model": AgentAnswer},
        400: {"model": Refused, "description": "unknown backend, unusable tool server, or no JSON at all"},
        422: {"model": Refused, "description": "malformed body"},
        502: {"model": Refused, "description": "the model failed"},
    },
)
async def run_agent(request: AgentRunRequest) -> Response:
    """Runs the agent once.

    Raises:
        HTTPException: 400 for an unknown backend or an unusable tool server, 502 when the model failed.
    """
    _, answer = await _run(request)
    return JSONResponse(answer)


_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "description": "a chat.completion.chunk, at last `[DONE]`"}},
}


def _chat_responses() -> dict[int | str, dict[str, Any]]:
    """Returns the answers to document; a route's own, for FastAPI writes into them."""
    return {
        200: {
            "model": ChatCompletion,
            "content": {"text/event-stream": {"schema": _EVENT}},
            "description": "the completion; with `stream` as server-sent events that end in `data: [DONE]`",
        },
        "4XX": {"model": OpenAIError, "description": "malformed body, unknown backend, unusable tool server"},
        502: {"model": OpenAIError, "description": "the model failed; `x-should-retry: false`"},
    }


@app.post("/v1/chat/completions", responses=_chat_responses(), operation_id="v1_chat_completions")
@app.post("/chat/completions", responses=_chat_responses(), operation_id="chat_completions")
async def complete_chat(request: ChatCompletionRequest) -> Response:
    """Runs the agent once, behind OpenAI's interface; streamed, the run is over before the first chunk.

    Raises:
        HTTPException: As `POST /agent/run`, in OpenAI's shape.
    """
    agent: dict[str, Any] = {"model_fields": request.passed_on()}
    if request.tools:
        agent.update(use_tools=False, caller_tools=request.tools, caller_tool_choice=request.tool_choice)
    elif request.tool_choice == "none":
        agent["use_tools"] = False
    result, answer = await _run(request, **agent)
    completion = chat_completions.completion(result, answer, request.model)
    if not request.stream:
        return JSONResponse(completion)
    include_usage = bool(request.stream_options and request.stream_options.include_usage)
    return StreamingResponse(
        chat_completions.stream(completion, include_usage),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache"},
    )


async def _run(request: AgentRunRequest, **agent: Any) -> tuple[mini_agent.AgentResult, dict[str, Any]]:
    """Runs the agent and stores its trace; returns the run and what is answered of it."""
    now = config.current()
    request = _filled(request, now.agent)
    backend = request.tool_backend.strip().lower()
    headers = _tool_headers(request, now.agent) if backend == "http" else {}
    redactor = Redactor(header_secrets(headers) | {now.model.api_key})
    mcp = _invoker(backend, request.tool_http_base_url, headers)
    about = {"model": request.model, "tool_backend": backend, "tool_header_names": sorted(headers)}
    cfg = dataclasses.replace(_agent_config(request, backend, now.agent), **agent)
    try:
        async with _open(mcp):
            result = await mini_agent.arun_mcp_mini_agent(request.messages, mcp=mcp, cfg=cfg)
    except mini_agent.ModelError as error:
        detail = redactor.text(str(error))
        logger.warning("agent run failed: %s", detail)
        failure = {"ok": False, "error": detail, "messages": request.messages}
        store_trace({**failure, "trace": {"request": about, "iterations": []}}, redactor)
        raise HTTPException(status_code=502, detail=detail) from error
    answer = _answer(result, redactor)
    steps = [dataclasses.asdict(step) for step in result.iterations]
    store_trace({**answer, "trace": {"request": about, "iterations": steps}}, redactor)
    return result, answer


def _filled(request: AgentRunRequest, configured: config.Agent) -> AgentRunRequest:
    """Returns the request with configured values where it says nothing; headers are merged elsewhere."""
    left_out = {
        name
        for name in type(request).model_fields
        if name not in request.model_fields_set or getattr(request, name) is None
    }
    known = {field.name for field in dataclasses.fields(configured)} - {"tool_http_headers"}
    return request.model_copy(update={name: getattr(configured, name) for name in left_out & known})


def _invoker(backend: str, base_url: str | None, headers: dict[str, str]) -> mini_agent.MCPInvoker:
    if backend == "local":
        return mini_agent.LocalInvoker()
    if backend == "echo":
        return mini_agent.EchoInvoker()
    if backend != "http":
        known = ", ".join(BACKENDS)
        raise Refusal(f"unknown tool_backend {backend!r}; known: {known}", "tool_backend")
    if not base_url or not base_url.strip():
        raise Refusal("tool_http_base_url required for tool_backend=http", "tool_http_base_url")
    try:
        return HttpToolsInvoker(http_url(base_url), headers=headers)
    except Fault:
        raise Refusal(
            "tool_http_base_url must be an absolute http or https URL", "tool_http_base_url"
        ) from None


def _open(mcp: mini_agent.MCPInvoker) -> AbstractAsyncContextManager[Any]:
    """Returns what holds open, for one run, what an invoker keeps open; most keep nothing."""
    return mcp if isinstance(mcp, AbstractAsyncContextManager) else nullcontext()


def _tool_headers(request: AgentRunRequest, configured: config.Agent) -> dict[str, str]:
    try:
        from_env = parse_headers(os.environ.get(ENV_HEADERS, ""))
    except ValueError as error:
        logger.warning("%s ignored: %s", ENV_HEADERS, error)
        from_env = {}
    return merge_headers(configured.tool_http_headers or {}, from_env, request.tool_http_headers or {})


def _agent_config(request: AgentRunRequest, backend: str, configured: config.Agent) -> mini_agent.AgentConfig:
    return mini_agent.AgentConfig(
        model=request.model,
        max_iterations=request.max_iterations,
        max_tools_per_iter=configured.max_tools_per_iter,
        tool_concurrency=configured.tool_concurrency,
        max_history_messages=configured.max_history_messages,
        max_history_chars=configured.max_history_chars,
        max_total_seconds=request.max_total_seconds,
        use_tools=backend == "http" if request.use_tools is None else request.use_tools,
        auto_run_code_on_code_block=request.auto_run_code_on_code_block,
        enable_repair=request.enable_repair,
        escalate_on_budget_exceeded=request.escalate_on_budget_exceeded,
        escalate_model=request.escalate_model,
    )


def _answer(result: mini_agent.AgentResult, redactor: Redactor) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "ok": True,
        "final_answer": result.final_answer,
        "stopped_reason": result.stopped_reason,
        "messages": result.messages,
        "metrics": dataclasses.asdict(result.metrics),
    }
    if result.last_tool_invocation:
        answer["last_tool_invocation"] = dataclasses.asdict(result.last_tool_invocation)
    if result.warnings:
        answer["warnings"] = [redactor.text(warning) for warning in result.warnings]
        for warning in answer["warnings"]:
            logger.warning("agent run: %s", warning)
    return answer

"""The agent proxy: `POST /agent/run` runs the agent loop over a tool backend."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, field_validator

from reference_app import mini_agent
from reference_app.headers import ENV_HEADERS, check_headers, merge_headers, parse_headers
from reference_app.http_tools_invoker import HttpToolsInvoker
from reference_app.redaction import Redactor, header_secrets
from reference_app.tool_calls import wire_text
from reference_app.traces import store_trace, traces_enabled

BACKENDS = ("echo", "http", "local")
logger = logging.getLogger(__name__)
app = FastAPI(title="reference agent proxy")


class AgentRunRequest(BaseModel):
    """The body of `POST /agent/run`; `use_tools` is true by default for the http backend only."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str = Field(min_length=1)
    tool_backend: str = "local"
    tool_http_base_url: str | None = None
    tool_http_headers: dict[str, str] | None = None
    use_tools: bool | None = None
    auto_run_code_on_code_block: bool = False
    max_iterations: int = Field(default=3, ge=1, le=100)
    max_total_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    escalate_on_budget_exceeded: bool = False
    escalate_model: str | None = None
    enable_repair: bool = False

    @field_validator("messages")
    @classmethod
    def _can_be_sent(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuses what Python's JSON reader lets in and no HTTP body can carry: NaN, lone surrogates."""
        if not all(isinstance(message.get("role"), str) for message in messages):
            raise ValueError("every message needs a role")
        try:
            json.dumps(messages, ensure_ascii=False, allow_nan=False).encode("utf-8")
        except (ValueError, RecursionError):
            raise ValueError("not valid JSON: NaN, infinity, a lone surrogate or too deep") from None
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


@app.exception_handler(RequestValidationError)
async def _malformed_body(_request: Request, error: RequestValidationError) -> JSONResponse:
    # FastAPI's own handler repeats the input: it would answer 500 where that holds NaN, and print secrets.
    faults = [f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}" for fault in error.errors()]
    return JSONResponse({"detail": wire_text("malformed body: " + "; ".join(faults))}, status_code=422)


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """Says that requests are accepted."""
    return {"ok": True}


@app.get("/healthz")
async def healthz() -> dict[str, bool]:
    """Says which parts are configured, never how."""
    configured = bool(os.environ.get("MINI_AGENT_MODEL_BASE_URL"))
    return {"ok": True, "model_configured": configured, "traces_enabled": traces_enabled()}


@app.post("/agent/run")
async def run_agent(request: AgentRunRequest) -> JSONResponse:
    """Runs the agent once.

    Raises:
        HTTPException: 400 for an unknown backend or an unusable tool server, 502 when the model failed.
    """
    backend = request.tool_backend.strip().lower()
    headers = _tool_headers(request) if backend == "http" else {}
    redactor = Redactor(header_secrets(headers) | {os.environ.get("MINI_AGENT_MODEL_API_KEY", "")})
    mcp = _invoker(backend, request.tool_http_base_url, headers)
    about = {"model": request.model, "tool_backend": backend, "tool_header_names": sorted(headers)}
    try:
        async with _open(mcp):
            result = await mini_agent.arun_mcp_mini_agent(
                request.messages, mcp=mcp, cfg=_config(request, backend)
            )
    except mini_agent.ModelError as error:
        detail = redactor.text(str(error))
        logger.warning("agent run failed: %s", detail)
        failure = {"ok": False, "error": detail, "messages": request.messages}
        store_trace({**failure, "trace": {"request": about, "iterations": []}}, redactor)
        raise HTTPException(status_code=502, detail=detail) from error
    answer = _answer(result, redactor)
    steps = [dataclasses.asdict(step) for step in result.iterations]
    store_trace({**answer, "trace": {"request": about, "iterations": steps}}, redactor)
    return JSONResponse(answer)


def _invoker(backend: str, base_url: str | None, headers: dict[str, str]) -> mini_agent.MCPInvoker:
    if backend == "local":
        return mini_agent.LocalInvoker()
    if backend == "echo":
        return mini_agent.EchoInvoker()
    if backend != "http":
        known = ", ".join(BACKENDS)
        raise HTTPException(400, wire_text(f"unknown tool_backend {backend!r}; known: {known}"))
    if not base_url or not base_url.strip():
        raise HTTPException(400, "tool_http_base_url required for tool_backend=http")
    return HttpToolsInvoker(_checked_url(base_url.strip()), headers=headers)


def _open(mcp: mini_agent.MCPInvoker) -> AbstractAsyncContextManager[Any]:
    """Returns what holds open, for one run, what an invoker keeps open; most keep nothing."""
    return mcp if isinstance(mcp, AbstractAsyncContextManager) else nullcontext()


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise HTTPException(400, "tool_http_base_url must be an absolute http or https URL")
    return url


def _tool_headers(request: AgentRunRequest) -> dict[str, str]:
    try:
        from_env = parse_headers(os.environ.get(ENV_HEADERS, ""))
    except ValueError as error:
        logger.warning("%s ignored: %s", ENV_HEADERS, error)
        from_env = {}
    return merge_headers(from_env, request.tool_http_headers or {})


def _config(request: AgentRunRequest, backend: str) -> mini_agent.AgentConfig:
    return mini_agent.AgentConfig(
        model=request.model,
        max_iterations=request.max_iterations,
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

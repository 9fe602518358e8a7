"""A real, non-deterministic model: an OpenAI-compatible server process on loopback.

`python -m reference_app.stochastic_model [--error-rate 0] [--fault-rate 0]` prints its base URL as the
first line on stdout once it accepts connections. `running()` starts and ends that process from a test.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from secrets import SystemRandom
from typing import IO, Any, NoReturn

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from reference_app import chat_completions

MODEL = "stochastic-1"
START_SECONDS = 30.0
STOP_SECONDS = 5.0
LATENCY_SECONDS = (0.002, 0.04)
TOOLS_FIRST = 0.9  # how often an answer starts with tool calls, when it may

OPENINGS = ("Well,", "In short:", "As far as I can tell,", "Here it is:", "Right,", "To sum up,", "So,")
CLAIMS = ("the answer is", "this comes out as", "we get", "the result reads", "what I found is", "it is")
CLOSINGS = ("Hope that helps.", "Ask again if unsure.", "That is all.", "Anything else?", "Done.", "")
WORDS = ("amber", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbour", "indigo", "juniper")
FAULTS = {429: "rate limit reached", 500: "internal error", 503: "overloaded"}
UNKNOWN_TOOL = "tool_that_nobody_offered"
BROKEN_ARGUMENTS = '{"unfinished": '
ENV_ERROR_RATE = "STOCHASTIC_ERROR_RATE"
ENV_FAULT_RATE = "STOCHASTIC_FAULT_RATE"

# OS entropy, never seeded: a test runner that fixes `random.seed` must not make this model repeatable.
_random = SystemRandom()


def build_app(error_rate: float, fault_rate: float) -> FastAPI:
    """Returns the model's app.

    Args:
        error_rate: The share of completions that are wrong, with status 200; 0 to 1.
        fault_rate: The share of requests that are not completed but answered 429, 500 or 503; 0 to 1.
    """
    app = FastAPI(title="stochastic model")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "reference_app"}]}

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        try:
            body = await request.json()
        except (ValueError, RecursionError):
            return _error(400, "the body is not JSON")
        if not _is_chat(body):
            return _error(400, "the body needs a `model` text and a `messages` list of objects")
        await asyncio.sleep(_random.uniform(*LATENCY_SECONDS))
        if _random.random() < fault_rate:
            return _error(*_random.choice(list(FAULTS.items())))
        whole = complete(body, is_wrong=_random.random() < error_rate)
        if not body.get("stream"):
            return JSONResponse(whole)
        options = body.get("stream_options")
        include_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return StreamingResponse(
            chat_completions.stream(whole, include_usage), media_type="text/event-stream"
        )

    return app


def complete(body: dict[str, Any], is_wrong: bool = False) -> dict[str, Any]:
    """Returns one chat completion for an OpenAI request body: tool calls first as a rule, then a text.

    A wrong one calls a tool that was not offered, calls one with arguments that are no JSON, answers without
    what the tools replied, or is empty.
    """
    messages = body["messages"]
    functions = _functions(body.get("tools"))
    replies = _replies_since_question(messages)
    may_call = bool(functions) and body.get("tool_choice") != "none" and not replies
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if is_wrong:
        message |= _mistake(functions if may_call else [], messages, replies)
    elif may_call and _random.random() < TOOLS_FIRST:
        message["tool_calls"] = [_tool_call(_random.choice(functions)) for _ in range(_random.randint(1, 3))]
    else:
        message["content"] = _final_text(messages, replies)
    finish = "tool_calls" if "tool_calls" in message else "stop"
    prompt_tokens, completion_tokens = _tokens(messages), _tokens(message)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def _mistake(
    functions: list[dict[str, Any]], messages: list[dict[str, Any]], replies: list[str]
) -> dict[str, Any]:
    """What of a message is wrong; every kind of mistake that the conversation allows is as frequent."""
    mistakes: list[dict[str, Any]] = [{"content": ""}]
    if functions:
        call = _tool_call(_random.choice(functions))
        unknown = {**call, "function": {**call["function"], "name": UNKNOWN_TOOL}}
        broken = {**call, "function": {**call["function"], "arguments": BROKEN_ARGUMENTS}}
        mistakes += [{"tool_calls": [unknown]}, {"tool_calls": [broken]}]
    if replies:
        mistakes.append({"content": _final_text(messages, [])})
    return _random.choice(mistakes)


def _is_chat(body: object) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return False
    messages = body.get("messages")
    return isinstance(messages, list) and bool(messages) and all(isinstance(m, dict) for m in messages)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "stochastic"}}, status_code=status)


def _functions(tools: object) -> list[dict[str, Any]]:
    offered = tools if isinstance(tools, list) else []
    functions = [tool.get("function") for tool in offered if isinstance(tool, dict)]
    return [function for function in functions if isinstance(function, dict) and function.get("name")]


def _replies_since_question(messages: list[dict[str, Any]]) -> list[str]:
    roles = [message.get("role") for message in messages]
    start = max((i for i, role in enumerate(roles) if role == "user"), default=0)
    return [str(message.get("content")) for message in messages[start:] if message.get("role") == "tool"]


def _tool_call(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    fields = list(properties.items()) if isinstance(properties, dict) else []
    _random.shuffle(fields)
    arguments = json.dumps({name: _argument(schema) for name, schema in fields})
    call = {"name": function["name"], "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:12]}", "type": "function", "function": call}


def _argument(schema: object) -> object:
    kind = schema.get("type") if isinstance(schema, dict) else None
    match kind:
        case "integer":
            return _random.randint(0, 100)
        case "number":
            return round(_random.uniform(0, 100), 2)
        case "boolean":
            return _random.random() < 0.5
        case "array":
            return []
        case "object":
            return {}
    return " ".join(_random.sample(WORDS, _random.randint(1, 3)))


def _final_text(messages: list[dict[str, Any]], replies: list[str]) -> str:
    topic = "; ".join(replies) or " ".join(_random.sample(WORDS, 3))
    sentence = f"{_random.choice(OPENINGS)} {_random.choice(CLAIMS)} {topic}."
    aside = f"(I weighed {_random.randint(2, 999)} options over {len(messages)} messages.)"
    return " ".join(part for part in (sentence, aside, _random.choice(CLOSINGS)) if part)


def _tokens(value: object) -> int:
    return max(1, len(str(value)) // 4)


@contextlib.contextmanager
def running(error_rate: float | None = None, fault_rate: float | None = None) -> Iterator[str]:
    """Runs the model in a process of its own and yields its base URL; always ends the process.

    Args:
        error_rate: The share of completions that are wrong; None: as the environment says.
        fault_rate: The share of requests that are answered 429, 500 or 503, likewise.

    Raises:
        RuntimeError: The process did not start; the message holds what it wrote to stderr.
    """
    command = [sys.executable, "-m", "reference_app.stochastic_model", "--until-stdin-closes"]
    for option, rate in (("--error-rate", error_rate), ("--fault-rate", fault_rate)):
        command += [] if rate is None else [option, str(rate)]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_child_environment(),
        )
        try:
            yield _await_answer(process, stderr)
        finally:
            _end(process)


def _child_environment() -> dict[str, str]:
    # The child must find this package wherever it is started. Last on the path: what is installed wins.
    root = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([inherited, root] if inherited else [root])}


def _await_answer(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> str:
    assert process.stdout is not None  # a pipe, as running() asked
    # A pipe has no read timeout on every platform; killing the process ends the read everywhere.
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    try:
        base_url = process.stdout.readline().decode().strip()
    finally:
        watchdog.cancel()
        watchdog.join()
    if not base_url:
        process.wait()
        stderr.seek(0)
        raise RuntimeError(f"the stochastic model did not start: {stderr.read().decode(errors='replace')}")
    # Loopback, so never through a proxy that the environment names.
    httpx.get(f"{base_url}/models", timeout=START_SECONDS, trust_env=False).raise_for_status()
    return base_url


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    # A closed stdin lets it end by itself, so that a coverage run in the child can still write its data.
    for insist in (process.terminate, process.kill):
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            insist()
    process.wait()


class _AnnouncingServer(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            print(f"http://{host}:{port}/v1", flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says it in one line."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def main() -> None:
    """Serves until it is terminated, or, with `--until-stdin-closes`, until whoever started it is gone."""
    parser = _Parser(prog="python -m reference_app.stochastic_model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument(
        "--error-rate", type=_share, help=f"share of wrong completions, 0 to 1 [{ENV_ERROR_RATE}]"
    )
    parser.add_argument(
        "--fault-rate", type=_share, help=f"share of requests answered 429, 500 or 503 [{ENV_FAULT_RATE}]"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when stdin does")
    options = parser.parse_args()
    try:
        error_rate = _rate(options.error_rate, ENV_ERROR_RATE)
        fault_rate = _rate(options.fault_rate, ENV_FAULT_RATE)
    except argparse.ArgumentTypeError as problem:
        parser.error(str(problem))
    config = uvicorn.Config(
        build_app(error_rate, fault_rate),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = _AnnouncingServer(config)
    if options.until_stdin_closes:
        threading.Thread(target=_stop_at_end_of_stdin, args=(server,), daemon=True).start()
    server.run()


def _rate(option: float | None, variable: str) -> float:
    """What the command line says, or else the environment."""
    return _share(os.environ.get(variable) or "0", f"{variable}: ") if option is None else option


def _share(text: str, where: str = "") -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{where}{text} is not between 0 and 1; 0.2 is one in five")
    return share


def _stop_at_end_of_stdin(server: uvicorn.Server) -> None:
    # Not `sys.stdin.read()`: a thread that holds its lock crashes the interpreter's shutdown.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


if __name__ == "__main__":
    main()

"""Serves the app on a socket, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from reference_app import chat_completions, defects
from reference_app import config_kinds as kinds
from reference_app.config import LOG_LEVELS, Config, Server, in_use

USAGE_ERROR = 2
SDK = (2, 3)  # the oldest release of the package mcp that has what the gateway uses
EPILOG = """\
The command line wins over the environment, the environment over the file; docs/reference/reference-app.md
lists what can be configured. After SIGTERM or SIGINT running requests may end, for server.shutdown_seconds at
most. Exit status: 0 after a signal, 2 when something given here or in the file cannot be used.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `python -m reference_app`; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        config = _config(options)
        planted = defects.planted_by_environment().union(options.defect)
        app = _app(config, options.config)
        listener = _listen(config.server)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    _log(config.server.log_level)
    for defect in sorted(planted, key=lambda defect: defect.value):
        logging.getLogger(__name__).warning("planted defect: %s", defect.value)
    with listener, in_use(config), defects.planted(*planted):
        _serve(app, listener, config.server)
    return 0


def _parser() -> argparse.ArgumentParser:
    server = Server()
    parser = argparse.ArgumentParser(
        prog="python -m reference_app",
        description="Serves the reference agent proxy and MCP gateway; its URL is the first line on stdout.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", type=_argument(kinds.text), help=f"where to listen ({server.host})")
    parser.add_argument(
        "--port", type=_port, metavar="N", help=f"the port to listen on; 0 picks a free one ({server.port})"
    )
    parser.add_argument(
        "--config",
        type=_argument(kinds.text),
        metavar="FILE",
        help="a YAML file with the sections server, model, …",
    )
    parser.add_argument(
        "--log-level", type=str.lower, choices=LOG_LEVELS, help=f"what goes to stderr ({server.log_level})"
    )
    known = ", ".join(defect.value for defect in defects.Defect)
    parser.add_argument(
        "--defect",
        action="append",
        type=_argument(defects.named),
        default=[],
        metavar="NAME",
        help=f"plant a bug, to see a test suite catch it: {known}; may be given several times",
    )
    return parser


def _argument(kind: kinds.Kind) -> Any:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _port(text: str) -> int:
    port: int = _argument(lambda text: kinds.whole(0, 65535)(int(text) if text.isdecimal() else text))(text)
    return port


def _config(options: argparse.Namespace) -> Config:
    config = Config()
    if options.config is not None:
        config = _read(options.config)
    given = {name: getattr(options, name) for name in ("host", "port", "log_level")}
    server = replace(config.server, **{name: value for name, value in given.items() if value is not None})
    return replace(config, server=server)


def _read(path: str) -> Config:
    try:
        from reference_app.config_file import read_config
    except ModuleNotFoundError as error:
        raise ValueError(f"--config needs {error.name}, which is not installed: pip install pyyaml") from None
    return read_config(path)


def _listen(server: Server) -> socket.socket:
    """Returns a socket that accepts connections.

    Raises:
        OSError: The address cannot be had; the message is for the user.
    """
    try:
        family, *_, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        # Not all of what it says: Python repeats the address.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise OSError(
            f"cannot listen on {server.host}:{server.port}: {why}; "
            "choose another address with --host and --port (port 0 picks a free one)"
        ) from None


def _log(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # They would print the URLs and headers that tools are called with, credentials included.
    for name in ("httpx", "httpcore", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _app(config: Config, path: str | None) -> FastAPI:
    """Returns the app: the agent proxy, behind the gateway where the file at that path configures one.

    Raises:
        ValueError: The gateway cannot be made as it is configured; the message is for the user.
    """
    if config.gateway is None:
        from reference_app.agent_proxy import app

        return app
    _check_sdk()
    from reference_app.gateway.app import build
    from reference_app.gateway.own_process import settle_in

    settle_in()
    try:
        return build(config)
    except kinds.Fault as fault:
        from reference_app.config_file import located

        assert path is not None  # nothing but a file configures a gateway
        raise located(fault, path) from fault


def _check_sdk() -> None:
    """Raises ValueError when the SDK that speaks MCP is missing, or older than the gateway needs."""
    try:
        found = importlib.metadata.version("mcp")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    if numbers < SDK:
        wanted = ".".join(map(str, SDK))
        raise ValueError(f"the gateway needs mcp>={wanted}, found {found}: pip install 'mcp>={wanted}'")


def _serve(app: FastAPI, listener: socket.socket, server: Server) -> None:
    config = uvicorn.Config(
        _EndsQuietly(app),
        log_config=None,
        log_level=server.log_level,
        timeout_graceful_shutdown=math.ceil(server.shutdown_seconds),
    )
    running = _AnnouncingServer(config, listener, getattr(app.state, "end_streams", None))

    def stop(*_: object) -> None:
        running.should_exit = True

    # uvicorn raises the signal again when it has shut down: without a handler the process would die of it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    running.run(sockets=[listener])


class _AnnouncingServer(uvicorn.Server):
    """Prints its URL when it accepts connections, and ends what would go on for ever when it is to exit."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, end_streams: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._end_streams = end_streams

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        host, port = self._listener.getsockname()[:2]
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self._end_streams is not None:
            self._end_streams()
        super().handle_exit(sig, frame)


class _EndsQuietly:
    """Answers 503 to a request that shutdown cuts off, where uvicorn would log a traceback and say 500."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        has_started = False

        async def noticing(message: Any) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, noticing)
        except asyncio.CancelledError:
            if scope["type"] != "http" or has_started:
                raise
            await _cut_off(scope["path"])(scope, receive, send)


def _cut_off(path: str) -> Response:
    why = "the server was shut down before the run was over"
    if path in chat_completions.PATHS:
        return chat_completions.error(503, why)
    return JSONResponse({"detail": why}, status_code=503)

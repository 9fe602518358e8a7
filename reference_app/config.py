"""What can be configured, with its defaults; the environment wins over a file, a request over both.

`config_file` reads a file into a `Config`. A section is a dataclass, a key is a field of it: its kind checks
what a file says, and its method `check`, if it has one, what keys say together. Another part of the app
brings a section of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from reference_app import config_kinds as kinds
from reference_app.headers import check_headers

MODEL_BASE_URL = "MINI_AGENT_MODEL_BASE_URL"
MODEL_API_KEY = "MINI_AGENT_MODEL_API_KEY"
STORE_TRACES = "MINI_AGENT_STORE_TRACES"
STORE_PATH = "MINI_AGENT_STORE_PATH"
BACKENDS = ("echo", "http", "local")
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


@dataclass(frozen=True)
class Entries:
    """The kind of a mapping whose names are free; `read` gets each name with its value."""

    read: Callable[[str, object], Any]


def key(kind: kinds.Kind | Entries, default: Any = None) -> Any:
    """Declares a key of a section: how a file's value is read, and the value without one."""
    return field(default=default, metadata={"kind": kind})


def _header(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise kinds.Fault("is not a text; put the header's value in quotes")
    try:
        return check_headers({name: value})[name]
    except ValueError as error:
        raise kinds.Fault(f"{error}; write one that may stand in an HTTP request") from None


@dataclass(frozen=True)
class Server:
    """Where the app listens; `shutdown_seconds` is how long running requests may take at the end."""

    host: str = key(kinds.text, "127.0.0.1")
    port: int = key(kinds.whole(0, 65535), 8000)
    log_level: str = key(kinds.one_of(*LOG_LEVELS), "info")
    shutdown_seconds: float = key(kinds.seconds, 10.0)


@dataclass(frozen=True)
class Model:
    """Which model server is asked, and the environment variable that holds its key."""

    base_url: str | None = key(kinds.http_url)
    api_key_env: str = key(kinds.variable_name, MODEL_API_KEY)
    timeout_seconds: float = key(kinds.seconds, 60.0)

    @property
    def api_key(self) -> str:
        """The key as the environment has it now; "" when it has none."""
        return os.environ.get(MODEL_API_KEY, "").strip() or os.environ.get(self.api_key_env, "").strip()


@dataclass(frozen=True)
class Agent:
    """What a run does where its request does not say; the last four are bounds that no request can change."""

    tool_backend: str = key(kinds.one_of(*BACKENDS), "local")
    tool_http_base_url: str | None = key(kinds.http_url)
    tool_http_headers: Mapping[str, str] | None = key(Entries(_header))
    use_tools: bool | None = key(kinds.switch)
    auto_run_code_on_code_block: bool = key(kinds.switch, False)
    max_iterations: int = key(kinds.whole(1, 100), 3)
    max_total_seconds: float | None = key(kinds.seconds)
    escalate_on_budget_exceeded: bool = key(kinds.switch, False)
    escalate_model: str | None = key(kinds.text)
    enable_repair: bool = key(kinds.switch, False)
    max_tools_per_iter: int = key(kinds.whole(1), 4)
    tool_concurrency: int = key(kinds.whole(1), 4)
    max_history_messages: int = key(kinds.whole(1), 50)
    max_history_chars: int = key(kinds.whole(1), 16_000)


@dataclass(frozen=True)
class Traces:
    """Whether runs are stored, one JSON line each, and in which file."""

    store: bool = key(kinds.switch, False)
    path: str | None = key(kinds.text)

    def check(self) -> None:
        """Raises Fault when a file wants traces and nobody says where."""
        if self.store and not (self.path or os.environ.get(STORE_PATH)):
            raise kinds.Fault(f"store is true without a path; write traces.path, or set {STORE_PATH}")


@dataclass(frozen=True)
class Config:
    """Everything that can be configured."""

    server: Server = Server()
    model: Model = Model()
    agent: Agent = Agent()
    traces: Traces = Traces()


_in_use = Config()


@contextmanager
def in_use(config: Config) -> Iterator[None]:
    """Makes the app, in this process, follow a configuration for the block."""
    global _in_use
    before = _in_use
    _in_use = config
    try:
        yield
    finally:
        _in_use = before


def current() -> Config:
    """Returns the configuration in use, under what the environment says at this moment."""
    config = _in_use
    base_url = os.environ.get(MODEL_BASE_URL, "").strip() or config.model.base_url
    wish = os.environ.get(STORE_TRACES)
    store = config.traces.store if wish is None else wish == "1"
    path = os.environ.get(STORE_PATH) or config.traces.path
    return replace(
        config,
        model=replace(config.model, base_url=base_url),
        traces=replace(config.traces, store=store, path=path),
    )

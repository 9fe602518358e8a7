"""What can be configured, with its defaults; the environment wins over a file, a request over both.

`config_file` reads a file into a `Config`, which is made of sections: `config_sections` says how they are
declared. What a file says in one key is checked by the key's kind, what keys say together by the method
`check` of their section, if it has one. Another part of the app brings sections of its own.
"""

# ruff: noqa: RUF009 (key declares a field, as dataclasses.field does)

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from reference_app import config_kinds as kinds
from reference_app.config_sections import Entries, key
from reference_app.gateway import consistency
from reference_app.gateway.settings import Gateway, McpServer

MODEL_BASE_URL = "MINI_AGENT_MODEL_BASE_URL"
MODEL_API_KEY = "MINI_AGENT_MODEL_API_KEY"
STORE_TRACES = "MINI_AGENT_STORE_TRACES"
STORE_PATH = "MINI_AGENT_STORE_PATH"
BACKENDS = ("echo", "http", "local")
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


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
    tool_http_headers: Mapping[str, str] | None = key(Entries(kinds.header_value, kinds.header_name))
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

    def check(self) -> Iterator[kinds.Fault]:
        """Yields what is wrong when a file wants traces and nobody says where."""
        if self.store and not (self.path or os.environ.get(STORE_PATH)):
            yield kinds.Fault(f"is true without a path; write traces.path, or set {STORE_PATH}", "store")


@dataclass(frozen=True)
class Config:
    """Everything that can be configured."""

    server: Server = key(Server, Server())
    model: Model = key(Model, Model())
    agent: Agent = key(Agent, Agent())
    traces: Traces = key(Traces, Traces())
    gateway: Gateway | None = key(Gateway)
    mcp_servers: Mapping[str, McpServer] = key(Entries(McpServer, kinds.name), {})

    def check(self) -> Iterator[kinds.Fault]:
        """Yields what is wrong between the gateway and its upstreams."""
        return consistency.faults(self.mcp_servers, self.gateway)


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

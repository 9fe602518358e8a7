"""The clients: where their configurations stand, which keys they know, what they do with references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Keys = Mapping[str, str]  # a key, and the kind of its value


@dataclass(frozen=True)
class Client:
    """A client, as far as its configuration goes.

    Attributes:
        name: As `--as` takes it.
        title: As its makers write it.
        notation: "toml", "json", "jsonc" (comments and trailing commas allowed) or "env".
        section: Where the table of servers stands.
        stdio: Keys of a server that is a program.
        http: Keys of a server that has an address; none where the client knows no such servers.
        shared: Keys of both.
        types: Values of `type`, and the transport that each stands for.
        headers: The key of the table of headers.
        expands: Which references it fills in, see Variables.
        needs_type: Whether a server with `url` needs its `type`.
        falls_back: Whether it tries SSE where streamable HTTP is not spoken.
        beside: Keys beside the table of servers; None where there may be any.
    """

    name: str
    title: str
    notation: str
    section: tuple[str, ...] = ()
    stdio: Keys = field(default_factory=dict)
    http: Keys = field(default_factory=dict)
    shared: Keys = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    headers: str = "headers"
    expands: str = "nothing"
    needs_type: bool = False
    falls_back: bool = False
    beside: tuple[str, ...] | None = None

    @property
    def keys(self) -> dict[str, str]:
        """All keys of a server."""
        return {**self.stdio, **self.http, **self.shared}

    @property
    def is_json(self) -> bool:
        """Whether its configurations are JSON."""
        return self.notation in ("json", "jsonc")

    @property
    def takes_inputs(self) -> bool:
        """Whether `${input:id}` asks the user."""
        return self.name == "vscode"


_PROGRAM: Final[Keys] = {"command": "text", "args": "texts", "env": "variables"}
_ADDRESS: Final[Keys] = {"url": "text", "headers": "headers"}

CODEX: Final = Client(
    name="codex",
    title="Codex",
    notation="toml",
    section=("mcp_servers",),
    stdio={**_PROGRAM, "env_vars": "list", "cwd": "text"},
    http={
        "url": "text",
        "http_headers": "headers",
        "env_http_headers": "headers",
        "bearer_token_env_var": "text",
        "oauth": "table",
        "oauth_resource": "text",
    },
    shared={
        "enabled": "flag",
        "required": "flag",
        "startup_timeout_sec": "number",
        "startup_timeout_ms": "number",
        "tool_timeout_sec": "number",
        "enabled_tools": "texts",
        "disabled_tools": "texts",
        "default_tools_approval_mode": "text",
        "supports_parallel_tool_calls": "flag",
        "experimental_environment": "text",
        "scopes": "texts",
        "name": "text",
        "tools": "table",
    },
    headers="http_headers",
)
CLAUDE_CODE: Final = Client(
    name="claude-code",
    title="Claude Code",
    notation="json",
    section=("mcpServers",),
    stdio=_PROGRAM,
    http={**_ADDRESS, "headersHelper": "text", "oauth": "table"},
    shared={"type": "text", "timeout": "number", "alwaysLoad": "flag"},
    types={"stdio": "stdio", "http": "http", "streamable-http": "http", "sse": "sse"},
    expands="shell",
    needs_type=True,
)
CLAUDE_DESKTOP: Final = Client(
    name="claude-desktop",
    title="Claude Desktop",
    notation="json",
    section=("mcpServers",),
    stdio=_PROGRAM,
    shared={"type": "text"},
    types={"stdio": "stdio"},
)
CURSOR: Final = Client(
    name="cursor",
    title="Cursor",
    notation="json",
    section=("mcpServers",),
    stdio={**_PROGRAM, "envFile": "text", "cwd": "text"},
    http={**_ADDRESS, "auth": "table"},
    shared={"type": "text"},
    types={
        "stdio": "stdio",
        "http": "http",
        "streamable-http": "http",
        "streamableHttp": "http",
        "sse": "sse",
    },
    expands="editor",
    falls_back=True,
)
VSCODE: Final = Client(
    name="vscode",
    title="VS Code",
    notation="jsonc",
    section=("servers",),
    stdio={
        **_PROGRAM,
        "envFile": "text",
        "cwd": "text",
        "sandboxEnabled": "flag",
        "sandbox": "table",
    },
    http={**_ADDRESS, "oauth": "table"},
    shared={"type": "text", "dev": "table", "gallery": "any", "version": "text"},
    types={"stdio": "stdio", "http": "http", "sse": "sse"},
    expands="editor",
    falls_back=True,
    beside=("inputs", "sandbox", "$schema"),
)
OPEN_WEBUI: Final = Client(name="open-webui", title="Open WebUI", notation="env")

CLIENTS: Final = (CODEX, CLAUDE_CODE, CLAUDE_DESKTOP, CURSOR, VSCODE, OPEN_WEBUI)


def client_named(name: str) -> Client:
    """Return a client by its name. Raises KeyError."""
    return {client.name: client for client in CLIENTS}[name]


def is_of_kind(value: Any, kind: str) -> bool:
    """Whether a value without lines is of a kind."""
    if kind == "text":
        return isinstance(value, str)
    if kind == "texts":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "list":
        return isinstance(value, list)
    return kind == "any" or isinstance(value, dict)


NAMES_OF_KINDS: Final = {
    "text": "a string",
    "texts": "a list of strings",
    "flag": "true or false",
    "number": "a number",
    "list": "a list",
}


def kind_text(kind: str) -> str:
    """What a kind is called."""
    return NAMES_OF_KINDS.get(kind, "a table")

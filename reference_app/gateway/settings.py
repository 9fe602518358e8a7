"""What of the gateway can be configured: the sections `gateway` and `mcp_servers` of a file."""

# ruff: noqa: RUF009 (key declares a field, as dataclasses.field does)

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reference_app import config_kinds as kinds
from reference_app.config_sections import Beside, Each, Entries, JsonObject, key, required
from reference_app.gateway.owned_headers import is_owned

TRANSPORTS = ("stdio", "http", "sse", "openapi")
PROTOCOLS = ("auto", "2025-11-25", "2026-07-28")
EVERYTHING = "*"  # in a key's servers

_OVER_HTTP = ("http", "sse", "openapi")
_TRANSPORTS_OF = {  # keys that mean something for some transports only
    "command": ("stdio",),
    "args": ("stdio",),
    "env": ("stdio",),
    "env_from": ("stdio",),
    "cwd": ("stdio",),
    "url": _OVER_HTTP,
    "spec_path": ("openapi",),
    "protocol": ("stdio", "http", "sse"),
    "extra_headers": _OVER_HTTP,
    "static_headers": _OVER_HTTP,
    "static_headers_env": _OVER_HTTP,
    "client_credentials": _OVER_HTTP,
}
_NEEDED = {
    "stdio": ("command", "the program to start, such as `command: npx`"),
    "http": ("url", "where the server listens, such as `url: http://127.0.0.1:9000/mcp`"),
    "sse": ("url", "where the server listens, such as `url: http://127.0.0.1:9000/sse`"),
    "openapi": ("spec_path", "the description of the API, such as `spec_path: openapi.json`"),
}


def free_header_name(value: object) -> str:
    """Reads the name of a header that neither HTTP, nor MCP, nor the gateway itself has taken."""
    name = kinds.header_name(value)
    if is_owned(name):
        raise kinds.Fault(f"header {name!r} is not free: the gateway or the protocol sets it; leave it out")
    return name


@dataclass(frozen=True)
class ClientCredentials:
    """Where the gateway gets a token of its own (machine to machine), and what it shows for it."""

    token_url: str = required(kinds.http_url, "https://auth.test/token")
    client_id: str = required(kinds.text, "gateway")
    client_secret_env: str = required(kinds.set_variable, "CLIENT_SECRET")
    scope: str | None = key(kinds.text)

    @property
    def client_secret(self) -> str:
        """The secret as the environment has it now."""
        return os.environ.get(self.client_secret_env, "").strip()


@dataclass(frozen=True)
class McpServer:
    """One upstream: how it is reached, who may see it by group, and which headers it is sent."""

    transport: str = required(kinds.one_of(*TRANSPORTS), "http")
    command: str | None = key(kinds.text)
    args: tuple[str, ...] = key(Each(kinds.any_text), ())
    env: Mapping[str, str] = key(Entries(kinds.any_text, kinds.variable_name), {})
    env_from: tuple[str, ...] = key(Each(kinds.set_variable), ())
    cwd: str | None = key(Beside(kinds.folder))
    url: str | None = key(kinds.http_url)
    spec_path: str | None = key(Beside(kinds.readable_file))
    prefix: str | None = key(kinds.prefix)
    protocol: str = key(kinds.one_of(*PROTOCOLS), "auto")
    timeout_seconds: float = key(kinds.some_seconds, 30.0)
    access_groups: tuple[str, ...] = key(Each(kinds.name), ())
    extra_headers: tuple[str, ...] = key(Each(free_header_name), ())
    static_headers: Mapping[str, str] = key(Entries(kinds.header_value, free_header_name), {})
    static_headers_env: Mapping[str, str] = key(Entries(kinds.header_variable, free_header_name), {})
    client_credentials: ClientCredentials | None = key(ClientCredentials)

    def check(self) -> Iterator[kinds.Fault]:
        """Yields what the transport lacks or cannot use, and what two keys say about one thing."""
        needed, what = _NEEDED[self.transport]
        if not getattr(self, needed):
            yield kinds.Fault(f"is missing; {self.transport} needs {what}", needed)
        for name, transports in _TRANSPORTS_OF.items():
            unused = self.transport not in transports
            if unused and getattr(self, name) not in (None, (), {}, "auto"):
                others = " or ".join(transports)
                yield kinds.Fault(
                    f"is not for {self.transport}; leave it out, or write transport: {others}", name
                )
        for name in self.env_from:
            if name in self.env:
                yield kinds.Fault("stands in env_from too; keep one of them", "env", name)
        seen: dict[str, str] = {}
        for section in ("static_headers", "static_headers_env"):
            for name in getattr(self, section):
                if name.lower() in seen:
                    yield kinds.Fault(
                        f"is the header of {seen[name.lower()]} too; keep one of them", section, name
                    )
                seen[name.lower()] = f"{section}.{name}"


@dataclass(frozen=True)
class Key:
    """A scoped key: the environment variable that holds it, and what its owner may use.

    `servers` holds names and access groups, or "*"; `tools` narrows a server to some of its tools, by their
    bare names; `jwt_claims` is what hooks are told of the owner.
    """

    key_env: str = required(kinds.header_variable, "DEV_KEY")
    servers: tuple[str, ...] = required(Each(kinds.text), '["*"]')
    tools: Mapping[str, tuple[str, ...]] = key(Entries(Each(kinds.text)), {})
    jwt_claims: Mapping[str, Any] = key(JsonObject(), {})

    @property
    def secret(self) -> str:
        """The key itself, as the environment has it now."""
        return os.environ.get(self.key_env, "").strip()


@dataclass(frozen=True)
class Gateway:
    """Who may call, and what is done around a call."""

    keys: Mapping[str, Key] = key(Entries(Key), {})
    hooks: tuple[str, ...] = key(Each(kinds.import_path), ())
    hook_authorization: str = key(kinds.one_of("override", "protect"), "override")
    openapi_hook_headers: str = key(kinds.one_of("reject", "warn"), "reject")
    probe_seconds: float = key(kinds.some_seconds, 5.0)
    keep_alive_seconds: float = key(kinds.some_seconds, 15.0)

    def check(self) -> Iterator[kinds.Fault]:
        """Yields the keys that cannot be told apart."""
        owners: dict[str, str] = {}
        for name, owner in self.keys.items():
            if owner.secret in owners:
                first = owners[owner.secret]
                yield kinds.Fault(
                    f"{owner.key_env} holds the same key as that of {first}; give each its own",
                    "keys",
                    name,
                    "key_env",
                )
            owners.setdefault(owner.secret, name)

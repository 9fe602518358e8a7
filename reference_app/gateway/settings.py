"""What of the gateway can be configured: the sections `gateway` and `mcp_servers` of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reference_app import config_kinds as kinds
from reference_app.config_sections import Each, Entries, Named, Part, header, header_name, key

TRANSPORTS = ("stdio", "http", "sse", "openapi")
PROTOCOLS = ("auto", "2025-11-25", "2026-07-28")
EVERYTHING = "*"  # in a key's servers


@dataclass(frozen=True)
class ClientCredentials:
    """Where the gateway gets a token of its own (machine to machine), and what it shows for it."""

    token_url: str = key(kinds.http_url, kinds.REQUIRED)
    client_id: str = key(kinds.text, kinds.REQUIRED)
    client_secret_env: str = key(kinds.variable_name, kinds.REQUIRED)
    scope: str | None = key(kinds.text)


@dataclass(frozen=True)
class McpServer:
    """One upstream: how it is reached, who may see it by group, and which headers it is sent."""

    transport: str = key(kinds.one_of(*TRANSPORTS), kinds.REQUIRED)
    command: str | None = key(kinds.text)
    args: tuple[str, ...] = key(Each(kinds.text), ())
    env: Mapping[str, str] | None = key(Entries(kinds.variable))
    env_from: tuple[str, ...] = key(Each(kinds.variable_name), ())
    cwd: str | None = key(kinds.text)
    url: str | None = key(kinds.http_url)
    spec_path: str | None = key(kinds.text)
    prefix: str | None = key(kinds.prefix)
    protocol: str = key(kinds.one_of(*PROTOCOLS), "auto")
    timeout_seconds: float = key(kinds.seconds, 30.0)
    access_groups: tuple[str, ...] = key(Each(kinds.text), ())
    extra_headers: tuple[str, ...] = key(Each(header_name), ())
    static_headers: Mapping[str, str] | None = key(Entries(header))
    static_headers_env: Mapping[str, str] | None = key(Entries(lambda _, value: kinds.variable_name(value)))
    client_credentials: ClientCredentials | None = key(Part(ClientCredentials))


@dataclass(frozen=True)
class Key:
    """A scoped key: the environment variable that holds it, and what its owner may use.

    `servers` holds names and access groups, or "*"; `tools` narrows a server to some of its tools, by their
    bare names; `jwt_claims` is what hooks are told of the owner.
    """

    key_env: str = key(kinds.variable_name, kinds.REQUIRED)
    servers: tuple[str, ...] = key(Each(kinds.text), kinds.REQUIRED)
    tools: Mapping[str, tuple[str, ...]] | None = key(Entries(Each(kinds.text)))
    jwt_claims: Mapping[str, Any] | None = key(kinds.json_object)


@dataclass(frozen=True)
class Gateway:
    """Who may call, and what is done around a call."""

    keys: Mapping[str, Key] | None = key(Named(Key))
    hooks: tuple[str, ...] = key(Each(kinds.import_path), ())
    hook_authorization: str = key(kinds.one_of("override", "protect"), "override")
    openapi_hook_headers: str = key(kinds.one_of("reject", "warn"), "reject")
    probe_seconds: float = key(kinds.seconds, 5.0)
    keep_alive_seconds: float = key(kinds.seconds, 15.0)

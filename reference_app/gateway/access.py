"""Who calls, and which servers and tools the call may use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers

from reference_app.defects import Defect, is_planted
from reference_app.gateway.refusal import HttpRefusal
from reference_app.gateway.settings import EVERYTHING, Key, McpServer

KEY_HEADER = "x-litellm-api-key"
SELECTION_HEADER = "x-mcp-servers"


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: The key's name in the configuration.
        key: What its owner may use.
        authorization: The client's `Authorization` for upstreams; None where it is, or may be, a key of the
            gateway's own.
    """

    name: str
    key: Key
    authorization: str | None = field(default=None, repr=False)

    def may_use(self, server: str, settings: McpServer) -> bool:
        """Returns whether the key is for that server."""
        allowed = self.key.servers
        return EVERYTHING in allowed or server in allowed or not set(settings.access_groups).isdisjoint(allowed)

    def may_call(self, server: str, tool: str) -> bool:
        """Returns whether the key is for that tool, by its bare name, of a server that it is for."""
        tools = (self.key.tools or {}).get(server)
        return tools is None or tool in tools


@dataclass(frozen=True)
class Access:
    """What one request may use: its caller, the servers it is for, and the headers it came with."""

    caller: Caller
    servers: tuple[str, ...]
    headers: Headers


class KeyRing:
    """The keys that the environment held when the gateway started; only their digests are kept."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = {
            _digest(os.environ.get(key.key_env, "").strip()): (name, key) for name, key in keys.items()
        }

    def caller(self, headers: Headers) -> Caller:
        """Returns who sent a request: `x-litellm-api-key` decides, and `Authorization` where that is missing.

        Raises:
            HttpRefusal: 400 for a header that is there twice, 401 for a key that is missing or unknown.
        """
        for name in (KEY_HEADER, "authorization"):
            if len(headers.getlist(name)) > 1:
                raise HttpRefusal(400, f"more than one {name} header; send one")
        own, authorization = headers.get(KEY_HEADER), headers.get("authorization")
        shown = authorization if own is None else own
        if shown is None:
            raise HttpRefusal(
                401, f"no key; send one as {KEY_HEADER} or Authorization: Bearer", [("WWW-Authenticate", "Bearer")]
            )
        known = self._keys.get(_digest(_token(shown)))
        if known is None:
            challenge = 'Bearer error="invalid_token"'
            raise HttpRefusal(401, "unknown key", [("WWW-Authenticate", challenge)])
        return Caller(*known, authorization=None if own is None else self._for_upstreams(authorization))

    def _for_upstreams(self, authorization: str | None) -> str | None:
        if authorization is None or _digest(_token(authorization)) in self._keys:
            return None
        return authorization


def selected(caller: Caller, servers: Mapping[str, McpServer], headers: Headers) -> tuple[str, ...]:
    """Returns the names of the servers that a request is for, in the order of the configuration.

    Those that the key is for; `x-mcp-servers` narrows them to names and access groups. A name that resolves
    to nothing adds nothing: when all do, none is left.
    """
    allowed = tuple(name for name, settings in servers.items() if caller.may_use(name, settings))
    wishes = headers.getlist(SELECTION_HEADER)
    if not wishes:
        return allowed
    wanted = {wish.strip() for value in wishes for wish in value.split(",")}
    if is_planted(Defect.UNKNOWN_WIDENS) and not _known(wanted, servers):
        return allowed
    return tuple(
        name for name in allowed if name in wanted or not wanted.isdisjoint(servers[name].access_groups)
    )


def _known(names: Iterable[str], servers: Mapping[str, McpServer]) -> set[str]:
    groups = {group for settings in servers.values() for group in settings.access_groups}
    return {name for name in names if name in servers or name in groups}


def _token(value: str) -> str:
    """Returns a key without the scheme before it."""
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def _digest(token: str) -> bytes:
    # Looked up by digest, so that the time of the look-up says nothing about the keys.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()

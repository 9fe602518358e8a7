"""The headers that an upstream is sent, from their layers: oauth2, extra_headers, static_headers, hook."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from starlette.datastructures import Headers

from reference_app.defects import Defect, is_planted
from reference_app.gateway.access import Caller
from reference_app.gateway.settings import McpServer
from reference_app.headers import merge_headers

logger = logging.getLogger(__name__)


def is_pass_through(settings: McpServer) -> bool:
    """Returns whether a server is sent the client's own `Authorization`; one with a credential never is."""
    configured = {name.lower() for name in (*(settings.static_headers or ()), *(settings.static_headers_env or ()))}
    has_its_own = settings.client_credentials is not None or "authorization" in configured
    return not has_its_own and "authorization" in map(str.lower, settings.extra_headers)


def passed_on(settings: McpServer, caller: Caller, client: Headers) -> dict[str, str]:
    """Returns the allow-listed headers of the client, cased as the configuration has them."""
    headers = {}
    for name in settings.extra_headers:
        if name.lower() == "authorization":
            value = caller.authorization if is_pass_through(settings) else None
        else:
            value = ", ".join(client.getlist(name)) or None
        if value is not None:
            headers[name] = value
    return headers


def static(settings: McpServer) -> dict[str, str]:
    """Returns the headers that the configuration gives, some by way of the environment."""
    from_env = {name: os.environ.get(variable, "") for name, variable in (settings.static_headers_env or {}).items()}
    return {**(settings.static_headers or {}), **from_env}


def upstream_headers(
    server: str,
    *,
    oauth2: Mapping[str, str],
    extra: Mapping[str, str],
    static: Mapping[str, str],
    hook: Mapping[str, str],
    protect: bool,
) -> dict[str, str]:
    """Returns what an upstream is sent: of a name that several layers have, in whatever case, the last wins.

    Args:
        server: The upstream's name, for the log.
        oauth2: The weakest layer.
        extra: The client's headers that may pass.
        static: The configured ones.
        hook: Those of the hooks, the strongest layer.
        protect: Whether a hook may replace no credential: its `Authorization` is dropped, and that is
            logged, where a weaker layer has one.
    """
    if is_planted(Defect.HOOK_UNDER_STATIC):
        static, hook = hook, static
    below = merge_headers(oauth2, extra, static)
    if protect and "authorization" in map(str.lower, below):
        dropped = [name for name in hook if name.lower() == "authorization"]
        if dropped:
            logger.warning("a hook's Authorization for %s is dropped: the upstream has a credential", server)
        hook = {name: value for name, value in hook.items() if name not in dropped}
    return merge_headers(below, hook)

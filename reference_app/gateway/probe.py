"""Asks the pass-through upstreams, before the protocol begins, whether they take the client's token.

Once the event stream is open there is no status left to say it with. An upstream's 401 is passed on with its
challenges, its 403 without; whatever else happens, the request goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from mcp.types import JSONRPCRequest

from reference_app.defects import Defect, is_planted
from reference_app.gateway import layers
from reference_app.gateway.access import Access
from reference_app.gateway.refusal import HttpRefusal
from reference_app.gateway.settings import McpServer

logger = logging.getLogger(__name__)
# A ping, not HEAD: many servers answer HEAD with 405 before they look at the token. It opens no session.
PING = JSONRPCRequest(jsonrpc="2.0", id="probe", method="ping").model_dump_json(exclude_none=True)
WITH_PING = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@dataclass(frozen=True)
class Verdict:
    """What an upstream answered: its status, None for none in time, and its challenges."""

    server: str
    status: int | None
    challenges: tuple[str, ...] = ()


async def probe(
    access: Access, servers: Mapping[str, McpServer], client: httpx2.AsyncClient, seconds: float
) -> None:
    """Asks all at the same time, each for so many seconds.

    Nobody is asked without a token that is surely meant for upstreams.

    Raises:
        HttpRefusal: 401 or 403, as an upstream answered; the first in the order of the configuration, and a
            401 before any 403, for new credentials may help with it.
    """
    if access.caller.authorization is None:
        return
    asked = [_ask(name, servers[name], access, client, seconds) for name in _to_be_probed(access, servers)]
    if is_planted(Defect.SERIAL_PROBES):
        verdicts = [await one for one in asked]
    else:
        verdicts = list(await asyncio.gather(*asked))
    for status in (403,) if is_planted(Defect.PROBE_IGNORES_401) else (401, 403):
        for verdict in verdicts:
            if verdict.status == status:
                raise _refusal(verdict)


def _to_be_probed(access: Access, servers: Mapping[str, McpServer]) -> list[str]:
    names = servers if is_planted(Defect.PROBE_UNAUTHORISED) else access.servers
    return [
        name
        for name in names
        if servers[name].transport in ("http", "sse") and layers.is_pass_through(servers[name])
    ]


async def _ask(
    name: str, settings: McpServer, access: Access, client: httpx2.AsyncClient, seconds: float
) -> Verdict:
    headers = layers.upstream_headers(
        name,
        oauth2={},
        extra=layers.passed_on(settings, access.caller, access.headers),
        static=layers.static(settings),
        hook={},
        protect=False,
    )
    method, body = ("GET", None) if settings.transport == "sse" else ("POST", PING)
    if body is not None:
        headers = {**WITH_PING, **headers}
    try:
        async with asyncio.timeout(seconds):
            asked = client.stream(method, settings.url or "", headers=headers, content=body, timeout=None)
            async with asked as response:
                return Verdict(
                    name, response.status_code, tuple(response.headers.get_list("www-authenticate"))
                )
    except (httpx2.HTTPError, TimeoutError) as error:
        logger.info("the probe of %s failed, the request goes on: %s", name, type(error).__name__)
        return Verdict(name, None)


def _refusal(verdict: Verdict) -> HttpRefusal:
    status = verdict.status or 0
    if is_planted(Defect.PROBE_403_AS_401):
        status = 401
    if status == 403:
        return HttpRefusal(403, f"{verdict.server} forbids this to the client's token")
    challenges = verdict.challenges or (f'Bearer realm="{verdict.server}"',)
    headers = [("WWW-Authenticate", challenge) for challenge in challenges]
    return HttpRefusal(401, f"{verdict.server} does not take the client's token", headers)

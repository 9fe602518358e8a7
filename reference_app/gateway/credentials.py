"""The gateway's own tokens for upstreams: OAuth's client credentials grant, kept until they expire."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx2

from reference_app.gateway.settings import ClientCredentials
from reference_app.headers import is_header_value

EARLY = 30.0  # seconds before its end in which a token is not used any more
UNKNOWN_LIFE = 60.0  # seconds that a token is kept whose server does not say how long it lives
LONGEST_LIFE = 366 * 86_400.0  # seconds; what a server says beyond it is no life to go by


class NoToken(Exception):
    """The token server did not give one; the message holds neither secret nor answer."""


@dataclass(frozen=True)
class _Token:
    value: str
    ends: float  # of time.monotonic()


class Tokens:
    """Fetches a token for each server, once for all who wait for it."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._tokens: dict[str, _Token] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def headers(self, server: str, credentials: ClientCredentials | None) -> dict[str, str]:
        """Returns the `Authorization` for a server; nothing for one without client credentials.

        Raises:
            NoToken: There is none to be had.
        """
        if credentials is None:
            return {}
        async with self._locks.setdefault(server, asyncio.Lock()):
            token = self._tokens.get(server)
            if token is None or token.ends <= time.monotonic():
                token = self._tokens[server] = await self._fetch(credentials)
        return {"Authorization": f"Bearer {token.value}"}

    async def _fetch(self, credentials: ClientCredentials) -> _Token:
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
        if credentials.scope is not None:
            form["scope"] = credentials.scope
        try:
            response = await self._client.post(credentials.token_url, data=form, timeout=10)
            response.raise_for_status()
            answer = response.json()
            value, life = answer["access_token"], answer.get("expires_in")
        except httpx2.HTTPStatusError as error:
            raise NoToken(f"the token server answered {error.response.status_code}") from None
        except httpx2.HTTPError as error:
            raise NoToken(f"the token server cannot be reached: {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NoToken("the token server's answer holds no access_token") from None
        if not isinstance(value, str) or not value or not is_header_value(value):
            raise NoToken("the token server's answer holds no access_token")
        is_known = isinstance(life, int | float) and 0 <= life <= LONGEST_LIFE
        seconds = life - EARLY if is_known else UNKNOWN_LIFE
        return _Token(value, time.monotonic() + seconds)

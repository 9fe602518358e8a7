"""Calls tools that a server offers over HTTP: `GET {base}/tools` and `POST {base}/invoke`."""

from __future__ import annotations

import asyncio
import json
import math
from asyncio import Lock
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

# The module, not its names: a test that replaces `http_tools_invoker.httpx` must be felt by the next call.
import httpx

from reference_app.defects import Defect, is_planted
from reference_app.tls import tls
from reference_app.tools import checked_catalogue

LONGEST_WAIT_SECONDS = 1.0
ERROR_BODY_CHARS = 256


class ToolServerError(RuntimeError):
    """The tool server refused a request, or answered with something that is no catalogue."""


class HttpToolsInvoker:
    """An invoker for one tool server.

    In an `async with` block all requests share one HTTP client, which is opened when it is first needed and
    closed with the block; outside of one each request has its own.

    Args:
        base_url: Where the server is, such as `http://127.0.0.1:9000`; a trailing slash does not matter.
        headers: Sent, names cased as given, with every request.
    """

    def __init__(self, base_url: str, headers: dict[str, str] | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.headers = dict(headers or {})
        self._block: AsyncExitStack | None = None
        self._shared: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._block = AsyncExitStack()
        self._opening = Lock()  # not before: it belongs to the event loop of the block
        return self

    async def __aexit__(self, *_error: object) -> None:
        block, self._block, self._shared = self._block, None, None
        if block is not None:
            await block.aclose()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        if self._block is None:
            async with httpx.AsyncClient(headers=self.headers, verify=tls()) as client:
                yield client
            return
        async with self._opening:
            if self._shared is None:
                client = httpx.AsyncClient(headers=self.headers, verify=tls())
                self._shared = await self._block.enter_async_context(client)
        yield self._shared

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Returns the server's catalogue, a list of OpenAI tool objects.

        Raises:
            ToolServerError: The status is 400 or above, or the body is not a JSON list of objects.
            httpx.HTTPError: The server cannot be reached.
        """
        async with self._client() as client:
            response = await client.get(f"{self.base_url}/tools")
            _refuse_error_status(response)
            return _catalogue(response)

    async def call_openai_tool(self, openai_tool: dict[str, Any]) -> str:
        """Invokes one tool and returns its reply as text.

        Sends exactly one POST, and one more only after a 429, when it has waited as `Retry-After` says.

        Args:
            openai_tool: An OpenAI tool call; `function.name` and `function.arguments` go out as they are.

        Raises:
            ToolServerError: The status is 400 or above: `HTTP <code>: <first 256 characters>`.
            httpx.HTTPError: The server cannot be reached.
        """
        function = openai_tool.get("function") or {}
        body = {"name": function.get("name", ""), "arguments": function.get("arguments", {})}
        async with self._client() as client:
            response = await client.post(f"{self.base_url}/invoke", json=body)
            if _is_to_be_retried(response.status_code):
                await asyncio.sleep(retry_delay(response.headers.get("Retry-After"), datetime.now(UTC)))
                async with self._client_for_retry(client) as client:
                    response = await client.post(f"{self.base_url}/invoke", json=body)
            _refuse_error_status(response)
            return _reply_text(response)

    @asynccontextmanager
    async def _client_for_retry(self, client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
        if not is_planted(Defect.BARE_RETRY):
            yield client
            return
        async with httpx.AsyncClient(verify=tls()) as without_headers:
            yield without_headers


def _is_to_be_retried(status: int) -> bool:
    if is_planted(Defect.DOUBLE_POST):
        return True
    if is_planted(Defect.MASKED_500) and status >= 500:
        return True
    return status == 429


def retry_delay(retry_after: str | None, now: datetime) -> float:
    """Returns the seconds to wait, 0 to 1, that a `Retry-After` value (seconds or an HTTP date) asks for."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until(retry_after, now)
    if not math.isfinite(seconds):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _seconds_until(http_date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:  # `-0000`: the sender's zone is unknown, and HTTP dates are UTC
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()


def _refuse_error_status(response: httpx.Response) -> None:
    if response.status_code >= 400:
        raise ToolServerError(f"HTTP {response.status_code}: {response.text[:ERROR_BODY_CHARS]}")


def _catalogue(response: httpx.Response) -> list[dict[str, Any]]:
    # An empty list in place of something unreadable would hide that there is no catalogue at all.
    try:
        tools = response.json()
    except (ValueError, RecursionError) as error:
        raise ToolServerError(f"the tool catalogue is not JSON: {error}") from error
    try:
        return checked_catalogue(tools)
    except ValueError as error:
        raise ToolServerError(str(error)) from error


def _reply_text(response: httpx.Response) -> str:
    try:
        reply = response.json()
    except (ValueError, RecursionError):
        return response.text
    if isinstance(reply, dict):
        for key in ("text", "result", "answer"):
            if isinstance(text := reply.get(key), str):
                return text
    return json.dumps(reply, ensure_ascii=False)

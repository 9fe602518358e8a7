"""What may answer the requests of a recorded client: a reply, a function, a respx router, a transport."""

from __future__ import annotations

import inspect
import json as json_text
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_mcpsmoke.doubles._http import Library, library
from pytest_mcpsmoke.doubles.in_process import InProcessTransport
from pytest_mcpsmoke.errors import UsageProblem


class Reply(NamedTuple):
    """One answer to every request, for httpx and httpx2 alike."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def reply(
    status: int = 200,
    *,
    json: Any = None,
    text: str | None = None,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An answer: its body is `json` (with its content type), or `text`, or `content`."""
    own: dict[str, str] = {}
    if json is not None:
        content, own = json_text.dumps(json).encode("utf-8"), {"Content-Type": "application/json"}
    elif text is not None:
        content, own = text.encode("utf-8"), {"Content-Type": "text/plain; charset=utf-8"}
    given = {name.lower() for name in headers or ()}
    own = {name: value for name, value in own.items() if name.lower() not in given}
    return Reply(status, (*own.items(), *(headers or {}).items()), content)


def transport_of(answer: Any, of: Library) -> Any:
    """Make a transport of the library from whatever is to answer. Raises UsageProblem for anything else.

    answer: a transport (as it is), a reply(), a respx router, or a function that is given the library's
    request and returns its response or a reply().
    """
    if hasattr(answer, "handle_request") or hasattr(answer, "handle_async_request"):
        return answer
    if isinstance(answer, Reply):
        return of.module.MockTransport(lambda _: _response(answer, of))
    if hasattr(answer, "handler") and hasattr(answer, "async_handler"):
        return RouterTransport(answer, of)
    if callable(answer):
        return of.module.MockTransport(_handler(answer, of))
    raise UsageProblem(
        f"transport={type(answer).__name__}: expected a transport, a function, reply(…) or a respx router"
    )


def _handler(function: Any, of: Library) -> Any:
    if not inspect.iscoroutinefunction(function):
        return lambda request: _response(function(request), of)

    async def handler(request: Any) -> Any:
        return _response(await function(request), of)

    return handler


def _response(answer: Any, of: Library) -> Any:
    if isinstance(answer, Reply):
        return of.module.Response(answer.status, headers=answer.headers, content=answer.body)
    return answer


class RouterTransport(InProcessTransport):
    """Asks a respx router, which knows httpx only, on behalf of either library."""

    def __init__(self, router: Any, of: Library) -> None:
        self._router = router
        self._library = of

    def handle_request(self, request: Any) -> Any:
        """Ask the router."""
        request.read()
        return self._translated(self._router.handler(self._asked(request)))

    async def handle_async_request(self, request: Any) -> Any:
        """Ask the router."""
        await request.aread()
        return self._translated(await self._router.async_handler(self._asked(request)))

    def _asked(self, request: Any) -> Any:
        httpx = library("httpx", "a respx router").module
        if isinstance(request, httpx.Request):
            return request
        body = httpx.ByteStream(request.content)
        return httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            stream=body,
            extensions=request.extensions,
        )

    def _translated(self, response: Any) -> Any:
        module = self._library.module
        if isinstance(response, module.Response):
            return response
        return module.Response(
            response.status_code, headers=response.headers.raw, stream=module.ByteStream(response.read())
        )

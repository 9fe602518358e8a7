"""What may answer the requests of a recorded client: a reply, a function, a respx router, a transport."""

from __future__ import annotations

import inspect
import json as json_text
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import anyio

from pytest_mcpsmoke.doubles._http import Library, library
from pytest_mcpsmoke.doubles.in_process import InProcessTransport
from pytest_mcpsmoke.doubles.replies import Delay, Disconnect, Malformed, RateLimited, Status, body_bytes
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


_ANSWERS: Final = (Reply, Status, Delay, RateLimited, Malformed, Disconnect, BaseException)


def transport_of(answer: Any, of: Library) -> Any:
    """Make a transport of the library from whatever is to answer. Raises UsageProblem for anything else.

    answer: a transport (as it is), a respx router, what answers every request (reply(), Status, Delay,
    RateLimited, Malformed, Disconnect, an exception), or a function that is given the library's request and
    returns its response or one of these.
    """
    if hasattr(answer, "handle_request") or hasattr(answer, "handle_async_request"):
        return answer
    if isinstance(answer, _ANSWERS):
        return AnsweringTransport(_in_turn(answer), of)
    if hasattr(answer, "handler") and hasattr(answer, "async_handler"):
        return RouterTransport(answer, of)
    if callable(answer) and not isinstance(answer, type):
        return AnsweringTransport(answer, of)
    raise UsageProblem(
        f"transport={type(answer).__name__}: expected a transport, a function, reply(…), Status(…) or its"
        " kin, an exception, or a respx router"
    )


def _in_turn(answer: Any) -> Callable[[Any], Any]:
    """What answers every request; whoever is rate-limited gets the refusal first."""
    left = [answer]

    def next_answer(_: Any) -> Any:
        if isinstance(left[0], RateLimited):
            limited, left[0] = left[0], left[0].then
            return limited
        return left[0]

    return next_answer


class AnsweringTransport(InProcessTransport):
    """Asks a function what to answer, and answers it as a server would."""

    def __init__(self, function: Callable[[Any], Any], of: Library) -> None:
        self._function = function
        self._library = of

    def handle_request(self, request: Any) -> Any:
        """Ask the function, and wait where it says so."""
        request.read()
        answer = self._function(request)
        if inspect.iscoroutine(answer):
            answer.close()
            raise UsageProblem("an async function cannot answer a sync client: give it a function")
        while isinstance(answer, Delay):
            time.sleep(answer.seconds)
            answer = answer.then
        return self._response(answer)

    async def handle_async_request(self, request: Any) -> Any:
        """Ask the function, which may be async, and wait where it says so."""
        await request.aread()
        answer = self._function(request)
        if inspect.isawaitable(answer):
            answer = await answer
        while isinstance(answer, Delay):
            await anyio.sleep(answer.seconds)
            answer = answer.then
        return self._response(answer)

    def _response(self, answer: Any) -> Any:
        module = self._library.module
        if isinstance(answer, module.Response):
            return answer
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Disconnect):
            return self._cut(answer)
        if not isinstance(answer, Reply):
            answer = _reply_of(answer)
        return module.Response(answer.status, headers=answer.headers, content=answer.body)

    def _cut(self, answer: Disconnect) -> Any:
        """An answer that breaks off, as the library tells a server that closes the connection."""
        module = self._library.module
        if answer.after == 0:
            raise module.RemoteProtocolError("Server disconnected without sending a response.")
        whole = answer.then if isinstance(answer.then, Reply) else _reply_of(answer.then)
        error = module.RemoteProtocolError(
            "peer closed connection without sending complete message body"
            f" (received {min(answer.after, len(whole.body))} bytes, expected {len(whole.body)})"
        )
        headers = [*whole.headers, ("Content-Length", str(len(whole.body)))]
        stream = self._library.Stream(_CutBody(whole.body[: answer.after], error))
        return module.Response(whole.status, headers=headers, stream=stream)


class _CutBody(InProcessTransport):
    def __init__(self, begin: bytes, error: Exception) -> None:
        self._begin = begin
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield self._begin
        raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._begin
        raise self._error


def _reply_of(answer: Any) -> Reply:
    """The reply that a plain value, a status or a fault stands for."""
    if answer is None:
        raise UsageProblem("the function that answers returned None: return a response, reply(…) or a value")
    if isinstance(answer, RateLimited):
        answer = answer.refusal()
    if isinstance(answer, Malformed):
        return reply(content=answer.body, headers={"Content-Type": "application/json"})
    if isinstance(answer, Status):
        if isinstance(answer.body, str | bytes):
            return reply(answer.code, content=body_bytes(answer.body), headers=answer.headers)
        return reply(answer.code, json=answer.body, headers=answer.headers)
    return reply(text=answer) if isinstance(answer, str) else reply(json=answer)


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

"""One GET as a client sends it: for servers that speak plain HTTP, OpenAPI documents and lists of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from pytest_mcpsmoke.doubles._http import library
from pytest_mcpsmoke.readiness.events import Evidence, show_url
from pytest_mcpsmoke.readiness.verdict import Judged, Verdict
from pytest_mcpsmoke.report.text import plural

_MOST: Final = 32 * 1024 * 1024  # bytes of one answer
_HOPS: Final = 5  # redirects, within the origin
_WHO: Final = "mcpsmoke clients"
_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


class Answer(NamedTuple):
    """What came back: `problem` says in words what kept it from coming, and is empty where it came."""

    status: int
    body: bytes
    problem: str = ""
    is_late: bool = False


async def fetch(url: str, headers: Mapping[str, str], evidence: Evidence, timeout_s: float) -> Answer:
    """Get a URL; redirects are followed within its origin only, so that no header goes elsewhere.

    Nothing that the server does raises. Raises MissingExtra: httpx2 is not installed.
    """
    http = library("httpx2", _WHO).module
    import anyio

    answer = Answer(0, b"", f"no answer within {timeout_s:g} s", is_late=True)
    with anyio.move_on_after(timeout_s):
        try:
            answer = await _follow(http, url, headers, evidence)
        except (http.HTTPError, http.InvalidURL, OSError, ValueError) as error:
            problem = evidence.line(f"{type(error).__name__}: {error}")
            evidence.note("failed", problem)
            answer = Answer(0, b"", problem)
    return answer


async def _follow(http: Any, url: str, headers: Mapping[str, str], evidence: Evidence) -> Answer:
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mcpsmoke"}
    given = {name.lower() for name in headers}
    sent = {name: value for name, value in sent.items() if name.lower() not in given} | dict(headers)
    async with http.AsyncClient(headers=sent, timeout=None, follow_redirects=False) as client:
        for _ in range(_HOPS + 1):
            evidence.note("request", f"GET {show_url(url)}", list(sent.items()))
            async with client.stream("GET", url) as response:
                body = await _body(response)
            evidence.note("response", str(response.status_code), response.headers.multi_items())
            if body:
                evidence.note("body", body[:4_000].decode("utf-8", "replace"))
            location = response.headers.get("location")
            if not 300 <= response.status_code < 400 or location is None:
                return Answer(response.status_code, body)
            if _origin(urljoin(url, location)) != _origin(url):
                return Answer(
                    response.status_code, b"", f"a redirect to another origin ({_host(url, location)})"
                )
            url = urljoin(url, location)
    return Answer(0, b"", f"more than {_HOPS} redirects")


async def _body(response: Any) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MOST:
            raise ValueError(f"an answer of more than {_MOST:,} bytes")
    return body


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _host(url: str, location: str) -> str:
    return urlsplit(urljoin(url, location)).hostname or "nowhere"


def judge_document(answer: Answer) -> tuple[Judged, int | None]:
    """The verdict on the OpenAPI document of a tool server, and how many tools it describes."""
    refused = _refused(answer)
    if refused is not None:
        return refused, None
    document = _json(answer.body)
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        remedy = "check url and path: they lead to the server's openapi.json"
        return Judged(Verdict.ERROR, "200, but no OpenAPI document in JSON", remedy), None
    tools = sum(
        isinstance(operation, dict) and bool(operation.get("operationId"))
        for operations in paths.values()
        if isinstance(operations, dict)
        for method, operation in operations.items()
        if method in _METHODS
    )
    return _counted(tools, "tool", "give the operations an operationId: each becomes a tool"), tools


def judge_models(answer: Answer) -> tuple[Judged, int | None]:
    """The verdict on GET {base}/models, and how many models it lists."""
    refused = _refused(answer)
    if refused is not None:
        return refused, None
    document = _json(answer.body)
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        remedy = "check the base URL: it mostly ends in /v1"
        return Judged(Verdict.ERROR, "200, but no list of models", remedy), None
    remedy = "check which models the configuration registers, and which of them this key may use"
    return _counted(len(models), "model", remedy), len(models)


def _counted(number: int, noun: str, remedy: str) -> Judged:
    if number == 0:
        return Judged(Verdict.EMPTY_CATALOG, f"a list without {noun}s", remedy)
    return Judged(Verdict.CATALOG, f"a list of {plural(number, noun)}")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _refused(answer: Answer) -> Judged | None:
    """The verdict on what is no success; None on what is."""
    if answer.is_late:
        remedy = "check that the process behind the address is alive, or give it more time with --timeout"
        return Judged(Verdict.TIMEOUT, answer.problem, remedy)
    if answer.problem:
        return Judged(Verdict.ERROR, f"GET: {answer.problem}", "start the server, or check its address")
    told = f"GET was answered {answer.status}"
    match answer.status:
        case 200:
            return None
        case 401:
            return Judged(Verdict.AUTH_REQUIRED, told, "check the key: it is missing, or not accepted")
        case 403:
            return Judged(Verdict.FORBIDDEN, told, "the key may not do this: widen what it may use")
        case 405:
            return Judged(Verdict.WRONG_METHOD, told, "check the address: it takes no GET")
        case 404:
            return Judged(Verdict.ERROR, told, "check the path of the address")
        case _:
            return Judged(Verdict.ERROR, told, "see the server's log for this request")

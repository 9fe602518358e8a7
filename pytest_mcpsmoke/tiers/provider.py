"""The model's server that ND_REAL_BASE_URL names, and whether it answers. Standard library only."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final, NamedTuple, NoReturn
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.tiers.address import is_loopback, usable

BASE_URL: Final = "ND_REAL_BASE_URL"
MODEL: Final = "ND_REAL_MODEL"
API_KEY: Final = "ND_REAL_API_KEY"

_LARGEST: Final = 16 * 2**20  # bytes of a list of models
_PIECE: Final = 2**16


class Provider(NamedTuple):
    """An OpenAI-compatible server."""

    base_url: str  # without a slash at its end: "http://127.0.0.1:11434/v1"
    model: str | None  # None: check() takes the first that the server lists
    api_key: str | None
    source: str  # what named it, for messages: "ND_REAL_BASE_URL"

    def __repr__(self) -> str:
        """Tell all but the key."""
        key = None if self.api_key is None else "***"
        return f"Provider({self.base_url!r}, {self.model!r}, api_key={key!r}, source={self.source!r})"


class NdModel(NamedTuple):
    """What a test is given of the model: where the relay listens, its token, the model's name."""

    base_url: str  # of an OpenAI-compatible API: "http://127.0.0.1:40123/v1"
    api_key: str  # stands for the real key, which no test sees
    model: str


def provider_from(environ: Mapping[str, str]) -> Provider | None:
    """Return the provider that an environment names; None when it names none.

    Raises UsageProblem, without credentials in it, when ND_REAL_BASE_URL is no URL to send requests to or
    ND_REAL_API_KEY cannot stand in a header.
    """
    url = environ.get(BASE_URL, "").strip()
    if not url:
        return None
    key = environ.get(API_KEY, "").strip() or None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise UsageProblem(f"{API_KEY} holds characters that no header can; copy the key anew")
    return Provider(usable(url, BASE_URL), environ.get(MODEL, "").strip() or None, key, BASE_URL)


def check(provider: Provider, timeout_s: float = 10.0) -> Provider:
    """Ask a provider for its models, and return it with a model to ask.

    timeout_s: seconds for the whole answer once it has begun, and to wait for each of its steps.
    Raises UsageProblem, one line with the URL and the remedy, when it does not answer, refuses the key,
    fails, or lists no model although none was named. A 404 is an answer: not every server has a list.
    """
    url = f"{provider.base_url}/models"
    status, body = _get(provider, url, timeout_s)
    if status in (401, 403):
        what = "no key" if provider.api_key is None else "the key"
        _fail(
            provider, f"GET {url} with {what} answered {status}; set {API_KEY} to a key that is valid there"
        )
    if status >= 500 or status == 429:
        _fail(provider, f"GET {url} answered {status}; wait until the server is ready, or set {BASE_URL}")
    if 300 <= status < 400:
        _fail(provider, f"GET {url} is redirected; set {BASE_URL} to where it leads")
    if provider.model is not None:
        return provider
    models = _listed(body) if status == 200 else []
    if not models:
        _fail(provider, f"GET {url} ({status}) lists no model; set {MODEL} to the name of one")
    return provider._replace(model=models[0])


def _get(provider: Provider, url: str, timeout_s: float) -> tuple[int, bytes]:
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "pytest-mcpsmoke"})
    if provider.api_key is not None:
        request.add_unredirected_header("Authorization", f"Bearer {provider.api_key}")
    deadline = monotonic() + timeout_s
    try:
        with _opener(url).open(request, timeout=timeout_s) as answer:
            return answer.status, _read(answer, deadline)
    except HTTPError as error:
        with error:
            return error.code, b""
    except (OSError, http.client.HTTPException) as error:
        _fail(provider, f"GET {url} {_why(error, timeout_s)}")


def _opener(url: str) -> OpenerDirector:
    """Follows no redirect, and asks no proxy for what is on this machine."""
    return build_opener(_NoRedirect, *([ProxyHandler({})] if is_loopback(url) else []))


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        """Leave the answer as it is: a key goes nowhere else."""


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body, or its beginning; raises TimeoutError when it trickles in."""
    parts: list[bytes] = []
    size = 0
    while size < _LARGEST and (part := answer.read1(_PIECE)):
        parts.append(part)
        size += len(part)
        if monotonic() > deadline:
            raise TimeoutError
    return b"".join(parts)


def _listed(body: bytes) -> list[str]:
    try:
        models = json.loads(body)["data"]
        return [model["id"] for model in models if isinstance(model["id"], str)]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def _why(error: Exception, timeout_s: float) -> str:
    """The second half of a sentence, with the remedy."""
    start = f"start the model's server, or set {BASE_URL}"
    cause = error.reason if isinstance(error, URLError) else error
    match cause:
        case TimeoutError():
            return f"had no answer within {timeout_s:g} s; {start}"
        case ConnectionRefusedError():
            return f"was refused the connection; {start}"
        case socket.gaierror():
            return f"found no such host; {start}"
        case ssl.SSLError():
            reason = cause.reason or type(cause).__name__
            return f"did not agree on TLS ({reason}); check http:// or https://, and the certificate"
        case http.client.HTTPException() | ConnectionError():
            return f"had an answer that is no HTTP, or none; is this the port of the model's server? {start}"
    return f"did not reach it ({type(cause).__name__}); {start}"


def _fail(provider: Provider, what: str) -> NoReturn:
    raise UsageProblem(f"the model of {provider.source} does not answer: {what}")

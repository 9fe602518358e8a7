"""Whether paths of an endpoint are public, or ask for a key, as they should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pytest_mcpsmoke.doubles._http import library
from pytest_mcpsmoke.doubles.extras import need
from pytest_mcpsmoke.errors import UsageProblem

Wanted = Literal["public", "protected"]
_HOPS: Final = 5  # redirects, within the origin


class Route(NamedTuple):
    """What a path answers to who has no key.

    Attributes:
        path: "/ui".
        wanted: "public": below 400. "protected": 401 with `WWW-Authenticate`.
        status: Of the answer; None when there was none.
        is_fine: Whether it is as wanted.
        detail: What was seen, one line.
    """

    path: str
    wanted: Wanted
    status: int | None
    is_fine: bool
    detail: str


async def check_routes(
    url: str, public: Iterable[str] = (), protected: Iterable[str] = (), *, timeout_s: float = 10.0
) -> list[Route]:
    """Ask for paths of the origin of a URL, all at the same time, without credentials.

    Args:
        url: Whose scheme, host and port are taken.
        public: Paths that everybody may GET: a status below 400. A redirect that leaves the origin is none:
            it mostly leads to a login.
        protected: Paths that are answered with 401 and `WWW-Authenticate`: to GET, or to POST where GET is
            answered with 405.
        timeout_s: Wall-clock seconds for all of it.

    Raises:
        UsageProblem: A path does not begin with a slash.
        MissingExtra: The package mcp is not installed.
    """
    need("mcp", "mcp", "mcpsmoke probe")
    import anyio

    asked: list[tuple[str, Wanted]] = [(path, "public") for path in public]
    asked += [(path, "protected") for path in protected]
    for path, wanted in asked:
        check_path(path, wanted)
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    found: dict[int, Route] = {}

    async def ask(client: Any, at: int, path: str, wanted: Wanted) -> None:
        try:
            found[at] = await (_public if wanted == "public" else _protected)(client, origin, path)
        except Exception as error:  # of whatever library opens the connection
            found[at] = Route(path, wanted, None, False, f"no answer: {type(error).__name__}")

    http = library("httpx2", "mcpsmoke probe").module
    with anyio.move_on_after(timeout_s):
        async with http.AsyncClient(timeout=None) as client, anyio.create_task_group() as group:
            for at, (path, wanted) in enumerate(asked):
                group.start_soon(ask, client, at, path, wanted)
    late = "no answer in time"
    return [found.get(at, Route(*each, None, False, late)) for at, each in enumerate(asked)]


def check_path(path: str, wanted: str) -> None:
    """Raise UsageProblem, in one line, for what is no path."""
    if not path.startswith("/") or path.startswith("//") or any(ord(one) <= 32 for one in path):
        raise UsageProblem(f"--{wanted} {path!r}: not a path; give one like /docs")


async def _public(client: Any, origin: str, path: str) -> Route:
    where = origin + path
    for hop in range(_HOPS + 1):
        async with client.stream("GET", where) as response:
            status, following = response.status_code, response.next_request
        if following is None:
            then = f" after {hop} redirects" if hop else ""
            return Route(path, "public", status, status < 400, f"{status}{then}")
        to = urlsplit(str(following.url))
        if f"{to.scheme}://{to.netloc}" != origin:
            detail = f"{status}, and away to {to.scheme}://{to.netloc.rpartition('@')[2]}"
            return Route(path, "public", status, False, detail)
        where = str(following.url)
    return Route(path, "public", status, False, f"{status}, more than {_HOPS} redirects")


async def _protected(client: Any, origin: str, path: str) -> Route:
    for method in ("GET", "POST"):
        async with client.stream(method, origin + path) as response:
            status, challenge = response.status_code, response.headers.get("www-authenticate")
        if status != 405:
            break
    if status != 401:
        return Route(path, "protected", status, False, f"{status} to {method} without a key")
    if challenge is None:
        return Route(path, "protected", status, False, "401 without WWW-Authenticate")
    return Route(path, "protected", status, True, f"401, WWW-Authenticate: {challenge[:200]}")

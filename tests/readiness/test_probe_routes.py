"""Paths that have to be public, or protected."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from endpoints import answer, refusing, served, silent

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.routes import Route, check_routes

ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "/ui": (200, {}),
    "/old-ui": (302, {"location": "/ui"}),
    "/login": (302, {"location": "http://127.0.0.1:9/sign-in?state=abc"}),
    "/round": (307, {"location": "/round"}),
    "/gone": (404, {}),
    "/mcp": (401, {"www-authenticate": 'Bearer realm="mcp"'}),
    "/bare": (401, {}),
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer as ANSWERS say; "/post" takes only POST, and asks for a key."""
    status, headers = ANSWERS.get(scope["path"], (500, {}))
    if scope["path"] == "/post":
        status, headers = (405, {}) if scope["method"] == "GET" else ANSWERS["/mcp"]
    await answer(send, status, b"", headers)


def checked(wanted: str, *paths: str, timeout_s: float = 30) -> list[Route]:
    with served(app) as url:
        return anyio.run(lambda: check_routes(url, **{wanted: paths}, timeout_s=timeout_s))


def test_public() -> None:
    found = checked("public", "/ui", "/old-ui", "/login", "/round", "/gone", "/mcp")
    assert [route[2:] for route in found] == [
        (200, True, "200"),
        (200, True, "200 after 1 redirect"),
        (302, False, "302, and away to http://127.0.0.1:9"),
        (307, False, "307, more than 5 redirects"),
        (404, False, "404"),
        (401, False, "401"),
    ]


def test_protected() -> None:
    found = checked("protected", "/mcp", "/post", "/bare", "/ui", "/login")
    assert [route[2:] for route in found] == [
        (401, True, '401, WWW-Authenticate: Bearer realm="mcp"'),
        (401, True, '401, WWW-Authenticate: Bearer realm="mcp"'),
        (401, False, "401 without WWW-Authenticate"),
        (200, False, "200 to GET without a key"),
        (302, False, "302 to GET without a key"),
    ]


def test_no_answer() -> None:
    with refusing() as refused:
        (route,) = anyio.run(lambda: check_routes(refused, ["/ui"]))
    assert route == Route("/ui", "public", None, False, "no answer: ConnectError")
    with silent() as url:
        (route,) = anyio.run(lambda: check_routes(url, protected=["/ui"], timeout_s=0.3))
    assert route == Route("/ui", "protected", None, False, "no answer in time")


def test_the_key_in_the_url_is_not_sent() -> None:
    seen: list[Any] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]).get(b"authorization"))
        await answer(send, 200, b"", {})

    with served(noting) as url:
        anyio.run(lambda: check_routes(url.replace("http://", "http://me:word@"), ["/ui"]))
    assert seen == [None]


@pytest.mark.parametrize("path", ["ui", "", "//elsewhere/ui", "/a b", "http://h/"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        checked("public", path)
    assert str(raised.value) == f"--public {path!r}: not a path; give one like /docs"

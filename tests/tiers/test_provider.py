"""ND_REAL_BASE_URL is read and asked; what is wrong is one line with the URL and the remedy."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from providers import answering

from pytest_mcpsmoke import ScriptedModel
from pytest_mcpsmoke.doubles.loopback import App, LoopbackServer
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.tiers.address import is_loopback
from pytest_mcpsmoke.tiers.provider import Provider, check, provider_from

KEY = "sk-secret"
START = "start the model's server, or set ND_REAL_BASE_URL"


def problem(environ: dict[str, str], timeout_s: float = 10.0) -> str:
    """What is said about an environment, which is one line without the key."""
    try:
        provider = provider_from(environ)
        assert provider is not None
        check(provider, timeout_s)
    except UsageProblem as told:
        text = str(told)
        assert KEY not in text
        assert "\n" not in text
        return text
    pytest.fail("there was no problem")


def unanswered(url: str, why: str) -> str:
    return f"the model of ND_REAL_BASE_URL does not answer: GET {url}/models {why}"


@pytest.mark.parametrize(
    ("environ", "provider"),
    [
        ({}, None),
        ({"ND_REAL_BASE_URL": " ", "ND_REAL_MODEL": "m"}, None),
        (
            {"ND_REAL_BASE_URL": "https://models.example/v1/"},
            Provider("https://models.example/v1", None, None, "ND_REAL_BASE_URL"),
        ),
        (
            {
                "ND_REAL_BASE_URL": " http://[::1]:8000 ",
                "ND_REAL_MODEL": " m ",
                "ND_REAL_API_KEY": f"{KEY}\n",
            },
            Provider("http://[::1]:8000", "m", KEY, "ND_REAL_BASE_URL"),
        ),
    ],
)
def test_what_an_environment_names(environ: dict[str, str], provider: Provider | None) -> None:
    assert provider_from(environ) == provider
    assert KEY not in repr(provider)


CREDENTIALS = "a URL is printed, so it holds no credentials; set ND_REAL_API_KEY to the key"
HTTP = "write it as http://127.0.0.1:11434/v1"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:11434/v1", f"localhost:11434/v1: http:// or https:// is missing; {HTTP}"),
        ("http://", f"http://: no host to connect to; {HTTP}"),
        ("http://h:0/v1", f"http://h:0/v1: no host to connect to; {HTTP}"),
        ("http://h:99999", f"http://h:99999: the port is no number from 1 to 65535; {HTTP}"),
        ("http://[::1/v1", f"http://[::1/v1: no URL; {HTTP}"),
        ("http://a b/v1", f"http://a b/v1: a character that no URL holds; {HTTP}"),
        (
            "http://h/v1#x",
            f"http://h/v1#x: paths are added to it, so it has neither query nor fragment; {HTTP}",
        ),
        (
            f"http://h/v1?key={KEY}",
            f"http://h/v1?…: paths are added to it, so it has neither query nor fragment; {HTTP}",
        ),
        (
            f"http://user:{KEY}@h/v1",
            f"http://…@h/v1: {CREDENTIALS}",
        ),
        (f"http://user:/{KEY}@h/v1", f"http://…@h/v1: {CREDENTIALS}"),
        (f"user:{KEY}@h/v1", f"…@h/v1: {CREDENTIALS}"),
    ],
)
def test_a_base_url_that_cannot_be_asked(url: str, told: str) -> None:
    assert problem({"ND_REAL_BASE_URL": url}) == f"ND_REAL_BASE_URL={told}"


@pytest.mark.parametrize("key", ["sk-\N{BULLET}", "sk\n-1"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    text = problem({"ND_REAL_BASE_URL": "http://h", "ND_REAL_API_KEY": key})
    assert text == "ND_REAL_API_KEY holds characters that no header can; copy the key anew"


def test_a_provider_that_answers() -> None:
    with ScriptedModel() as model:
        url = model.serve()
        provider = Provider(url, None, KEY, "ND_REAL_BASE_URL")
        assert check(provider) == provider._replace(model="scripted")
        assert check(provider._replace(model="own")).model == "own"
        came = model.journal[0]
    assert (came.method, came.path, came.header("authorization")) == ("GET", "/v1/models", [f"Bearer {KEY}"])


def test_a_proxy_of_the_environment_does_not_lead_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedModel() as model:
        assert check(Provider(model.serve(), None, None, "ND_REAL_BASE_URL")).model == "scripted"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("model.localhost.", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(f"http://{host}:1/v1") is expected


@pytest.mark.parametrize(
    ("app", "more", "why"),
    [
        (answering(401), {}, "with no key answered 401; set ND_REAL_API_KEY to a key that is valid there"),
        (
            answering(403),
            {"ND_REAL_API_KEY": KEY},
            "with the key answered 403; set ND_REAL_API_KEY to a key that is valid there",
        ),
        (answering(500), {}, "answered 500; wait until the server is ready, or set ND_REAL_BASE_URL"),
        (answering(429), {}, "answered 429; wait until the server is ready, or set ND_REAL_BASE_URL"),
        (
            answering(301, {}, (b"location", b"/elsewhere")),
            {"ND_REAL_API_KEY": KEY},
            "is redirected; set ND_REAL_BASE_URL to where it leads",
        ),
        (answering(404), {}, "(404) lists no model; set ND_REAL_MODEL to the name of one"),
        (answering(200, {"data": []}), {}, "(200) lists no model; set ND_REAL_MODEL to the name of one"),
        (answering(200, [1]), {}, "(200) lists no model; set ND_REAL_MODEL to the name of one"),
        (answering(200, b"<html>"), {}, "(200) lists no model; set ND_REAL_MODEL to the name of one"),
    ],
    ids=["no key", "wrong key", "500", "429", "redirect", "no list", "empty list", "another list", "a page"],
)
def test_an_answer_that_is_none(app: App, more: dict[str, str], why: str) -> None:
    with LoopbackServer(app) as server:
        assert problem({"ND_REAL_BASE_URL": server.url, **more}) == unanswered(server.url, why)
        assert len(server.journal) == 1


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_server_without_a_list_answers_when_the_model_is_named(status: int) -> None:
    with LoopbackServer(answering(status, {})) as server:
        provider = Provider(server.url, "m", None, "ND_REAL_BASE_URL")
        assert check(provider) == provider


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert problem({"ND_REAL_BASE_URL": url}) == unanswered(url, f"was refused the connection; {START}")


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_says_nothing(silent: str) -> None:
    text = problem({"ND_REAL_BASE_URL": silent}, timeout_s=0.1)
    assert text == unanswered(silent, f"had no answer within 0.1 s; {START}")


async def trickling(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        await send({"type": "http.response.body", "body": b" ", "more_body": True})


def test_a_list_that_does_not_end() -> None:
    with LoopbackServer(trickling) as server:
        text = problem({"ND_REAL_BASE_URL": server.url}, timeout_s=0.2)
        assert text == unanswered(server.url, f"had no answer within 0.2 s; {START}")


async def hanging_up(scope: Any, receive: Any, send: Any) -> None:
    scope["state"]["cut"]()


def test_a_connection_that_is_closed_without_an_answer() -> None:
    with LoopbackServer(hanging_up) as server:
        text = problem({"ND_REAL_BASE_URL": server.url})
        why = f"had an answer that is no HTTP, or none; is this the port of the model's server? {START}"
    assert text == unanswered(
        server.url if server.address else text.split("GET ")[1].split("/models")[0], why
    )


def test_tls_on_a_plain_port() -> None:
    with LoopbackServer(answering()) as server:
        url = server.url.replace("http:", "https:")
        text = problem({"ND_REAL_BASE_URL": url, "ND_REAL_API_KEY": KEY})
    assert text.startswith(unanswered(url, "did not agree on TLS ("))
    assert text.endswith("); check http:// or https://, and the certificate")


def test_a_host_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = "http://model.invalid/v1"
    assert problem({"ND_REAL_BASE_URL": url}) == unanswered(url, f"found no such host; {START}")

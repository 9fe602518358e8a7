"""What the agent proxy puts on the wire, as the served fake invoker's journal has it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_mcpsmoke import RateLimited, Status
from reference_app.http_tools_invoker import HttpToolsInvoker, ToolServerError

pytestmark = pytest.mark.smoke

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Kyiv"}}}


def invoke(base_url: str, headers: dict[str, str] | None = None) -> str:
    return asyncio.run(HttpToolsInvoker(base_url, headers).call_openai_tool(CALL))


def a_date(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_200_is_one_post(fake_invoker: Any) -> None:
    fake_invoker.expect("weather", {"city": "Kyiv"}, "sunny")
    assert invoke(fake_invoker.serve()) == "sunny"
    post = fake_invoker.journal.assert_one()
    assert (post.method, post.path) == ("POST", "/invoke")
    assert post.json == {"name": "weather", "arguments": {"city": "Kyiv"}}


@pytest.mark.parametrize(
    "retry_after",
    [0, 0.01, a_date(-5), "soon", None],
    ids=["0", "0.01", "a date gone by", "no time", "nothing"],
)
def test_a_429_is_two_posts_that_are_alike(fake_invoker: Any, retry_after: Any) -> None:
    fake_invoker.expect("weather", {"city": "Kyiv"}, RateLimited(retry_after, "sunny"))
    assert invoke(fake_invoker.serve(), {"X-Env": "B", "Authorization": "Bearer X"}) == "sunny"
    first, second = fake_invoker.journal.assert_requests(2, "POST", "/invoke")
    assert (first.status, second.status) == (429, 200)
    assert (first.headers, first.body) == (second.headers, second.body)


@pytest.mark.parametrize("retry_after", [0.3, 300], ids=["seconds", "capped at one second"])
def test_it_waits_as_long_as_it_is_told_and_no_longer(fake_invoker: Any, retry_after: float) -> None:
    fake_invoker.expect("weather", {"city": "Kyiv"}, RateLimited(retry_after, "sunny"))
    invoke(fake_invoker.serve())
    first, second = fake_invoker.journal.assert_requests(2, "POST", "/invoke")
    waited = second.at - first.answered
    assert min(retry_after, 1) * 0.9 <= waited < 30


def test_it_waits_until_a_date(fake_invoker: Any) -> None:
    fake_invoker.expect("weather", {"city": "Kyiv"}, RateLimited(a_date(60), "sunny"))
    invoke(fake_invoker.serve())
    first, second = fake_invoker.journal.assert_requests(2, "POST", "/invoke")
    assert 0.9 <= second.at - first.answered < 30  # and not for a minute: the wait is capped at one second


def test_429_and_429_is_two_posts_and_an_error(fake_invoker: Any) -> None:
    fake_invoker.expect("weather", None, RateLimited(0, Status(429, "still")))
    with pytest.raises(ToolServerError, match=r"^HTTP 429: still$"):
        invoke(fake_invoker.serve())
    fake_invoker.journal.assert_requests(2, "POST", "/invoke")


@pytest.mark.parametrize("status", [400, 401, 404, 408, 500, 502, 503, 504])
def test_any_other_error_is_one_post_and_an_error(fake_invoker: Any, status: int) -> None:
    fake_invoker.expect("weather", None, Status(status, "boom", {"Retry-After": "0"}))
    with pytest.raises(ToolServerError, match=f"^HTTP {status}: boom$"):
        invoke(fake_invoker.serve())
    fake_invoker.journal.assert_requests(1, "POST", "/invoke")


def test_one_header_per_name_with_the_winner_s_casing(
    fake_invoker: Any, scripted_model: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = '{"x-env": "A", "authorization": "Bearer env", "X-Only-Env": "E"}'
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", environment)
    monkeypatch.setattr("reference_app.mini_agent.arouter_call", scripted_model)
    fake_invoker.expect("weather", {"city": "Kyiv"}, RateLimited(0, "sunny"))
    scripted_model.calls(("weather", {"city": "Kyiv"})).says("sunny")
    answer = run(
        tool_backend="http",
        tool_http_base_url=fake_invoker.serve(),
        tool_http_headers={"X-ENV": "B", "Authorization": "Bearer X"},
    )
    assert answer.json()["final_answer"] == "sunny"
    fake_invoker.journal.assert_one("GET", "/tools")
    fake_invoker.journal.assert_requests(2, "POST", "/invoke")
    for request in fake_invoker.journal:
        ours = [
            pair for pair in request.headers if pair[0].lower() in (b"x-env", b"authorization", b"x-only-env")
        ]
        assert sorted(ours) == [(b"Authorization", b"Bearer X"), (b"X-ENV", b"B"), (b"X-Only-Env", b"E")]

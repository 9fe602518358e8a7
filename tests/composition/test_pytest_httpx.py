"""Beside pytest-httpx: its transport is gone with its fixture, what a test does to a client is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PEERS = ["pytest-httpx"]

WEB = {
    "app/web.py": """
        import httpx

        CLIENT = httpx.Client()

        def fetch():
            return CLIENT.get("https://example.org/x").json()

        async def fetch_async():
            async with httpx.AsyncClient() as client:
                return (await client.get("https://example.org/x")).json()
        """
}


def test_the_fixture_leaves_nothing(suite: Any, engine: str) -> None:
    suite.write(
        WEB
        | {
            "test_fetch.py": """
                import asyncio

                import httpx
                import pytest
                from app import web

                def test_shared_client(httpx_mock):
                    httpx_mock.add_response(json={"a": 1}, is_reusable=True)
                    assert web.fetch() == web.fetch() == {"a": 1}

                def test_async_client(httpx_mock):
                    httpx_mock.add_response(json=[])
                    assert asyncio.run(web.fetch_async()) == []

                def test_exception(httpx_mock):
                    httpx_mock.add_exception(httpx.ReadTimeout("late"))
                    with pytest.raises(httpx.ReadTimeout):
                        web.fetch()
                """
        }
    )
    run = suite.run("-p", "pytest_httpx", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert run.told == []


def test_a_changed_client_is_named(suite: Any, sites: Callable[[Any], list[str]]) -> None:
    suite.write(
        WEB
        | {
            "test_leaky.py": """
                from app import web

                def test_header(httpx_mock):
                    httpx_mock.add_response(json={"a": 1})
                    web.CLIENT.headers["X-Test"] = "1"  # leak
                    web.fetch()
                """
        }
    )
    run = suite.run("-p", "pytest_httpx", subprocess=True)
    run.result.assert_outcomes(passed=1)
    assert run.told == ["test/function test_leaky.py::test_header added app.web.CLIENT.headers['x-test']"]
    assert sites(run.leaks) == suite.marked()

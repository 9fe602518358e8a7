"""Beside respx: its fixture, its global router, routers of a module leave nothing; one left started does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PEERS = ["respx"]

WEB = {
    "app/web.py": """
        import httpx

        CLIENT = httpx.Client()

        def fetch():
            return CLIENT.get("https://example.org/x").json()
        """
}


def test_routers_that_are_stopped_leave_nothing(suite: Any, engine: str) -> None:
    suite.write(
        WEB
        | {
            "test_routers.py": """
                import httpx
                import pytest
                import respx
                from app import web

                ROUTER = respx.mock(base_url="https://example.org", assert_all_called=False)
                ROUTER.get("/x").respond(json={"a": 2})

                def test_fixture(respx_mock):
                    respx_mock.get("https://example.org/x").respond(json={"a": 1})
                    assert web.fetch() == {"a": 1}

                @pytest.mark.respx(base_url="https://example.org", assert_all_called=False)
                def test_marked(respx_mock):
                    respx_mock.get("/x").mock(return_value=httpx.Response(200, json={}))
                    assert web.fetch() == {}

                @respx.mock
                def test_global_router():
                    route = respx.get("https://example.org/x").respond(json={})
                    assert web.fetch() == {}
                    assert route.called and respx.calls.call_count == 1

                def test_context():
                    with respx.mock as router:
                        router.get("https://example.org/x", name="x").respond(json={})
                        web.fetch()

                @ROUTER
                def test_router_of_the_module():
                    assert web.fetch() == {"a": 2}

                def test_started_and_stopped():
                    respx.start()
                    respx.get("https://example.org/x").respond(json={})
                    web.fetch()
                    respx.stop()
                """
        }
    )
    run = suite.run("-p", "respx", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=6)
    assert run.told == []


def test_a_router_left_started_is_named(
    suite: Any, sites: Callable[[Any], list[str]], best_engine: str
) -> None:
    suite.write(
        WEB
        | {
            "test_leaky.py": """
                import respx
                from app import web

                def test_left():
                    respx.mock(base_url="https://example.org").start()  # leak
                """
        }
    )
    run = suite.run("-p", "respx", subprocess=True)
    run.result.assert_outcomes(passed=1)
    assert {leak["owner"] for leak in run.leaks} == {"test_leaky.py::test_left"}
    assert "httpcore.ConnectionPool.handle_request" in {leak["place"] for leak in run.leaks}
    if best_engine == "watch":  # else it is searched, and the code that wrote is a library's
        assert sites(run.leaks) == suite.marked()

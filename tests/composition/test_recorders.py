"""The recorders beside what answers requests, too, on another kind of loop."""

from __future__ import annotations

from typing import Any

PEERS = ["aiohttp", "anyio", "pytest-httpx", "requests", "respx", "trio"]

APP = {
    "app/web.py": """
        import anyio

        ENDED = []

        async def app(scope, receive, send):
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
                    await anyio.sleep(0.001)
            finally:
                ENDED.append("left")
        """
}


def test_pytest_httpx_answers_below_a_recorded_client(suite: Any, engine: str) -> None:
    suite.write(
        {
            "test_both.py": """
                import asyncio

                def test_sync(httpx_mock, recording_client):
                    httpx_mock.add_response(url="http://tools.test/", json={"a": 1})
                    client = recording_client(headers={"X-Env": "A"})
                    assert client.get("http://tools.test/", headers={"x-env": "B"}).json() == {"a": 1}
                    recording_client.assert_precedence("x-env", winner="request", over="client")
                    assert recording_client.last.raw == httpx_mock.get_request().headers.raw

                def test_async(recording_async_client, httpx_mock):
                    httpx_mock.add_response(url="http://tools.test/")

                    async def main():
                        async with recording_async_client() as client:
                            await client.get("http://tools.test/")

                    asyncio.run(main())
                    recording_async_client.assert_sent_once("GET", "http://tools.test/")
                """
        }
    )
    run = suite.run("-p", "pytest_httpx", "--leaks=fail", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=2)


def test_respx_answers_below_a_recorded_client(suite: Any, engine: str) -> None:
    suite.write(
        {
            "test_both.py": """
                import respx

                def test_fixture(respx_mock, record_headers):
                    respx_mock.get("http://tools.test/").respond(json={"a": 1})
                    import httpx
                    with httpx.Client() as client:
                        record_headers(client)
                        client.get("http://tools.test/", headers={"X-A": "1"})
                    record_headers.assert_header("x-a", "1", layer="request")

                @respx.mock
                def test_decorator(recording_client):
                    respx.post("http://tools.test/").respond(204)
                    assert recording_client().post("http://tools.test/").status_code == 204
                """
        }
    )
    run = suite.run("-p", "respx", "--leaks=fail", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=2)


def test_trio(suite: Any, engine: str) -> None:
    suite.write(
        APP
        | {
            "test_trio.py": """
                import httpx
                import pytest
                import trio
                from app import web

                @pytest.mark.parametrize("flavour", ["httpx", "httpx2"])
                def test_stream(recording_async_client, flavour):
                    async def main():
                        client = recording_async_client(flavour, app=web.app)
                        async with client, client.stream("GET", "/", headers={"X-A": "1"}) as response:
                            assert response.status_code == 200
                        assert web.ENDED.pop() == "left"

                    trio.run(main)
                    recording_async_client.assert_header("x-a", "1", layer="request")

                def test_unrecorded(record_headers):
                    async def main():
                        async with httpx.AsyncClient() as client:
                            await client.get("http://127.0.0.1:9/")

                    with pytest.raises(BaseException):
                        trio.run(main)
                    (failure,) = record_headers.failures
                    assert " connects to 127.0.0.1:9, and no recorder sees" in str(failure)
                    record_headers.failures.clear()
                """
        }
    )
    run = suite.run("--leaks=fail", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=3)


def test_other_libraries_are_refused(suite: Any) -> None:
    suite.write(
        {
            "test_other.py": """
                import asyncio
                import contextlib

                import aiohttp
                import requests

                def test_requests(record_headers):
                    with contextlib.suppress(Exception):
                        requests.get("http://127.0.0.1:9/")

                def test_aiohttp(recording_client):
                    async def main():
                        async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:9/"):
                            pass

                    with contextlib.suppress(Exception):
                        asyncio.run(main())
                """
        }
    )
    result = suite.run("--leaks=fail", "-W", "error", "--tb=line", subprocess=True).result
    result.assert_outcomes(failed=2)
    for name in ("requests", "aiohttp"):
        result.stdout.fnmatch_lines([f"*{name} connects to 127.0.0.1:9, and no recorder sees what it sends"])

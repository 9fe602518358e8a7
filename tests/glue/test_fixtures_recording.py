"""The recorders as fixtures: usable from sync and async tests, their verdicts, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest

APP = {
    "app/tools.py": """
        import httpx

        CLIENT = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json=[])))

        async def catalogue(base, headers):
            async with httpx.AsyncClient(headers=headers) as client:
                return (await client.get(f"{base}/tools")).json()
        """,
    "app/web.py": """
        import asyncio
        import urllib.request

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope["path"] != "/events":
                await send({"type": "http.response.body", "body": b"ok"})
                return
            while True:
                await send({"type": "http.response.body", "body": b"data: x\\n\\n", "more_body": True})
                await asyncio.sleep(0.001)

        def phone_home():
            try:
                urllib.request.urlopen("http://127.0.0.1:9/")
            except Exception:
                pass
        """,
}


@pytest.fixture
def project(suite: Any) -> Any:
    suite.write(APP)
    return suite


def test_nothing_is_left_behind(project: Any, engine: str) -> None:
    project.write(
        {
            "test_app.py": """
                import asyncio

                import httpx
                import pytest
                from app import tools, web

                FLAVOURS = pytest.mark.parametrize("flavour", ["httpx", "httpx2"])

                @FLAVOURS
                def test_sync(recording_client, flavour):
                    client = recording_client(flavour, app=web.app, headers={"X-Env": "A"})
                    with client.stream("GET", "/events", headers={"x-env": "B"}) as response:
                        chunks = response.iter_bytes()
                        assert [next(chunks) for _ in range(3)] == [b"data: x\\n\\n"] * 3
                    client.get("/")
                    recording_client.assert_sent_once("GET", "/events")
                    recording_client.assert_precedence(
                        "x-env", winner="request", over="client", url="/events"
                    )

                @FLAVOURS
                def test_async(recording_async_client, flavour):
                    async def main():
                        async with recording_async_client(flavour, app=web.app) as client:
                            async with client.stream("GET", "/events") as response:
                                seen = 0
                                async for _ in response.aiter_bytes():
                                    seen += 1
                                    if seen == 3:
                                        break
                    asyncio.run(main())
                    recording_async_client.assert_sent_once("GET", "/events")

                def test_left_open(recording_async_client):
                    client = recording_async_client(app=web.app)
                    assert asyncio.run(client.get("/")).text == "ok"

                def test_existing_client(record_headers):
                    record_headers(tools.CLIENT)
                    tools.CLIENT.get("http://a/", headers={"X-A": "1"})
                    record_headers.assert_header("x-a", "1", layer="request")

                def test_module(record_headers):
                    record_headers.into("app.tools", transport=record_headers.reply(json=["t"]))
                    assert asyncio.run(tools.catalogue("http://a", {"X-Env": "A"})) == ["t"]
                    record_headers.assert_header("x-env", "A", layer="client")

                @pytest.mark.anyio
                @pytest.mark.parametrize("anyio_backend", ["asyncio"])
                async def test_on_a_plugin_s_loop(recording_async_client):
                    async with recording_async_client("httpx2", app=web.app) as client:
                        assert (await client.get("/")).text == "ok"
                """,
        }
    )
    run = project.run("-p", "anyio", "--leaks=fail", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=8)
    assert run.told == []


@pytest.mark.parametrize("fixture", ["recording_client", "recording_async_client", "record_headers"])
def test_a_swallowed_connection_fails_its_test_only(project: Any, fixture: str) -> None:
    project.write(
        {
            "test_app.py": f"""
                from app import web

                def test_before():
                    web.phone_home()

                def test_it({fixture}):
                    web.phone_home()

                def test_allowed({fixture}):
                    {fixture}.allow("127.0.0.1:9")
                    web.phone_home()

                def test_after():
                    web.phone_home()
                """,
        }
    )
    result = project.run("--leaks=fail").result
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *UnexpectedCall: urllib connects to 127.0.0.1:9, and no recorder sees what it sends",
            "E *at app/web.py:15 in phone_home",
            'E *let it through: .allow("127.0.0.1:9")',
        ]
    )


def test_servers_of_other_doubles_keep_a_journal_of_their_own(project: Any) -> None:
    project.write(
        {
            "test_app.py": """
                import urllib.request
                import pytest
                from pytest_mcpsmoke.errors import UnexpectedCall

                def test_it(record_headers, fake_invoker, recording_client):
                    url = fake_invoker.serve()
                    urllib.request.urlopen(f"{url}/tools").close()
                    recording_client().get(f"{url}/tools", headers={"X-Env": "A"})
                    assert len(fake_invoker.journal.assert_requests(2, "GET", "/tools")) == 2
                    fake_invoker.close()
                    with pytest.raises(UnexpectedCall):
                        urllib.request.urlopen(f"{url}/tools")
                    recording_client.failures.clear()
                """,
        }
    )
    project.run("--leaks=fail").result.assert_outcomes(passed=1)


def test_a_failed_assertion_shows_the_layers(project: Any) -> None:
    project.write(
        {
            "test_app.py": """
                def test_it(recording_client):
                    client = recording_client(transport=recording_client.reply(), headers={"X-Env": "A"})
                    client.get("http://a/", headers={"Authorization": "Bearer hush-hush"})
                    recording_client.assert_precedence("x-env", winner="request", over="client")
                """,
        }
    )
    result = project.run().result
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: in GET /: request supplied no x-env: nothing was won by request over client",
            "E *sent: 1",
            "E *1. GET http://a/ -> 200 (httpx)",
            "E *X-Env: A *client",
            "E *Authorization: Bearer ??? *request",
        ]
    )
    assert "hush" not in "".join(line for line in result.outlines if line.startswith("E"))


def test_a_missing_package_is_one_line(project: Any) -> None:
    project.write(
        {
            "conftest.py": """
                import sys
                sys.modules["httpx2"] = None
                """,
            "test_app.py": """
                def test_the_other_one(recording_client):
                    recording_client(transport=recording_client.reply()).get("http://a/")

                def test_missing(recording_client):
                    recording_client("httpx2")
                """,
        }
    )
    result = project.run(subprocess=True).result
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *MissingExtra: recording_client needs httpx2, which is not installed:"
            " pip install 'pytest-mcpsmoke?http?'"
        ]
    )


def test_neither_package(project: Any) -> None:
    project.write(
        {
            "conftest.py": "import sys\nsys.modules['httpx'] = sys.modules['httpx2'] = None\n",
            "test_app.py": "def test_it(record_headers):\n    pass\n",
        }
    )
    result = project.run(subprocess=True).result
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["record_headers needs httpx, which is not installed: pip install 'pytest-mcpsmoke?http?'"]
    )


def test_workers(project: Any) -> None:
    project.write(
        {
            "test_app.py": """
                import pytest

                @pytest.mark.parametrize("n", range(4))
                def test_it(recording_client, n):
                    recording_client(transport=recording_client.reply()).get("http://a/")
                """,
        }
    )
    result = project.run("-p", "xdist", "-n", "2", "--leaks=fail", subprocess=True).result
    result.assert_outcomes(passed=4)


def test_a_recorder_that_nobody_closes_is_a_leak_of_its_test(
    pytester: pytest.Pytester, best_engine: str
) -> None:
    pytester.makepyfile(
        program="import httpx\n",
        test_it="""
        import program
        from pytest_mcpsmoke import Recorder

        KEPT = []

        def test_it():
            KEPT.append(Recorder(guard=False))
            KEPT[0].into(program)
        """,
    )
    result = pytester.runpytest_inprocess("-p", "mcpsmoke")
    result.stdout.fnmatch_lines(["  program.httpx *rebound: module httpx -> *"])
    # Where writes are not observed it cannot be searched for: the line names neither the place nor a patcher.
    if best_engine == "watch":
        result.stdout.fnmatch_lines(["      test_it.py:8  KEPT?0?.into(program)*"])

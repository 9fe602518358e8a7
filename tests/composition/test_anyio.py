"""Beside anyio's plugin, on both back ends: runners, portals and idle workers are nobody's leak."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

PEERS = ["anyio", "trio"]

FILES = {
    "pytest.ini": "[pytest]\nfilterwarnings = error\n",
    "conftest.py": """
        import pytest

        @pytest.fixture(scope="module", params=["asyncio", "trio"])
        def anyio_backend(request):
            return request.param
        """,
}

CLEAN = {
    "test_clean.py": """
        import signal
        import sys

        import anyio
        import anyio.abc
        import anyio.to_thread
        import pytest
        from app import settings

        @pytest.fixture
        async def patched():
            settings.MODE = "patched"
            yield
            await anyio.sleep(0)
            settings.MODE = "live"

        @pytest.fixture(scope="module")
        async def server(anyio_backend):
            async def handle(stream):
                async with stream:
                    await stream.send(await stream.receive())

            settings.LEVEL = 2
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, handle)
                yield listener.extra(anyio.abc.SocketAttribute.local_port)
                group.cancel_scope.cancel()
            await listener.aclose()
            settings.LEVEL = 1

        @pytest.mark.anyio
        async def test_patched(patched):
            assert settings.MODE == "patched"

        @pytest.mark.anyio
        async def test_worker_thread():
            assert await anyio.to_thread.run_sync(settings.connect) == "real"

        @pytest.mark.anyio
        @pytest.mark.parametrize("number", [1, 2])
        async def test_server(server, number):
            async with await anyio.connect_tcp("127.0.0.1", server) as stream:
                await stream.send(b"x")
                assert await stream.receive() == b"x"

        @pytest.mark.anyio
        async def test_signals():
            with anyio.open_signal_receiver(signal.SIGUSR1):
                await anyio.sleep(0)

        @pytest.mark.anyio
        async def test_process():
            await anyio.run_process([sys.executable, "-S", "-c", "pass"])

        """,
    "test_plain.py": """
        import anyio
        import anyio.from_thread
        import pytest

        @pytest.mark.parametrize("name", ["asyncio", "trio"])
        def test_portal(name):
            with anyio.from_thread.start_blocking_portal(name) as portal:
                portal.call(anyio.sleep, 0)

        @pytest.mark.parametrize("name", ["asyncio", "trio"])
        def test_run(name):
            anyio.run(anyio.sleep, 0, backend=name)
        """,
}

LEAKY = {
    "test_leaky.py": """
        import threading

        import anyio
        import pytest
        from app import settings

        pytestmark = pytest.mark.anyio
        ENOUGH = threading.Event()

        @pytest.fixture
        async def patched(anyio_backend):
            settings.MODE = anyio_backend  # leak
            yield

        @pytest.fixture
        async def late(anyio_backend):
            yield
            settings.NAMES = anyio_backend  # leak

        @pytest.fixture(scope="module")
        async def wide():
            settings.LEVEL = 7  # leak
            yield

        async def test_patched(patched): pass

        async def test_late(late): pass

        async def test_wide(wide): pass

        async def test_body(anyio_backend):
            await anyio.sleep(0)
            settings.Client.retries = anyio_backend  # leak

        async def test_thread(anyio_backend):
            threading.Thread(name=anyio_backend, target=ENOUGH.wait, args=(9,), daemon=True).start()  # leak
        """
}


def test_nothing_of_the_plugin_is_blamed(suite: Any, engine: str, patient: str) -> None:
    suite.write(FILES | CLEAN)
    suite.write({"conftest.py": textwrap.dedent(FILES["conftest.py"]) + patient})
    run = suite.run("-p", "anyio", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=16)
    assert run.told == []


def test_leaks_of_tests_and_fixtures_are_named(suite: Any, sites: Callable[[Any], list[str]]) -> None:
    suite.write(FILES | LEAKY)
    run = suite.run("-p", "anyio", subprocess=True)
    run.result.assert_outcomes(passed=10)
    wide = "fixture/module test_leaky.py::wide during test_leaky.py::test_wide[asyncio]"
    assert sorted(run.told) == sorted(
        [
            f"{wide} rebound app.settings.LEVEL",
            *(
                f"test/function test_leaky.py::{test}[{name}] {change}"
                for name in ("asyncio", "trio")
                for test, change in {
                    "test_patched": "rebound app.settings.MODE",
                    "test_late": "rebound app.settings.NAMES",
                    "test_body": "rebound app.settings.Client.retries",
                    "test_thread": f"added thread '{name}'",
                }.items()
            ),
        ]
    )
    assert sites(run.leaks) == suite.marked()

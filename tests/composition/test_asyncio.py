"""Beside pytest-asyncio: its loops and runners are its own, what a test leaves in them is the test's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PEERS = ["pytest-asyncio"]

INI = {"pytest.ini": "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"}

CLEAN = {
    "test_clean.py": """
        import asyncio
        import signal
        import sys

        import pytest
        import pytest_asyncio
        from app import settings

        @pytest_asyncio.fixture
        async def patched():
            settings.MODE = "patched"
            yield settings.Client()
            await asyncio.sleep(0)
            settings.MODE = "live"

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def loop_of_module():
            settings.LEVEL = 2
            yield asyncio.get_running_loop()
            settings.LEVEL = 1

        @pytest_asyncio.fixture(scope="session", loop_scope="session")
        async def server():
            task = asyncio.create_task(asyncio.sleep(3600))
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
            yield server
            server.close()
            await server.wait_closed()
            task.cancel()

        @pytest.mark.asyncio
        async def test_function_loop(patched):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            assert settings.MODE == "patched"

        @pytest.mark.asyncio
        async def test_thread():
            assert await asyncio.to_thread(settings.connect) == "real"

        @pytest.mark.asyncio(loop_scope="module")
        async def test_module_loop(loop_of_module):
            assert loop_of_module is asyncio.get_running_loop()
            assert await asyncio.to_thread(settings.connect) == "real"

        @pytest.mark.asyncio(loop_scope="module")
        async def test_module_loop_again(loop_of_module):
            assert loop_of_module is asyncio.get_running_loop()

        @pytest.mark.asyncio(loop_scope="session")
        async def test_session_loop(server):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

        @pytest.mark.asyncio(loop_scope="session")
        async def test_session_loop_again(server):
            process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "pass")
            assert await process.wait() == 0
            await asyncio.to_thread(settings.connect)

        @pytest.mark.asyncio
        async def test_signal_handler():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, print)
            loop.remove_signal_handler(signal.SIGUSR1)

        class TestClass:
            @pytest_asyncio.fixture(scope="class", loop_scope="class")
            @classmethod
            async def value(cls):
                yield asyncio.get_running_loop()

            @pytest.mark.asyncio(loop_scope="class")
            async def test_one(self, value):
                assert value is asyncio.get_running_loop()

            @pytest.mark.asyncio(loop_scope="class")
            async def test_two(self, value):
                assert value is asyncio.get_running_loop()

        def test_without_a_plugin():
            assert asyncio.run(asyncio.sleep(0, "value")) == "value"
        """
}

LEAKY = {
    "test_leaky.py": """
        import asyncio
        import signal

        import pytest
        import pytest_asyncio
        from app import settings

        @pytest_asyncio.fixture
        async def patched():
            settings.MODE = "patched"  # leak
            yield

        @pytest_asyncio.fixture
        async def late():
            yield
            await asyncio.sleep(0)
            settings.MODE = "late"  # leak

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def wide():
            settings.LEVEL = 7  # leak
            yield {"n": 1}

        @pytest_asyncio.fixture(scope="session", loop_scope="session")
        async def wider():
            yield
            settings.Client.retries = 9  # leak

        @pytest.mark.asyncio
        async def test_body():
            await asyncio.sleep(0)
            settings.NAMES = ()  # leak

        @pytest.mark.asyncio
        async def test_patched(patched):
            pass

        @pytest.mark.asyncio
        async def test_late(late):
            pass

        @pytest.mark.asyncio(loop_scope="module")
        async def test_wide(wide):
            wide["n"] = 2  # leak

        @pytest.mark.asyncio(loop_scope="session")
        async def test_wider(wider):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, print)  # leak

        @pytest.mark.asyncio(loop_scope="session")
        async def test_task(wider):
            task = asyncio.create_task(asyncio.sleep(3600))  # leak
            assert not task.done()

        @pytest.mark.asyncio(loop_scope="session")
        async def test_last(wider):
            pass
        """
}


def test_nothing_of_the_plugin_is_blamed(suite: Any, engine: str, patient: str) -> None:
    suite.write(INI | CLEAN | {"conftest.py": patient})
    run = suite.run("-p", "asyncio", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=10)
    assert run.told == []


def test_a_default_loop_scope_changes_nothing(suite: Any, patient: str) -> None:
    suite.write(INI | CLEAN | {"conftest.py": patient})
    run = suite.run("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=session", subprocess=True)
    run.result.assert_outcomes(passed=10)
    assert run.told == []


def test_leaks_of_tests_and_fixtures_are_named(suite: Any, sites: Callable[[Any], list[str]]) -> None:
    suite.write(INI | LEAKY)
    run = suite.run("-p", "asyncio", subprocess=True)
    run.result.assert_outcomes(passed=7)
    assert sorted(run.told) == [
        "fixture/module test_leaky.py::wide during test_leaky.py::test_wide rebound app.settings.LEVEL",
        "fixture/session test_leaky.py::wider rebound app.settings.Client.retries",
        "test/function test_leaky.py::test_body rebound app.settings.NAMES",
        "test/function test_leaky.py::test_late rebound app.settings.MODE",
        "test/function test_leaky.py::test_patched rebound app.settings.MODE",
        "test/function test_leaky.py::test_task mutated fixture _session_scoped_runner._loop pending tasks",
        "test/function test_leaky.py::test_wide rebound fixture wide['n']",
        "test/function test_leaky.py::test_wider rebound signal.SIGUSR1",
    ]
    assert sites(run.leaks) == suite.marked()


@pytest.mark.parametrize("mode", ["off", "report"])
def test_outcomes_are_the_same(suite: Any, mode: str) -> None:
    suite.write(
        INI
        | {
            "test_outcomes.py": """
                import asyncio
                import pytest
                import pytest_asyncio

                @pytest_asyncio.fixture(scope="module", loop_scope="module")
                async def breaks():
                    raise ValueError("never up")
                    yield

                @pytest_asyncio.fixture
                async def breaks_late():
                    yield
                    raise ValueError("late")

                @pytest.mark.asyncio(loop_scope="module")
                async def test_error(breaks): pass

                @pytest.mark.asyncio
                async def test_late(breaks_late): pass

                @pytest.mark.asyncio
                async def test_fails(): assert await asyncio.sleep(0, False)

                @pytest.mark.asyncio
                @pytest.mark.xfail
                async def test_xfails(): raise ValueError
                """
        }
    )
    run = suite.run("-p", "asyncio", f"--leaks={mode}", subprocess=True, report=False)
    run.result.assert_outcomes(errors=2, passed=1, failed=1, xfailed=1)

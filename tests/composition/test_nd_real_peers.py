"""nd_real beside plugins that run tests again, time them, await them, or retry them."""

from __future__ import annotations

from typing import Any

import pytest

PEERS = ("pytest-asyncio", "pytest-rerunfailures", "pytest-timeout", "trio", "anyio")


@pytest.fixture(autouse=True)
def tier_is_open(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ND_REAL", "1")
    monkeypatch.delenv("STRICT_READY", raising=False)


def told(run: Any) -> list[str]:
    """The results in short: "test_a PASS 29/29"."""
    return [
        f"{each['nodeid'].partition('::')[2]} {each['verdict']} {each['passes']}/{each['samples']}"
        for each in run.of_type("nd")
    ]


def test_reruns_do_not_touch_the_rate(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            CALLS = []

            @pytest.mark.flaky(reruns=5)
            @pytest.mark.nd_real(samples=30)
            def test_real():
                CALLS.append(1)
                assert len(CALLS) % 3, "every third is wrong"

            @pytest.mark.flaky(reruns=5)
            def test_plain(seen=[]):
                seen.append(1)
                assert len(seen) == 3

            def test_calls():
                assert len(CALLS) == 21
            """
        }
    )
    run = suite.run("-p", "rerunfailures", "--leaks=off")
    run.result.assert_outcomes(passed=2, failed=1)
    assert told(run) == ["test_real FAIL 14/21"]
    assert [test["outcome"] for test in run.of_type("test")] == [
        "failed",
        "rerun",
        "rerun",
        "passed",
        "passed",
    ]


@pytest.mark.parametrize("func_only", ["true", "false"])
def test_every_sample_has_the_time_of_a_test(suite: Any, func_only: str) -> None:
    suite.write(
        {
            "pytest.ini": f"[pytest]\ntimeout = 600\ntimeout_func_only = {func_only}\n",
            "test_a.py": """
            import signal
            import time
            import pytest

            LEFT = []

            # As if each took most of the time: without a time of its own the second would have a minute.
            @pytest.mark.nd_real(samples=29)
            def test_all_together_take_longer():
                LEFT.append(signal.getitimer(signal.ITIMER_REAL)[0])
                assert LEFT[-1] > 300
                signal.setitimer(signal.ITIMER_REAL, 60)

            CALLS = []

            @pytest.mark.timeout(60)
            @pytest.mark.nd_real(samples=29)
            def test_some_hang():
                CALLS.append(1)
                assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
                if len(CALLS) < 8:
                    signal.setitimer(signal.ITIMER_REAL, 0.01)  # its time is over, but not before it hangs
                    time.sleep(60)

            def test_after(): pass
            """,
        }
    )
    run = suite.run("-p", "timeout", "--leaks=off")
    run.result.assert_outcomes(passed=2, failed=1)
    assert told(run) == ["test_all_together_take_longer PASS 29/29", "test_some_hang FAIL 0/7"]
    (hung,) = [each for each in run.of_type("nd") if each["verdict"] == "FAIL"]
    assert [each["message"] for each in hung["clusters"]] == ["Failed: Timeout (>60.0s) from pytest-timeout."]


def test_async_tests_of_asyncio_and_trio_are_awaited_in_loops_of_their_own(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import asyncio
            import pytest

            LOOPS, AWAITED = set(), []

            @pytest.mark.asyncio
            @pytest.mark.nd_real(samples=29)
            async def test_asyncio():
                await asyncio.sleep(0)
                LOOPS.add(asyncio.get_running_loop())

            class TestMethods:
                @pytest.mark.asyncio
                @pytest.mark.nd_real(samples=29)
                async def test_method(self):
                    assert not hasattr(self, "mine")
                    self.mine = True
                    AWAITED.append("method")

            @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
            @pytest.mark.anyio
            @pytest.mark.nd_real(samples=29)
            async def test_anyio(anyio_backend):
                AWAITED.append(anyio_backend)

            @pytest.mark.asyncio
            @pytest.mark.nd_real(samples=29)
            async def test_false():
                assert False

            def test_all_of_it():
                assert len(LOOPS) == 29
                assert [AWAITED.count(each) for each in ("method", "asyncio", "trio")] == [29, 29, 29]
            """
        }
    )
    run = suite.run(
        *("-p", "anyio", "-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function"),
        "--leaks=off",
        subprocess=True,
    )
    run.result.assert_outcomes(passed=5, failed=1)
    assert told(run)[-1] == "test_false FAIL 0/7"

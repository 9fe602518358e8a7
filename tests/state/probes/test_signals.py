"""Handlers of signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.signals import SignalHandlers

if os.name == "nt":
    pytest.skip("no signals to speak of", allow_module_level=True)


handled: list[int] = []


def handle(number: int, frame: Any) -> None:
    handled.append(number)


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)
    handled.clear()


def test_a_handler_is_found() -> None:
    found = found_around(SignalHandlers(), lambda: signal.signal(signal.SIGUSR1, handle))
    assert found == [("signal.SIGUSR1", "SIG_DFL", handle)]


def test_an_ignored_signal_is_found() -> None:
    found = found_around(SignalHandlers(), lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN))
    assert found == [("signal.SIGUSR1", "SIG_DFL", "SIG_IGN")]


@pytest.mark.parametrize(
    "before", [signal.SIG_DFL, signal.SIG_IGN, handle], ids=["default", "ignored", "function"]
)
def test_restoring_puts_the_handler_back(before: Any) -> None:
    signal.signal(signal.SIGUSR1, before)
    with watching(SignalHandlers()) as watch:
        signal.signal(signal.SIGUSR1, lambda number, frame: None)
        watch.restore(watch.writes())
    assert signal.getsignal(signal.SIGUSR1) == before
    if before is handle:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert handled == [signal.SIGUSR1]


def test_a_handler_that_is_put_back_is_no_change() -> None:
    def lend() -> None:
        before = signal.signal(signal.SIGUSR1, handle)
        signal.signal(signal.SIGUSR1, before)

    assert found_around(SignalHandlers(), lend) == []


def test_a_handled_signal_is_no_change() -> None:
    signal.signal(signal.SIGUSR1, handle)
    assert found_around(SignalHandlers(), lambda: os.kill(os.getpid(), signal.SIGUSR1)) == []
    assert is_quiet(SignalHandlers())


def test_handlers_are_compared_by_identity() -> None:
    class Handler:
        def __call__(self, number: int, frame: Any) -> None: ...

        def __eq__(self, other: object) -> bool:
            asked.append(other)
            return True

        __hash__ = None  # type: ignore[assignment]

    asked: list[object] = []
    first, second = Handler(), Handler()
    signal.signal(signal.SIGUSR1, first)
    with watching(SignalHandlers()) as watch:
        signal.signal(signal.SIGUSR1, second)
        asked.clear()  # the signal module itself asks
        (write,) = watch.writes()
        assert watch.writes() == []
    assert write.old is first
    assert write.new is second
    assert asked == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGALRM", "SIGCHLD", "SIGABRT", "SIGIO", "SIGHUP"])
def test_every_signal_has_the_name_that_the_library_prefers(name: str) -> None:
    handlers = SignalHandlers().read()
    assert name in handlers
    assert handlers.keys() <= {one.name for one in signal.Signals}
    assert not {"SIGKILL", "SIGSTOP"} & handlers.keys()


def test_what_does_not_go_back_says_why() -> None:
    probe = SignalHandlers()
    with pytest.raises(CannotRestore, match="C code"):
        probe.restore("SIGUSR1", None, handle)
    refusals: list[str] = []

    def restore() -> None:
        with pytest.raises(CannotRestore) as refused:
            probe.restore("SIGUSR1", "SIG_DFL", handle)
        refusals.append(str(refused.value))

    thread = threading.Thread(target=restore)
    thread.start()
    thread.join()
    assert "main thread" in refusals[0]

"""What is registered with atexit."""

from __future__ import annotations

import atexit
import functools
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.farewells import ExitFunctions


class Client:
    def close(self) -> None: ...

    def __call__(self) -> None: ...


def farewell(name: str = "") -> None: ...


CLIENT = Client()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (farewell, "test_farewells.farewell"),
        (functools.partial(farewell, "you"), "test_farewells.farewell"),
        (CLIENT.close, "test_farewells.Client.close"),
        (CLIENT, "test_farewells.Client"),
        (print, "builtins.print"),
    ],
)
def test_a_registered_function_is_found_and_removed(function: Callable[..., Any], name: str) -> None:
    with watching(ExitFunctions()) as watch:
        atexit.register(function)
        (write,) = watch.writes()
        assert (watch.probe.place(write.key), write.old) == (f"atexit.register({name})", MISSING)
        assert write.new == function
        watch.restore([write])
        assert [(old, new) for _, old, new in watch.found()] == [(write.new, MISSING)]


def test_a_removed_function_does_not_run() -> None:
    code = """
import atexit
from pytest_mcpsmoke.state.probes.farewells import ExitFunctions
from pytest_mcpsmoke.state.probes.readings import Readings
atexit.register(print, "kept")
probe = ExitFunctions()
readings = Readings([probe])
readings.start()
atexit.register(lambda: print("leaked"))
for write in readings.drain():
    probe.restore(write.key, write.old, write.new)
print("end")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["end", "kept"], "")


def test_what_is_unregistered_again_is_no_change() -> None:
    def lend() -> None:
        atexit.register(farewell)
        atexit.unregister(farewell)

    assert found_around(ExitFunctions(), lend) == []
    assert is_quiet(ExitFunctions())


def test_what_the_program_had_registered_and_a_test_removed_is_found() -> None:
    atexit.register(farewell)
    with watching(ExitFunctions()) as watch:
        atexit.unregister(farewell)
        (write,) = watch.writes()
        with pytest.raises(CannotRestore, match="arguments"):
            watch.restore([write])
    assert (write.old, write.new) == (farewell, MISSING)


def test_a_second_registration_is_found_and_not_removed_with_the_first() -> None:
    atexit.register(farewell)
    try:
        with watching(ExitFunctions()) as watch:
            atexit.register(farewell)
            (write,) = watch.writes()
            assert watch.probe.place(write.key) == "atexit.register(test_farewells.farewell (2))"
            with pytest.raises(CannotRestore, match="more than once"):
                watch.restore([write])
    finally:
        atexit.unregister(farewell)


def test_set_up_by_the_library_and_by_imports_is_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    late = types.ModuleType("late")
    exec("def stop(): ...", vars(late))
    probe = ExitFunctions()
    with watching(probe) as watch:
        atexit.register(logging.Logger)
        monkeypatch.setitem(sys.modules, "late", late)
        atexit.register(late.stop)
        atexit.register(farewell)
        reasons = {write.key: probe.warm_up(write.key, write.old, write.new) for write in watch.writes()}
    for function in (logging.Logger, late.stop, farewell):
        atexit.unregister(function)
    assert reasons["test_farewells.farewell"] is None
    assert "late was imported" in str(reasons["late.stop"])
    assert sum("standard library" in str(reason) for reason in reasons.values()) == 1

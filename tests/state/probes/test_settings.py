"""The probes of one value each: found with its values, put back, quiet about use and what was undone."""

from __future__ import annotations

import _tracemalloc
import asyncio
import faulthandler
import gc
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes import interpreter, libraries, process, signals
from pytest_mcpsmoke.state.probes.value import Value


@dataclass(frozen=True)
class Setting:
    """One setting: its probe, how the standard library tells and sets it, another value, and mere use."""

    probe: type[Value]
    place: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    other: Callable[[Any], Any]
    use: Callable[[], object] = lambda: None


def trace(frame: Any, event: str, argument: Any) -> None:
    return None


def nested(depth: int) -> int:
    return depth and nested(depth - 1)


def put_timer(state: str) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0 if state == "off" else 1_000)


def timer() -> str:
    return "off" if signal.getitimer(signal.ITIMER_REAL) == (0, 0) else "running"


def octal_umask() -> str:
    mask = os.umask(0o022)
    os.umask(mask)
    return f"0o{mask:03o}"


def use_files(folder: str = "/") -> None:
    with open(os.devnull) as file:
        file.read()
    os.listdir(folder)


def run_thread() -> None:
    thread = threading.Thread(target=lambda: sys.settrace(trace))
    thread.start()
    thread.join()


def connect_nowhere() -> None:
    with socket.socket() as unused:
        unused.settimeout(3)


async def sleep() -> None:
    await asyncio.sleep(0)


SETTINGS = [
    Setting(
        interpreter.RecursionLimit,
        "sys.getrecursionlimit()",
        sys.getrecursionlimit,
        sys.setrecursionlimit,
        lambda limit: limit + 500,
        lambda: nested(50),
    ),
    Setting(
        interpreter.SwitchInterval,
        "sys.getswitchinterval()",
        sys.getswitchinterval,
        sys.setswitchinterval,
        lambda seconds: 0.02,
        run_thread,
    ),
    Setting(
        interpreter.IntDigits,
        "sys.get_int_max_str_digits()",
        sys.get_int_max_str_digits,
        sys.set_int_max_str_digits,
        lambda digits: 0,
        lambda: int("9" * 1_000),
    ),
    Setting(
        interpreter.OriginTracking,
        "sys.get_coroutine_origin_tracking_depth()",
        sys.get_coroutine_origin_tracking_depth,
        sys.set_coroutine_origin_tracking_depth,
        lambda depth: depth + 5,
        lambda: asyncio.run(sleep(), debug=True),
    ),
    Setting(
        interpreter.OpenFlags,
        "sys.getdlopenflags()",
        sys.getdlopenflags,
        sys.setdlopenflags,
        lambda flags: flags | os.RTLD_GLOBAL,
    ),
    Setting(
        interpreter.TraceFunction,
        "sys.gettrace()",
        sys.gettrace,
        sys.settrace,
        lambda before: trace,
        run_thread,
    ),
    Setting(
        interpreter.ProfileFunction,
        "sys.getprofile()",
        sys.getprofile,
        sys.setprofile,
        lambda before: trace,
    ),
    Setting(
        interpreter.GarbageThreshold,
        "gc.get_threshold()",
        gc.get_threshold,
        lambda threshold: gc.set_threshold(*threshold),
        lambda threshold: (threshold[0] + 4_300, *threshold[1:]),
        gc.collect,
    ),
    Setting(
        interpreter.GarbageCollector,
        "gc.isenabled()",
        gc.isenabled,
        lambda on: gc.enable() if on else gc.disable(),
        lambda on: not on,
        gc.collect,
    ),
    Setting(
        interpreter.GarbageDebug,
        "gc.get_debug()",
        gc.get_debug,
        gc.set_debug,
        lambda flags: flags ^ gc.DEBUG_UNCOLLECTABLE,
        gc.collect,
    ),
    Setting(
        process.WorkingDirectory,
        "os.getcwd()",
        os.getcwd,
        os.chdir,
        lambda folder: os.path.abspath(os.sep),
        use_files,
    ),
    Setting(
        process.Umask,
        "os.umask()",
        octal_umask,
        lambda mask: os.umask(int(mask, 8)),
        lambda mask: "0o077" if mask != "0o077" else "0o027",
        use_files,
    ),
    Setting(
        process.Affinity,
        "os.sched_getaffinity(0)",
        lambda: frozenset(os.sched_getaffinity(0)),
        lambda processors: os.sched_setaffinity(0, processors),
        lambda processors: frozenset(sorted(processors)[:1]),
    ),
    Setting(
        signals.Alarm,
        "signal.getitimer(ITIMER_REAL)",
        timer,
        put_timer,
        lambda before: "running",
    ),
    Setting(
        libraries.SocketTimeout,
        "socket.getdefaulttimeout()",
        socket.getdefaulttimeout,
        socket.setdefaulttimeout,
        lambda before: 2.5,
        connect_nowhere,
    ),
]


def has(setting: Setting) -> bool:
    """Whether this platform has the setting, with more than one value to choose from."""
    if setting.probe is process.Affinity:
        return len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else False
    return True


@pytest.fixture(params=[setting for setting in SETTINGS if has(setting)], ids=lambda one: one.probe.name)
def setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    """Each setting, back at its value afterwards."""
    setting: Setting = request.param
    before = setting.get()
    yield setting
    setting.put(before)


def test_a_change_is_found_with_its_place_and_values(setting: Setting) -> None:
    before = setting.get()
    other = setting.other(before)
    assert other != before
    assert found_around(setting.probe(), lambda: setting.put(other)) == [(setting.place, before, other)]


def test_restoring_puts_it_back(setting: Setting) -> None:
    before = setting.get()
    with watching(setting.probe()) as watch:
        setting.put(setting.other(before))
        watch.restore(watch.writes())
        assert setting.get() == before
        assert [(was, now) for _, was, now in watch.found()] == [(setting.other(before), before)]


def test_a_change_that_is_undone_is_none(setting: Setting) -> None:
    before = setting.get()
    undo = [lambda: setting.put(setting.other(before)), lambda: setting.put(before)]
    assert found_around(setting.probe(), *undo) == []


def test_use_is_no_change(setting: Setting) -> None:
    assert found_around(setting.probe(), setting.use) == []
    assert is_quiet(setting.probe())


def test_a_change_between_two_boundaries_is_told_once(setting: Setting) -> None:
    with watching(setting.probe()) as watch:
        setting.put(setting.other(setting.get()))
        assert (len(watch.writes()), len(watch.writes())) == (1, 0)


@pytest.mark.parametrize(
    ("probe", "event", "change"),
    [
        (process.WorkingDirectory(), "chdir", lambda: os.chdir(os.sep)),
        (interpreter.TraceFunction(), "settrace", lambda: sys.settrace(trace)),
        (interpreter.ProfileFunction(), "setprofile", lambda: sys.setprofile(trace)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_changed_it_is_observed(probe: Value, event: str, change: Callable[[], None]) -> None:
    kept = sys.gettrace(), sys.getprofile(), os.getcwd()
    try:
        with watching(probe) as watch:
            change()
            (write,) = watch.writes()
    finally:
        sys.settrace(kept[0])
        sys.setprofile(kept[1])
        os.chdir(kept[2])
    assert write.stack[0] is change.__code__
    assert write.stack[1] == change.__code__.co_firstlineno


def test_a_value_of_any_type_is_never_asked() -> None:
    class Tracer:
        def __call__(self, *arguments: object) -> None:
            return None

        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked")

        __hash__ = None  # type: ignore[assignment]

    before, tracer = sys.getprofile(), Tracer()
    probe = interpreter.ProfileFunction()
    with watching(probe) as watch:
        sys.setprofile(tracer)
        writes = watch.writes()
        sys.setprofile(before)
    assert [(write.old, write.new is tracer) for write in writes] == [(before, True)]


def test_what_does_not_go_back_says_why() -> None:
    depth = interpreter.RecursionLimit()
    with pytest.raises(CannotRestore, match="recursion"):
        depth.restore(depth.at, 5, 1_000)
    gone = process.WorkingDirectory()
    with pytest.raises(CannotRestore, match="No such file"):
        gone.restore(gone.at, "/no/such/folder", "/")
    alarm = signals.Alarm()
    with pytest.raises(CannotRestore, match="how much time"):
        alarm.restore(alarm.at, "running", "off")


def test_a_deleted_working_directory_is_a_value(tmp_path: Path) -> None:
    before = os.getcwd()

    def lose() -> None:
        folder = tmp_path / "gone"
        folder.mkdir()
        os.chdir(folder)
        folder.rmdir()

    try:
        assert found_around(process.WorkingDirectory(), lose) == [("os.getcwd()", before, "(deleted)")]
    finally:
        os.chdir(before)


def test_the_umask_is_not_touched_while_other_threads_run(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("only Linux tells the umask")
    calls: list[int] = []
    monkeypatch.setattr(process, "_umask", lambda mask: calls.append(mask) or 0o022)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert process.Umask().read() == {"os.umask()": octal_umask()}
        assert calls == []
    finally:
        done.set()
        thread.join()


def test_tracing_allocations_is_found_and_stopped() -> None:
    probe = interpreter.Tracemalloc()
    if tracemalloc.is_tracing():
        pytest.skip("the interpreter was started with it")
    with watching(probe) as watch:
        tracemalloc.start()
        writes = watch.writes()
        watch.restore(writes)
    assert [(write.old, write.new) for write in writes] == [(False, True)]
    assert not _tracemalloc.is_tracing()
    with pytest.raises(CannotRestore, match="gone"):
        probe.restore(probe.at, True, False)


def test_the_fault_handler_is_found_and_disabled(tmp_path: Path) -> None:
    probe, was_enabled = interpreter.FaultHandler(), faulthandler.is_enabled()
    faulthandler.disable()
    with (tmp_path / "crash.txt").open("w") as file:
        try:
            with watching(probe) as watch:
                faulthandler.enable(file)
                writes = watch.writes()
                watch.restore(writes)
            assert [(write.old, write.new) for write in writes] == [(False, True)]
            assert not faulthandler.is_enabled()
        finally:
            faulthandler.disable()
    if was_enabled:
        faulthandler.enable(sys.__stderr__)
    with pytest.raises(CannotRestore, match="not known"):
        probe.restore(probe.at, True, False)


def test_the_priority_is_found() -> None:
    """In a process of its own: only root may put it back."""
    child = os.fork() if hasattr(os, "fork") else -1
    if child == 0:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        expected = [("os.getpriority()", before, before + 1)]
        os._exit(0 if found_around(process.Priority(), lambda: os.nice(1)) == expected else 1)
    assert child == -1 or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_asynchronous_generator_hooks_are_found_and_put_back() -> None:
    probe, before = interpreter.AsyncGenHooks(), sys.get_asyncgen_hooks()
    with watching(probe) as watch:
        sys.set_asyncgen_hooks(finalizer=print)
        writes = watch.writes()
        watch.restore(writes)
    assert [(probe.place(write.key), write.old, write.new) for write in writes] == [
        ("sys.get_asyncgen_hooks().finalizer", before.finalizer, print)
    ]
    assert sys.get_asyncgen_hooks() == before
    assert found_around(probe, lambda: asyncio.run(sleep())) == []


def test_the_start_method_is_found_and_put_back() -> None:
    probe, before = libraries.StartMethod(), multiprocessing.get_start_method(allow_none=True)
    other = next(name for name in multiprocessing.get_all_start_methods() if name != before)
    default = type(multiprocessing.context._default_context._default_context)._name
    try:
        with watching(probe) as watch:
            multiprocessing.set_start_method(other, force=True)
            (write,) = watch.writes()
            watch.restore([write])
        assert (probe.place(write.key), write.old, write.new) == (
            "multiprocessing.get_start_method()",
            before,
            other,
        )
        assert multiprocessing.get_start_method(allow_none=True) == before
        assert probe.warm_up(write.key, None, default) is not None
        assert probe.warm_up(write.key, None, "forkserver" if default != "forkserver" else "spawn") is None
        assert probe.warm_up(write.key, "spawn", default) is None
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_functions_that_a_test_patches_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr(sys, "getrecursionlimit", refuse)
    monkeypatch.setattr(gc, "get_threshold", refuse)
    monkeypatch.setattr(time, "tzset", refuse)
    with monkeypatch.context() as patches:
        patches.setattr(os, "getcwd", refuse)
        patches.setattr(os, "umask", refuse)
        patches.setattr(random, "getstate", refuse)
        for probe in (interpreter.RecursionLimit(), interpreter.GarbageThreshold(), process.Umask()):
            assert probe.read()
        assert process.WorkingDirectory().read()

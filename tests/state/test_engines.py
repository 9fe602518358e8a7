"""Choosing an engine, falling back with a reason, and what engines keep alive."""

from __future__ import annotations

import gc
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import types
import weakref
from pathlib import Path
from typing import Any

import pytest
from stage import working_engines

from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.state.engines import ENGINE_NAMES, Engine, open_engine
from pytest_mcpsmoke.state.place import MISSING, Namespace, class_dict

HAS_COMPILED_PART = importlib.util.find_spec("pytest_mcpsmoke.state._watch") is not None
BEST = "watch" if sys.version_info >= (3, 12) else "version"
OTHER = "version" if BEST == "watch" else "watch"
RUNNING = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"


def compiler_is_there() -> bool:
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return header.exists() and any(map(shutil.which, ("cc", "gcc", "clang")))


def test_the_compiled_part_is_there_where_it_can_be_built() -> None:
    if os.environ.get("MCPSMOKE_NO_EXTENSION", "") not in ("", "0"):
        pytest.skip("MCPSMOKE_NO_EXTENSION leaves the compiled part out on purpose")
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("the compiled part is for CPython with its global lock")
    if not compiler_is_there():
        pytest.skip("no C compiler, or no Python.h")
    assert HAS_COMPILED_PART


def outcome(code: str, *arguments: str) -> list[str]:
    """Run a program in a fresh interpreter; return its lines. It must end well and say nothing else."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.skipif(not HAS_COMPILED_PART, reason="the compiled part is not installed")
def test_auto_opens_the_best_engine() -> None:
    engine, why_not_better = open_engine("auto", set())
    engine.stop()
    assert (engine.name, why_not_better) == (BEST, None)


@pytest.mark.parametrize("name", working_engines())
def test_an_engine_can_be_asked_for(name: str) -> None:
    engine, why_not_better = open_engine(name, set())
    engine.stop()
    engine.stop()
    assert (engine.name, why_not_better) == (name, None)
    assert name in ENGINE_NAMES


@pytest.mark.skipif(not HAS_COMPILED_PART, reason="the compiled part is not installed")
def test_an_engine_of_another_python_is_refused_with_the_reason() -> None:
    needed = "CPython 3.12 or later" if OTHER == "watch" else "CPython 3.11"
    with pytest.raises(EngineUnavailable) as raised:
        open_engine(OTHER, set())
    assert str(raised.value) == f"{OTHER}: needs {needed}, this is {RUNNING}"


WITHOUT_COMPILED_PART = f"""
    import sys
    sys.modules["pytest_mcpsmoke.state._watch"] = None
    from pytest_mcpsmoke.errors import EngineUnavailable
    from pytest_mcpsmoke.state.engines import open_engine
    engine, why = open_engine("auto", set())
    print(engine.name)
    print(why)
    try:
        open_engine({BEST!r}, set())
    except EngineUnavailable as error:
        print(error)
"""


def test_without_the_compiled_part_it_scans_and_says_why() -> None:
    name, why, error = outcome(WITHOUT_COMPILED_PART)
    assert name == "scan"
    assert why.startswith(f"{BEST}: the compiled part does not load on {RUNNING}: ")
    assert error == why


@pytest.mark.skipif("watch" not in working_engines(), reason="needs the watch engine")
def test_without_a_free_watcher_it_scans_and_says_why() -> None:
    lines = outcome("""
        import ctypes
        from pytest_mcpsmoke.errors import EngineUnavailable
        from pytest_mcpsmoke.state.engines import open_engine
        callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
        add = ctypes.pythonapi.PyDict_AddWatcher
        taken = []
        try:
            while True:
                taken.append(add(callback))
                assert len(taken) < 100
        except RuntimeError:
            pass
        engine, why = open_engine("auto", set())
        print(engine.name, "|", why)
        try:
            open_engine("watch", set())
        except EngineUnavailable as error:
            print(error)
        for number in taken:
            if number >= 0:
                ctypes.pythonapi.PyDict_ClearWatcher(number)
        print(open_engine("auto", set())[0].name)
        """)
    assert lines == [
        "scan | watch: no more dict watcher IDs available",
        "watch: no more dict watcher IDs available",
        "watch",
    ]


INSIDE = """
    try:
        import pytest_mcpsmoke.state._watch
    except ImportError:
        first = "ImportError"
    else:
        first = "imported"
    from pytest_mcpsmoke.state.engines import open_engine
    engine, why = open_engine("auto", set())
    with open(OUT, "w") as file:
        print(first, engine.name, why, sep="\\n", file=file)
    """
OUTSIDE = """
    import sys
    program, isolated = sys.argv[1], sys.argv[2] == "isolated"
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
        number = interpreters.create(isolated=isolated)
        failed = interpreters.run_string(number, program)
    else:
        number = interpreters.create("isolated" if isolated else "legacy")
        failed = interpreters.exec(number, program)
    assert failed is None, failed
    interpreters.destroy(number)
    """


@pytest.mark.skipif(not HAS_COMPILED_PART, reason="the compiled part is not installed")
@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_a_subinterpreter_scans_and_says_why(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert outcome(OUTSIDE, f"OUT = {str(out)!r}\n" + textwrap.dedent(INSIDE), kind) == []
    first, name, why = out.read_text().splitlines()
    assert (first, name) == ("ImportError", "scan")
    assert why.startswith(f"{BEST}: the compiled part does not load on {RUNNING}: ")


# every engine


@pytest.fixture
def opened(engine: str) -> Any:
    found = open_engine(engine, set())[0]
    yield found
    found.stop()


def module_with(**names: Any) -> tuple[types.ModuleType, Namespace]:
    module = types.ModuleType("m")
    vars(module).update(names)
    return module, Namespace("module", weakref.ref(module), "m")


def changes(opened: Engine) -> list[tuple[str, Any, Any]]:
    return sorted((write.key, write.old, write.new) for write in opened.drain())


def test_each_write_is_told_once(opened: Engine) -> None:
    module, namespace = module_with(a=1, b=2, c=3)
    assert opened.watch(vars(module), namespace) is True
    assert opened.watch(vars(module), namespace) is False
    module.a = 10  # type: ignore[attr-defined]
    del module.b
    module.d = 4  # type: ignore[attr-defined]
    assert changes(opened) == [("a", 1, 10), ("b", 2, MISSING), ("d", MISSING, 4)]
    assert changes(opened) == []


def test_what_is_back_is_not_told(opened: Engine) -> None:
    value = object()
    module, namespace = module_with(a=value)
    opened.watch(vars(module), namespace)
    module.a = None  # type: ignore[attr-defined]
    module.a = value  # type: ignore[attr-defined]
    module.b = 1  # type: ignore[attr-defined]
    del module.b
    assert changes(opened) == []


def test_a_name_deleted_and_added_again_at_the_end_is_no_write(opened: Engine) -> None:
    module, namespace = module_with(a=1, b=2)
    opened.watch(vars(module), namespace)
    value = module.__dict__.pop("a")
    module.a = value  # type: ignore[attr-defined]
    assert changes(opened) == []


def test_what_is_written_while_it_rests_is_not_told(opened: Engine) -> None:
    module, namespace = module_with(a=1, b=1)
    opened.watch(vars(module), namespace)
    opened.rest()
    module.a = 2  # type: ignore[attr-defined]
    del module.b
    opened.wake()
    assert changes(opened) == []
    module.a = 3  # type: ignore[attr-defined]
    assert changes(opened) == [("a", 2, 3)]


def test_a_namespace_that_dies_while_it_rests_is_forgotten(opened: Engine) -> None:
    module, namespace = module_with(a=1)
    opened.watch(vars(module), namespace)
    opened.rest()
    del module
    gc.collect()
    opened.wake()
    assert opened.drain() == []
    assert entries(opened) == 0


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_no_engine_stays_behind_in_the_garbage_collector(name: str) -> None:
    before = gc.callbacks[:]
    try:
        engine, _ = open_engine(name, set())
    except EngineUnavailable:
        assert gc.callbacks == before
    else:
        engine.stop()
        engine.stop()
        assert gc.callbacks == before


def test_a_stopped_engine_tells_nothing(opened: Engine) -> None:
    module, namespace = module_with(a=1)
    opened.watch(vars(module), namespace)
    module.a = 2  # type: ignore[attr-defined]
    opened.stop()
    assert opened.drain() == []


class Held:
    """A value whose going can be seen."""


def test_a_module_that_dies_is_not_kept_alive(opened: Engine) -> None:
    module, namespace = module_with(a=Held())
    opened.watch(vars(module), namespace)
    gone, value = weakref.ref(module), weakref.ref(module.a)
    del module
    gc.collect()
    opened.drain()
    gc.collect()
    assert (gone(), value()) == (None, None)
    assert namespace.contents is None
    assert namespace.place("a") == "m.a"


@pytest.mark.skipif("watch" not in working_engines(), reason="needs the watch engine")
def test_a_class_that_dies_is_not_kept_alive_by_the_watch_engine() -> None:
    # A copy of a class's attributes holds descriptors, which hold the class: the others cannot let it go.
    opened = open_engine("watch", set())[0]

    class Local:
        value = Held()

    attributes = class_dict(Local)
    assert attributes is not None
    opened.watch(attributes, Namespace("class", weakref.ref(Local), "m"))
    gone, value = weakref.ref(Local), weakref.ref(Local.value)
    del Local, attributes
    gc.collect()
    assert (gone(), value()) == (None, None)
    assert (opened.drain(), entries(opened)) == ([], 0)
    opened.stop()


def test_a_module_that_is_collected_wrote_nothing(opened: Engine) -> None:
    module, namespace = module_with(a=Held())
    exec("def function():\n    return a\n", vars(module))  # holds the module's dict: a cycle
    opened.watch(vars(module), namespace)
    gone = weakref.ref(module.a)
    del module
    gc.collect()
    assert opened.drain() == []
    gc.collect()
    opened.drain()
    assert (gone(), entries(opened)) == (None, 0)


def entries(opened: Any) -> int:
    """How many namespaces an engine follows."""
    return len(opened._log) if opened.name == "watch" else len(opened._followed)


def test_the_entry_of_a_dead_namespace_disappears(opened: Engine) -> None:
    for _ in range(5):
        module, namespace = module_with(a=1)
        opened.watch(vars(module), namespace)
        module.a = 2  # type: ignore[attr-defined]
        del module
        gc.collect()
    opened.drain()
    assert entries(opened) == 0


def test_a_namespace_at_the_address_of_a_dead_one_is_followed(opened: Engine) -> None:
    for number in range(50):
        module, namespace = module_with(a=number)
        assert opened.watch(vars(module), namespace) is True
        module.b = number  # type: ignore[attr-defined]
        assert changes(opened) == [("b", MISSING, number)]
        del module
        gc.collect(0)

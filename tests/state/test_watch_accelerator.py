"""The compiled part on CPython 3.12 and later: class Log over the dict watchers.

test_accelerator_strictly.py runs this file again under PYTHONDEVMODE=1 and PYTHONMALLOC=debug.
"""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import sysconfig
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_mcpsmoke.state.place import MISSING

if sys.version_info < (3, 12):
    pytest.skip("dict watchers exist from CPython 3.12 on", allow_module_level=True)
_watch = pytest.importorskip("pytest_mcpsmoke.state._watch", reason="the compiled part is not installed")

Rows = list[tuple[Any, str, Any, Any]]


@pytest.fixture
def log() -> Iterator[Any]:
    opened = _watch.Log(set(), MISSING)
    yield opened
    opened.stop()


def written(log: Any) -> Rows:
    """What drain() gives, without the stacks."""
    return [row[:4] for row in log.drain()]


# what is seen


def test_each_way_of_writing_a_dict_is_seen(log: Any) -> None:
    watched: dict[str, Any] = {"set": 1, "del": 2, "pop": 3, "update": 4, "item": 5}
    log.watch(watched, "token")
    watched["set"] = 10
    del watched["del"]
    watched.pop("pop")
    watched.update(update=40)
    watched |= {"or": 60}
    watched.setdefault("default", 70)
    assert watched.popitem() == ("default", 70)
    assert written(log) == [
        ("token", "set", 1, 10),
        ("token", "del", 2, MISSING),
        ("token", "pop", 3, MISSING),
        ("token", "update", 4, 40),
        ("token", "or", MISSING, 60),
    ]
    assert log.drain() == []


def test_a_value_that_is_back_is_not_reported(log: Any) -> None:
    first = object()
    watched = {"a": first}
    log.watch(watched, "token")
    watched["a"] = object()
    watched["a"] = first
    watched["new"] = 1
    del watched["new"]
    assert log.drain() == []


def test_clearing_reports_every_key(log: Any) -> None:
    watched = {"a": 1, "b": 2}
    log.watch(watched, "token")
    watched.clear()
    assert written(log) == [("token", "a", 1, MISSING), ("token", "b", 2, MISSING)]


def test_filling_an_empty_dict_at_one_go_reports_every_key(log: Any) -> None:
    watched: dict[str, int] = {}
    log.watch(watched, "token")
    watched.update({"a": 1, "b": 2})
    assert written(log) == [("token", "a", MISSING, 1), ("token", "b", MISSING, 2)]


def test_a_dict_is_watched_once(log: Any) -> None:
    watched: dict[str, int] = {}
    assert log.watch(watched, "first") is True
    assert log.watch(watched, "second") is False
    assert len(log) == 1
    watched["a"] = 1
    assert written(log) == [("first", "a", MISSING, 1)]


def test_the_stack_leads_from_the_writing_line_to_the_nearest_test_frame() -> None:
    source = "def write(d):\n    d['a'] = 1\n\ndef middle(d):\n    write(d)\n\ndef test(d):\n    middle(d)\n"
    scope: dict[str, Any] = {}
    exec(compile(source.replace("def test", "def outer"), "program.py", "exec"), scope)
    exec(compile("def test(d):\n    middle(d)\n", "test_file.py", "exec"), scope)
    log = _watch.Log({"test_file.py"}, MISSING)
    watched: dict[str, int] = {}
    log.watch(watched, "token")
    scope["test"](watched)
    ((_, _, _, _, stack),) = log.drain()
    log.stop()
    frames = [
        (code.co_filename, code.co_name, line) for code, line in zip(stack[::2], stack[1::2], strict=True)
    ]
    assert frames == [("program.py", "write", 2), ("program.py", "middle", 5), ("test_file.py", "test", 2)]


def test_a_deep_stack_keeps_its_innermost_frames_and_the_test_frame() -> None:
    scope: dict[str, Any] = {}
    exec(compile("def dig(d, n):\n    dig(d, n - 1) if n else d.update(a=1)\n", "program.py", "exec"), scope)
    exec(compile("def test(d):\n    dig(d, 100)\n", "test_file.py", "exec"), scope)
    log = _watch.Log({"test_file.py"}, MISSING)
    watched: dict[str, int] = {}
    log.watch(watched, "token")
    scope["test"](watched)
    ((*_, stack),) = log.drain()
    log.stop()
    assert [code.co_name for code in stack[::2]] == ["dig"] * 32 + ["test"]


def test_a_log_whose_test_files_grow_sees_the_new_ones() -> None:
    files: set[str] = set()
    log = _watch.Log(files, MISSING)
    watched: dict[str, int] = {}
    log.watch(watched, "token")
    files.add(__file__)
    watched["a"] = 1
    ((*_, stack),) = log.drain()
    log.stop()
    assert [code.co_name for code in stack[::2]] == ["test_a_log_whose_test_files_grow_sees_the_new_ones"]


def test_writes_of_the_classes_and_modules_of_python_are_seen(log: Any) -> None:
    class Plain:
        a = 1

    module = types.ModuleType("m")
    (attributes,) = (found for found in gc.get_referents(vars(Plain)) if type(found) is dict)
    log.watch(attributes, "class")
    log.watch(vars(module), "module")
    for number in range(50):  # often enough that the interpreter specialises the instructions
        Plain.a = number
        module.a = number  # type: ignore[attr-defined]
    assert written(log) == [("class", "a", 1, 49), ("module", "a", MISSING, 49)]


# reference counts


def cycles(log: Any, watched: dict[str, Any], values: list[Any]) -> None:
    """Watch, write and drain, many times over."""
    for _ in range(200):
        log.watch(watched, "token")
        watched["a"] = values[0]
        watched["b"] = values[1]
        del watched["b"]
        watched["a"] = values[2]
        log.drain()
        watched.clear()
        log.drain()
        watched.update({"a": values[0]})
        log.drain()
        watched.clear()


def test_reference_counts_are_what_they_were() -> None:
    values, watched = [object(), object(), object()], {}
    key = "".join(["a key of", " its own"])
    counted = [*values, watched, key, MISSING, cycles.__code__]
    gc.collect()
    before = [*map(sys.getrefcount, counted)]
    gc.disable()  # what plugins write when the collector runs, an outer log would book to these frames
    try:
        for _ in range(5):
            log = _watch.Log({"x"}, MISSING)
            cycles(log, watched, values)
            watched[key] = 1
            log.drain()
            watched.clear()
            log.drain()
            log.stop()
        del log
    finally:
        gc.enable()
    gc.collect()
    assert [*map(sys.getrefcount, counted)] == before


def test_no_object_is_left_behind() -> None:
    def count() -> int:
        gc.collect()
        return len(gc.get_objects())

    def run() -> None:
        log = _watch.Log(set(), MISSING)
        cycles(log, {}, [object(), object(), object()])
        log.stop()

    run()
    before = count()
    for _ in range(3):
        run()
    assert abs(count() - before) < 20


def test_a_log_in_a_reference_cycle_is_collected() -> None:
    class Token:
        pass

    gc.collect()
    token, watched = Token(), {}
    log = _watch.Log(set(), MISSING)
    log.watch(watched, token)
    token.log = log  # type: ignore[attr-defined]
    collected: list[bool] = []
    weakref.finalize(token, collected.append, True)
    del token, log
    gc.collect()
    assert collected == [True]
    watched["a"] = 1  # the log left the dict when it went


def test_old_values_are_released_by_the_drain_and_not_before(log: Any) -> None:
    released: list[str] = []

    class Value:
        def __del__(self) -> None:
            released.append("gone")

    watched: dict[str, Any] = {"a": Value()}
    log.watch(watched, "token")
    watched["a"] = None
    assert released == []
    rows = log.drain()
    assert released == []
    del rows
    assert released == ["gone"]


def test_stopping_releases_what_was_not_drained() -> None:
    released: list[str] = []

    class Value:
        def __del__(self) -> None:
            released.append("gone")

    log = _watch.Log(set(), MISSING)
    watched: dict[str, Any] = {"a": Value()}
    log.watch(watched, "token")
    watched["a"] = None
    log.stop()
    assert released == ["gone"]
    assert len(log) == 0


# errors


class WritesWhenItGoes:
    def __init__(self, watched: dict[str, Any]) -> None:
        self.watched = watched

    def __del__(self) -> None:
        self.watched["written"] = self.watched.get("written", 0) + 1


def test_an_exception_on_its_way_out_survives_a_write(log: Any) -> None:
    watched: dict[str, Any] = {}
    log.watch(watched, "token")

    def fail() -> None:
        writer = WritesWhenItGoes(watched)
        assert writer.watched is watched
        raise ValueError("on its way")

    with pytest.raises(ValueError, match=r"^on its way$") as raised:
        fail()
    raised.value.__traceback__ = None
    del raised
    gc.collect()
    assert written(log) == [("token", "written", MISSING, 1)]


def test_an_exception_being_built_by_c_code_survives_a_write(log: Any) -> None:
    watched: dict[str, Any] = {}
    log.watch(watched, "token")

    def items() -> Iterator[WritesWhenItGoes]:
        yield WritesWhenItGoes(watched)
        raise KeyError("from the iterator")

    # the list that list() has begun is dropped, with the exception set, by C code
    with pytest.raises(KeyError, match="from the iterator"):
        list(items())
    assert written(log) == [("token", "written", MISSING, 1)]


def test_the_exception_that_is_handled_stays_the_handled_one(log: Any) -> None:
    watched: dict[str, Any] = {}
    log.watch(watched, "token")
    try:
        raise ValueError("handled")
    except ValueError as error:
        watched["a"] = 1
        handled = sys.exception() is error
    assert handled
    assert written(log) == [("token", "a", MISSING, 1)]


def test_a_failed_lookup_of_the_program_is_its_own(log: Any) -> None:
    watched: dict[str, Any] = {"a": 1}
    log.watch(watched, "token")
    with pytest.raises(KeyError, match="missing"):
        del watched["missing"]
    assert log.drain() == []


# keys that are no exact strings


class Recording(str):
    """A key that notes each time it is asked."""

    asked: list[str] = []
    __slots__ = ()

    def __hash__(self) -> int:
        self.asked.append("hash")
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        self.asked.append("eq")
        return str.__eq__(self, other)  # type: ignore[no-any-return]


def asked_by(act: Callable[[], object]) -> list[str]:
    Recording.asked.clear()
    act()
    return [*Recording.asked]


@pytest.mark.parametrize("existing", ["mode", "other"])
def test_a_key_with_a_hash_of_its_own_is_asked_by_the_program_only(existing: str) -> None:
    def act(watched: dict[str, Any], log: Any) -> None:
        watched[Recording("mode")] = 2
        watched["plain"] = 3
        watched["mode"] = 4
        del watched["plain"]
        if log is not None:
            log.drain()

    log = _watch.Log(set(), MISSING)
    plain, watched = {existing: 1}, {existing: 1}
    log.watch(watched, "token")
    alone = asked_by(lambda: act(plain, None))
    assert asked_by(lambda: act(watched, log)) == alone
    log.stop()


def test_a_key_that_is_a_subclass_of_str_counts_as_its_text(log: Any) -> None:
    watched: dict[str, Any] = {"mode": 1, "kept": 0}
    log.watch(watched, "token")
    watched[Recording("mode")] = 2
    watched[Recording("new")] = 3
    rows = written(log)
    assert rows == [("token", "mode", 1, 2), ("token", "new", MISSING, 3)]
    assert {type(row[1]) for row in rows} == {str}
    watched["new"] = 4
    assert written(log) == [("token", "new", 3, 4)]
    del watched[Recording("kept")]
    assert written(log) == [("token", "kept", 0, MISSING)]


def test_a_key_that_was_there_before_may_be_of_any_type(log: Any) -> None:
    watched: dict[Any, Any] = {Recording("mode"): 1, 5: 2, (1, 2): 3}
    log.watch(watched, "token")
    assert asked_by(lambda: log.watch(watched, "again")) == []
    watched[5] = 20
    watched[(1, 2)] = 30
    watched[None] = 40
    watched["mode"] = 10
    assert asked_by(lambda: log.drain) == []
    assert written(log) == [("token", "mode", 1, 10)]


# lifetimes


def test_a_watched_dict_is_not_kept_alive(log: Any) -> None:
    class Namespace(dict[str, Any]):
        pass

    gone: list[bool] = []
    watched = Namespace()
    weakref.finalize(watched, gone.append, True)
    log.watch(watched, "token")
    assert len(log) == 1
    del watched
    assert gone == [True]
    assert len(log) == 0
    assert log.drain() == []


def test_a_dict_that_dies_with_writes_pending_takes_them_along(log: Any) -> None:
    released: list[str] = []

    class Value:
        def __del__(self) -> None:
            released.append("gone")

    for _ in range(50):  # addresses are used again
        watched: dict[str, Any] = {"a": Value()}
        log.watch(watched, "token")
        watched["a"] = 1
        watched["b"] = 2
        del watched
    assert len(log) == 0
    assert log.drain() == []
    assert released == ["gone"] * 50


def test_a_dict_at_the_address_of_a_dead_one_starts_afresh(log: Any) -> None:
    for number in range(100):
        watched = {"a": number}
        assert log.watch(watched, number) is True
        watched["b"] = number
        assert written(log) == [(number, "b", MISSING, number)]
        del watched


def test_more_dicts_than_there_is_room_for_at_first_come_and_go(log: Any) -> None:
    for number in range(3):
        watched = [{"a": at} for at in range(3000)]
        for at, contents in enumerate(watched):
            assert log.watch(contents, at)
            contents["a"] = -1
        assert len(log) == 3000
        if number == 1:
            assert sorted(written(log)) == [(at, "a", at, -1) for at in range(3000)]
        del watched, contents  # in the other rounds with writes pending; their places are taken by the next
        assert len(log) == 0
    assert written(log) == []


def test_what_is_written_while_the_log_rests_is_not_noted(log: Any) -> None:
    watched, dying = {"a": 1, "b": 1}, {"a": 1}
    log.watch(watched, "token")
    log.watch(dying, "dying")
    watched["a"] = 2
    log.rest()  # forgets that, too
    watched["b"] = 2
    del dying
    log.wake()
    assert len(log) == 1
    assert written(log) == []
    watched["a"] = 3
    assert written(log) == [("token", "a", 2, 3)]


def test_destructors_that_write_while_the_drain_releases_are_seen_by_the_next_drain(log: Any) -> None:
    watched: dict[str, Any] = {}
    watched["a"] = WritesWhenItGoes(watched)
    watched["b"] = WritesWhenItGoes(watched)
    log.watch(watched, "token")
    watched["a"] = watched["b"] = None
    first = log.drain()
    assert [row[1] for row in first] == ["a", "b"]
    del first
    gc.collect()
    assert written(log) == [("token", "written", MISSING, 2)]


def test_destructors_may_use_the_log_while_the_drain_releases(log: Any) -> None:
    drained: list[Rows] = []
    watched: dict[str, Any] = {}

    class Drains:
        def __del__(self) -> None:
            watched["late"] = 1
            log.watch({}, "another")
            drained.append(written(log))

    kept = watched["a"] = Drains()
    log.watch(watched, "token")
    watched["a"] = 1
    watched["a"] = kept  # back: the drain itself holds nothing of it but what was pending
    watched["a"] = 2
    del kept
    watched["a"] = 3
    log.drain()
    assert drained == [[("token", "late", MISSING, 1)]]


# several threads, several logs


def test_writes_of_several_threads_at_once_are_all_seen(log: Any) -> None:
    watched: dict[str, Any] = {}
    log.watch(watched, "token")
    names = [f"n{number}" for number in range(8)]
    ready = threading.Barrier(len(names) + 1)

    def write(name: str) -> None:
        ready.wait()
        for number in range(2000):
            watched[name] = number
            watched[name + "_temporary"] = number
            del watched[name + "_temporary"]

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    ready.wait()
    last: dict[str, Any] = {}
    while any(thread.is_alive() for thread in threads):
        last.update({row[1]: row[3] for row in log.drain()})
    for thread in threads:
        thread.join()
    last.update({row[1]: row[3] for row in log.drain()})
    assert {name: last[name] for name in names} == dict.fromkeys(names, 1999)
    assert {value for name, value in last.items() if name.endswith("_temporary")} <= {MISSING, *range(2000)}


def test_stopping_an_inner_log_does_not_blind_the_outer_one(log: Any) -> None:
    watched: dict[str, Any] = {}
    log.watch(watched, "outer")
    inner = _watch.Log(set(), MISSING)
    inner.watch(watched, "inner")
    watched["a"] = 1
    assert written(inner) == [("inner", "a", MISSING, 1)]
    inner.stop()
    watched["b"] = 2
    assert written(log) == [("outer", "a", MISSING, 1), ("outer", "b", MISSING, 2)]


def test_stopping_an_outer_log_does_not_blind_the_inner_one() -> None:
    outer, inner = _watch.Log(set(), MISSING), _watch.Log(set(), MISSING)
    watched: dict[str, Any] = {}
    outer.watch(watched, "outer")
    inner.watch(watched, "inner")
    outer.stop()
    watched["b"] = 2
    assert written(inner) == [("inner", "b", MISSING, 2)]
    inner.stop()


def test_a_stopped_log_sees_nothing_and_says_nothing(log: Any) -> None:
    watched: dict[str, Any] = {"a": 1}
    log.watch(watched, "token")
    watched["a"] = 2
    log.stop()
    log.stop()
    watched["a"] = 3
    del watched
    assert log.drain() == []
    with pytest.raises(RuntimeError, match=r"^this log is stopped$"):
        log.watch({}, "token")


def test_the_watcher_id_is_given_back_and_taken_again() -> None:
    for _ in range(20):  # more often than there are ids
        log = _watch.Log(set(), MISSING)
        watched: dict[str, int] = {}
        log.watch(watched, "token")
        watched["a"] = 1
        assert len(log.drain()) == 1
        log.stop()


def test_the_number_of_logs_is_bounded() -> None:
    too_many = pytest.raises(RuntimeError, match=r"^too many observers are active$")
    with contextlib.ExitStack() as stack, too_many:
        for _ in range(17):
            stack.callback(_watch.Log(set(), MISSING).stop)


@pytest.mark.parametrize("arguments", [(), (set(),), ([], MISSING), (frozenset(), MISSING)])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        _watch.Log(*arguments)


def test_only_a_dict_can_be_watched(log: Any) -> None:
    with pytest.raises(TypeError):
        log.watch(object(), "token")


# the end of the interpreter


AT_EXIT = {
    "in a global": "log = make()",
    "in a global, with writes pending": "log = make(); watched['b'] = 2; sys.modules['json'].x = 1",
    "in a cycle": "class A: pass\na = A(); a.log = make(); a.self = a; del a",
    "in a thread": "import threading; log = make(); fill = lambda: watched.update(c=1);"
    " t = threading.Thread(target=fill); t.start(); t.join()",
    "in sys": "sys.kept = make()",
    "in builtins": "import builtins; builtins.kept = make()",
    "nested": "log = make(); inner = make(); inner.watch(globals(), 0)",
    "written by destructors": "class A:\n    def __del__(self): watched['z'] = 1\na = A(); log = make()",
    "at sys.exit": "log = make(); log.watch(globals(), 1); sys.exit(0)",
}


@pytest.mark.parametrize("where", AT_EXIT.values(), ids=AT_EXIT)
def test_the_interpreter_ends_well_with_an_active_log(where: str) -> None:
    program = f"""
import json, sys, gc
from pytest_mcpsmoke.state import _watch
watched = {{"a": 1}}
def make():
    log = _watch.Log(set(), object())
    log.watch(watched, "token")
    for name, module in list(sys.modules.items()):
        if isinstance(module, type(sys)) and name != "__main__":
            log.watch(vars(module), name)
            for cls in list(vars(module).values()):
                if isinstance(cls, type) and cls.__flags__ & 1 << 9:
                    log.watch(next(d for d in gc.get_referents(cls.__dict__) if type(d) is dict), cls)
    return log
{where}
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_compiled_part_was_built_for_this_interpreter() -> None:
    assert _watch.__file__.endswith(sysconfig.get_config_var("EXT_SUFFIX"))

"""Which line changed a place: of each small program below, the lines that bear the mark."""

from __future__ import annotations

import linecache
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.state.lines import Lines, Written, chain_of, lasting
from pytest_mcpsmoke.state.live import Live
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.writer import Files

HAS_MONITORING = sys.version_info >= (3, 12)


@pytest.fixture
def app() -> Iterator[Any]:
    """The module in which the places stand."""
    module: Any = types.ModuleType("lines_app")
    module.MODE, module.ITEMS, module.TOOLS = "live", [], {}
    sys.modules["lines_app"] = module
    yield module
    del sys.modules["lines_app"]


class Program:
    """A source whose function main() is run."""

    def __init__(self, folder: Path, source: str) -> None:
        self.path = folder / "program.py"
        self.source = source
        self.path.write_text(source, "utf-8")
        self.names: dict[str, Any] = {"__name__": "program", "app": sys.modules.get("lines_app")}
        exec(compile(source, str(self.path), "exec"), self.names)

    def marked(self) -> list[int]:
        """The lines that bear the mark "# here", in order; of a mark with a number, in the order of these."""
        lines = enumerate(self.source.splitlines(), 1)
        marks = [(line.partition("# here")[2].strip(), at) for at, line in lines if "# here" in line]
        return [at for _, at in sorted(marks)]

    def lines(self, written: list[Written]) -> list[int]:
        """The innermost line of this program in each chain: whoever else runs, wrote for it."""
        found = []
        for one in written:
            own = [step for step in chain_of(one.stack, Files()) if step.path == str(self.path)]
            found.append(own[-1].line)
        return found


def watched(place: str, run: Any, **settings: Any) -> list[Written]:
    """What run() does to a place."""
    live = Live(place, [SysModules()])
    live.open()
    lines = Lines(live, **settings)
    lines.open()
    try:
        lines.begin()
        try:
            run()
        finally:
            found = lines.end()
    finally:
        lines.close()
        live.close()
    return found


@pytest.mark.parametrize(
    ("place", "body", "expected"),
    [
        ("lines_app.MODE", "app.MODE = 1; \napp.MODE = 2", [False, True]),
        ("lines_app.MODE", "app.MODE = 1; \napp.MODE = 'live'", [False, False]),
        (
            "lines_app.TOOLS",
            "app.TOOLS['a'] = 1\napp.TOOLS['b'] = 1\ndel app.TOOLS['b']",
            [True, False, False],
        ),
        ("lines_app.TOOLS", "app.TOOLS['a'] = 1\napp.TOOLS['b'] = 1", [True, True]),
        ("lines_app.ITEMS", "app.ITEMS.append(1)\napp.ITEMS.append(2)", [False, True]),
        ("lines_app.ITEMS", "app.ITEMS.append(1)\napp.ITEMS.clear()", [False, False]),
        ("lines_app.TOOLS", "app.TOOLS = {1: 2}\napp.TOOLS[3] = 4", [False, True]),
    ],
)
def test_what_is_put_back_does_not_last(
    app: Any, tmp_path: Path, place: str, body: str, expected: list[bool]
) -> None:
    program = Program(tmp_path, "def main():\n    " + body.replace("\n", "\n    ") + "\n")
    assert lasting(watched(place, program.names["main"])) == expected


PROGRAMS = {
    "a statement": """
def main():
    app.MODE = 1  # here
    app.MODE
""",
    "the last statement": """
def main():
    app.MODE = 1  # here
""",
    "two frames deep": """
def outer():
    inner()

def inner():
    app.MODE = 1  # here

def main():
    outer()
    app.MODE
""",
    "beside its def": """
def inner(): app.MODE = 1  # here

def main():
    inner()
    app.MODE
""",
    "after a call on its right": """
def make():
    x = 1
    return x

def main():
    app.MODE = make()  # here
    app.MODE
""",
    "after a call in a subscript": """
def key():
    return "a"

def main():
    app.MODE = {}  # here 1
    app.MODE[key()] = key()  # here 2
""",
    "over several lines": """
def main():
    setattr(  # here
        app,
        "MODE",
        1,
    )
    app.MODE
""",
    "put back": """
def main():
    before = app.MODE
    app.MODE = 1  # here 1
    app.MODE = before  # here 2
""",
    "before an exception": """
def fail():
    app.MODE = 1; raise ValueError  # here 1

def main():
    try:
        fail()
    except ValueError:
        app.MODE = 2  # here 2
""",
    "in a finally": """
def fail():
    try:
        raise ValueError
    finally:
        app.MODE = 1  # here

def main():
    try:
        fail()
    except ValueError:
        pass
""",
    "after a yield": """
def values():
    app.MODE = yield 1  # here 1
    yield 2

def main():
    generator = values()
    next(generator)
    generator.send(5)
    app.MODE = 6  # here 2
""",
    "thrown into a generator": """
def values():
    try:
        yield 1
    except ValueError: app.MODE = 1  # here

def main():
    generator = values()
    next(generator)
    try:
        generator.throw(ValueError)
    except StopIteration:
        pass
""",
    "after an await": """
import asyncio

async def inner():
    await asyncio.sleep(0)
    return 1

async def task():
    app.MODE = await inner()  # here 1

async def both():
    await asyncio.gather(task(), other())

async def other():
    await asyncio.sleep(0.01)
    app.MODE = 2  # here 2

def main():
    asyncio.run(both())
""",
    "by compiled code": """
import functools, operator

def main():
    functools.reduce(lambda a, b: a, [1, 2])
    vars(app).update(MODE=1)  # here 1
    sorted([2, 1], key=lambda item: app.MODE)
    operator.setitem(vars(app), "MODE", 2)  # here 2
""",
    "by a library": """
from unittest import mock

def main():
    patch = mock.patch.object(app, "MODE", 1)
    patch.start()  # here 1
    patch.stop()  # here 2
""",
    "in a comprehension": """
def main():
    [setattr(app, "MODE", value) for value in (1,)]  # here
    app.MODE
""",
    "in a finaliser": """
class Guard:
    def __del__(self):
        app.MODE = 1  # here

def main():
    guard = Guard()
    del guard
""",
    "by exec": """
def main():
    exec("app.MODE = 1", {"app": app})  # here
""",
    "in a thread": """
import threading

def work():
    app.MODE = 1  # here

def main():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    app.MODE
""",
    "the last thing before a thread waits": """
import queue, threading

def work(asked, told):
    asked.get()
    app.MODE = 1; told.put(1); asked.get()  # here

def main():
    asked, told = queue.SimpleQueue(), queue.SimpleQueue()
    thread = threading.Thread(target=work, args=(asked, told))
    thread.start()
    asked.put(1)
    told.get()
    asked.put(1)
    thread.join()
""",
    "what a thread was waiting for in compiled code": """
import queue, threading

def work(asked):
    app.MODE = asked.get()  # here

def main():
    asked = queue.SimpleQueue()
    thread = threading.Thread(target=work, args=(asked,))
    thread.start()
    asked.put(1)
    thread.join()
""",
    "what a thread was waiting for in Python": """
import queue, threading

def work(asked):
    app.MODE = asked.get()  # here

def main():
    asked = queue.Queue()
    thread = threading.Thread(target=work, args=(asked,))
    thread.start()
    asked.put(1)
    thread.join()
""",
    "a test that traces by itself": """
import sys

def write():
    app.MODE = 2  # here 2

def main():
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    app.MODE = 1  # here 1
    sys.settrace(before)
    write()
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_line_that_wrote(app: Any, tmp_path: Path, name: str) -> None:
    program = Program(tmp_path, PROGRAMS[name])
    found = watched("lines_app.MODE", program.names["main"])
    assert program.lines(found) == program.marked()


OWN = """
import asyncio, threading

def write():
    app.LOCAL.user = 1  # here
    app.USER.set("me")

async def task():
    await asyncio.sleep(0)
    write()

def in_a_task():
    asyncio.run(task())

def in_a_thread():
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
"""


def test_what_each_thread_has_for_itself_may_be_written_in_a_task(app: Any, tmp_path: Path) -> None:
    app.LOCAL, app.USER = threading.local(), ContextVar("USER", default="nobody")
    program = Program(tmp_path, OWN)
    assert watched("lines_app.LOCAL.user", program.names["in_a_thread"]) == []
    found = watched("lines_app.LOCAL.user", program.names["in_a_task"])
    assert program.lines(found) == program.marked()
    assert watched("lines_app.USER.get()", program.names["in_a_task"]) == []


def test_the_chain_begins_at_the_outermost_line_and_ends_where_it_was_written(
    app: Any, tmp_path: Path
) -> None:
    program = Program(tmp_path, PROGRAMS["two frames deep"])
    (written,) = watched("lines_app.MODE", program.names["main"])
    chain = [step for step in chain_of(written.stack, Files()) if step.path == str(program.path)]
    assert [(step.function, step.line) for step in chain] == [("main", 9), ("outer", 3), ("inner", 6)]
    assert (written.thread, written.is_sure, written.times) == ("MainThread", True, 1)


def test_a_chain_of_a_thread_has_its_name(app: Any, tmp_path: Path) -> None:
    program = Program(tmp_path, PROGRAMS["in a thread"])
    (written,) = watched("lines_app.MODE", program.names["main"])
    assert written.thread == "Thread-1 (work)" or written.thread.endswith(" (work)")
    assert chain_of(written.stack, Files())[0].function == "work"


def test_what_runs_while_a_test_traces_by_itself(app: Any, tmp_path: Path) -> None:
    """On 3.11 of a function that is called then only the call is seen, and that is said."""
    source = """
import sys

def write(value):
    app.MODE = value

def main():
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    write(1)
    sys.settrace(before)
    write(2)
"""
    program = Program(tmp_path, source)
    found = watched("lines_app.MODE", program.names["main"])
    assert program.lines(found) == [5 if HAS_MONITORING else 10, 5]
    assert [one.is_sure for one in found] == [HAS_MONITORING, True]


def test_deep_recursion_is_told_by_its_ends(app: Any, tmp_path: Path) -> None:
    source = """
def dive(depth):
    if depth:
        dive(depth - 1)
    else:
        app.MODE = 1

def main():
    dive(300)
"""
    (written,) = watched("lines_app.MODE", Program(tmp_path, source).names["main"])
    chain = chain_of(written.stack, Files())
    assert (len(chain), chain[-1].line) == (50, 6)


def test_a_line_that_writes_again_and_again_is_one_entry(app: Any, tmp_path: Path) -> None:
    source = """
def main():
    for number in range(1000):
        app.ITEMS.append(number)
    app.ITEMS = None
"""
    program = Program(tmp_path, source)
    many, last = watched("lines_app.ITEMS", program.names["main"])
    assert program.lines([many, last]) == [4, 5]
    assert (many.times, last.times) == (1000, 1)
    (part,) = many.difference.parts
    assert (part.before.values, part.after.values) == ((), tuple(range(1000)))


class TestImports:
    """The first values of a module's names are no writes; what a reload changes is."""

    @pytest.fixture
    def fresh(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "lines_fresh.py").write_text("MODE = None\nMODE = 'live'\n", "utf-8")
        (tmp_path / "lines_broken.py").write_text("raise ValueError\n", "utf-8")
        yield tmp_path
        sys.modules.pop("lines_fresh", None)

    def test_set_up_and_patched(self, fresh: Path) -> None:
        source = "def main():\n    import lines_fresh\n    lines_fresh.MODE = 1\n"
        program = Program(fresh, source)
        assert program.lines(watched("lines_fresh.MODE", program.names["main"])) == [3]

    def test_reload(self, fresh: Path) -> None:
        source = """
import importlib, lines_fresh

def main():
    lines_fresh.MODE = 1
    importlib.reload(lines_fresh)
"""
        program = Program(fresh, source)
        found = watched("lines_fresh.MODE", program.names["main"])
        steps = [chain_of(one.stack, Files())[-1] for one in found]
        assert [(Path(step.path).name, step.line) for step in steps] == [
            (program.path.name, 5),
            ("lines_fresh.py", 1),
            ("lines_fresh.py", 2),
        ]

    def test_the_module_itself(self, fresh: Path) -> None:
        source = """
import sys

def main():
    import lines_fresh
    sys.modules["lines_fresh"] = None
    try:
        import lines_broken
    except ValueError:
        pass
"""
        program = Program(fresh, source)
        found = watched("sys.modules['lines_fresh']", program.names["main"])
        assert program.lines(found) == [5, 6]
        del sys.modules["lines_fresh"]
        found = watched("sys.modules['lines_broken']", program.names["main"])
        assert [
            (one.difference.change, line) for one, line in zip(found, program.lines(found), strict=True)
        ] == [
            ("added", 8),
            ("removed", 8),
        ]


class TestLeavesAlone:
    def test_what_traced_before_traces_again(self, app: Any) -> None:
        seen: list[str] = []

        def trace(frame: Any, event: str, argument: object) -> None:
            seen.append(frame.f_code.co_name)

        def after() -> None:
            pass

        before, threads = sys.gettrace(), threading.gettrace()
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            watched("lines_app.MODE", lambda: setattr(app, "MODE", 1))
            seen.clear()
            after()
            heard = seen[:]
            assert (sys.gettrace(), threading.gettrace()) == (trace, trace)
        finally:
            sys.settrace(before)
            threading.settrace(threads)
        assert heard == ["after"]

    def test_a_tracer_that_the_test_has_left(self, app: Any) -> None:
        def trace(frame: Any, event: str, argument: object) -> None:
            pass

        before = sys.gettrace()
        try:
            watched("lines_app.MODE", lambda: sys.settrace(trace))
            assert sys.gettrace() is trace
        finally:
            sys.settrace(before)

    def test_the_switch_interval_and_the_tool(self, app: Any) -> None:
        interval = sys.getswitchinterval()
        watched("lines_app.MODE", lambda: None)
        assert sys.getswitchinterval() == interval
        if HAS_MONITORING:
            assert "mcpsmoke" not in [sys.monitoring.get_tool(number) for number in range(6)]  # type: ignore[attr-defined,unused-ignore]

    @pytest.mark.skipif(not HAS_MONITORING, reason="before CPython 3.12 there are no tools")
    def test_no_tool_left(self, app: Any) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        taken = [number for number in range(6) if monitoring.get_tool(number) is None]
        for number in taken:
            monitoring.use_tool_id(number, "somebody")
        try:
            with pytest.raises(UsageProblem, match=r"sys\.monitoring has no tool id left"):
                watched("lines_app.MODE", lambda: None)
        finally:
            for number in taken:
                monitoring.free_tool_id(number)

    def test_what_a_function_held_is_gone_when_it_has_returned(self, app: Any, tmp_path: Path) -> None:
        source = """
import weakref

class Thing:
    pass

def make():
    thing = Thing()
    return weakref.ref(thing)

def main():
    app.ALIVE = [make()() is not None]
"""
        program = Program(tmp_path, source)
        watched("lines_app.MODE", program.names["main"])
        assert app.ALIVE == [False]

    def test_nothing_is_kept_alive_afterwards(self, app: Any) -> None:
        class Thing:
            pass

        def run() -> None:
            app.MODE = Thing()
            things.append(weakref.ref(app.MODE))
            app.MODE = 2

        things: list[Any] = []
        found = watched("lines_app.MODE", run)
        assert len(found) == 2
        del found
        assert things[0]() is None


def test_what_is_skipped_has_no_lines(app: Any, tmp_path: Path) -> None:
    source = "def main():\n    app.MODE = 1\n"
    program = Program(tmp_path, source)
    found = watched("lines_app.MODE", program.names["main"], is_skipped=str(program.path).__eq__)
    assert (
        str(program.path) not in [code.co_filename for one in found for code, _ in one.stack[:1]] or not found
    )


STATEMENTS = (
    "app.TREE['a'] = 1",
    "app.TREE['a'] = make()",
    "app.TREE['b'] = [1, [2]]",
    "app.TREE['b'].append(make())",
    "app.TREE['b'][1] = [make()]",
    "app.TREE['b'][1].append(3)",
    "app.TREE['b'].clear()",
    "app.TREE.pop('b', None)",
    "app.TREE = {'a': 1, 'b': [1, [2]]}",
    "app.TREE.update(a=make(), c={1})",
    "app.TREE['c'].add(make())",
    "app.TREE['c'].discard(1)",
    "app.OTHER = app.TREE",
    "app.OTHER.setdefault('d', make())",
    "for _ in range(2): make()",
    "make()",
)
PLACES = ("app.TREE", "app.TREE['a']", "app.TREE['b']", "app.TREE['b'][1]", "app.TREE['c']", "app.TREE['d']")
ATOMS = (int, str)


def snapshot(place: str, app: Any) -> Any:
    """What stands at a place, and what that holds, one step deep; None where there is nothing."""
    try:
        value = eval(place, {"app": app})
    except (LookupError, TypeError):
        return None
    inside = value.items() if type(value) is dict else value if type(value) in (list, set) else ()
    return _identity(value), [
        (_identity(part[0]), _identity(part[1])) if type(part) is tuple else _identity(part)
        for part in inside
    ]


def _identity(value: Any) -> Any:
    return value if type(value) in ATOMS else id(value)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=12), st.sampled_from(PLACES))
def test_each_statement_that_changed_a_place_is_named(statements: list[str], place: str) -> None:
    """As when the program is run one statement at a time, and the place is looked at after each."""
    lines = [
        f"    try: {line}\n    except (LookupError, AttributeError, TypeError): pass" for line in statements
    ]
    lines = [line.replace("try: for", "for") if "for _" in line else line for line in lines]
    lines = [line.partition("\n")[0] if "for _" in line else line for line in lines]
    source = "def make():\n    x = 7\n    return x\n\ndef main():\n" + "\n".join(lines) + "\n"
    keep: list[Any] = []  # what has been in the tree: addresses tell apart what lives

    def fresh() -> Any:
        app: Any = types.ModuleType("lines_app")
        app.TREE = {"a": 1, "b": [1, [2]]}
        app.OTHER = {}
        return app

    app = fresh()
    names: dict[str, Any] = {"app": app}
    exec("def make():\n    x = 7\n    return x\n", names)
    expected = []
    for at, line in enumerate(statements):
        before = snapshot(place, app)
        keep += [app.TREE, *app.TREE.values(), *(v[1] for v in [app.TREE.get("b")] if v and len(v) > 1)]
        try:
            exec(line, names)
        except (LookupError, AttributeError, TypeError):
            pass
        if snapshot(place, app) != before:
            expected.append(at)
    name = "<lines property>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    sys.modules["lines_app"] = names["app"] = fresh()
    exec(compile(source, name, "exec"), names)
    numbers = [
        at for at, line in enumerate(source.splitlines(), 1) if line.startswith(("    try", "    for"))
    ]
    try:
        found = watched(place.replace("app.", "lines_app."), names["main"])
    finally:
        del sys.modules["lines_app"], linecache.cache[name]
    told = [next(line for code, line in one.stack if code.co_name == "main") for one in found]
    assert told == [numbers[at] for at in expected]

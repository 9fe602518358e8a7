"""Leaks inside objects, fixture values and the process, as a run tells them; and what clean tests leave."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

PROGRAM = {
    "app/registry.py": """
        class Pool:
            limits = {"max": 5}

            def __init__(self):
                self.size = 5
                self.jobs = []

        TREE = {"db": {"pool": {"size": 5}}}
        HANDLERS = ["echo"]
        POOL = Pool()
        SHARED = {"users": []}
        _pool = None

        def pool():
            global _pool
            if _pool is None:
                _pool = Pool()
            return _pool

        pool()
        """,
}
HEAD = "import pytest\nfrom app import registry\n\n"
T = "test_case.py"
UNDO = "      use: undo it in a fixture's teardown, or patch it for the time of the test"
SUMMARY = "1 leak left by 1 test; 0 warm-ups, 0 allowed"


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """What the made-up tests leave in this process is undone here."""
    here, environ, root, app = os.getcwd(), dict(os.environ), logging.getLogger(), logging.getLogger("app")
    handlers, level = root.handlers[:], root.level
    yield
    app.propagate = True
    os.chdir(here)
    os.environ.clear()
    os.environ.update(environ)
    root.handlers[:], root.level = handlers, level


def write(suite: Any, source: str, **files: str) -> None:
    suite.write({**PROGRAM, T: HEAD + source, **files})


COPY = '      use: change a copy: monkeypatch.setattr("app.registry.{0}", app.registry.{0}.copy())'
# One line each, what is told of it, and what to write instead.
ONE_LINE = {
    "nested dict": (
        'registry.TREE["db"]["pool"]["size"] = 50',
        "app.registry.TREE['db']['pool']['size']   rebound: 5 -> 50",
        '      use: monkeypatch.setitem(registry.TREE["db"]["pool"], "size", 50)',
    ),
    "list": (
        'registry.HANDLERS.append("fake")',
        "app.registry.HANDLERS   mutated: ['echo'] -> ['echo', 'fake']",
        COPY.format("HANDLERS"),
    ),
    "instance": (
        "registry.POOL.size = 9",
        "app.registry.POOL.size   rebound: 5 -> 9",
        '      use: monkeypatch.setattr(registry.POOL, "size", 9)',
    ),
    "attribute removed": (
        "del registry.POOL.size",
        "app.registry.POOL.size   removed: 5 -> (nothing)",
        '      use: monkeypatch.delattr(registry.POOL, "size")',
    ),
    "list of an instance": (
        "registry.POOL.jobs += [1]",
        "app.registry.POOL.jobs   mutated: [] -> [1]",
        UNDO,
    ),
    "class attribute": (
        'registry.Pool.limits["max"] = 7',
        "app.registry.Pool.limits['max']   rebound: 5 -> 7",
        '      use: monkeypatch.setitem(registry.Pool.limits, "max", 7)',
    ),
    "singleton": (
        'registry.pool().jobs.append("x")',
        "app.registry._pool.jobs   mutated: [] -> ['x']",
        UNDO,
    ),
    "test data, a key": (
        'DATA["user"] = "bob"',
        "test_case.DATA['user']   rebound: 'ann' -> 'bob'",
        '      use: monkeypatch.setitem(DATA, "user", "bob")',
    ),
    "test data, a list inside": (
        'DATA["roles"].append("admin")',
        "test_case.DATA['roles']   mutated: ['reader'] -> ['reader', 'admin']",
        UNDO,
    ),
    "test data, a list of dicts": (
        'CASES[0]["in"] = 2',
        "test_case.CASES[0]['in']   rebound: 1 -> 2",
        '      use: monkeypatch.setitem(CASES[0], "in", 2)',
    ),
    "many keys": (
        'registry.TREE.update({"one": 1, "two": 2, "three": 3, "four": 4, "five": 5})',
        "app.registry.TREE   mutated: 5 of its parts were other than now"
        " -> 5 added: ['one'], ['two'], ['three'], ['four'], …",
        UNDO,
    ),
}
DATA = 'DATA = {"user": "ann", "roles": ["reader"]}\nCASES = [{"in": 1}]\n\n'


@pytest.mark.parametrize(("line", "told", "remedy"), ONE_LINE.values(), ids=ONE_LINE)
def test_the_innermost_place_is_named(suite: Any, line: str, told: str, remedy: str) -> None:
    write(suite, f"{DATA}def test_it():\n    {line}\n")
    run = suite.run()
    assert run.section == [
        f"{T}::test_it left 1 place changed",
        f"  {told}",
        f"      {T}:8  {line}  (searched)",
        remedy,
        f"  again: pytest -p mcpsmoke {T}::test_it",
        SUMMARY,
    ]


def test_up_to_four_keys_are_told_one_by_one(suite: Any) -> None:
    write(suite, "def test_it(): registry.TREE.update(one=1, two=2, three=3, four=4)\n")
    places = [finding["place"] for finding in suite.run().leaks]
    assert places == [f"app.registry.TREE['{name}']" for name in ("one", "two", "three", "four")]


def test_what_set_up_class_made_and_a_test_changed(suite: Any) -> None:
    source = """
import unittest

class TestRows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = []
        cls.user = {"name": "ann"}

    def test_a(self): self.rows.append(1)  # leak
    def test_b(self): self.user["name"] = "bob"  # leak
    def test_c(self): pass
"""
    write(suite, source)
    run = suite.run()
    assert run.told == [
        f"test/function {T}::TestRows::test_a mutated test_case.TestRows.rows",
        f"test/function {T}::TestRows::test_b rebound test_case.TestRows.user['name']",
    ]
    assert [f"{each['site']['path']}:{each['site']['line']}" for each in run.leaks] == suite.marked()


# values of fixtures


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_the_value_of_a_wide_fixture(suite: Any, engine: str, scope: str) -> None:
    source = f"""
class User:
    pass

@pytest.fixture(scope="{scope}")
def user():
    user = User()
    user.roles, user.name = [], "ann"
    return user

class TestUser:
    def test_list(self, user):
        user.roles.append("admin")

    def test_attribute(self, user):
        user.name = "bob"

    def test_nothing(self, user): pass
"""
    write(suite, source)
    assert suite.run(f"--leaks-engine={engine}").section == [
        f"{T}::TestUser::test_list left 1 place changed",
        "  fixture user.roles   mutated: [] -> ['admin']",
        f'      {T}:16  user.roles.append("admin")  (searched)',
        UNDO,
        f"  again: pytest -p mcpsmoke --leaks-engine={engine} {T}::TestUser::test_list",
        f"{T}::TestUser::test_attribute left 1 place changed",
        "  fixture user.name   rebound: 'ann' -> 'bob'",
        f'      {T}:19  user.name = "bob"  (searched)',
        '      use: monkeypatch.setattr(user, "name", "bob")',
        f"  again: pytest -p mcpsmoke --leaks-engine={engine} {T}::TestUser::test_attribute",
        "2 leaks left by 2 tests; 0 warm-ups, 0 allowed",
    ]


def test_the_value_of_a_function_scoped_fixture_is_the_tests_own(suite: Any) -> None:
    write(suite, "@pytest.fixture\ndef rows(): return []\n\ndef test_it(rows): rows.append(1)\n")
    assert suite.run().of_type("finding") == []


FIXTURES = {
    "each test that extends it, once": (
        """
@pytest.fixture(scope="module")
def rows():
    yield []

def test_one(rows): rows.append(1)
def test_two(rows): rows.append(2)
def test_three(rows): assert rows == [1, 2]
""",
        [
            f"test/function {T}::test_one mutated fixture rows",
            f"test/function {T}::test_two mutated fixture rows",
        ],
    ),
    "a module holds it, too": (
        """
@pytest.fixture(scope="module")
def shared(): return registry.SHARED

def test_it(shared): shared["users"].append(1)
""",
        [f"test/function {T}::test_it mutated fixture shared['users']"],
    ),
    "of a module's, changed when the fixture is over": (
        """
@pytest.fixture(scope="class")
def shared(): return registry.SHARED

class TestOne:
    def test_it(self, shared): pass

def test_later(): registry.SHARED["users"].append(1)
""",
        [f"test/function {T}::test_later mutated app.registry.SHARED['users']"],
    ),
    "parametrised": (
        """
@pytest.fixture(scope="module", params=["a", "b"])
def user(request): return {"name": request.param}

def test_it(user): user["name"] = "x"
def test_reads(user): pass
""",
        [
            f"test/function {T}::test_it[a] rebound fixture user['name']",
            f"test/function {T}::test_it[b] rebound fixture user['name']",
        ],
    ),
    "the test puts it back": (
        """
@pytest.fixture(scope="module")
def user(): return {"name": "ann"}

def test_it(user):
    user["name"] = "x"
    user["name"] = "ann"
""",
        [],
    ),
    "the fixture changes its own value at its end": (
        """
@pytest.fixture(scope="module")
def user():
    user = {"is_open": True, "log": []}
    yield user
    user["is_open"] = False
    user["log"].append("closed")

def test_it(user): assert user["is_open"]
""",
        [],
    ),
    "the fixture puts back what the test changed": (
        """
@pytest.fixture(scope="module")
def user():
    user = {"name": "ann"}
    yield user
    user["name"] = "ann"

def test_it(user): user["name"] = "bob"
def test_later(user): pass
""",
        [f"test/function {T}::test_it rebound fixture user['name']"],
    ),
    "a fixture of another one's value": (
        """
@pytest.fixture(scope="session")
def users(): return {"ann": {"age": 1}}

@pytest.fixture(scope="module")
def ann(users): return users["ann"]

def test_it(ann): ann["age"] = 2
""",
        [f"test/function {T}::test_it rebound fixture ann['age']"],
    ),
    "an object that it changes, and puts back": (
        """
@pytest.fixture(scope="module")
def patched():
    registry.TREE["db"]["pool"]["size"] = 1
    registry.HANDLERS.append("patched")
    yield
    registry.HANDLERS.remove("patched")
    registry.TREE["db"]["pool"]["size"] = 5

def test_one(patched): assert registry.TREE["db"]["pool"]["size"] == 1
def test_two(patched): assert registry.HANDLERS == ["echo", "patched"]
""",
        [],
    ),
    "an object that it changes, and forgets": (
        """
@pytest.fixture(scope="module")
def forgets():
    registry.TREE["db"]["pool"]["size"] = 1
    registry.HANDLERS.append("patched")
    yield
    registry.HANDLERS.remove("patched")

def test_one(forgets): pass
def test_two(forgets): pass
""",
        [f"fixture/module {T}::forgets during {T}::test_one rebound app.registry.TREE['db']['pool']['size']"],
    ),
    "interrupted": (
        """
@pytest.fixture(scope="module")
def rows():
    registry.HANDLERS.append("patched")
    yield []

def test_one(rows):
    rows.append(1)
    registry.POOL.size = 9
    raise KeyboardInterrupt

def test_two(rows): rows.append(2)
""",
        [
            f"test/function {T}::test_one mutated fixture rows",
            f"test/function {T}::test_one rebound app.registry.POOL.size",
            f"fixture/module {T}::rows during {T}::test_one mutated app.registry.HANDLERS",
        ],
    ),
}


@pytest.mark.parametrize(("source", "told"), FIXTURES.values(), ids=FIXTURES)
def test_who_owns_a_change_inside_an_object(suite: Any, source: str, told: list[str]) -> None:
    write(suite, source)
    run = suite.run()
    assert sorted(run.told) == sorted(told)
    if not told:
        assert run.section == []


def test_a_fixtures_leak_in_an_object_is_told_with_its_line(suite: Any) -> None:
    write(suite, FIXTURES["an object that it changes, and forgets"][0])
    assert suite.run().section == [
        f"module fixture {T}::forgets (set up for {T}::test_one) left 1 place changed",
        "  app.registry.TREE['db']['pool']['size']   rebound: 5 -> 1",
        f'      {T}:7  registry.TREE["db"]["pool"]["size"] = 1  (searched)',
        "      use: with pytest.MonkeyPatch.context() as monkeypatch:"
        ' monkeypatch.setitem(registry.TREE["db"]["pool"], "size", 1), and yield inside',
        f"  again: pytest -p mcpsmoke {T}::test_one",
        "1 leak left by 1 fixture; 0 warm-ups, 0 allowed",
    ]


# the process


def test_a_module_that_was_imported_under_a_stub(suite: Any, engine: str) -> None:
    suite.write({"app/gateway.py": "from mcp_sdk import Client\n\ndef call(): return Client\n"})
    source = """
import sys, types

def test_it():
    stub = types.ModuleType("mcp_sdk")
    stub.Client = object()
    sys.modules["mcp_sdk"] = stub
    import app.gateway
    del sys.modules["mcp_sdk"]

def test_later(): import app.gateway
"""
    write(suite, source)
    run = suite.run(f"--leaks-engine={engine}", "--leaks-restore")
    assert run.section == [
        f"{T}::test_it left 1 place changed",
        "  app.gateway   added: (nothing) -> \"imported while sys.modules['mcp_sdk'] was a stub,"
        ' held as Client"',
        f"      {T}:7  def test_it():  (searched)",
        "      not put back: a module is never un-imported",
        "      use: import it before the stub is set up, or stub it in all tests that use it",
        f"  again: pytest -p mcpsmoke --leaks-engine={engine} {T}::test_it",
        "1 leak left by 1 test; 1 warm-up, 0 allowed",
    ]


AMBIENT = {
    "environ": ('os.environ["MODE"] = "test"', "os.environ['MODE']   added: (nothing) -> 'test'"),
    "cwd": ("os.chdir('app')", "os.getcwd()   rebound: '{root}' -> '{root}/app'"),
    "logger": (
        'logging.getLogger("app").propagate = False',
        "logging.getLogger('app').propagate   rebound: True -> False",
    ),
    "root logger": (
        "logging.root.handlers.append(HANDLER)",
        "logging.root.handlers   mutated: [] -> [NullHandler object]",
    ),
    "path": ('sys.path.append("x")', "sys.path   mutated: "),
    "file": ('pathlib.Path("left.txt").write_text("x")', "<rootdir>/left.txt   added: (nothing) -> {file}"),
    "thread": (
        "threading.Thread(target=BARRIER.wait, name='left', daemon=True).start()",
        "thread 'left'   added: (nothing) -> 'Thread, daemon'",
    ),
}
AMBIENT_HEAD = """\
import logging, os, pathlib, sys, threading

BARRIER = threading.Event()
HANDLER = logging.NullHandler()

"""


@pytest.mark.parametrize(
    ("mode", "line", "told"),
    [pytest.param("report", *each, id=name) for name, each in AMBIENT.items()]
    + [pytest.param("fail", *AMBIENT[name], id=f"{name}, fail") for name in ("environ", "logger", "file")],
)
def test_the_process(suite: Any, mode: str, line: str, told: str) -> None:
    write(suite, f"{AMBIENT_HEAD}def test_it():\n    {line}\n\ndef test_later(): pass\n")
    run = suite.run(f"--leaks={mode}", "-p", "no:logging", subprocess=line.startswith("threading"))
    (leak,) = run.leaks
    assert (leak["owner"], leak["verdict"], leak["restored"]) == (f"{T}::test_it", "leak", None)
    shown = told.format(root=suite.path, file=leak["after"])
    entry = run.section[1]
    assert entry.startswith(f"  {shown}"[:60])
    assert leak["place"] == shown.partition("   ")[0]
    assert line in run.section[2]
    run.result.assert_outcomes(passed=2, errors=int(mode == "fail"))
    if mode == "fail":
        lines = run.result.outlines
        at = next(number for number, each in enumerate(lines) if "ERROR at teardown of test_it" in each)
        assert lines[at + 1 : at + 1 + len(run.section[:-2])] == run.section[:-2]


# clean tests

CLEAN = {
    "monkeypatch": """
def test_it(monkeypatch):
    monkeypatch.setitem(registry.TREE["db"], "pool", {})
    monkeypatch.delitem(registry.SHARED, "users")
    monkeypatch.setattr(registry.POOL, "size", 9)
    monkeypatch.setattr(registry.Pool, "limits", {})
    monkeypatch.setenv("MODE", "test")
    monkeypatch.chdir("app")
    monkeypatch.syspath_prepend("app")
""",
    "tmp_path": 'def test_it(tmp_path): (tmp_path / "x.txt").write_text("x")',
    "caplog": """
import logging

def test_it(caplog):
    with caplog.at_level("DEBUG", logger="app"):
        logging.getLogger("app").debug("hello")
    caplog.set_level("INFO")
    logging.getLogger().info("hello")
    assert len(caplog.messages) == 2
""",
    "capsys": """
def test_it(capsys):
    print("hello")
    assert capsys.readouterr().out
""",
    "capfd": """
import os

def test_it(capfd):
    os.write(1, b"hello")
    assert capfd.readouterr().out
""",
    "recwarn": """
import warnings

def test_it(recwarn):
    warnings.warn("old", DeprecationWarning)
    assert len(recwarn) == 1
""",
    "asyncio.run": """
import asyncio

async def work():
    task = asyncio.create_task(asyncio.sleep(0))
    await task

def test_it(): asyncio.run(work())
""",
    "subprocess.run": """
import subprocess, sys

def test_it():
    subprocess.run([sys.executable, "-S", "-c", "print()"], check=True, capture_output=True)
""",
    "TemporaryDirectory": """
import pathlib, tempfile

def test_it():
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "x.txt").write_text("x")
""",
    "mock.patch": """
from unittest import mock

def test_it():
    with mock.patch.object(registry, "POOL") as pool, mock.patch.dict(registry.TREE, {"x": 1}):
        pool.size()
    with mock.patch("app.registry.pool", autospec=True):
        registry.pool()
""",
    "threads": """
import threading
from concurrent.futures import ThreadPoolExecutor

def test_it():
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(str, range(3))) == ["0", "1", "2"]
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
""",
    "first use": """
def test_it():
    registry._pool = None
    registry.pool()
    registry._pool = POOL

POOL = registry._pool
""",
    "copies": """
import copy

def test_it():
    tree = copy.deepcopy(registry.TREE)
    tree["db"]["pool"]["size"] = 7
    pool = copy.copy(registry.POOL)
    pool.size = 8
""",
}


def test_clean_tests_leave_nothing(suite: Any, engine: str) -> None:
    """One file each: what is found names the one that left it."""
    names = [name.replace(".", "_").replace(" ", "_") for name in CLEAN]
    files = {
        f"test_clean_{name}.py": HEAD + source + "\n"
        for name, source in zip(names, CLEAN.values(), strict=True)
    }
    suite.write({**PROGRAM, **files})
    run = suite.run(f"--leaks-engine={engine}", "--leaks=fail")
    assert run.told == []
    assert run.section == []
    run.result.assert_outcomes(passed=len(CLEAN))


@pytest.fixture
def outside() -> Callable[[], list[Any]]:
    """Returns what an outside observer compares."""

    def look() -> list[Any]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return [os.getcwd(), environ, sys.path[:], logging.getLogger().handlers[:]]

    return look


def test_clean_tests_in_one_run_with_a_client_of_fastapi(suite: Any, outside: Callable[[], Any]) -> None:
    """An application builds its middleware at the first request."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    suite.write(
        {
            "app/web.py": """
                from fastapi import FastAPI

                app = FastAPI()

                @app.middleware("http")
                async def stamp(request, call_next):
                    return await call_next(request)

                @app.get("/health")
                def health():
                    return {"ok": True}
                """,
            "test_web.py": """
                import pytest
                from app.web import app
                from fastapi.testclient import TestClient

                @pytest.fixture
                def client():
                    with TestClient(app) as client:
                        yield client

                def test_plain(): assert TestClient(app).get("/health").json() == {"ok": True}
                def test_with(client): assert client.get("/health").status_code == 200
                def test_docs(client): assert client.get("/openapi.json").status_code == 200
                """,
        }
    )
    before = outside()
    run = suite.run("--leaks=fail", "-W", "ignore")
    assert run.leaks == []
    assert run.section == []
    run.result.assert_outcomes(passed=3)
    assert outside() == before


def test_what_a_fixture_holds_open_is_dropped_with_it(suite: Any) -> None:
    suite.write(
        {
            "test_store.py": """
                import os
                import pytest

                KEPT = []

                class Store:
                    def __init__(self): self.file = open(os.devnull)

                @pytest.fixture
                def db(): return {"store": Store()}

                @pytest.fixture
                def kept(db): KEPT.append(db["store"].file)

                def test_db(db): pass
                def test_kept(kept): pass
                def test_after(): KEPT.pop().close()
                """,
        }
    )
    run = suite.run("-W", "ignore")
    opened = [finding for finding in run.leaks if finding["probe"] == "descriptors"]
    assert [finding["owner"] for finding in opened] == ["test_store.py::test_kept"]

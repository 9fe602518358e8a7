"""Who owns a change: every case through every engine, down to the line that wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

HEAD = "import pytest\nfrom app import settings\n"
USERS = "\ndef test_one(): pass\ndef test_two(): pass\n"
T = "test_case.py"
MODE = "rebound app.settings.MODE"


def case(name: str, source: str, *told: str, args: tuple[str, ...] = (), **files: str) -> Any:
    return pytest.param(source, told, args, files, id=name)


def wide(scope: str, body: str) -> str:
    """A fixture of this scope that every test uses, and two tests."""
    lines = "".join(f"    {line}\n" for line in body.split("; "))
    return f'@pytest.fixture(scope="{scope}", autouse=True)\ndef wide():\n{lines}{USERS}'


PLUGIN = """
from app import settings

def connect():
    settings.MODE = "x"

settings.connect = connect
"""

BODIES = [
    case("test", 'def test_it(): settings.MODE = "x"  # leak', f"test/function {T}::test_it {MODE}"),
    case(
        "skip in mid-body",
        """
def test_it():
    settings.MODE = "x"  # leak
    pytest.skip("half way")
""",
        f"test/function {T}::test_it {MODE}",
    ),
    case(
        "failing body",
        """
def test_it():
    settings.MODE = "x"  # leak
    assert not settings.MODE
""",
        f"test/function {T}::test_it {MODE}",
    ),
    case(
        "finaliser registered by the test",
        """
def leave():
    settings.MODE = "x"  # leak

def test_it(request): request.addfinalizer(leave)
""",
        f"test/function {T}::test_it {MODE}",
    ),
    case(
        "put back by the test's finaliser",
        """
def test_it(request):
    before = settings.MODE
    request.addfinalizer(lambda: setattr(settings, "MODE", before))
    settings.MODE = "x"
""",
    ),
    case(
        "a plugin's hook around the test",
        'def test_one(): assert settings.MODE == "x"\ndef test_two(): pass\n',
        **{
            "conftest.py": """
import pytest
from app import settings

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before, settings.MODE = settings.MODE, "x"
    settings.LEVEL += 1
    try:
        return (yield)
    finally:
        settings.MODE = before
"""
        },
    ),
    case(
        "a conftest's hook at the test's set-up",
        "def test_one(): pass\ndef test_two(): pass\n",
        f"test/function {T}::test_one {MODE}",
        **{
            "conftest.py": """
from app import settings

def pytest_runtest_setup(item):
    settings.MODE = "x"  # leak
"""
        },
    ),
    case(
        "a function that a plugin put into the program, called by the test",
        """
def test_it(): settings.connect()  # leak
""",
        f"test/function {T}::test_it {MODE}",
        args=("-p", "plug"),
        **{"plug.py": PLUGIN},
    ),
    case(
        "a function of the program that writes what a plugin, too, writes",
        """
from app import modes

def test_it(): modes.calm()  # leak
""",
        f"test/function {T}::test_it {MODE}",
        args=("-p", "plug"),
        **{
            "plug.py": PLUGIN,
            "app/modes.py": "from app import settings\n\ndef calm(): settings.MODE = 'calm'\n",
        },
    ),
    case("monkeypatch", 'def test_it(monkeypatch): monkeypatch.setattr(settings, "MODE", "x")'),
    case(
        "parametrised test, one parameter leaks",
        """
@pytest.mark.parametrize("leaks", [False, True])
def test_it(leaks):
    if leaks:
        settings.MODE = "x"  # leak
""",
        f"test/function {T}::test_it[True] {MODE}",
    ),
    case(
        "reported once",
        'def test_it(): settings.MODE = "x"  # leak' + USERS,
        f"test/function {T}::test_it {MODE}",
    ),
    case(
        "a later test puts the original back",
        """
def test_it():
    settings.KEPT, settings.MODE = settings.MODE, "x"  # leak

def test_one(): settings.MODE = settings.KEPT
def test_two(): pass
""",
        f"test/function {T}::test_it added app.settings.KEPT",
        f"test/function {T}::test_it {MODE}",
    ),
    case(
        "a later test leaks anew",
        """
def test_it(): settings.MODE = "x"  # leak
def test_one(): settings.MODE = "y"  # leak
""",
        f"test/function {T}::test_it {MODE}",
        f"test/function {T}::test_one {MODE}",
    ),
    case(
        "every kind of change",
        """
from unittest.mock import MagicMock

def test_it():
    settings.MODE = None  # leak
    settings.connect = MagicMock()  # leak
    del settings.LEVEL  # leak
    settings.ADDED = 1  # leak
    settings.Client.retries = 4  # leak
""",
        f"test/function {T}::test_it {MODE}",
        f"test/function {T}::test_it rebound app.settings.connect",
        f"test/function {T}::test_it removed app.settings.LEVEL",
        f"test/function {T}::test_it added app.settings.ADDED",
        f"test/function {T}::test_it rebound app.settings.Client.retries",
    ),
    case(
        "a module imported and patched in the same test",
        """
def test_it():
    import app.late
    app.late.MODE = "x"  # leak
""",
        f"test/function {T}::test_it rebound app.late.MODE",
        **{"app/late.py": 'MODE = "live"\n'},
    ),
    case(
        "another test module's global",
        """
import test_other

def test_it(): test_other.STATE = "x"  # leak
""",
        f"test/function {T}::test_it rebound test_other.STATE",
        **{"test_other.py": 'STATE = "live"\n'},
    ),
]

FIXTURES = [
    case(
        "undone by the fixture that it was changed through",
        """
@pytest.fixture(scope="module")
def patches():
    with pytest.MonkeyPatch.context() as patches:
        yield patches

@pytest.fixture(scope="module")
def patched(patches):
    patches.setattr(settings, "MODE", "x")

def test_one(patched): assert settings.MODE == "x"
def test_two(): pass
""",
    ),
    case(
        "changed through a fixture that lives on",
        """
@pytest.fixture(scope="session")
def patches():
    with pytest.MonkeyPatch.context() as patches:
        yield patches

@pytest.fixture(scope="class")
def patched(patches):
    patches.setattr(settings, "MODE", "x")  # leak

class TestIt:
    def test_one(self, patched): pass

def test_two(): pass
""",
        f"fixture/class {T}::patched during {T}::TestIt::test_one {MODE}",
    ),
    case(
        "of class scope, outside classes",
        """
@pytest.fixture(scope="class")
def wide():
    yield
    settings.LEVEL = 2  # leak

@pytest.fixture
def narrow(wide):
    yield
    settings.MODE = "x"  # leak

def test_one(narrow): pass
def test_two(): pass
""",
        f"test/function {T}::test_one {MODE}",
        f"test/function {T}::test_one rebound app.settings.LEVEL",
    ),
    case(
        "a value that another fixture ends",
        """
class Loop:
    is_closed = False

@pytest.fixture(scope="module")
def runner():
    loop = Loop()
    yield loop
    loop.is_closed = True

@pytest.fixture(scope="module")
def loop(runner):
    return runner

def test_one(loop): pass
def test_two(loop): pass
""",
    ),
    *(
        case(
            f"{scope} fixture, {stage}",
            wide(scope, body),
            *(
                [f"test/function {T}::test_one {MODE}", f"test/function {T}::test_two {MODE}"]
                if scope == "function"
                else [f"fixture/{scope} {T}::wide during {T}::test_one {MODE}"]
                if stage == "set-up"
                else [f"fixture/{scope} {T}::wide {MODE}"]
            ),
        )
        for scope in ("function", "class", "module", "package", "session")
        for stage, body in (
            ("set-up", "settings.MODE = object()  # leak; yield"),
            ("teardown", "yield; settings.MODE = object()  # leak"),
        )
        if scope != "class"  # a class-scoped fixture runs once per plain function: below
    ),
    *(
        case(
            f"{scope} fixture, restored",
            wide(scope, 'before = settings.MODE; settings.MODE = "x"; yield; settings.MODE = before'),
        )
        for scope in ("function", "class", "module", "package", "session")
    ),
    case(
        "class fixture",
        """
@pytest.fixture(scope="class")
def wide():
    settings.MODE = "x"  # leak
    yield
    settings.LEVEL = 2  # leak

@pytest.mark.usefixtures("wide")
class TestIt:
    def test_one(self): pass
    def test_two(self): pass
""",
        f"fixture/class {T}::wide during {T}::TestIt::test_one {MODE}",
        f"fixture/class {T}::wide rebound app.settings.LEVEL",
    ),
    case(
        "raises before its yield",
        """
@pytest.fixture(scope="module")
def wide():
    settings.MODE = "x"  # leak
    raise ValueError("no server")
    yield

def test_one(wide): pass
def test_two(wide): pass
""",
        f"fixture/module {T}::wide during {T}::test_one {MODE}",
    ),
    case(
        "function fixture raises before its yield",
        """
@pytest.fixture
def narrow():
    settings.MODE = "x"  # leak
    raise ValueError("no server")

def test_one(narrow): pass
""",
        f"test/function {T}::test_one {MODE}",
    ),
    case(
        "request.addfinalizer in a fixture, one undoes and one leaves",
        """
@pytest.fixture(scope="module")
def wide(request):
    before = settings.MODE
    request.addfinalizer(lambda: setattr(settings, "LEVEL", 2))  # leak
    request.addfinalizer(lambda: setattr(settings, "MODE", before))
    settings.MODE = "x"

def test_one(wide): pass
""",
        f"fixture/module {T}::wide rebound app.settings.LEVEL",
    ),
    case(
        "getfixturevalue in a test and in a fixture",
        """
@pytest.fixture(scope="module")
def inner():
    settings.MODE = "x"  # leak

@pytest.fixture(scope="module")
def outer(request):
    settings.LEVEL = 2  # leak
    request.getfixturevalue("inner")
    settings.NAMES = ()  # leak

def test_one(request):
    settings.ADDED = 1  # leak
    request.getfixturevalue("outer")
    settings.MORE = 1  # leak
""",
        f"test/function {T}::test_one added app.settings.ADDED",
        f"test/function {T}::test_one added app.settings.MORE",
        f"fixture/module {T}::inner during {T}::test_one {MODE}",
        f"fixture/module {T}::outer during {T}::test_one rebound app.settings.LEVEL",
        f"fixture/module {T}::outer during {T}::test_one rebound app.settings.NAMES",
    ),
    case(
        "parametrised module fixture, finalised in the next test's set-up",
        """
@pytest.fixture(scope="module", params=[1, 2])
def wide(request):
    if request.param == 1:
        settings.MODE = "x"  # leak
    else:
        settings.LEVEL = 2  # leak
    yield
    if request.param == 1:
        settings.NAMES = ()  # leak

def test_p(wide): pass
""",
        f"fixture/module {T}::wide during {T}::test_p[1] {MODE}",
        f"fixture/module {T}::wide rebound app.settings.NAMES",
        f"fixture/module {T}::wide during {T}::test_p[2] rebound app.settings.LEVEL",
    ),
    case(
        "two wide fixtures, nested",
        """
@pytest.fixture(scope="session")
def outer():
    settings.MODE = "outer"  # leak
    yield

@pytest.fixture(scope="module")
def inner(outer):
    before = settings.MODE
    settings.MODE = "inner"
    settings.LEVEL = 2  # leak
    yield
    settings.MODE = before

def test_one(inner): pass
def test_two(inner): pass
""",
        f"fixture/module {T}::inner during {T}::test_one rebound app.settings.LEVEL",
        f"fixture/session {T}::outer during {T}::test_one {MODE}",
    ),
    case(
        "a test writes over a wide fixture's value",
        """
@pytest.fixture(scope="module", autouse=True)
def wide():
    before = settings.MODE
    settings.MODE = "fixture"
    yield
    settings.MODE = before

def test_one(): settings.MODE = "test"  # leak
def test_two(): pass
""",
        f"test/function {T}::test_one {MODE}",
    ),
    case(
        "a fixture undoes what a test did",
        """
@pytest.fixture
def undo():
    before = settings.MODE
    yield
    settings.MODE = before

def test_one(undo): settings.MODE = "x"
""",
    ),
    case(
        "a fixture of a conftest sets up the class, or the module, that asks for it, and no other",
        """
LEVEL = 0

class Other:
    pass

@pytest.mark.usefixtures("for_class", "for_module")
class TestIt:
    def test_one(self): pass
""",
        f"fixture/class conftest.py::for_class during {T}::TestIt::test_one added test_case.Other.client",
        **{
            "conftest.py": """
import sys
import pytest

@pytest.fixture(scope="class")
def for_class(request):
    request.cls.client = object()
    sys.modules["test_case"].Other.client = object()  # leak

@pytest.fixture(scope="module")
def for_module(request):
    request.module.LEVEL = 1
""",
        },
    ),
    case(
        "fixture of a conftest in a folder",
        "",
        f"fixture/session deep/conftest.py::wide during deep/test_deep.py::test_one {MODE}",
        **{
            "deep/conftest.py": HEAD
            + '@pytest.fixture(scope="session")\ndef wide():\n    settings.MODE = "x"  # leak\n',
            "deep/test_deep.py": "def test_one(wide): pass\n",
        },
    ),
    case(
        "finaliser registered later, by what a factory fixture made",
        """
@pytest.fixture(scope="module")
def make(request):
    def leave(): settings.LEVEL = 2  # leak
    def made():
        request.addfinalizer(leave)
        request.addfinalizer(lambda: setattr(settings, "MODE", "live"))
    return made

def test_one(make):
    make()
    settings.MODE = "x"
""",
        f"fixture/module {T}::make rebound app.settings.LEVEL",
    ),
    case(
        "raises SystemExit before its yield",
        """
@pytest.fixture(scope="module")
def wide():
    settings.MODE = "x"  # leak
    raise SystemExit(3)

def test_one(wide): pass
def test_two(): settings.LEVEL = 2  # leak
""",
        f"fixture/module {T}::wide during {T}::test_one {MODE}",
        f"test/function {T}::test_two rebound app.settings.LEVEL",
    ),
    case(
        "autouse function fixtures, one restores and one does not",
        """
@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(settings, "MODE", "x")

@pytest.fixture(autouse=True)
def dirty():
    yield
    settings.LEVEL += 1  # leak

def test_one(): pass
""",
        f"test/function {T}::test_one rebound app.settings.LEVEL",
    ),
    case(
        "asynchronous module fixture",
        """
@pytest.fixture(scope="module")
def anyio_backend(): return "asyncio"

@pytest.fixture(scope="module")
async def wide(anyio_backend):
    settings.MODE = "x"  # leak
    yield
    settings.LEVEL = 2  # leak

@pytest.mark.anyio
async def test_one(wide): settings.NAMES = ()  # leak
""",
        f"fixture/module {T}::wide during {T}::test_one {MODE}",
        f"fixture/module {T}::wide rebound app.settings.LEVEL",
        f"test/function {T}::test_one rebound app.settings.NAMES",
        args=("-p", "anyio"),
    ),
    case(
        "early teardown under -x",
        """
@pytest.fixture(scope="session", autouse=True)
def wide():
    yield
    settings.MODE = "x"  # leak

def test_one(): assert False
def test_two(): pass
""",
        f"fixture/session {T}::wide {MODE}",
        args=("-x",),
    ),
]

ENDINGS = [
    case(
        "KeyboardInterrupt in a test",
        """
@pytest.fixture(scope="module", autouse=True)
def wide():
    settings.LEVEL = 2  # leak
    yield
    settings.NAMES = ()  # leak

def test_one():
    settings.MODE = "x"  # leak
    raise KeyboardInterrupt

def test_two(): pass
""",
        f"test/function {T}::test_one {MODE}",
        f"fixture/module {T}::wide during {T}::test_one rebound app.settings.LEVEL",
        f"fixture/module {T}::wide rebound app.settings.NAMES",
    ),
    case(
        "KeyboardInterrupt in a test that puts back",
        """
@pytest.fixture(scope="module", autouse=True)
def wide():
    settings.LEVEL = 2
    yield
    settings.LEVEL = 1

@pytest.fixture
def names():
    settings.NAMES = ()
    yield
    settings.NAMES = ("a", "b")
    settings.Client.retries = 4  # leak

def test_one(monkeypatch, names):
    monkeypatch.setattr(settings, "MODE", "x")
    raise KeyboardInterrupt
""",
        f"test/function {T}::test_one rebound app.settings.Client.retries",
    ),
    case(
        "pytest.exit in a test",
        """
def test_one():
    settings.MODE = "x"  # leak
    pytest.exit("enough")

def test_two(): pass
""",
        f"test/function {T}::test_one {MODE}",
    ),
    case(
        "KeyboardInterrupt in a fixture's set-up",
        """
@pytest.fixture(scope="session")
def wide():
    settings.MODE = "x"  # leak
    raise KeyboardInterrupt

def test_one(wide): pass
""",
        f"fixture/session {T}::wide during {T}::test_one {MODE}",
    ),
]

XUNIT = [
    case(
        "setup_module",
        'def setup_module(): settings.MODE = "x"  # leak' + USERS,
        f"fixture/module {T}::setup_module during {T}::test_one {MODE}",
    ),
    case(
        "setup_module, undone",
        f"""
def setup_module(): settings.MODE = "x"
def teardown_module(): settings.MODE = "live"
{USERS}""",
    ),
    case(
        "teardown_module",
        'def teardown_module(): settings.MODE = "x"  # leak' + USERS,
        f"fixture/module {T}::setup_module {MODE}",
    ),
    case(
        "setup_class",
        """
class TestIt:
    def setup_class(self): settings.MODE = "x"  # leak
    def test_one(self): pass
    def test_two(self): pass
""",
        f"fixture/class {T}::TestIt::setup_class during {T}::TestIt::test_one {MODE}",
    ),
    case(
        "setup_class, undone",
        """
class TestIt:
    def setup_class(self): settings.MODE = "x"
    def teardown_class(self): settings.MODE = "live"
    def test_one(self): pass
    def test_two(self): pass
""",
    ),
    case(
        "setup_method and teardown_method",
        """
class TestIt:
    def setup_method(self):
        settings.MODE = "x"
        settings.LEVEL = 2  # leak
    def teardown_method(self): settings.MODE = "live"
    def test_one(self): pass
""",
        f"test/function {T}::TestIt::test_one rebound app.settings.LEVEL",
    ),
    case(
        "setUpClass",
        """
import unittest

class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        settings.MODE = "x"  # leak
        settings.LEVEL = 2
    @classmethod
    def tearDownClass(cls): settings.LEVEL = 1
    def test_one(self): pass
    def test_two(self): pass
""",
        f"fixture/class {T}::TestIt::setUpClass during {T}::TestIt::test_one {MODE}",
    ),
    case(
        "addClassCleanup undoes",
        """
import unittest

class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(setattr, settings, "MODE", settings.MODE)
        settings.MODE = "x"
    def test_one(self): pass
    def test_two(self): pass
""",
    ),
    case(
        "setUp, tearDown and addCleanup",
        """
import unittest

class TestIt(unittest.TestCase):
    def setUp(self):
        self.addCleanup(setattr, settings, "MODE", settings.MODE)
        settings.MODE = "x"
        settings.LEVEL = 2  # leak
    def tearDown(self): settings.ADDED = 1  # leak
    def test_one(self): pass
""",
        f"test/function {T}::TestIt::test_one rebound app.settings.LEVEL",
        f"test/function {T}::TestIt::test_one added app.settings.ADDED",
    ),
    case(
        "setup_module of a package",
        "",
        f"fixture/package pack/__init__.py::setup_module during pack/test_in.py::test_one {MODE}",
        **{
            "pack/__init__.py": HEAD + 'def setup_module(): settings.MODE = "x"  # leak\n',
            "pack/test_in.py": USERS,
        },
    ),
]

IMPORTS = [
    case(
        "import of a test module",
        'settings.MODE = "x"  # leak' + USERS,
        f"module/module {T} {MODE}",
    ),
    case(
        "a stub in the place of a module",
        """
import types

import app.late

app.late = types.ModuleType("stub")  # leak

def test_one(): pass
""",
        f"module/module {T} rebound app.late",
        **{"app/late.py": 'MODE = "live"\n'},
    ),
    case(
        "collected together with a clean module",
        'settings.MODE = "x"  # leak' + USERS,
        f"module/module {T} {MODE}",
        **{"test_before.py": "from app import settings" + USERS, "test_later.py": USERS},
    ),
    case(
        "import that raises",
        'settings.MODE = "x"  # leak\nraise ValueError("half way")',
        f"module/module {T} {MODE}",
    ),
    case(
        "conftest of a folder",
        "",
        f"module/module deep/conftest.py {MODE}",
        **{
            "deep/conftest.py": HEAD + 'settings.MODE = "x"  # leak\n',
            "deep/test_deep.py": USERS,
        },
    ),
    case(
        "what the root conftest sets up is the state of things",
        USERS,
        **{"conftest.py": HEAD + 'settings.MODE = "x"\n'},
    ),
    case(
        "importing the program is no leak",
        """
import app.late

def test_one(): assert app.late.MODE == "live"
""",
        **{"app/late.py": 'MODE = "live"\n'},
    ),
]


@pytest.mark.parametrize(
    ("source", "told", "args", "files"), [*BODIES, *FIXTURES, *ENDINGS, *XUNIT, *IMPORTS]
)
def test_owner(
    suite: Any,
    sites: Callable[[Any], list[str]],
    engine: str,
    source: str,
    told: tuple[str, ...],
    args: tuple[str, ...],
    files: dict[str, str],
) -> None:
    suite.write({T: HEAD + source, **files})
    run = suite.run(f"--leaks-engine={engine}", *args)
    assert sorted(run.told) == sorted(told)
    assert sites(run.leaks) == suite.marked()
    certainty = "observed" if engine == "watch" else "searched"
    assert {leak["site"]["certainty"] for leak in run.leaks} <= {certainty}

"""The same places, changes, owners and verdicts from every engine; where they cannot be, it says why."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from stage import Stage, row, site_text, whole_file

from pytest_mcpsmoke.report.model import findings
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.writer import span_of_code


@dataclass
class Case:
    """Test code with a function `test`, and each change that it leaves: (line of the report, write site)."""

    name: str
    test: str
    left: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


SETTINGS = {
    "shop/settings.py": """
        MODE = "prod"
        _registry = {}
        _client = None
        _ready = False
        _calls = 0
        _cache = {"a": 1}

        class Client:
            pass

        def set_mode(mode):
            global MODE
            MODE = mode

        def client():
            global _client
            if _client is None:
                _client = Client()
            return _client

        def ensure_ready():
            global _ready
            if not _ready:
                _ready = True

        def call():
            global _calls
            _calls += 1

        def renew():
            global _cache
            _cache = {**_cache, "b": 2}
        """
}
LAZY = {
    "shop/lazy.py": """
        def __getattr__(name):
            if name == "answer":
                globals()[name] = 42
                return 42
            raise AttributeError(name)
        """
}
TYPES = {
    "shop/types.py": """
        inited = False
        suffixes = None
        encodings = {}

        def init():
            global inited, suffixes, encodings
            inited = True
            suffixes = {"a": 1}
            encodings = {"gz": "gzip"}

        def guess():
            if not inited:
                init()
        """,
    "shop/mimes.py": """
        inited = False
        suffixes = None
        encodings = {"x": 1}

        def guess():
            global inited, suffixes, encodings
            if inited:
                return
            inited = True
            suffixes = {"a": 1}
            encodings = {"gz": "gzip"}
        """,
}

# The site of a warm-up is searched only where judging needs it, and is not printed.
ANYWHERE = "*"

REBINDING = [
    Case(
        "a class by another class",
        """
        from shop import app

        class _Fake:
            pass

        def test():
            app.HttpToolsInvoker = _Fake
        """,
        [
            (
                "leak shop.app.HttpToolsInvoker rebound: class HttpToolsInvoker -> class _Fake",
                "checks.py: app.HttpToolsInvoker = _Fake",
            )
        ],
    ),
    Case(
        "a class by a class of the same name",
        """
        from shop import app

        def test():
            class HttpToolsInvoker:
                pass
            app.HttpToolsInvoker = HttpToolsInvoker
        """,
        [
            (
                "leak shop.app.HttpToolsInvoker rebound: class HttpToolsInvoker -> class HttpToolsInvoker",
                "checks.py: app.HttpToolsInvoker = HttpToolsInvoker",
            )
        ],
    ),
    Case(
        "a function by a lambda",
        """
        from shop import app

        def test():
            app.route = lambda: 2
        """,
        [
            (
                "leak shop.app.route rebound: function route -> function <lambda>",
                "checks.py: app.route = lambda: 2",
            )
        ],
    ),
    Case(
        "a function by a MagicMock",
        """
        from unittest.mock import MagicMock
        from shop import app

        def test():
            app.route = MagicMock()
        """,
        [
            (
                "leak shop.app.route rebound: function route -> MagicMock object",
                "checks.py: app.route = MagicMock()",
            )
        ],
    ),
    Case(
        "a module alias by a SimpleNamespace",
        """
        from types import SimpleNamespace
        from shop import app

        def test():
            app.codec = SimpleNamespace(loads=None)
        """,
        [
            (
                "leak shop.app.codec rebound: module json -> SimpleNamespace object",
                "checks.py: app.codec = SimpleNamespace(loads=None)",
            )
        ],
    ),
    Case(
        "a class by None",
        """
        from shop import app

        def test():
            app.Config = None
        """,
        [("leak shop.app.Config rebound: class Config -> None", "checks.py: app.Config = None")],
    ),
    Case(
        "None by an object",
        """
        from shop import app

        def test():
            app.LIMIT = 5
        """,
        [("leak shop.app.LIMIT rebound: None -> 5", "checks.py: app.LIMIT = 5")],
    ),
    Case(
        "deleted",
        """
        from shop import app

        def test():
            del app.NAME
        """,
        [("leak shop.app.NAME removed: 'shop' -> (nothing)", "checks.py: del app.NAME")],
    ),
    Case(
        "added",
        """
        from shop import app

        def test():
            app.EXTRA = [1]
        """,
        [("leak shop.app.EXTRA added: (nothing) -> [1]", "checks.py: app.EXTRA = [1]")],
    ),
    Case(
        "two places, two lines",
        """
        from shop import app, invoker

        def test():
            app.NAME = "x"
            invoker.route = None
        """,
        [
            ("leak shop.app.NAME rebound: 'shop' -> 'x'", 'checks.py: app.NAME = "x"'),
            ("leak shop.invoker.route rebound: function route -> None", "checks.py: invoker.route = None"),
        ],
    ),
    Case(
        "written twice: the last line counts, the first value is the old one",
        """
        from shop import app

        def test():
            app.NAME = "x"
            app.NAME = "y"
        """,
        [("leak shop.app.NAME rebound: 'shop' -> 'y'", 'checks.py: app.NAME = "y"')],
    ),
    Case(
        "through setattr",
        """
        from shop import app

        def test():
            setattr(app, "NAME", "x")
            delattr(app, "PAIR")
        """,
        [
            ("leak shop.app.NAME rebound: 'shop' -> 'x'", 'checks.py: setattr(app, "NAME", "x")'),
            ("leak shop.app.PAIR removed: ('a', 1) -> (nothing)", 'checks.py: delattr(app, "PAIR")'),
        ],
    ),
    Case(
        "through the module's dict",
        """
        from shop import app

        def test():
            vars(app)["NAME"] = "x"
            app.__dict__.update(EXTRA=1)
        """,
        [
            ("leak shop.app.EXTRA added: (nothing) -> 1", "checks.py: app.__dict__.update(EXTRA=1)"),
            ("leak shop.app.NAME rebound: 'shop' -> 'x'", 'checks.py: vars(app)["NAME"] = "x"'),
        ],
    ),
    Case(
        "through setattr with names that are a subclass of str",
        """
        from enum import StrEnum
        from shop import app

        class Name(StrEnum):
            NAME = "NAME"
            EXTRA = "EXTRA"
            PAIR = "PAIR"

        def test():
            setattr(app, Name.NAME, "x")
            setattr(app, Name.EXTRA, 1)
            delattr(app, Name.PAIR)
        """,
        [
            ("leak shop.app.EXTRA added: (nothing) -> 1", ANYWHERE),
            ("leak shop.app.NAME rebound: 'shop' -> 'x'", ANYWHERE),
            ("leak shop.app.PAIR removed: ('a', 1) -> (nothing)", ANYWHERE),
        ],
    ),
    Case(
        "in a helper of the test code",
        """
        from shop import app

        def install():
            app.route = None

        def test():
            install()
        """,
        [("leak shop.app.route rebound: function route -> None", "checks.py: app.route = None")],
    ),
    Case(
        "a global of the test code itself",
        """
        SEEN = None

        def test():
            global SEEN
            SEEN = [1]
        """,
        [("leak checks.SEEN rebound: None -> [1]", "checks.py: SEEN = [1]")],
    ),
    Case(
        "left by monkeypatch without undo, and by a patcher that was started only",
        """
        from unittest import mock
        import pytest
        from shop import app

        def test():
            pytest.MonkeyPatch().setattr(app, "NAME", "x")
            mock.patch("shop.app.route").start()
            mock.patch.object(app.Config, "mode", "test").start()
        """,
        [
            (
                "leak shop.app.Config.mode rebound: 'prod' -> 'test'",
                'checks.py: mock.patch.object(app.Config, "mode", "test").start()',
            ),
            (
                "leak shop.app.NAME rebound: 'shop' -> 'x'",
                'checks.py: pytest.MonkeyPatch().setattr(app, "NAME", "x")',
            ),
            (
                "leak shop.app.route rebound: function route -> MagicMock object",
                'checks.py: mock.patch("shop.app.route").start()',
            ),
        ],
    ),
    Case(
        "another module's twin of the name stays as it is",
        """
        from shop import app, client

        def test():
            app.greet = lambda: "bye"
        """,
        [
            (
                "leak shop.app.greet rebound: function greet -> function <lambda>",
                'checks.py: app.greet = lambda: "bye"',
            )
        ],
    ),
]

EQUAL = [
    Case(
        "an equal object of another identity that nobody else holds is a warm-up",
        """
        from shop import app

        def test():
            app.HANDLERS = {"a": [1]}
        """,
        [("warm-up shop.app.HANDLERS rebound: {'a': [1]} -> {'a': [1]}", ANYWHERE)],
    ),
    Case(
        "an equal object is a leak when another module still holds the old one",
        """
        from shop import app, menu

        def test():
            app.HANDLERS = {"a": [1]}
        """,
        [
            (
                "leak shop.app.HANDLERS rebound: {'a': [1]} -> {'a': [1]}",
                'checks.py: app.HANDLERS = {"a": [1]}',
            )
        ],
        {"shop/menu.py": "from shop.app import HANDLERS\n"},
    ),
    Case(
        "an equal object of a built-in immutable type is no change",
        """
        from shop import app

        def test():
            app.PAIR = tuple(["a", 1])
            app.NAME = "".join(["sh", "op"])
        """,
    ),
    Case(
        "an instance whose state cannot be read is compared by identity",
        """
        from shop import money

        def test():
            money.PRICE = money.Money(1)
        """,
        [
            (
                "leak shop.money.PRICE rebound: Money object -> Money object",
                "checks.py: money.PRICE = money.Money(1)",
            )
        ],
        {
            "shop/money.py": """
                from dataclasses import dataclass

                @dataclass(frozen=True, slots=True)
                class Money:
                    amount: int

                PRICE = Money(1)
                """
        },
    ),
]

PUT_BACK = [
    Case(
        "by try and finally",
        """
        from shop import app

        def test():
            before = app.route
            app.route = None
            try:
                pass
            finally:
                app.route = before
        """,
    ),
    Case(
        "by the monkeypatch fixture",
        """
        import pytest
        from shop import app

        def test():
            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setattr(app, "route", None)
                monkeypatch.setattr(app.Config, "load", None)
                monkeypatch.setattr(app, "EXTRA", 1, raising=False)
                monkeypatch.delattr(app, "NAME")
        """,
    ),
    Case(
        "by mock.patch",
        """
        from unittest import mock
        from shop import app

        def test():
            with mock.patch("shop.app.codec"), mock.patch.object(app.Config, "parse"):
                pass
        """,
    ),
    Case(
        "deleted and set again",
        """
        from shop import app

        def test():
            kept = app.Config
            del app.Config
            app.Config = kept
        """,
    ),
    Case(
        "added and deleted",
        """
        from shop import app

        def test():
            app.EXTRA = 1
            del app.EXTRA
        """,
    ),
]

CLASSES = [
    Case(
        "a class attribute",
        """
        from shop import app

        def test():
            app.Config.mode = "test"
        """,
        [("leak shop.app.Config.mode rebound: 'prod' -> 'test'", 'checks.py: app.Config.mode = "test"')],
    ),
    Case(
        "a method, a static method, a class method, a property",
        """
        from shop import app

        def test():
            app.Config.load = lambda self: 2
            app.Config.parse = staticmethod(lambda: 2)
            app.Config.build = None
            app.Config.size = 3
        """,
        [
            (
                "leak shop.app.Config.build rebound: class method build -> None",
                "checks.py: app.Config.build = None",
            ),
            (
                "leak shop.app.Config.load rebound: function load -> function <lambda>",
                "checks.py: app.Config.load = lambda self: 2",
            ),
            (
                "leak shop.app.Config.parse rebound: static method parse -> static method <lambda>",
                "checks.py: app.Config.parse = staticmethod(lambda: 2)",
            ),
            ("leak shop.app.Config.size rebound: property size -> 3", "checks.py: app.Config.size = 3"),
        ],
    ),
    Case(
        "a deleted and an added attribute",
        """
        from shop import app

        def test():
            del app.Config.mode
            app.Config.extra = 1
        """,
        [
            ("leak shop.app.Config.extra added: (nothing) -> 1", "checks.py: app.Config.extra = 1"),
            ("leak shop.app.Config.mode removed: 'prod' -> (nothing)", "checks.py: del app.Config.mode"),
        ],
    ),
    Case(
        "a nested class",
        """
        from shop import app

        def test():
            app.Config.Inner.depth = 2
        """,
        [("leak shop.app.Config.Inner.depth rebound: 1 -> 2", "checks.py: app.Config.Inner.depth = 2")],
    ),
    Case(
        "a class that came to be held only now",
        """
        from shop import app

        class Late:
            colour = "red"

        def test():
            app.Config.extra = None
            app.Late = Late
        """,
        [
            ("leak shop.app.Config.extra added: (nothing) -> None", "checks.py: app.Config.extra = None"),
            ("leak shop.app.Late added: (nothing) -> class Late", "checks.py: app.Late = Late"),
        ],
    ),
    Case(
        "an attribute of the test code's own class",
        """
        class TestShop:
            cache = None

        def test():
            TestShop.cache = 1
        """,
        [("leak checks.TestShop.cache rebound: None -> 1", "checks.py: TestShop.cache = 1")],
    ),
    Case(
        "an instance is not a namespace",
        """
        from shop import app

        def test():
            app.Config().mode = "test"
        """,
    ),
]

SUBMODULES = [
    ("warm-up shop.app added: (nothing) -> module shop.app", ANYWHERE),
    ("warm-up shop.invoker added: (nothing) -> module shop.invoker", ANYWHERE),
]

IMPORTS = [
    Case(
        "first imported and patched in the same test",
        """
        def test():
            from shop import app
            app.HttpToolsInvoker = None
            app.Config.mode = "test"
        """,
        [
            ("leak shop.app.Config.mode rebound: 'prod' -> 'test'", 'checks.py: app.Config.mode = "test"'),
            (
                "leak shop.app.HttpToolsInvoker rebound: class HttpToolsInvoker -> None",
                "checks.py: app.HttpToolsInvoker = None",
            ),
            *SUBMODULES,
        ],
    ),
    Case(
        "imported by importlib.import_module",
        """
        import importlib

        def test():
            module = importlib.import_module("shop.app")
            module.codec = None
        """,
        [("leak shop.app.codec rebound: module json -> None", "checks.py: module.codec = None"), *SUBMODULES],
    ),
    Case(
        "the import system sets a submodule on its package",
        """
        import shop

        def test():
            import shop.app
        """,
        SUBMODULES,
    ),
    Case(
        "imported anew after del sys.modules, nobody holds the old one",
        """
        import sys
        import shop.app

        def test():
            del sys.modules["shop.app"]
            import shop.app
        """,
        [("warm-up shop.app rebound: module shop.app -> module shop.app", ANYWHERE)],
    ),
    Case(
        "dropped from sys.modules and collected",
        """
        import gc
        import sys

        def test():
            import checks_other
            del sys.modules["checks_other"], checks_other
            gc.collect()
        """,
        [],
        {"checks_other.py": "NAME = object()\n\nclass A:\n    def name(self):\n        return NAME\n"},
    ),
    Case(
        "a class that is dropped and collected",
        """
        import gc
        from shop import app

        def test():
            app.Config = None
            gc.collect()
        """,
        [("leak shop.app.Config rebound: class Config -> None", "checks.py: app.Config = None")],
    ),
    Case(
        "imported anew after del sys.modules, another module holds the old one",
        """
        import sys
        import shop.app
        import shop.holder

        def test():
            del sys.modules["shop.app"]
            import shop.app
        """,
        [("leak shop.app rebound: module shop.app -> module shop.app", ANYWHERE)],
        {"shop/holder.py": "from shop import app\n"},
    ),
]

PROGRAM = [
    Case(
        "a setter of the program",
        """
        from shop import settings

        def test():
            settings.set_mode("x")
        """,
        [("leak shop.settings.MODE rebound: 'prod' -> 'x'", 'checks.py: settings.set_mode("x")')],
        SETTINGS,
    ),
    Case(
        "a lazy singleton",
        """
        from shop import settings

        def test():
            settings.client()
        """,
        [("warm-up shop.settings._client rebound: None -> Client object", "checks.py: settings.client()")],
        SETTINGS,
    ),
    Case(
        "a flag set once",
        """
        from shop import settings

        def test():
            settings.ensure_ready()
        """,
        [("warm-up shop.settings._ready rebound: False -> True", "checks.py: settings.ensure_ready()")],
        SETTINGS,
    ),
    Case(
        "a counter",
        """
        from shop import settings

        def test():
            settings.call()
        """,
        [("warm-up shop.settings._calls rebound: 0 -> 1", "checks.py: settings.call()")],
        SETTINGS,
    ),
    Case(
        "a cache replaced by a fuller one",
        """
        from shop import settings

        def test():
            settings.renew()
        """,
        [
            (
                "warm-up shop.settings._cache rebound: {'a': 1} -> {'a': 1, 'b': 2}",
                "checks.py: settings.renew()",
            )
        ],
        SETTINGS,
    ),
    Case(
        "an attribute computed on demand and kept",
        """
        from shop import lazy

        def test():
            lazy.answer
        """,
        [("warm-up shop.lazy.answer added: (nothing) -> 42", ANYWHERE)],
        LAZY,
    ),
    Case(
        "names set together with a flag",
        """
        from shop import mimes

        def test():
            mimes.guess()
        """,
        [
            ("warm-up shop.mimes.encodings rebound: {'x': 1} -> {'gz': 'gzip'}", "checks.py: mimes.guess()"),
            ("warm-up shop.mimes.inited rebound: False -> True", "checks.py: mimes.guess()"),
            ("warm-up shop.mimes.suffixes rebound: None -> {'a': 1}", "checks.py: mimes.guess()"),
        ],
        TYPES,
    ),
    Case(
        "a table renewed together with its stamp",
        """
        from shop import stamped

        def test():
            stamped.read(2)
        """,
        [
            ("warm-up shop.stamped._stamp rebound: 1 -> 2", "checks.py: stamped.read(2)"),
            ("warm-up shop.stamped._table rebound: {'a': 1} -> {'a': 2}", "checks.py: stamped.read(2)"),
        ],
        {
            "shop/stamped.py": """
                _stamp = 1
                _table = {"a": 1}

                def read(now):
                    global _stamp, _table
                    if _stamp < now:
                        _stamp = now
                        _table = {"a": now}
                    return _table
                """
        },
    ),
    Case(
        "a constructor that flips a flag of its module",
        """
        from shop import engine

        def test():
            engine.Engine()
        """,
        [("leak shop.engine.STARTED rebound: 'no' -> 'yes'", "checks.py: engine.Engine()")],
        {
            "shop/engine.py": """
                STARTED = "no"

                class Engine:
                    def __init__(self):
                        global STARTED
                        STARTED = "yes"
                """
        },
    ),
    Case(
        "a program that patches another of its modules",
        """
        from shop import install

        def test():
            install.install()
        """,
        [("leak shop.app.route rebound: function route -> function quick", "checks.py: install.install()")],
        {
            "shop/install.py": """
                from shop import app

                def quick():
                    return 2

                def install():
                    app.route = quick
                """
        },
    ),
]

CASES = [*REBINDING, *EQUAL, *PUT_BACK, *CLASSES, *IMPORTS, *PROGRAM]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_engine_gives_the_same(case: Case, engine: str, stage: Stage) -> None:
    left = stage.run(engine, stage.load(case.test, case.files))
    expected_sites = [site for _, site in case.left]
    known = [
        found if wanted != ANYWHERE else wanted
        for found, wanted in zip(stage.sites(), expected_sites, strict=False)
    ]
    assert left == [line for line, _ in case.left]
    assert known == expected_sites
    assert stage.certainties() <= {"observed" if engine == "watch" else "searched"}


@dataclass
class Difference:
    """A case that a searching engine judges or places differently, and why it must."""

    name: str
    because: str
    test: str
    observed: tuple[str, str]
    searched: tuple[str, str]
    files: dict[str, str] = field(default_factory=dict)


ROUTE = "leak shop.app.route rebound: function route -> None"
CLIENT = "shop.settings._client rebound: None -> Client object"

DIFFERENCES = [
    Difference(
        "a name that only exists at run time",
        "no statement of the source holds the name, so only the owner's own code can be pointed at",
        """
        from shop import app

        def test():
            for name in ("rou" + "te",):
                setattr(app, name, None)
        """,
        (ROUTE, "checks.py: setattr(app, name, None)"),
        (ROUTE, "checks.py: def test():"),
    ),
    Difference(
        "a write from a string of code",
        "a string is not searched",
        """
        from shop import app

        def test():
            exec("app.route = None")
        """,
        (ROUTE, 'checks.py: exec("app.route = None")'),
        (ROUTE, "checks.py: def test():"),
    ),
    Difference(
        "a helper library that writes what it is told to",
        "the library's source does not hold the name, and it is not the program's",
        """
        from shop import app
        from checks_other import put

        def test():
            put.put(app, "route", None)
        """,
        (ROUTE, 'checks.py: put.put(app, "route", None)'),
        (ROUTE, "checks.py: def test():"),
        {
            "checks_other/__init__.py": "",
            "checks_other/put.py": """
                def put(where, name, value):
                    setattr(where, name, value)
                """,
        },
    ),
    Difference(
        "two statements of a test, one of which did not run",
        "the source does not tell which branch was taken: the last statement is named",
        """
        from shop import app

        def test():
            if app.LIMIT is None:
                app.route = None
            else:
                app.route = 1
        """,
        (ROUTE, "checks.py: app.route = None"),
        (ROUTE, "checks.py: app.route = 1"),
    ),
    Difference(
        "two calls of a setter, one of which did not run",
        "the source does not tell which call was made: the last one is named",
        """
        from shop import settings

        def test():
            settings.set_mode("x")
            if settings.MODE == "never":
                settings.set_mode("y")
        """,
        ("leak shop.settings.MODE rebound: 'prod' -> 'x'", 'checks.py: settings.set_mode("x")'),
        ("leak shop.settings.MODE rebound: 'prod' -> 'x'", 'checks.py: settings.set_mode("y")'),
        SETTINGS,
    ),
    Difference(
        "a setter that the test reaches only through other functions",
        "the calls in between are not followed: the setter's own statement is named",
        """
        from shop import boot

        def test():
            boot.boot()
        """,
        ("leak shop.settings.MODE rebound: 'prod' -> 'boot'", "checks.py: boot.boot()"),
        ("leak shop.settings.MODE rebound: 'prod' -> 'boot'", "settings.py: MODE = mode"),
        SETTINGS
        | {
            "shop/boot.py": """
                from shop import settings

                def boot():
                    settings.set_mode("boot")
                """
        },
    ),
    Difference(
        "a writer among two functions of the program, reached through a third",
        "the source does not tell which of the two wrote: filling it on first use is the better guess",
        """
        from shop import mode

        def test():
            mode.boot()
        """,
        ("leak shop.mode._mode rebound: None -> 'boot'", "checks.py: mode.boot()"),
        ("warm-up shop.mode._mode rebound: None -> 'boot'", 'mode.py: _mode = "default"'),
        {
            "shop/mode.py": """
                _mode = None

                def mode():
                    global _mode
                    if _mode is None:
                        _mode = "default"
                    return _mode

                def configure(value):
                    global _mode
                    _mode = value

                def boot():
                    configure("boot")
                """
        },
    ),
    Difference(
        "a store of the same name on something else",
        "the source does not tell on which object: a test that stores the name counts as the writer",
        """
        from types import SimpleNamespace
        from shop import settings

        def test():
            other = SimpleNamespace()
            other._client = None
            settings.client()
        """,
        (f"warm-up {CLIENT}", "checks.py: settings.client()"),
        (f"leak {CLIENT}", "checks.py: other._client = None"),
        SETTINGS,
    ),
    Difference(
        "a store of the same name in another function of the test's file",
        "it may be a helper that the test called: test code that stores the name counts as the writer",
        """
        from shop import settings

        def test_other():
            settings._client = 5

        def test():
            settings.client()
        """,
        (f"warm-up {CLIENT}", "checks.py: settings.client()"),
        (f"leak {CLIENT}", "checks.py: settings._client = 5"),
        SETTINGS,
    ),
    Difference(
        "a scoped patch, then the program's own first use",
        "the source does not tell that the patch was undone before the program wrote",
        """
        from unittest import mock
        from shop import settings

        def test():
            with mock.patch("shop.settings._client"):
                pass
            settings.client()
        """,
        (f"warm-up {CLIENT}", "checks.py: settings.client()"),
        (f"leak {CLIENT}", 'checks.py: with mock.patch("shop.settings._client"):'),
        SETTINGS,
    ),
    Difference(
        "first use by a package that is not the program's",
        "only the source of the program's own package is searched",
        """
        from checks_other import fill

        def test():
            fill.fill()
        """,
        ("warm-up shop.app.LIMIT rebound: None -> 5", "checks.py: fill.fill()"),
        ("leak shop.app.LIMIT rebound: None -> 5", "checks.py: def test():"),
        {
            "checks_other/__init__.py": "",
            "checks_other/fill.py": """
                from shop import app

                def fill():
                    if app.LIMIT is None:
                        app.LIMIT = 5
                """,
        },
    ),
    Difference(
        "a name added to a module that computes attributes on demand, not by it",
        "such a module explains every name that appears in it",
        """
        from shop import lazy

        def test():
            for name in ("ext" + "ra",):
                setattr(lazy, name, 1)
        """,
        ("leak shop.lazy.extra added: (nothing) -> 1", "checks.py: setattr(lazy, name, 1)"),
        ("warm-up shop.lazy.extra added: (nothing) -> 1", "lazy.py: def __getattr__(name):"),
        LAZY,
    ),
    Difference(
        "a module body that is executed again by hand and computes another value",
        "another value than the body gave before may come from anywhere",
        """
        from shop import clock

        def test():
            clock.__spec__.loader.exec_module(clock)
        """,
        (
            "warm-up shop.clock.STARTED rebound: 0 -> 1",
            "checks.py: clock.__spec__.loader.exec_module(clock)",
        ),
        ("leak shop.clock.STARTED rebound: 0 -> 1", "checks.py: def test():"),
        {
            "shop/ticks.py": "import itertools\ncount = itertools.count()\n",
            "shop/clock.py": "from shop.ticks import count\nSTARTED = next(count)\n",
        },
    ),
]


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case.name)
def test_every_difference_between_observed_and_searched_has_its_reason(
    case: Difference, engine: str, stage: Stage
) -> None:
    left = stage.run(engine, stage.load(case.test, case.files))
    assert [*zip(left, stage.sites(), strict=True)] == [case.observed if engine == "watch" else case.searched]
    assert case.observed != case.searched
    assert case.because


RELOADED = {
    "shop/version.py": """
        NUMBER = 1

        class Version:
            pass

        def show():
            return NUMBER
        """,
    "shop/stamp.py": """
        from shop import ticks

        STAMP = ticks.tick()
        """,
    "shop/ticks.py": """
        import itertools

        _count = itertools.count()

        def tick():
            return next(_count)
        """,
    "shop/holder.py": "from shop.version import Version\n",
}


def test_a_reload_is_one_warm_up_when_nobody_holds_the_old_objects(engine: str, stage: Stage) -> None:
    assert stage_reload(stage, engine, "version") == [
        "warm-up shop.version rebound: module shop.version -> reloaded: Version, show defined anew"
    ]


def test_a_reload_is_one_leak_when_another_module_holds_an_old_object(engine: str, stage: Stage) -> None:
    assert stage_reload(stage, engine, "version", "shop.holder") == [
        "leak shop.version rebound: module shop.version -> reloaded: Version defined anew"
    ]
    assert set(stage.sites()) == {"checks.py: importlib.reload(sys.modules[name])"}


def test_a_reload_is_one_leak_when_a_value_really_differs(engine: str, stage: Stage) -> None:
    assert stage_reload(stage, engine, "stamp") == [
        "leak shop.stamp rebound: module shop.stamp -> reloaded: STAMP defined anew"
    ]
    assert set(stage.sites()) == {"checks.py: importlib.reload(sys.modules[name])"}


def stage_reload(stage: Stage, engine: str, name: str, *others: str) -> list[str]:
    """The findings of a test that reloads a module of the program while others are loaded."""
    test = f"""
        import importlib
        import sys
        {"".join(f"import {other};" for other in ("shop." + name, *others))}

        def test():
            name = "shop.{name}"
            importlib.reload(sys.modules[name])
        """
    stage.run(engine, stage.load(test, RELOADED))
    return [
        f"{found.verdict} {found.place} {found.change}: {found.before} -> {found.after}"
        for found in findings(stage.judged, str)
    ]


ACTS = """
    from shop import app

    def set_up():
        app.NAME = "fixture"

    def finalise():
        app.NAME = "shop"

    def test():
        app.NAME = "test"

    def test_undoes():
        app.NAME = "shop"

    def test_elsewhere():
        app.route = None
    """


def play(stage: Stage, engine: str, *acts: str) -> list[str]:
    """Run acts in order, each as "owner:function" or as "end owner"; return what each end found."""
    module = stage.load(ACTS)
    observer, owners, lines = stage.observer(engine), acting_owners(module), []
    observer.start()
    try:
        for act in acts:
            if act.startswith("end "):
                left = stage.ours(observer.end(owners[act[4:]]))
                lines += [
                    f"{entry[0].owner.id}: {row(entry)} @ {site_text(entry[0].writer.site)}" for entry in left
                ]
                continue
            owner, _, function = act.partition(":")
            observer.switch(owners[owner])
            observer.during = "checks.py::a" if owner == "fixture" else None
            getattr(module, function)()
    finally:
        observer.stop()
    return lines


def acting_owners(module: Any) -> dict[str, Owner]:
    """Two tests and a fixture of module scope."""

    def spans(*names: str) -> Any:
        return lambda: tuple(span_of_code(getattr(module, name).__code__) for name in names)

    return {
        "a": Owner("a", "test", find_spans=spans("test", "test_elsewhere")),
        "b": Owner("b", "test", find_spans=spans("test", "test_elsewhere")),
        "fixture": Owner("fixture", "fixture", "module", find_spans=spans("set_up")),
    }


BY_FIXTURE = "fixture: leak shop.app.NAME rebound: 'shop' -> 'fixture' @ checks.py: app.NAME = \"fixture\""
BY_A = "a: leak shop.app.NAME rebound: 'fixture' -> 'test' @ checks.py: app.NAME = \"test\""


@pytest.mark.parametrize(
    ("acts", "found"),
    [
        pytest.param(
            ["fixture:set_up", "end a", "end b", "fixture:finalise", "end fixture"], [], id="undone"
        ),
        pytest.param(["fixture:set_up", "end a", "end b", "end fixture"], [BY_FIXTURE], id="never undone"),
        pytest.param(
            ["fixture:set_up", "a:test", "end a", "fixture:finalise", "end fixture"],
            [BY_A],
            id="a test changes what a fixture changed, and the fixture undoes all",
        ),
        pytest.param(
            ["fixture:set_up", "a:test", "end a", "end fixture"],
            [BY_A, BY_FIXTURE],
            id="a test changes what a fixture changed, and nobody undoes it",
        ),
        pytest.param(
            ["fixture:set_up", "a:test_undoes", "end a", "end fixture"],
            [],
            id="a test undoes what a fixture changed",
        ),
        pytest.param(
            ["fixture:set_up", "a:test_elsewhere", "end a", "b:test_elsewhere", "end b", "end fixture"],
            [
                "a: leak shop.app.route rebound: function route -> None @ checks.py: app.route = None",
                BY_FIXTURE,
            ],
            id="the next test is not blamed for what the first one left",
        ),
    ],
)
def test_every_engine_books_to_the_same_owner(
    acts: list[str], found: list[str], engine: str, stage: Stage
) -> None:
    assert play(stage, engine, *acts) == found


def test_a_test_module_owns_what_importing_it_changed(engine: str, stage: Stage) -> None:
    module = stage.load("from shop import app\n\ndef test():\n    pass\n", {"checks_other.py": POLLUTING})
    observer = stage.observer(engine)
    owner = Owner("checks_other.py", "module", "module", whole_file(stage.folder / "checks_other.py"))
    observer.start()
    try:
        observer.test_module = "checks_other"
        observer.switch(owner)
        importlib.import_module("checks_other")
        left = stage.ours(observer.end(owner))
    finally:
        observer.stop()
    assert module.app.route is None
    assert [(row(entry), site_text(entry[0].writer.site)) for entry in left] == [
        ("leak shop.app.route rebound: function route -> None", "checks_other.py: app.route = None")
    ]


POLLUTING = """
    from shop import app, client

    app.route = None
    """

"""Each rule about what objects hold: a situation that it exempts, and the nearest one that it does not."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from stage import Stage, whole_file
from test_policy import Situation

from pytest_mcpsmoke.limits import Limits
from pytest_mcpsmoke.state.engines import open_engine
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.observer import Judged, Observer
from pytest_mcpsmoke.state.policy import OBJECT_RULES, rules_for
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.writer import Files, span_of_code

PROGRAM = {
    "shop/__init__.py": "",
    "shop/app.py": """
        HANDLERS = {"a": [1], "b": [2]}

        class Box:
            def __init__(self):
                self.items = []

        BOX = None
        """,
    "shop/holder.py": "from shop.app import HANDLERS\n\nINNER = HANDLERS['a']\n",
    "shop/one.py": "",
    "shop/two.py": "",
    "shop/use.py": """
        import argparse
        import gc
        import itertools
        import weakref

        LOG = []
        PRICES = {}
        TABLE = {}
        ITEM_CACHE = {}
        PARSER = argparse.ArgumentParser()

        def note():
            LOG.append(1)

        class Client:
            def __init__(self):
                self._session = None
                self._name = "shop"
                self.calls = 1
                self._books = {}

            def session(self):
                if self._session is None:
                    self._session = object()
                return self._session

            def rename(self):
                if self._name:
                    self._name = "other"

            def count(self, step):
                self.calls += step

            def forget(self):
                self.last = None

            def remember(self):
                self.last = 0

            def keep(self):
                self._books["a"] = [1]

        CLIENT = Client()

        def session_of_all():
            return CLIENT.session()

        def counter():
            calls = 1

            def count():
                nonlocal calls
                calls += 1
                return calls

            return count

        count = counter()

        def price(name):
            if name not in PRICES:
                PRICES[name] = len(name)
            return PRICES[name]

        def fix(name, value):
            if name not in PRICES:
                PRICES[name] = value

        def register(name, value):
            if name not in TABLE:
                TABLE[name] = value

        def fill_cache():
            ITEM_CACHE["a"] = 1

        def fill_table():
            TABLE["a"] = 1

        def prepare():
            TABLE["a"] = []

        def prepare_one():
            TABLE["a"] = [1]

        def configure():
            PARSER.add_argument("--new")

        class Names(dict):
            def __missing__(self, key):
                self[key] = key.upper()
                return self[key]

        NAMES = Names()
        IDS = itertools.count()
        RECEIVERS = {}

        def connect(receiver):
            RECEIVERS["a"] = weakref.ref(receiver)

        class Known:
            def __init__(self):
                self._refs = {}
                self.order = []

            def add(self, name, value):
                self._refs[name] = weakref.ref(value, lambda ref: self.forget(name))
                self.order.append(name)

            def forget(self, name):
                del self._refs[name]
                self.order.remove(name)

        KNOWN = Known()

        def remark(function):
            function.__text__ = "noted"

        def mark(function):
            function.text = "marked"

        def one():
            pass

        one.label = "one"

        def two():
            pass

        class Files:
            def __init__(self):
                self.found = {}

            def find(self, name):
                if name not in self.found:
                    self.found[name] = name.upper()
                return self.found[name]

        FILES = Files()

        def find(name):
            return FILES.find(name)

        def number():
            return next(IDS)

        def listen():
            gc.callbacks.append(hear)

        def hear(phase, info):
            pass
        """,
    "shop/cached.py": """
        from functools import lru_cache

        def rate():
            return 2

        @lru_cache
        def price():
            return rate()
        """,
    "shop/plugins.py": """
        import functools

        class Plugin:
            pass

        def plugins():
            return Plugin.__subclasses__()

        def counted(function):
            @functools.wraps(function)
            def wrapper(*arguments):
                wrapper.last = len(arguments)
                return function(*arguments)

            wrapper.last = 0
            return wrapper

        @counted
        def price(*names):
            return len(names)
        """,
    "vendor.py": """
        SERVERS = {}

        class State:
            def __init__(self):
                self.hits = []

        class Server:
            def __init__(self, url):
                self.url = url
                self.state = State()
                SERVERS[url] = self

            def reset(self):
                self.state.hits.append("reset")

        def fetch(url):
            SERVERS[url].state.hits.append(url)
        """,
    "shop/boot.py": """
        from shop import app

        app.HANDLERS["boot"] = 1

        def install():
            app.HANDLERS["late"] = 2
        """,
}

IN_USE = "from shop import use\n\ndef test():\n    use."

FIXTURE = """
    CLIENTS = {}

    def test():
        CLIENTS["a"] = 1
    """

# Imports are boundaries: in between, what a test has made is met.
CAME = """
    from shop import app

    def test():
        app.BOX = app.Box()
        from shop import one
        app.BOX.items.append(1)
        from shop import two
        {end}
        app.BOX = None
    """

SITUATIONS = [
    Situation(
        "put back",
        "shop.app.HANDLERS['a']",
        """
        from shop import app

        def earlier():
            app.HANDLERS["a"].append(2)

        def test():
            app.HANDLERS["a"].remove(2)
        """,
        """
        from shop import app

        def earlier():
            app.HANDLERS["a"].append(2)

        def test():
            app.HANDLERS["a"].remove(1)
        """,
    ),
    Situation(
        "gone",
        "shop.app.BOX.items",
        CAME.format(end="pass"),
        CAME.format(end="app.KEPT = app.BOX"),
        "shop.app.KEPT.items",
    ),
    Situation(
        "weak",
        "shop.use.RECEIVERS['a']",
        """
        from shop import use

        def test():
            def receive():
                return receive

            use.connect(receive)
        """,
        """
        from shop import use

        def receive():
            pass

        def test():
            use.connect(receive)
        """,
    ),
    Situation(
        "logger",
        "logging.getLogger('shop.new')",
        """
        import logging

        def test():
            logging.getLogger("shop.new")

        def undo():
            del logging.Logger.manager.loggerDict["shop.new"]
        """,
        """
        import logging

        def test():
            logging.getLogger("shop.new").setLevel(10)

        def undo():
            del logging.Logger.manager.loggerDict["shop.new"]
        """,
        "logging.getLogger('shop.new').level",
    ),
    Situation(
        "equal value",
        "shop.app.HANDLERS['a']",
        """
        from shop import app

        def test():
            app.HANDLERS["a"] = [1]
        """,
        """
        from shop import app, holder

        def test():
            app.HANDLERS["a"] = [1]
        """,
    ),
    Situation(
        "order",
        "shop.app.HANDLERS",
        """
        import pytest
        from shop import app

        def test():
            with pytest.MonkeyPatch.context() as patch:
                patch.delitem(app.HANDLERS, "a")
        """,
        """
        from shop import app

        def test():
            app.HANDLERS["a"] = app.HANDLERS.pop("a")
        """,
    ),
    Situation(
        "collection",
        "shop.use.LOG",
        "from shop import use\n",
        "from shop import use\n",
        owner="module",
        nearest_owner="module",
        files={
            "checks_other/__init__.py": "",
            "checks_other/exempt.py": "from shop import use\n\nuse.note()\n",
            "checks_other/nearest.py": "from shop import use\n\nuse.LOG.append(1)\n",
        },
    ),
    Situation(
        "import",
        "shop.app.HANDLERS['boot']",
        """
        from shop import app

        def test():
            from shop import boot
        """,
        """
        from shop import app

        def test():
            from shop import boot
            boot.install()
        """,
        "shop.app.HANDLERS['late']",
    ),
    Situation(
        "cache",
        "shop.cached.price.cache_info()",
        """
        from shop import cached

        def test():
            cached.price()
        """,
        """
        import pytest
        from shop import cached

        def test():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cached, "rate", lambda: 3)
                cached.price()
        """,
    ),
    Situation(
        "metadata",
        "shop.use.one.__text__",
        IN_USE + "remark(use.one)\n",
        IN_USE + "mark(use.one)\n",
        "shop.use.one.text",
    ),
    Situation(
        "first use",
        "shop.use.CLIENT._session",
        IN_USE + "CLIENT.session()\n",
        IN_USE + "CLIENT.rename()\n",
        "shop.use.CLIENT._name",
    ),
    Situation(
        "counter", "shop.use.CLIENT.calls", IN_USE + "CLIENT.count(1)\n", IN_USE + "CLIENT.count(-1)\n"
    ),
    Situation(
        "memo",
        "shop.use.PRICES['tea']",
        IN_USE + "price('tea')\n",
        IN_USE + "register('tea', 3)\n",
        "shop.use.TABLE['tea']",
    ),
    Situation(
        "named cache",
        "shop.use.ITEM_CACHE['a']",
        IN_USE + "fill_cache()\n",
        IN_USE + "fill_table()\n",
        "shop.use.TABLE['a']",
    ),
    Situation("empty", "shop.use.TABLE['a']", IN_USE + "prepare()\n", IN_USE + "prepare_one()\n"),
    Situation(
        "library",
        "shop.use.PARSER._actions",
        IN_USE + "configure()\n",
        IN_USE + "CLIENT.keep()\n",
        "shop.use.CLIENT._books['a']",
    ),
    Situation(
        "decorator",
        "checks.price.last",
        """
        from shop.plugins import counted

        @counted
        def price(name):
            return name

        def test():
            price("tea")
        """,
        """
        from shop.plugins import price

        def test():
            price("tea")
        """,
        "shop.plugins.price.last",
    ),
    Situation(
        "service",
        "fixture server.state.hits",
        """
        from vendor import Server, fetch

        server = Server("http://shop")

        def test():
            fetch(server.url)
        """,
        """
        from vendor import Server

        server = Server("http://shop")

        def test():
            server.reset()
        """,
    ),
    Situation("own set-up", "checks.CLIENTS['a']", FIXTURE, FIXTURE, owner="fixture"),
    Situation(
        "nothing new",
        "shop.use.CLIENT.last",
        IN_USE + "CLIENT.forget()\n",
        IN_USE + "CLIENT.remember()\n",
    ),
    Situation(
        "stopped patch",
        "unittest.mock patches started",
        """
        from unittest import mock

        mock.patch("shop.use.LOG").start()

        def test():
            mock.patch.stopall()
        """,
        """
        from unittest import mock

        def test():
            mock.patch("shop.use.LOG").start()

        def undo():
            mock.patch.stopall()
        """,
    ),
    Situation(
        "own subclass",
        "checks.Base.__subclasses__()",
        """
        import gc

        class Base:
            pass

        def known():
            return Base.__subclasses__()

        def test():
            gc.disable()

            class Sub(Base):
                pass

        def undo():
            gc.enable()
        """,
        """
        import gc
        from shop.plugins import Plugin

        def test():
            gc.disable()

            class Sub(Plugin):
                pass

        def undo():
            gc.enable()
        """,
        "shop.plugins.Plugin.__subclasses__()",
    ),
    Situation(
        "gc callback",
        "gc.callbacks",
        """
        import gc
        from shop import use

        def test():
            use.listen()

        def undo():
            gc.callbacks.remove(use.hear)
        """,
        """
        import gc
        from shop import use

        def test():
            gc.callbacks.append(use.hear)

        def undo():
            gc.callbacks.remove(use.hear)
        """,
    ),
]


def observer_of(stage: Stage, engine: str, probes: Iterable[Probe] = ()) -> Observer:
    """An observer like the stage's, with probes."""
    files = Files()
    for pattern in ("checks*.py", "checks_other/*.py"):
        files.tests.update(str(path) for path in stage.folder.glob(pattern))
    files.plugins.add(str(stage.folder / "shop" / "plugin.py"))
    return Observer(
        open_engine(engine, files.tests)[0],
        files,
        lambda name, file: name.partition(".")[0] in {"shop", "checks", "checks_other"},
        Limits(),
        probes,
    )


def owner_of(function: Callable[..., Any], kind: Any = "test") -> Owner:
    """The owner of what a function does, whatever decorates it."""
    code = inspect.unwrap(function).__code__
    return Owner("checks.py::test", kind, find_spans=lambda: (span_of_code(code),))


def owner_of_module(path: Path) -> Owner:
    return Owner(path.name, "module", find_spans=whole_file(path))


def named(judged: Iterable[Judged]) -> dict[str, str]:
    """For each place the name of the rule that exempts it, or "leak"."""
    found: dict[str, str] = {}
    for change, verdict, _ in judged:
        rule = next((rule.name for rule in rules_for(change.holder) if rule.applies(change)), "together")
        found[change.place] = verdict if verdict == "leak" else rule
    return found


def rules_found(
    stage: Stage,
    engine: str,
    test: str,
    program: dict[str, str],
    kind: str = "test",
    imports: str = "",
    probes: Iterable[Probe] = (),
) -> dict[str, str]:
    """Run the test code, and return for each place left changed the rule that exempts it, or "leak".

    With kind "module" the import of the module `imports` is what runs; else test() does, after earlier().
    What the test code has under the name `server` is the value of a session fixture.
    """
    module = stage.load(test, program=program)
    observer = observer_of(stage, engine, probes)

    def run(function: Callable[[], object], owner: Owner) -> dict[str, str]:
        observer.switch(owner)
        function()
        return named(observer.end(owner))

    observer.start()
    try:
        if hasattr(module, "server"):
            observer.follow_value(Owner("checks.py::server", "fixture"), "server", module.server)
        if hasattr(module, "earlier"):
            run(module.earlier, owner_of(module.earlier))
        if kind == "module":
            observer.test_module = imports.rpartition(".")[2]
            owner = owner_of_module(stage.folder / (imports.replace(".", "/") + ".py"))
            return run(lambda: importlib.import_module(imports), owner)
        return run(module.test, owner_of(module.test, kind))
    finally:
        observer.stop()
        getattr(module, "undo", lambda: None)()


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_rule_exempts_what_it_is_for(case: Situation, engine: str, stage: Stage) -> None:
    program = PROGRAM | case.files
    found = rules_found(stage, engine, case.exempt, program, case.owner, "checks_other.exempt")
    assert found[case.place] == case.rule


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_nearest_situation_is_a_leak(case: Situation, engine: str, stage: Stage) -> None:
    program = PROGRAM | case.files
    found = rules_found(stage, engine, case.nearest, program, case.nearest_owner, "checks_other.nearest")
    assert found[case.nearest_place or case.place] == "leak"


def test_every_rule_has_its_situation() -> None:
    assert [case.rule for case in SITUATIONS] == [rule.name for rule in OBJECT_RULES]


def test_what_a_closure_counts_is_a_leak(engine: str, stage: Stage) -> None:
    found = rules_found(stage, engine, IN_USE + "count()\n", PROGRAM)
    assert found["shop.use.count.__closure__['calls']"] == "leak"


MAPPED = """
    from shop import mapped

    def test():
        {test}
    """


@pytest.mark.parametrize(
    ("test", "name", "rule"),
    [
        ("mapped.use()", "configured", "service"),
        ("mapped.change()", "level", "leak"),  # the program writes
        ("mapped.MODEL.configure()", "configured", "leak"),  # the test asks for it
        ("mapped.hook()", "implementation", "leak"),  # the library was given it
        ("mapped.switch()", "name", "leak"),  # it had one
    ],
)
def test_a_library_completes_its_own_object(
    test: str, name: str, rule: str, engine: str, stage: Stage
) -> None:
    program = PROGRAM | {
        "vendor.py": """
            class Mapper:
                def __init__(self):
                    self.name = "model"

                def configure(self):
                    self.configured = True

                def rise(self):
                    self.level = 1

                def switch(self):
                    self.name = "other"

                def hook(self, function):
                    self.implementation = function

            def session(model):
                model.configure()
            """,
        "shop/mapped.py": """
            import vendor

            MODEL = vendor.Mapper()

            def use():
                vendor.session(MODEL)

            def change():
                MODEL.level = 2

            def hook():
                MODEL.hook(use)

            def switch():
                MODEL.switch()
            """,
    }
    found = rules_found(stage, engine, MAPPED.format(test=test), program)
    assert found[f"shop.mapped.MODEL.{name}"] == rule


@pytest.mark.parametrize(
    ("call", "place", "rule"),
    [
        ("price('tea')", "shop.use.PRICES['tea']", "memo"),
        ("fix('tea', 3)", "shop.use.PRICES['tea']", "leak"),
        ("NAMES['tea']", "shop.use.NAMES['tea']", "memo"),
        ("NAMES['tea'] = 'x'", "shop.use.NAMES['tea']", "leak"),
        ("number()", "shop.use.IDS", "counter"),
        ("IDS and next(use.IDS)", "shop.use.IDS", "leak"),
        ("remark(use.two)", "shop.use.two", "metadata"),
        ("remark(use.CLIENT)", "shop.use.CLIENT.__text__", "metadata"),
        ("mark(use.CLIENT)", "shop.use.CLIENT.text", "leak"),
        ("mark(use.two)", "shop.use.two", "leak"),
        # of Files.found, the constructor stores the whole, and find() into it
        ("find('tea')", "shop.use.FILES.found['tea']", "memo"),
        # a constructor writes into what it makes, not into what was there before
        ("Client(), use.session_of_all()", "shop.use.CLIENT._session", "first use"),
    ],
)
def test_of_several_functions_the_one_that_the_test_calls_wrote(
    call: str, place: str, rule: str, engine: str, stage: Stage
) -> None:
    assert rules_found(stage, engine, IN_USE + call + "\n", PROGRAM)[place] == rule


WEAK = """
    import gc
    import sys
    from shop import use

    class Guest:
        pass

    def earlier():
        gc.disable()
        guest, sys.kept = Guest(), Guest()
        guest.friend = guest
        use.KNOWN.add("a", guest)
        use.KNOWN.add("b", sys.kept)

    def test():
        {test}

    def undo():
        gc.enable()
        use.KNOWN.forget = lambda name: None
        del sys.kept
    """


@pytest.mark.parametrize(
    ("test", "rules"),
    [
        ("gc.collect()", {"order": "together", "_refs['a']": "weak"}),
        ("use.KNOWN.order.remove('a')", {"order": "leak"}),
    ],
)
def test_what_goes_with_a_weak_reference_goes_along(
    test: str, rules: dict[str, str], engine: str, stage: Stage
) -> None:
    found = rules_found(stage, engine, WEAK.format(test=test), PROGRAM)
    known = "shop.use.KNOWN."
    assert {place.removeprefix(known): rule for place, rule in found.items() if known in place} == rules


LOOPS = """
    import asyncio

    RUNNER = asyncio.Runner()
    RUNNER.get_loop()
    OWN = asyncio.new_event_loop()

    async def forever():
        await asyncio.sleep(3600)

    def start(loop, coroutine):
        loop.create_task(coroutine)

    def runner_forever():
        start(RUNNER.get_loop(), forever())

    def runner_sleeps():
        start(RUNNER.get_loop(), asyncio.sleep(3600))

    def own_sleeps():
        start(OWN, asyncio.sleep(3600))
    """


@pytest.mark.parametrize(
    ("act", "place", "rule"),
    [
        ("loops.runner_sleeps()", "shop.loops.RUNNER._loop pending tasks", "library"),
        ("loops.runner_forever()", "shop.loops.RUNNER._loop pending tasks", "leak"),
        (
            "loops.RUNNER.get_loop().create_task(asyncio.sleep(9))",
            "shop.loops.RUNNER._loop pending tasks",
            "leak",
        ),
        ("loops.own_sleeps()", "shop.loops.OWN pending tasks", "leak"),
    ],
    ids=["a library's", "the program's", "made by the test", "on the program's own loop"],
)
def test_tasks_that_are_left_pending(act: str, place: str, rule: str, engine: str, stage: Stage) -> None:
    test = f"""
        import asyncio
        from shop import loops

        def test():
            {act}

        def undo():
            for loop in (loops.RUNNER.get_loop(), loops.OWN):
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                loop.run_until_complete(asyncio.sleep(0))
                loop.close()
            asyncio.set_event_loop(None)  # which the runner has set
        """
    assert rules_found(stage, engine, test, PROGRAM | {"shop/loops.py": LOOPS})[place] == rule


TOUCHY = """
    class Touchy:
        def __eq__(self, other):
            raise AssertionError("asked")

        __hash__ = __bool__ = __len__ = __iter__ = __eq__

    class Box:
        pass

    TABLE, BOX, ITEMS = {"was": Touchy()}, Box(), []

    def fill():
        BOX.content = Touchy()
        TABLE["a"] = Touchy()
        ITEMS.append(Touchy())
    """


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("touchy.fill()", "TABLE['a']"),
        ("touchy.TABLE['a'] = touchy.BOX.content = touchy.Touchy()", "BOX.content"),
        ("touchy.TABLE['was'] = touchy.Touchy()", "TABLE['was']"),
        ("del touchy.TABLE['was']", "TABLE['was']"),
    ],
)
def test_no_rule_asks_a_value(body: str, place: str, engine: str, stage: Stage) -> None:
    test = f"from shop import touchy\n\ndef test():\n    {body}\n"
    found = rules_found(stage, engine, test, PROGRAM | {"shop/touchy.py": TOUCHY})
    assert f"shop.touchy.{place}" in found

"""Each rule of the policy: a situation that it exempts, and the nearest one that it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from stage import Stage, whole_file

from pytest_mcpsmoke.state.change import Rule
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.observer import Judged
from pytest_mcpsmoke.state.policy import MODULE_RULES, OBJECT_RULES, PROBE_RULES, RULES, rules_for
from pytest_mcpsmoke.state.writer import Span, span_of_code

VENDOR = {
    "vendor/__init__.py": """
        class Clause:
            def compile(self):
                type(self)._compiled = [1]

            def name(self, name):
                type(self).named = name
        """,
}


@dataclass
class Situation:
    """Two pieces of test code over one place: `exempt` falls under the rule, `nearest` is a leak.

    Each defines test(); earlier(), if there is one, is a test that ran before; undo() puts real modules
    of the running interpreter right again.
    """

    rule: str
    place: str
    exempt: str
    nearest: str
    nearest_place: str = ""
    files: dict[str, str] = field(default_factory=dict)
    owner: Literal["test", "fixture", "module"] = "test"
    nearest_owner: Literal["test", "fixture", "module"] = "test"


USE = {
    "shop/use.py": """
        import warnings

        _client = None
        _full = "something"
        _calls = 5
        _parser_cache = {"a": 1}
        _table = {"a": 1}
        _names = {"a": 1}

        def warn():
            warnings.warn("old")

        def forget():
            global _session
            _session = None

        def begin():
            global _session
            _session = 0

        def client():
            global _client
            if _client is None:
                _client = object()

        def refill():
            global _full
            if _full:
                _full = "another"

        def count(step):
            global _calls
            _calls += step

        def renew():
            global _parser_cache, _table
            _parser_cache = {**_parser_cache, "b": 2}

        def renew_table():
            global _table
            _table = {**_table, "b": 2}

        def renew_names():
            global _names
            if len(_names) != 2:
                _names = {"a": 1, "b": 2}

        def set_names(names):
            global _names
            if names != _names:
                _names = {**names}
        """,
    "shop/kin.py": """
        class Base:
            def run(self):
                return 1

        class Child(Base):
            pass

        def put_back():
            Child.run = Base.run

        def replace():
            Child.run = lambda self: 2
        """,
    "shop/meta.py": """
        class Model:
            pass

        def complete():
            Model.__fields__ = ("a",)

        def replace():
            Model.__init__ = lambda self: None
        """,
    "shop/lazy.py": """
        MODE = "prod"

        def __getattr__(name):
            if name == "answer":
                globals()["answer"] = 42
                return 42
            raise AttributeError(name)
        """,
    "shop/rebinds.py": """
        MODE = "prod"

        def __getattr__(name):
            global MODE
            MODE = "lazy"
            return MODE
        """,
    "shop/holder.py": "from shop import app\nfrom shop.app import Config, HANDLERS\n",
    "shop/boot.py": """
        from shop import app

        app.LIMIT = 5

        def install():
            app.LIMIT = 6
        """,
}

FREEZER = {
    "checks_other/__init__.py": "",
    "checks_other/freezer.py": """
        import sys
        from shop import invoker

        real = invoker.route

        def double():
            return 0

        def start():
            invoker.route = double

        def stop(value):
            for module in list(sys.modules.values()):
                if getattr(module, "route", None) is double:
                    module.route = value
        """,
}

IN_USE = "from shop import use\n\ndef test():\n    use."

SHOW_WARNING = """
    import warnings
    before = warnings.showwarning

    def test():
        warnings.showwarning = print

    def undo():
        warnings.showwarning = before
    """

SITUATIONS = [
    Situation(
        "interpreter",
        "shop.use.__warningregistry__",
        """
        import warnings
        from shop import use

        def test():
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("default")
                use.warn()
        """,
        """
        from shop import use

        def test():
            use.__all__ = ["client"]
        """,
        "shop.use.__all__",
    ),
    Situation(
        "last shown",
        "sys.last_value",
        """
        import sys
        before = sys.__dict__.get("last_value")
        sys.last_value = before

        def test():
            sys.last_value = ValueError()

        def undo():
            sys.last_value = before
        """,
        """
        import sys
        before = sys.displayhook

        def test():
            sys.displayhook = print

        def undo():
            sys.displayhook = before
        """,
        "sys.displayhook",
    ),
    Situation(
        "module spec",
        "shop.app.__spec__",
        """
        import importlib.util
        from shop import app

        def test():
            app.__spec__ = importlib.util.spec_from_file_location("shop.app", app.__file__)
        """,
        """
        from shop import app

        def test():
            app.__spec__ = None
        """,
    ),
    Situation(
        "captured stream",
        "sys.stdout",
        """
        import sys
        from _pytest.capture import CaptureIO
        before = sys.stdout
        sys.stdout = sys.__stdout__

        def test():
            sys.stdout = CaptureIO()

        def undo():
            sys.stdout = before
        """,
        """
        import io
        import sys
        before = sys.stdout
        sys.stdout = sys.__stdout__

        def test():
            sys.stdout = io.StringIO()

        def undo():
            sys.stdout = before
        """,
    ),
    Situation(
        "warnings",
        "warnings.showwarning",
        SHOW_WARNING,
        SHOW_WARNING.replace("showwarning", "formatwarning"),
        "warnings.formatwarning",
    ),
    Situation(
        "collection",
        "shop.app",
        """
        def test():
            import shop.app
        """,
        """
        from shop import app

        def test():
            app.route = None
        """,
        "shop.app.route",
        owner="module",
        nearest_owner="module",
    ),
    Situation(
        "submodule",
        "shop.app",
        """
        def test():
            import shop.app
        """,
        """
        import types
        import shop

        def test():
            shop.app = types.ModuleType("shop.app")
        """,
    ),
    Situation(
        "re-import",
        "shop.app",
        """
        import sys
        import shop.app

        def test():
            del sys.modules["shop.app"]
            import shop.app
        """,
        """
        import sys
        import shop.app
        import shop.holder

        def test():
            del sys.modules["shop.app"]
            import shop.app
        """,
    ),
    Situation(
        "reload",
        "shop.app.Config",
        """
        import importlib
        from shop import app

        def test():
            importlib.reload(app)
        """,
        """
        import importlib
        from shop import app, holder

        def test():
            importlib.reload(app)
        """,
    ),
    Situation(
        "put back",
        "shop.app.route",
        """
        from shop import app
        before = app.route

        def earlier():
            app.route = None

        def test():
            app.route = before
        """,
        """
        from shop import app

        def earlier():
            app.route = None

        def test():
            app.route = len
        """,
    ),
    Situation(
        "stopped patch",
        "unittest.mock.NonCallableMock.assert_called",
        """
        from unittest import mock

        mock.patch.object(mock.NonCallableMock, "assert_called", lambda self: None).start()

        def test():
            mock.patch.stopall()
        """,
        """
        from unittest import mock

        def test():
            mock.patch.object(mock.NonCallableMock, "assert_called", lambda self: None).start()

        def undo():
            mock.patch.stopall()
        """,
    ),
    Situation(
        "time zone",
        "time.tzname",
        """
        import os
        import time
        before = os.environ.get("TZ")

        def zone(value):
            os.environ.pop("TZ", None)
            if value is not None:
                os.environ["TZ"] = value
            time.tzset()

        def test():
            zone("XYZ-4:30")

        def undo():
            zone(before)
        """,
        """
        import time
        before = time.monotonic

        def test():
            time.monotonic = time.time

        def undo():
            time.monotonic = before
        """,
        "time.monotonic",
    ),
    Situation(
        "equal value",
        "shop.app.HANDLERS",
        """
        from shop import app

        def test():
            app.HANDLERS = {"a": [1]}
        """,
        """
        from shop import app, holder

        def test():
            app.HANDLERS = {"a": [1]}
        """,
    ),
    Situation("nothing new", "shop.use._session", IN_USE + "forget()\n", IN_USE + "begin()\n"),
    Situation(
        "import",
        "shop.app.LIMIT",
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
    ),
    Situation(
        "pytest",
        "_pytest.debugging.pytestPDB._wrapped_pdb_cls",
        """
        from _pytest.debugging import pytestPDB
        before = pytestPDB._wrapped_pdb_cls
        pytestPDB._wrapped_pdb_cls = None
        changed = "_wrapped_pdb_cls"

        def test():
            pytestPDB._import_pdb_cls(None)

        def undo():
            setattr(pytestPDB, changed, before)
        """,
        """
        from _pytest.debugging import pytestPDB
        before = pytestPDB._wrapped_pdb_cls
        pytestPDB._wrapped_pdb_cls = None

        def test():
            pytestPDB._wrapped_pdb_cls = ("none", None)

        def undo():
            pytestPDB._wrapped_pdb_cls = before
        """,
    ),
    Situation(
        "inherited",
        "shop.kin.Child.run",
        "from shop import kin\n\ndef test():\n    kin.put_back()\n",
        "from shop import kin\n\ndef test():\n    kin.replace()\n",
    ),
    Situation(
        "lazy attribute",
        "shop.lazy.answer",
        "from shop import lazy\n\ndef test():\n    lazy.answer\n",
        "from shop import rebinds\n\ndef test():\n    rebinds.answer\n",
        "shop.rebinds.MODE",
    ),
    Situation(
        "metadata",
        "shop.meta.Model.__fields__",
        "from shop import meta\n\ndef test():\n    meta.complete()\n",
        "from shop import meta\n\ndef test():\n    meta.replace()\n",
        "shop.meta.Model.__init__",
    ),
    Situation(
        "first use", "shop.use._client", IN_USE + "client()\n", IN_USE + "refill()\n", "shop.use._full"
    ),
    Situation("counter", "shop.use._calls", IN_USE + "count(1)\n", IN_USE + "count(-1)\n"),
    Situation(
        "cache", "shop.use._parser_cache", IN_USE + "renew()\n", IN_USE + "renew_table()\n", "shop.use._table"
    ),
    Situation("renewed", "shop.use._names", IN_USE + "renew_names()\n", IN_USE + "set_names({'b': 2})\n"),
    Situation(
        "library",
        "vendor.Clause._compiled",
        """
        from vendor import Clause

        def test():
            Clause().compile()
        """,
        """
        from vendor import Clause

        def test():
            Clause().name("x")
        """,
        "vendor.Clause.named",
        files=VENDOR,
    ),
    Situation(
        "put right",
        "shop.app.route",
        """
        from checks_other import freezer

        def test():
            freezer.start()
            from shop import app
            freezer.stop(freezer.real)
        """,
        """
        from checks_other import freezer

        def test():
            freezer.start()
            from shop import app
            freezer.stop(lambda: 2)
        """,
        files=FREEZER,
    ),
    Situation(
        "own set-up",
        "checks.CLIENT",
        """
        CLIENT = None

        def test():
            global CLIENT
            CLIENT = 1
        """,
        """
        from shop import app

        def test():
            app.LIMIT = 1
        """,
        "shop.app.LIMIT",
        owner="fixture",
        nearest_owner="fixture",
    ),
]


def rules_by_place(stage: Stage, engine: str, test: str, files: dict[str, str], kind: Any) -> dict[str, str]:
    """Run the test code and return, for each place left changed, the name of the rule or "leak"."""
    module = stage.load(test, USE | files)
    observer = stage.observer(engine)

    def run(function: Any, owner: Owner) -> list[Judged]:
        observer.switch(owner)
        function()
        return observer.end(owner)

    observer.start()
    try:
        if hasattr(module, "earlier"):
            span = span_of_code(module.earlier.__code__)
            run(module.earlier, Owner("earlier", "test", find_spans=lambda: (span,)))
        left = run(module.test, Owner("checks.py", kind, find_spans=lambda: spans_of(stage, module, kind)))
    finally:
        observer.stop()
        getattr(module, "undo", lambda: None)()
    named = [
        (change, next((rule.name for rule in rules_for(change.holder) if rule.reason == reason), verdict))
        for change, verdict, reason in left
    ]
    return {change.place: name for change, name in named}


def spans_of(stage: Stage, module: Any, kind: str) -> tuple[Span, ...]:
    if kind == "module":
        return whole_file(stage.folder / "checks.py")()
    return (span_of_code(module.test.__code__),)


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_rule_exempts_what_it_is_for(case: Situation, engine: str, stage: Stage) -> None:
    assert rules_by_place(stage, engine, case.exempt, case.files, case.owner)[case.place] == case.rule


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_nearest_situation_is_a_leak(case: Situation, engine: str, stage: Stage) -> None:
    found = rules_by_place(stage, engine, case.nearest, case.files, case.nearest_owner)
    assert found[case.nearest_place or case.place] == "leak"


RUN_IN_A_RUN = """
    import importlib
    import sys
    import _pytest.stepwise
    kept = sys.modules["_pytest.stepwise"]

    def test():
        del sys.modules["_pytest.stepwise"]
        again = importlib.import_module({name!r})
        sys.modules["_pytest.stepwise"] = kept

    def undo():
        sys.modules["_pytest"].stepwise = kept
    """


def test_what_a_run_in_a_run_imports_anew_is_pytests(engine: str, stage: Stage) -> None:
    found = rules_by_place(stage, engine, RUN_IN_A_RUN.format(name="_pytest.stepwise"), {}, "test")
    assert found["_pytest.stepwise"] == "pytest"


def test_another_module_in_its_place_is_a_leak(engine: str, stage: Stage) -> None:
    other = RUN_IN_A_RUN.replace("again = importlib", "sys.modules['_pytest'].stepwise = importlib")
    found = rules_by_place(stage, engine, other.format(name="_pytest.terminal"), {}, "test")
    assert found["_pytest.stepwise"] == "leak"


NUMBERED = """
    from shop import number

    def test():
        number.{call}
    """


@pytest.mark.parametrize(
    ("call", "place", "rule"),
    [
        ("Item()", "shop.number.Item.count", "counter"),  # from nothing, under a name that is computed
        ("label(number.Item, 3)", "shop.number.Item.label", "leak"),
        ("Form().prepare()", "shop.number.Form._fields", "first use"),  # by way of a __setattr__
        ("Form().rename()", "shop.number.Form._name", "leak"),
        ("note(number.Item)", "shop.number.Item.__how__", "metadata"),  # a function, too
        ("stamp(number.Item)", "shop.number.Item.__stamp__", "metadata"),  # under a name that is computed
        ("show(number.Item)", "shop.number.Item.__repr__", "leak"),  # which means something to Python
    ],
)
def test_the_writer_behind_setattr(call: str, place: str, rule: str, engine: str, stage: Stage) -> None:
    if rule == "counter" and engine != "watch":
        pytest.skip("a statement that computes the name cannot be found by searching")
    files = {
        "shop/number.py": """
            class Item:
                field = "count"

                def __init__(self):
                    found = getattr(Item, self.field, 0)
                    setattr(Item, self.field, found + 1)

            def label(item, value):
                setattr(item, "la" + "bel", value)

            def note(item):
                item.__how__ = lambda: 1

            def stamp(item):
                setattr(item, "__sta" + "mp__", 1)

            def show(item):
                item.__repr__ = lambda self: "item"

            class Meta(type):
                def __setattr__(cls, name, value):
                    type.__setattr__(cls, name, value)

            class Form(metaclass=Meta):
                _fields = None
                _name = None

                def prepare(self):
                    if Form._fields is None:
                        Form._fields = [1]

                def rename(self):
                    Form._name = "x"
            """,
    }
    assert rules_by_place(stage, engine, NUMBERED.format(call=call), files, "test")[place] == rule


BASE = """
    from vendor import Case
    from shop import app

    class TestIt(Case):
        def test_one(self):
            {body}

    class Other:
        pass
    """


@pytest.mark.parametrize(
    ("body", "target", "place", "rule"),
    [
        ("pass", "TestIt", "checks.TestIt.client", "own set-up"),
        ("pass", "Other", "checks.Other.client", "leak"),
        ("TestIt.client = 1", "app", "checks.TestIt.client", "leak"),
    ],
)
def test_a_base_class_sets_up_the_class_of_the_test(
    body: str, target: str, place: str, rule: str, engine: str, stage: Stage
) -> None:
    base = "class Case:\n    @staticmethod\n    def set_up(cls):\n        cls.client = object()\n"
    module = stage.load(BASE.format(body=body), USE | {"vendor.py": base})
    observer = stage.observer(engine)
    span = span_of_code(module.TestIt.test_one.__code__)
    owner = Owner("checks.py::TestIt::test_one", "test", find_spans=lambda: (span,))
    observer.start()
    try:
        observer.switch(owner)
        # as a runner calls it: no test code stands between
        vars(module)["TestIt"].set_up(vars(module)[target])
        module.TestIt().test_one()
        left = {change.place: (verdict, reason) for change, verdict, reason in observer.end(owner)}
    finally:
        observer.stop()
    verdict, reason = left[place]
    assert rule == ("leak" if verdict == "leak" else next(one.name for one in RULES if one.reason == reason))


@pytest.mark.parametrize(
    ("call", "found"),
    [("use.keep('parsed')", "cache"), ("setattr(use.Store, '__parsed_cache', {})", "leak")],
    ids=["by the program", "by the test"],
)
def test_a_cache_that_is_set_under_a_computed_name(call: str, found: str, engine: str, stage: Stage) -> None:
    files = {
        "shop/use.py": """
            class Store:
                pass

            def keep(name):
                setattr(Store, f"__{name}_cache", {})
            """
    }
    test = f"from shop import use\n\ndef test():\n    {call}\n"
    assert rules_by_place(stage, engine, test, files, "test")["shop.use.Store.__parsed_cache"] == found


def test_every_rule_has_its_situation() -> None:
    assert [case.rule for case in SITUATIONS] == [rule.name for rule in RULES]


@pytest.mark.parametrize("rules", [RULES, MODULE_RULES, OBJECT_RULES, PROBE_RULES])
def test_every_rule_gives_a_reason_of_its_own(rules: tuple[Rule, ...]) -> None:
    assert len({rule.reason for rule in rules}) == len(rules)
    assert all(rule.reason.strip() for rule in rules)

"""What stands in sys.modules: each rule with its situations, and modules that are bound to stubs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable

import pytest
from stage import Stage, whole_file
from test_policy import Situation
from test_policy_objects import named, observer_of, owner_of, rules_found

from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.observer import Judged
from pytest_mcpsmoke.state.policy import MODULE_RULES

PROGRAM = {
    "shop/__init__.py": "",
    "shop/app.py": """
        class Config:
            pass

        def load():
            return 1
        """,
    "shop/holder.py": "from shop.app import Config\n",
    "shop/net.py": "def send():\n    return 'sent'\n\n\nclass Error(Exception):\n    pass\n",
    "shop/client.py": "from shop.net import send\n",
    "shop/whole.py": "import shop.net as net\n",
    "shop/outer.py": "from shop import client\n",
    "shop/codec.py": "import json\nfrom json import loads, JSONDecoder\n",
    "checks_other.py": "from shop.net import send\n",
    "shop/weak.py": """
        import sys
        import types
        import weakref

        def load():
            module = types.ModuleType("shop.late")
            sys.modules["shop.late"] = weakref.proxy(module, lambda proxy: sys.modules.pop("shop.late"))
            return module

        def load_for_good():
            sys.modules["shop.late"] = types.ModuleType("shop.late")
        """,
    "shop/compat.py": "from shop.net import send, Error\n",
}
APP = "sys.modules['shop.app']"

SITUATIONS = [
    Situation(
        "imported",
        APP,
        """
        import sys

        def test():
            import shop.app
        """,
        """
        import sys
        import types

        def test():
            sys.modules["shop.app"] = types.ModuleType("shop.app")
        """,
    ),
    Situation(
        "put back",
        APP,
        """
        import sys
        import types
        import shop.app
        real = sys.modules["shop.app"]

        def earlier():
            sys.modules["shop.app"] = types.ModuleType("shop.app")

        def test():
            sys.modules["shop.app"] = real
        """,
        """
        import sys
        import types
        import shop.app

        def earlier():
            sys.modules["shop.app"] = types.ModuleType("shop.app")

        def test():
            sys.modules["shop.app"] = None
        """,
    ),
    Situation(
        "re-import",
        APP,
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
        "weak",
        "sys.modules['shop.late']",
        """
        import sys
        from shop import weak

        def test():
            sys.kept = weak.load()

        def undo():
            del sys.kept
            sys.modules.pop("shop.late", None)
        """,
        """
        import sys
        from shop import weak

        def test():
            weak.load_for_good()

        def undo():
            del sys.modules["shop.late"]
        """,
    ),
]


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_rule_exempts_what_it_is_for(case: Situation, engine: str, stage: Stage) -> None:
    assert rules_found(stage, engine, case.exempt, PROGRAM)[case.place] == case.rule


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_nearest_situation_is_a_leak(case: Situation, engine: str, stage: Stage) -> None:
    assert rules_found(stage, engine, case.nearest, PROGRAM)[case.place] == "leak"


def test_every_rule_has_its_situation() -> None:
    assert [case.rule for case in SITUATIONS] == [rule.name for rule in MODULE_RULES]


def test_a_module_that_was_held_weakly_goes_unnoticed(engine: str, stage: Stage) -> None:
    test = """
        from shop import weak

        def keep(*held):
            held = [*held]

            def drop():
                held.clear()

            return drop

        drop = keep(weak.load())

        def test():
            drop()
        """
    assert rules_found(stage, engine, test, PROGRAM)["sys.modules['shop.late']"] == "weak"


def test_a_module_that_is_removed_is_a_leak(engine: str, stage: Stage) -> None:
    test = "import sys\nimport shop.app\n\ndef test():\n    del sys.modules['shop.app']\n"
    assert rules_found(stage, engine, test, PROGRAM)[APP] == "leak"


def test_a_module_that_is_blocked_is_a_leak(engine: str, stage: Stage) -> None:
    test = "import sys\n\ndef test():\n    sys.modules['shop.app'] = None\n"
    assert rules_found(stage, engine, test, PROGRAM)[APP] == "leak"


NAMESAKE = """
    import importlib.util
    import sys
    import checks_other

    def test():
        spec = importlib.util.spec_from_file_location("checks_other", {path!r})
        module = importlib.util.module_from_spec(spec)
        sys.modules["checks_other"] = module
        spec.loader.exec_module(module)
    """


@pytest.mark.parametrize(("kind", "rule"), [("module", "imported"), ("test", "leak")])
def test_another_file_of_the_same_name_is_imported_by_collection(
    kind: str, rule: str, engine: str, stage: Stage
) -> None:
    stage.write({"elsewhere/checks_other.py": "", "checks_other.py": ""})
    text = NAMESAKE.format(path=str(stage.folder / "elsewhere" / "checks_other.py"))
    module = stage.load(text, program=PROGRAM)
    left = left_by(stage, engine, owner_of(module.test, kind), module.test)
    assert named(left)["sys.modules['checks_other']"] == rule


OUT = """
    import sys
    import {name}

    def test():
        del sys.modules["{name}"]
    """


@pytest.mark.parametrize(
    ("name", "importing", "rule"),
    [
        ("conftest", "checks_other/conftest.py", "imported"),
        ("conftest", "checks_other/test_one.py", "leak"),
        ("shop", "checks_other/conftest.py", "leak"),
    ],
)
def test_one_conftest_makes_room_for_the_next(
    name: str, importing: str, rule: str, engine: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "conftest", raising=False)  # of this run
    stage.write({"conftest.py": ""})
    module = stage.load(OUT.format(name=name), program=PROGRAM)
    owner = Owner(importing, "module", "module", find_spans=whole_file(stage.folder / importing))
    monkeypatch.setitem(sys.modules, name, sys.modules[name])
    assert named(left_by(stage, engine, owner, module.test))[f"sys.modules['{name}']"] == rule


ALONE = """
    import sys

    def earlier():
        import checks_other

    def test():
        del sys.modules["checks_other"]
        {again}
    """


def test_a_module_that_nobody_holds_may_be_imported_anew(engine: str, stage: Stage) -> None:
    stage.write({"checks_other.py": "def name():\n    pass\n"})
    found = rules_found(stage, engine, ALONE.format(again="import checks_other"), PROGRAM)
    assert found["sys.modules['checks_other']"] == "re-import"


def test_a_module_that_nobody_holds_is_not_put_back_as_none(engine: str, stage: Stage) -> None:
    """None in sys.modules would block the import."""
    stage.write({"checks_other.py": "def name():\n    pass\n"})
    module = stage.load(ALONE.format(again="pass"), program=PROGRAM)
    observer = observer_of(stage, engine)
    observer.start()
    try:
        owners = owner_of(module.earlier), owner_of(module.test)
        observer.switch(owners[0])
        module.earlier()
        observer.end(owners[0])
        observer.switch(owners[1])
        module.test()
        left = observer.end(owners[1])
        change, verdict, _ = next(entry for entry in left if entry[0].place.startswith("sys.modules"))
        failures = observer.restore([change])
    finally:
        observer.stop()
    assert (change.place, change.kind, verdict) == ("sys.modules['checks_other']", "removed", "leak")
    assert failures[change]
    assert "checks_other" not in sys.modules


def left_by(stage: Stage, engine: str, owner: Owner, function: Callable[[], object]) -> list[Judged]:
    observer = observer_of(stage, engine)
    observer.start()
    try:
        observer.switch(owner)
        function()
        return observer.end(owner)
    finally:
        observer.stop()


STUBBED = """
    import importlib
    import json
    import sys
    import types
    from unittest import mock

    import shop

    def stub(name, **names):
        module = types.ModuleType(name)
        vars(module).update(names)
        return module

    class Fake(Exception):
        @staticmethod
        def send():
            return "faked"

    class Faker:
        def send(self):
            return "faked"

    load = importlib.import_module

    def test():
"""


def bound(
    stage: Stage, engine: str, body: list[str], program: dict[str, str] | None = None
) -> dict[str, str]:
    """What is said to be bound to a stub after the lines of test(), and why, by the name of the module."""
    text = textwrap.dedent(STUBBED) + "".join(f"    {line}\n" for line in body)
    module = stage.load(text, program=PROGRAM | (program or {}))
    left = left_by(stage, engine, owner_of(module.test), module.test)
    return {
        change.place: f"{verdict}: {change.after}"
        for change, verdict, _ in left
        if change.holder.probe == "stubs"
    }


STUB = "sys.modules['shop.net'] = stub('shop.net', send=lambda: 'faked', Error=Fake)"
CLIENT = {"shop.client": "leak: imported while sys.modules['shop.net'] was a stub, held as send"}
WHOLE = {"shop.whole": "leak: imported while sys.modules['shop.net'] was a stub, held as net"}
BOUND: list[tuple[str, list[str], dict[str, str]]] = [
    ("a name of the stub", [STUB, "load('shop.client')", "del sys.modules['shop.net']"], CLIENT),
    ("the stub itself", [STUB, "shop.net = sys.modules['shop.net']", "load('shop.whole')"], WHOLE),
    (
        "the names are listed, up to three",
        [STUB, "load('shop.compat')", "del sys.modules['shop.net']"],
        {"shop.compat": "leak: imported while sys.modules['shop.net'] was a stub, held as send, Error"},
    ),
    ("un-stubbed before the end", [STUB, "load('shop.client')", "sys.modules.pop('shop.net')"], CLIENT),
    (
        "gone from sys.modules, but its package still holds it",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=lambda: 'faked')}):",
            "    load('shop.client')",
        ],
        CLIENT,
    ),
    (
        "gone from sys.modules and from its package",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=lambda: 'faked')}):",
            "    load('shop.client')",
            "del shop.client",
        ],
        {},
    ),
    (
        "imported anew, without the stub",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=lambda: 'faked')}):",
            "    load('shop.client')",
            "load('shop.client')",
        ],
        {},
    ),
    (
        "a module that stands in no package, gone",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=lambda: 'faked')}):",
            "    load('checks_other')",
        ],
        {},
    ),
    (
        "patch.dict that leaves the module where it is",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=lambda: 'faked')}):",
            "    load('shop.client')",
            "    module = sys.modules['shop.client']",
            "sys.modules['shop.client'] = module",
        ],
        CLIENT,
    ),
    (
        "a child of a MagicMock",
        ["sys.modules['shop.net'] = mock.MagicMock()", "load('shop.client')", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "a child of a Mock",
        ["sys.modules['shop.net'] = mock.Mock()", "load('shop.client')", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "a MagicMock itself",
        [
            "shop.net = sys.modules['shop.net'] = mock.MagicMock()",
            "load('shop.whole')",
            "del sys.modules['shop.net'], shop.net",
        ],
        WHOLE,
    ),
    (
        "an attribute that a mock was given",
        [
            "sys.modules['shop.net'] = mock.MagicMock(send=lambda: 'faked')",
            "load('shop.client')",
            "del sys.modules['shop.net']",
        ],
        CLIENT,
    ),
    (
        "a class as a stub",
        ["sys.modules['shop.net'] = Fake", "load('shop.client')", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "a method of an instance as a stub",
        ["sys.modules['shop.net'] = Faker()", "load('shop.client')", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "an instance as a stub",
        ["sys.modules['shop.net'] = Fake()", "load('shop.client')", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "imported by a module that is imported",
        [STUB, "load('shop.outer')", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "imported by a statement",
        [
            STUB,
            "import shop.client",
            "del sys.modules['shop.net']",
        ],
        CLIENT,
    ),
    (
        "what is held came from elsewhere",
        [
            "sys.modules['shop.net'] = stub('shop.net', json=json, loads=json.loads)",
            "sys.modules['shop.net'].Decoder = json.JSONDecoder",
            "load('shop.codec')",
            "del sys.modules['shop.net']",
        ],
        {},
    ),
    ("nothing imported it", [STUB, "del sys.modules['shop.net']"], {}),
    (
        "imported before the stub",
        ["load('shop.client')", "del sys.modules['shop.net']", STUB, "load('shop.app')"],
        {},
    ),
    (
        "imported after the stub was taken away",
        [STUB, "del sys.modules['shop.net']", "load('shop.client')"],
        {},
    ),
    (
        "an alias of a module that was imported",
        ["load('shop.net')", "sys.modules['shop.wire'] = sys.modules['shop.net']", "load('shop.client')"],
        {},
    ),
    (
        "a module that blocks another one",
        ["sys.modules['shop.speedups'] = None", "load('shop.client')"],
        {},
    ),
    (
        "what is held is a plain value",
        [
            "sys.modules['shop.net'] = stub('shop.net', send=1, Error=None)",
            "load('shop.compat')",
            "del sys.modules['shop.net']",
        ],
        {},
    ),
    (
        "the one empty tuple, the one empty frozenset",
        [
            "sys.modules['shop.net'] = stub('shop.net', send=(), Error=frozenset())",
            "load('shop.compat')",
            "del sys.modules['shop.net']",
        ],
        {},
    ),
]


@pytest.mark.parametrize(("lines", "expected"), [case[1:] for case in BOUND], ids=[case[0] for case in BOUND])
def test_a_module_stays_bound_to_a_stub(
    lines: list[str], expected: dict[str, str], engine: str, stage: Stage
) -> None:
    assert bound(stage, engine, lines) == expected


def test_a_lazy_module_of_the_program_that_stands_in_for_itself_is_no_stub(engine: str, stage: Stage) -> None:
    """werkzeug and py do so: the body of a module puts another object in its place."""
    lazy = """
        import sys
        import types

        class Lazy(types.ModuleType):
            def send(self):
                return "sent"

        sys.modules[__name__] = Lazy(__name__)
        """
    body = ["load('shop.lazy')", "load('shop.late')"]
    assert (
        bound(stage, engine, body, {"shop/lazy.py": lazy, "shop/late.py": "import shop.lazy as lazy\n"}) == {}
    )


def test_an_object_of_a_module_that_stands_in_for_itself_is_no_stub(engine: str, stage: Stage) -> None:
    lazy = "import sys\n\nclass Lazy:\n    pass\n\nsys.modules[__name__] = Lazy()\n"
    body = ["load('shop.lazy')", "load('shop.late')"]
    assert (
        bound(stage, engine, body, {"shop/lazy.py": lazy, "shop/late.py": "import shop.lazy as lazy\n"}) == {}
    )

"""What stands in sys.modules: each rule with its situations, and modules that are bound to stubs."""

from __future__ import annotations

import pytest
from stage import Stage
from test_policy import Situation
from test_policy_objects import named, observer_of, owner_of, rules_found

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
]


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_rule_exempts_what_it_is_for(case: Situation, engine: str, stage: Stage) -> None:
    assert rules_found(stage, engine, case.exempt, PROGRAM)[case.place] == case.rule


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_nearest_situation_is_a_leak(case: Situation, engine: str, stage: Stage) -> None:
    assert rules_found(stage, engine, case.nearest, PROGRAM)[case.place] == "leak"


def test_every_rule_has_its_situation() -> None:
    assert [case.rule for case in SITUATIONS] == [rule.name for rule in MODULE_RULES]


def in_modules(stage: Stage, engine: str, test: str) -> dict[str, str]:
    """What is told about sys.modules itself and about stubs: places of modules have no dots of attributes."""
    found = rules_found(stage, engine, test, PROGRAM)
    return {place: rule for place, rule in found.items() if rule == "leak"}


def test_a_module_that_is_removed_is_a_leak(engine: str, stage: Stage) -> None:
    test = "import sys\nimport shop.app\n\ndef test():\n    del sys.modules['shop.app']\n"
    assert in_modules(stage, engine, test)[APP] == "leak"


def test_a_module_that_is_blocked_is_a_leak(engine: str, stage: Stage) -> None:
    test = "import sys\n\ndef test():\n    sys.modules['shop.app'] = None\n"
    assert in_modules(stage, engine, test)[APP] == "leak"


def test_another_file_of_the_same_name_is_imported_by_collection(engine: str, stage: Stage) -> None:
    stage.write({"elsewhere/checks_other.py": "", "checks_other.py": ""})
    test = """
        import importlib.util
        import sys
        import checks_other

        def test():
            spec = importlib.util.spec_from_file_location("checks_other", {path!r})
            module = importlib.util.module_from_spec(spec)
            sys.modules["checks_other"] = module
            spec.loader.exec_module(module)
        """.replace("{path!r}", repr(str(stage.folder / "elsewhere" / "checks_other.py")))
    module = stage.load(test, program=PROGRAM)
    observer = observer_of(stage, engine)
    found = []
    observer.start()
    try:
        for kind in ("module", "test"):
            owner = owner_of(module.test, kind)
            observer.switch(owner)
            module.test()
            found.append(named(observer.end(owner)).get("sys.modules['checks_other']"))
    finally:
        observer.stop()
    assert found == ["imported", "re-import"]


STUBBED = """
    import sys
    import types
    from unittest import mock

    import shop

    def stub(name, **names):
        module = types.ModuleType(name)
        vars(module).update(names)
        return module

    class Fake:
        send = staticmethod(lambda: "faked")
        Error = KeyError

    def test():
"""


def bound(stage: Stage, engine: str, body: list[str], program: dict[str, str] | None = None) -> dict[str, str]:
    """What is said to be bound to a stub after the lines of test(), and why, by the name of the module."""
    import textwrap

    text = textwrap.dedent(STUBBED) + "".join(f"    {line}\n" for line in body)
    module = stage.load(text, program=PROGRAM | (program or {}))
    observer, owner = observer_of(stage, engine), owner_of(module.test)
    observer.start()
    try:
        observer.switch(owner)
        module.test()
        left = observer.end(owner)
    finally:
        observer.stop()
    return {
        change.place: f"{verdict}: {change.after}"
        for change, verdict, _ in left
        if change.holder.probe == "stubs"
    }


STUB = "sys.modules['shop.net'] = stub('shop.net', send=lambda: 'faked', Error=KeyError)"
CLIENT = {"shop.client": "leak: imported while sys.modules['shop.net'] was a stub, held as send"}
WHOLE = {"shop.whole": "leak: imported while sys.modules['shop.net'] was a stub, held as net"}
BOUND: list[tuple[str, list[str], dict[str, str]]] = [
    ("a name of the stub", [STUB, "import shop.client", "del sys.modules['shop.net']"], CLIENT),
    ("the stub itself", [STUB, "shop.net = sys.modules['shop.net']", "import shop.whole"], WHOLE),
    (
        "the names are listed, up to three",
        [STUB, "import shop.compat", "del sys.modules['shop.net']"],
        {"shop.compat": "leak: imported while sys.modules['shop.net'] was a stub, held as send, Error"},
    ),
    ("un-stubbed before the end", [STUB, "import shop.client", "sys.modules.pop('shop.net')"], CLIENT),
    (
        "mock.patch.dict puts sys.modules back, and the module is gone, too",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=len)}):",
            "    import shop.client",
        ],
        {},
    ),
    (
        "patch.dict that leaves the module where it is",
        [
            "with mock.patch.dict(sys.modules, {'shop.net': stub('shop.net', send=len)}):",
            "    import shop.client",
            "    module = sys.modules['shop.client']",
            "sys.modules['shop.client'] = module",
        ],
        CLIENT,
    ),
    (
        "a child of a MagicMock",
        ["sys.modules['shop.net'] = mock.MagicMock()", "import shop.client", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "a child of a Mock",
        ["sys.modules['shop.net'] = mock.Mock()", "import shop.client", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "a MagicMock itself",
        [
            "shop.net = sys.modules['shop.net'] = mock.MagicMock()",
            "import shop.whole",
            "del sys.modules['shop.net'], shop.net",
        ],
        WHOLE,
    ),
    (
        "an attribute that a mock was given",
        [
            "sys.modules['shop.net'] = mock.MagicMock(send=lambda: 'faked')",
            "import shop.client",
            "del sys.modules['shop.net']",
        ],
        CLIENT,
    ),
    (
        "a class as a stub",
        ["sys.modules['shop.net'] = Fake", "import shop.client", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "an instance as a stub",
        ["sys.modules['shop.net'] = Fake()", "import shop.client", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "imported by a module that is imported",
        [STUB, "import shop.outer", "del sys.modules['shop.net']"],
        CLIENT,
    ),
    (
        "imported by its name",
        [
            STUB,
            "import importlib",
            "importlib.import_module('shop.client')",
            "del sys.modules['shop.net']",
        ],
        CLIENT,
    ),
    ("nothing imported it", [STUB, "del sys.modules['shop.net']"], {}),
    (
        "imported before the stub",
        ["import shop.client", "del sys.modules['shop.net']", STUB, "import shop.app"],
        {},
    ),
    (
        "imported after the stub was taken away",
        [STUB, "del sys.modules['shop.net']", "import shop.client"],
        {},
    ),
    (
        "an alias of a module that was imported",
        ["import shop.net", "sys.modules['shop.wire'] = sys.modules['shop.net']", "import shop.client"],
        {},
    ),
    (
        "a module that blocks another one",
        ["sys.modules['shop.speedups'] = None", "import shop.client"],
        {},
    ),
    (
        "what is held is a plain value",
        [
            "sys.modules['shop.net'] = stub('shop.net', send=1, Error=None)",
            "import shop.compat",
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
    body = ["import shop.lazy", "import shop.late"]
    assert bound(stage, engine, body, {"shop/lazy.py": lazy, "shop/late.py": "import shop.lazy as lazy\n"}) == {}


def test_an_object_of_a_module_that_stands_in_for_itself_is_no_stub(engine: str, stage: Stage) -> None:
    lazy = "import sys\n\nclass Lazy:\n    pass\n\nsys.modules[__name__] = Lazy()\n"
    body = ["import shop.lazy", "import shop.late"]
    assert bound(stage, engine, body, {"shop/lazy.py": lazy, "shop/late.py": "import shop.lazy as lazy\n"}) == {}

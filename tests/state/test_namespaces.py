"""What is watched, and what is never opened, asked or loaded by watching it."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import hostile
import pytest
from stage import Stage, row

from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.observer import Observer
from pytest_mcpsmoke.state.place import Namespace, class_dict, is_class, is_module, is_open_class, module_dict


class Watching:
    """An observer in whose time things happen."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.owner = Owner("checks.py::test", "test")

    def left(self) -> list[str]:
        """What was left changed of the program, whatever the verdict."""
        return sorted(row(entry).partition(" ")[2] for entry in Stage.ours(self.observer.end(self.owner)))


@pytest.fixture
def watching(engine: str, stage: Stage) -> Iterator[Watching]:
    found = Watching(stage.observer(engine))
    yield found
    found.observer.stop()


def begin(watching: Watching) -> None:
    hostile.ASKED.clear()
    watching.observer.start()
    watching.observer.switch(watching.owner)


def test_a_lazy_module_stays_unloaded(watching: Watching, stage: Stage, tmp_path: Path) -> None:
    stage.write({"shop/__init__.py": "", "shop/slow.py": "raise AssertionError('the module was loaded')\n"})
    spec = importlib.util.spec_from_file_location("shop.slow", tmp_path / "shop" / "slow.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop.slow"] = module
    spec.loader.exec_module(module)
    begin(watching)
    module_dict(module)["added"] = 1
    assert watching.left() == ["shop.slow.added added: (nothing) -> 1"]
    assert type(module) is not types.ModuleType  # as LazyLoader leaves it until it is loaded


def test_a_module_that_computes_attributes_is_not_asked(watching: Watching, stage: Stage) -> None:
    stage.write(
        {"shop/__init__.py": "", "shop/asks.py": "def __getattr__(name):\n    raise AssertionError(name)\n"}
    )
    module = importlib.import_module("shop.asks")
    begin(watching)
    module.added = 1  # type: ignore[attr-defined]
    assert watching.left() == ["shop.asks.added added: (nothing) -> 1"]


def test_a_module_of_a_hostile_class_is_watched_without_being_asked(watching: Watching) -> None:
    module = hostile.hostile_kinds()["a module"]
    types.ModuleType.__init__(module, "shop.hostile")
    sys.modules["shop.hostile"] = module
    begin(watching)
    namespace = Namespace("module", weakref.ref(module), "shop.hostile")
    assert namespace.contents is not None
    namespace.contents["added"] = 1
    assert watching.left() == ["shop.hostile.added added: (nothing) -> 1"]
    assert hostile.ASKED == []


NO_MODULES = {
    "SimpleNamespace": types.SimpleNamespace(added=None),
    "None": None,
    "MagicMock": MagicMock(),
    "text": "text",
    "an instance": hostile.hostile_kinds()["an instance"],
    "a class": hostile.hostile_kinds()["a class"],
    "a proxy of a module": hostile.Pretender(types.ModuleType),
    "a proxy of a class": hostile.Pretender(type),
}


@pytest.mark.parametrize("kind", NO_MODULES)
def test_what_is_no_module_is_not_opened(kind: str, watching: Watching) -> None:
    sys.modules["shop.none"] = NO_MODULES[kind]  # type: ignore[assignment]
    begin(watching)
    assert watching.left() == []
    if kind == "MagicMock":
        assert NO_MODULES[kind].mock_calls == []
    assert hostile.ASKED == []


def test_hostile_values_of_a_namespace_are_not_asked(watching: Watching, stage: Stage) -> None:
    module = types.ModuleType("shop")
    vars(module).update(hostile.hostile_kinds(), proxy=hostile.Pretender(type))
    sys.modules["shop"] = module
    begin(watching)
    module.added = hostile.hostile_kinds()["an instance"]  # type: ignore[attr-defined]
    vars(module)["a class"] = hostile.hostile_class("Another")
    vars(module)["a str"] = hostile.Pretender(types.ModuleType)
    assert watching.left() == [
        "shop.a class rebound: class Hostile -> class Another",
        "shop.a str rebound: Hostilestr object -> Pretender object",
        "shop.added added: (nothing) -> Hostile object",
    ]
    assert hostile.ASKED == []


def test_a_property_is_not_asked(watching: Watching, stage: Stage) -> None:
    def boom(self: object) -> None:
        raise AssertionError("the property was asked")

    class Config:
        value = property(boom)

    Config.__module__, Config.__qualname__ = "shop", "Config"
    module = types.ModuleType("shop")
    module.Config = Config  # type: ignore[attr-defined]
    sys.modules["shop"] = module
    begin(watching)
    Config.value = property(lambda self: 1)
    assert watching.left() == ["shop.Config.value rebound: property boom -> property <lambda>"]


def test_an_attribute_of_a_hostile_class_is_watched(watching: Watching) -> None:
    cls, module = hostile.hostile_class("Config"), types.ModuleType("shop")
    type.__setattr__(cls, "__module__", "shop")
    module.Config = cls  # type: ignore[attr-defined]
    sys.modules["shop"] = module
    begin(watching)
    type.__setattr__(cls, "mode", "test")
    assert watching.left() == ["shop.Config.mode added: (nothing) -> 'test'"]
    assert hostile.ASKED == []


def test_a_module_in_the_making_is_watched_from_the_end_of_its_body_on(
    watching: Watching, stage: Stage
) -> None:
    stage.write(
        {
            "shop/__init__.py": "",
            "shop/first.py": "A = 1\nimport shop.second\nB = 2\n",
            "shop/second.py": "import sys\nsys.modules['shop.first'].C = 3\n",
        }
    )
    importlib.import_module("shop")
    begin(watching)
    first = importlib.import_module("shop.first")
    first.B = 3  # type: ignore[attr-defined]
    assert [line for line in watching.left() if "rebound" in line] == ["shop.first.B rebound: 2 -> 3"]


def test_a_module_under_two_names_is_one_namespace(watching: Watching) -> None:
    module = types.ModuleType("shop")
    sys.modules["shop"] = sys.modules["shop.alias"] = module
    begin(watching)
    module.added = 1  # type: ignore[attr-defined]
    assert watching.left() == ["shop.added added: (nothing) -> 1"]


def test_another_module_under_the_same_name_is_watched_too(watching: Watching) -> None:
    sys.modules["shop"] = types.ModuleType("shop")
    begin(watching)
    replaced = sys.modules["shop"] = types.ModuleType("shop")
    watching.observer.sweep()
    replaced.added = 1  # type: ignore[attr-defined]
    assert watching.left() == ["shop.added added: (nothing) -> 1"]


def test_a_module_at_the_address_of_a_dead_one_is_watched(watching: Watching) -> None:
    module = sys.modules["shop"] = types.ModuleType("shop")
    begin(watching)
    address = id(module)
    del sys.modules["shop"], module
    watching.observer.book()
    others = []  # whatever is given other addresses stays alive, so that this one's turn comes
    while len(others) < 1000 and id(module := types.ModuleType("shop")) != address:
        others.append(module)
    if id(module) != address:
        pytest.skip("the address was not given out again")
    sys.modules["shop"] = module
    watching.observer.import_ends("shop", False)
    module.added = 1  # type: ignore[attr-defined]
    assert watching.left() == ["shop.added added: (nothing) -> 1"]


def test_a_module_that_was_taken_out_of_sys_modules_can_be_collected(
    watching: Watching, stage: Stage
) -> None:
    stage.write({"shop.py": "class Environment:\n    pass\n\nENVIRONMENT = Environment()\n"})
    begin(watching)
    module = importlib.import_module("shop")
    module.ENVIRONMENT.module = module
    gone = weakref.ref(module)
    watching.observer.book()
    del sys.modules["shop"], module
    gc.collect()
    assert gone() is None
    assert watching.left() == []


def test_classes_of_other_packages_are_watched_without_their_inner_classes(engine: str, stage: Stage) -> None:
    stage.write({"checks_other.py": "class Outer:\n    class Inner:\n        depth = 1\n"})
    outer = importlib.import_module("checks_other").Outer
    observer = stage.observer(engine)
    found = Watching(observer)
    begin(found)
    outer.Inner.depth = 2
    outer.mode = 1
    left = found.left()
    observer.stop()
    assert left == ["checks_other.Outer.mode added: (nothing) -> 1"]


def test_builtin_types_are_closed() -> None:
    assert not is_open_class(int)
    assert not is_open_class(types.ModuleType)
    assert is_open_class(Watching)
    assert not is_open_class(hostile.Pretender(type))
    assert not is_class(hostile.Pretender(type))
    assert not is_module(hostile.Pretender(types.ModuleType))


def test_the_dict_of_a_class_is_its_own() -> None:
    class Local:
        mode = 1

    attributes = class_dict(Local)
    assert attributes is not None
    attributes_seen = attributes["mode"]
    Local.mode = 2
    assert (attributes_seen, attributes["mode"]) == (1, 2)


def test_a_place_of_a_dead_class_still_has_a_name() -> None:
    class Local:
        pass

    namespace = Namespace("class", weakref.ref(Local), "shop")
    assert namespace.place("mode").endswith(
        "test_a_place_of_a_dead_class_still_has_a_name.<locals>.Local.mode"
    )
    del Local
    gc.collect()
    assert namespace.place("mode") == "shop.<gone>.mode"
    assert namespace.contents is None


def test_a_class_that_lies_about_its_module_is_named_by_where_it_was_found() -> None:
    class Local:
        pass

    Local.__module__ = hostile.hostile_kinds()["a str"]
    Local.__qualname__ = "Local"
    hostile.ASKED.clear()
    assert Namespace("class", weakref.ref(Local), "shop").place("mode") == "shop.Local.mode"
    assert hostile.ASKED == []

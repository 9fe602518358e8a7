"""Noticing imports and reloads, without a trace in anybody's traceback or warning."""

from __future__ import annotations

import importlib
import linecache
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stage import Stage

from pytest_mcpsmoke.state.imports import ImportHook
from pytest_mcpsmoke.state.observer import Observer

BOOTSTRAP: Any = importlib._bootstrap  # type: ignore[attr-defined]
WRAPPED = ("_find_and_load", "_exec")


class Listener:
    def __init__(self, *refused: str) -> None:
        self.told: list[Any] = []
        self.refused = refused

    def import_begins(self, name: str) -> bool:
        self.told.append(("begins", name))
        return name not in self.refused

    def import_ends(self, name: str, began: bool) -> None:
        self.told.append(("ends", name, began, name in sys.modules))

    def reload_begins(self) -> bool:
        self.told.append("reload begins")
        return False

    def reload_ends(self, module: Any, outer: bool) -> None:
        assert outer is False
        self.told.append(("reload ends", module.__name__))


def bootstrap() -> tuple[Any, ...]:
    return tuple(getattr(BOOTSTRAP, name) for name in WRAPPED)


@pytest.fixture
def listener() -> Iterator[Listener]:
    before, heard = bootstrap(), Listener("shop.inner")
    hook = ImportHook(heard)
    hook.install()
    assert bootstrap() != before
    yield heard
    hook.remove()
    hook.remove()
    assert bootstrap() == before


def test_each_import_is_told_when_it_begins_and_when_it_has_ended(listener: Listener, stage: Stage) -> None:
    stage.write({"shop/__init__.py": "", "shop/outer.py": "import shop.inner\n", "shop/inner.py": ""})
    importlib.import_module("shop.outer")
    assert [told for told in listener.told if told[1].startswith("shop")] == [
        ("begins", "shop.outer"),
        ("begins", "shop"),
        ("ends", "shop", True, True),
        ("begins", "shop.inner"),
        ("ends", "shop.inner", False, True),
        ("ends", "shop.outer", True, True),
    ]


def test_a_failed_import_ends_too(listener: Listener, stage: Stage) -> None:
    stage.write({"shop/__init__.py": "", "shop/broken.py": "1 / 0\n"})
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("shop.broken")
    assert listener.told[-1] == ("ends", "shop.broken", True, False)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("shop.missing")
    assert listener.told[-1] == ("ends", "shop.missing", True, False)


def test_a_reload_is_told(listener: Listener, stage: Stage) -> None:
    stage.write({"shop/__init__.py": ""})
    module = importlib.import_module("shop")
    listener.told.clear()
    importlib.reload(module)
    assert listener.told == ["reload begins", ("reload ends", "shop")]


FAILURES = {
    "an error in the body": ("shop.broken", ["use", "<module>"]),
    "a syntax error": ("shop.crooked", ["use"]),
    "a missing module": ("shop.missing", ["use"]),
    "a missing module of an import in the body": ("shop.needs", ["use", "<module>"]),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.usefixtures("listener")
def test_the_traceback_of_a_failed_import_has_no_frame_of_ours(name: str, stage: Stage) -> None:
    module, functions = FAILURES[name]
    stage.write(
        {
            "shop/__init__.py": "",
            "shop/broken.py": "1 / 0\n",
            "shop/crooked.py": "def (:\n",
            "shop/needs.py": "import shop.missing\n",
            "checks.py": f"def use():\n    import {module}\n",
        }
    )
    checks = importlib.import_module("checks")
    with pytest.raises((ZeroDivisionError, SyntaxError, ImportError)) as raised:
        checks.use()
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.name for frame in frames[1:]] == functions


@pytest.mark.usefixtures("listener")
def test_a_warning_of_a_module_body_points_to_the_importing_line(stage: Stage, tmp_path: Path) -> None:
    stage.write(
        {
            "shop/__init__.py": "import warnings\nwarnings.warn('old', DeprecationWarning, stacklevel=2)\n",
            "checks.py": "def use():\n    import shop\n",
        }
    )
    checks = importlib.import_module("checks")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checks.use()
    found = [(warning.filename, warning.lineno) for warning in caught]
    assert found == [(str(tmp_path / "checks.py"), 2)]
    assert linecache.getline(*found[0]).strip() == "import shop"


def test_hooks_nest_and_each_hears_everything(listener: Listener, stage: Stage) -> None:
    stage.write({"shop/__init__.py": ""})
    inner, before = Listener(), bootstrap()
    hook = ImportHook(inner)
    hook.install()
    importlib.import_module("shop")
    hook.remove()
    assert inner.told == listener.told == [("begins", "shop"), ("ends", "shop", True, True)]
    assert bootstrap() == before


def test_an_outer_hook_removed_first_is_silent_and_lets_the_inner_one_hear(stage: Stage) -> None:
    stage.write({"shop/__init__.py": ""})
    before = bootstrap()
    outer, inner = Listener(), Listener()
    hooks = ImportHook(outer), ImportHook(inner)
    for hook in hooks:
        hook.install()
    hooks[0].remove()
    importlib.import_module("shop")
    importlib.reload(sys.modules["shop"])
    assert outer.told == []
    assert inner.told == [
        ("begins", "shop"),
        ("ends", "shop", True, True),
        "reload begins",
        ("reload ends", "shop"),
    ]
    hooks[1].remove()
    for name, real in zip(WRAPPED, before, strict=True):
        setattr(BOOTSTRAP, name, real)  # the outer one's pass-through cannot go by itself


def test_a_listener_is_told_by_every_way_of_importing(listener: Listener, stage: Stage) -> None:
    stage.write(
        {"shop/__init__.py": "", "shop/a.py": "", "shop/b.py": "", "shop/c.py": "", "checks.py": IMPORTING}
    )
    importlib.import_module("checks").use()
    begun = [told[1] for told in listener.told if told[0] == "begins"]
    assert begun == ["checks", "shop.a", "shop", "shop.b", "shop.c"]


IMPORTING = """
    import importlib

    def use():
        import shop.a
        from shop import b
        importlib.import_module("shop.c")
    """


class TestWhatIsNotThere:
    """Programs ask for packages that they can do without, some at every call."""

    ASKS = """
        import importlib

        def ask():
            try:
                importlib.import_module("shop.extra")
            except ImportError:
                return False
            return True
        """

    @pytest.fixture
    def boundaries(self, monkeypatch: pytest.MonkeyPatch) -> list[None]:
        """One entry for each time that the program was read."""
        seen: list[None] = []
        book = Observer.book

        def counted(self: Observer) -> None:
            seen.append(None)
            book(self)

        monkeypatch.setattr(Observer, "book", counted)
        return seen

    def test_it_is_read_around_a_few_times_only(
        self, stage: Stage, engine: str, boundaries: list[None]
    ) -> None:
        test = "from shop import asks\n\ndef test():\n    assert not any(asks.ask() for _ in range(500))\n"
        module = stage.load(test, {"shop/asks.py": self.ASKS})
        assert stage.run(engine, module) == []
        assert len(boundaries) < 20

    def test_when_it_is_there_at_last_its_import_is_one(self, stage: Stage, engine: str) -> None:
        test = """
            from shop import asks

            def test():
                assert not any(asks.ask() for _ in range(10))
                with open(asks.__file__.replace("asks", "extra"), "w") as file:
                    file.write("from shop import asks\\nasks.EXTRA = True\\n")
                asks.importlib.invalidate_caches()
                assert asks.ask()
            """
        module = stage.load(test, {"shop/asks.py": self.ASKS})
        assert [line.partition(":")[0] for line in stage.run(engine, module)] == [
            "warm-up shop.asks.EXTRA added",
            "warm-up shop.extra added",
        ]

"""What may be undone in a process that is thrown away: what stays, why, and what naming a place lifts."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.state.change import Change
from pytest_mcpsmoke.state.ledger import Cause, Owner
from pytest_mcpsmoke.state.place import MISSING, Holder, Namespace
from pytest_mcpsmoke.state.probes.descriptors import Descriptors
from pytest_mcpsmoke.state.probes.modules import SysModules, un_import
from pytest_mcpsmoke.state.restore import restore
from pytest_mcpsmoke.state.stubs import BoundToStubs
from pytest_mcpsmoke.state.undoing import STAYS, Undoing
from pytest_mcpsmoke.state.writer import Files, Writer

PROGRAM = {"shop", "shop.app"}
TEST = Owner("test_x.py::test_it", "test")
IMPORT = Owner("test_x.py", "module")
REASONS = {one.name: one.reason for one in STAYS}
Load = Callable[..., types.ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Puts a module into sys.modules as an import would; a suffix of its file makes it an extension."""

    def load(name: str, suffix: str = ".py") -> types.ModuleType:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__file__ = f"/lib/{name.replace('.', '/')}{suffix}"
        monkeypatch.setitem(sys.modules, name, module)
        package, _, last = name.rpartition(".")
        if package and package != "_pytest":
            setattr(sys.modules[package], last, module)
        return module

    return load


def change_of(
    holder: Holder, key: str, after: Any, owner: Owner = TEST, cause: Cause | None = None
) -> Change:
    return Change(
        holder,
        key,
        MISSING,
        after,
        owner,
        lambda: Writer("import", None),
        cause=cause,
        is_ours=PROGRAM.__contains__,
    )


def imported(module: types.ModuleType, owner: Owner = TEST) -> Change:
    return change_of(SysModules(), module.__name__, module, owner, "import")


def why(
    change: Change, *others: Change, glob: str = "*", files: Files | None = None, is_leak: bool = False
) -> str | None:
    undoing = Undoing((glob,), files or Files())
    assert undoing.wants(change.place)
    return undoing.why_stays(change, change.place, is_leak, undoing.scene([change, *others]))


class TestWhatStays:
    def test_of_the_program_nothing(self, load: Load) -> None:
        load("shop")
        assert why(imported(load("shop.app"))) is None

    def test_pytest_and_its_plugins_whatever_names_them(self, load: Load) -> None:
        files = Files()
        files.plugins.add(str(load("pytest_shop", "/plugin.py").__file__))
        load("_pytest.shop")
        for name in ("pytest_shop", "_pytest.shop", "pytest_mcpsmoke.cli"):
            module = sys.modules.get(name) or load(name)
            for glob in ("*", f"sys.modules[{name!r}]"):
                assert why(imported(module), glob=glob, files=files) == REASONS["pytest"]

    def test_a_program_that_brings_a_plugin_is_no_plugin(self, load: Load) -> None:
        files = Files()
        files.plugins.add(str(load("shop").__file__))
        assert why(imported(load("shop.app")), files=files) is None

    def test_the_standard_library(self) -> None:
        assert why(imported(importlib)) == REASONS["interpreter"]
        assert why(imported(importlib), glob="sys.modules['importlib']") == REASONS["interpreter"]

    def test_a_package_with_an_extension_module_whole(self, load: Load) -> None:
        package, other = load("fast"), load("slow")
        extension = load("fast._speed", importlib.machinery.EXTENSION_SUFFIXES[0])
        changes = [imported(module) for module in (package, extension, other)]
        assert why(changes[0], *changes) == REASONS["extension"]
        assert why(changes[1], *changes, glob="sys.modules['fast._speed']") == REASONS["extension"]
        assert why(changes[2], *changes) is None

    def test_what_a_test_module_imports_unless_it_is_named(self, load: Load) -> None:
        change = imported(load("shop"), IMPORT)
        assert why(change) == REASONS["collection"]
        assert why(change, glob="sys.modules['sho?']") == REASONS["collection"]
        assert why(change, glob="sys.modules['shop']") is None

    def test_a_part_of_a_library_that_was_there_unless_it_is_named(self, load: Load) -> None:
        library, part = imported(load("library")), imported(load("library.part"))
        assert why(part) == REASONS["library"]
        assert why(part, glob=part.place) is None
        assert why(part, library) is None, "the whole library goes"

    def test_what_an_import_set_up_elsewhere_unless_it_is_named(self, load: Load) -> None:
        module, program = load("library"), load("shop")
        elsewhere = change_of(Namespace("module", lambda: module, "library"), "TABLE", 1, cause="import")  # type: ignore[arg-type]
        inside = change_of(Namespace("module", lambda: program, "shop"), "TABLE", 1, cause="import")  # type: ignore[arg-type]
        assert why(elsewhere) == REASONS["set up by an import"]
        assert why(elsewhere, glob="library.TABLE") is None
        assert why(inside) is None

    def test_an_open_resource_unless_it_is_named(self) -> None:
        change = change_of(Descriptors(lambda path: False), "9 (socket)", "socket:[1]")
        assert why(change) == REASONS["resource"]
        assert why(change, glob=change.place) is None

    def test_a_leak_never_but_for_a_module_that_would_be_un_imported(self, load: Load) -> None:
        assert why(change_of(SysModules(), "json", types.ModuleType("json")), is_leak=True) is None
        bound = change_of(BoundToStubs(lambda name: False), "shop", "imported while …", IMPORT)
        assert why(bound, is_leak=True) == REASONS["collection"]
        assert why(bound, is_leak=True, glob="shop") is None


class TestWhatIsTold:
    def test_an_import_is_recorded_but_for_that_of_a_test_module(self, load: Load) -> None:
        files = Files()
        files.tests.add(str(load("test_x").__file__))
        program, tests = imported(load("shop")), imported(sys.modules["test_x"])
        ignored = [(program, "ignored", "a module was imported"), (tests, "ignored", "a module was imported")]
        told = Undoing(("*",), files).told(ignored)  # type: ignore[arg-type]
        assert [verdict for _, verdict, _ in told] == ["warm-up", "ignored"]

    def test_what_else_is_ignored_stays_so(self) -> None:
        change = change_of(Namespace("module", lambda: sys, "sys"), "last_value", 1)  # type: ignore[arg-type]
        judged = [(change, "ignored", "the interpreter's"), (change, "leak", None)]
        assert Undoing(("*",), Files()).told(judged) == judged  # type: ignore[arg-type]


@given(st.text())
def test_each_place_is_a_glob_that_matches_it(place: str) -> None:
    assert Undoing((place,), Files()).wants(place)


class TestUnImporting:
    def test_takes_the_attribute_of_the_package_along(self, load: Load) -> None:
        package, module = load("shop"), load("shop.app")
        probe = SysModules()
        probe.start()
        change = change_of(probe, "shop.app", module)
        assert restore([change]) == {change: None}
        assert "shop.app" not in sys.modules
        assert not hasattr(package, "app")

    def test_leaves_what_somebody_else_has_put_there(self, load: Load) -> None:
        package, module = load("shop"), load("shop.app")
        package.app = other = object()  # type: ignore[attr-defined]
        later = load("shop.app")
        package.app = other  # type: ignore[attr-defined]
        un_import("shop.app", module)
        assert sys.modules["shop.app"] is later
        assert package.app is other  # type: ignore[attr-defined]

    def test_a_twin_gives_way_in_the_package_too(self, load: Load) -> None:
        package, old = load("shop"), load("shop.app")
        new = load("shop.app")
        probe = SysModules()
        probe.start()
        probe.restore("shop.app", old, new)
        assert sys.modules["shop.app"] is old
        assert package.app is old  # type: ignore[attr-defined]

    def test_a_module_bound_to_a_stub_stays_unless_that_may_be(self, load: Load) -> None:
        load("shop")
        stub = types.ModuleType("net")
        load("shop.app").net = stub  # type: ignore[attr-defined]
        bound = BoundToStubs(lambda name: False)
        (write,) = bound.imported("shop.app", {"net": stub})
        change = change_of(bound, "shop.app", write.new)
        assert restore([change]) == {change: "a module is never un-imported"}
        assert restore([change], may_un_import=True) == {change: None}
        assert "shop.app" not in sys.modules

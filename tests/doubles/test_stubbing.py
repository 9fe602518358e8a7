"""Stubs in sys.modules: bound as an import would, and the modules first imported under one go with it."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import py_compile
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.doubles.patching import Patches, patched

APP = {
    "sdk/__init__.py": "VERSION = 'real'\n",
    "sdk/types.py": "class Tool: pass\nLIMIT = 10\n",
    "sdk/client.py": "from sdk.types import Tool\n",
    "shop/__init__.py": "",
    "shop/gateway.py": "from sdk.types import Tool\nimport sdk\n",
    "shop/constant.py": "from sdk.types import LIMIT\n",
    "shop/derived.py": "import sdk.types\n\nclass Mine(sdk.types.Tool): pass\n",
    "shop/main.py": "from .gateway import Tool as Thing\n",
    "shop/top.py": "import shop.main as m\n\ndef app(): return m\n",
    "shop/plain.py": "import json\nVALUE = 1\n",
    "shop/lazy.py": "def use():\n    from sdk.types import Tool\n    return Tool\n",
    "shop/typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sdk.types import Tool\n",
    "shop/optional.py": "try:\n    import sdk.types as t\nexcept ImportError:\n    t = None\n",
    "whole/__init__.py": "from sdk import types\n",
    "whole/part.py": "VALUE = 1\n",
}


@pytest.fixture(autouse=True)
def app(write: Any) -> None:
    write(APP)


def load(*names: str) -> Any:
    return [importlib.import_module(name) for name in names][-1]


class Fake:
    pass


class TestTheStub:
    def test_it_stands_for_the_module_and_is_gone(self) -> None:
        with Patches() as patch:
            given = patch.stub_module("sdk", VERSION="fake")
            import sdk  # type: ignore[import-not-found]

            assert sdk.VERSION == "fake"
            assert given.places == ("sys.modules['sdk']",)
            with pytest.raises(ImportError, match="cannot import name 'Other'"):
                from sdk import Other  # noqa: F401
            with pytest.raises(ModuleNotFoundError, match="'sdk' is not a package"):
                load("sdk.types")
        assert "sdk" not in sys.modules
        assert load("sdk").VERSION == "real"

    def test_find_spec_finds_it(self) -> None:
        with patched.stub_module("sdk"):
            spec = importlib.util.find_spec("sdk")
            assert spec is not None
            assert (spec.name, spec.origin) == ("sdk", "stub")

    def test_an_object_of_one_s_own(self) -> None:
        stub = types.SimpleNamespace(VERSION="fake")
        with patched.stub_module("sdk", stub):
            assert load("sdk") is stub
        with pytest.raises(TypeError, match="a stub or its attributes, not both"):
            patched.stub_module("sdk", stub, VERSION=1)

    def test_no_dotted_name(self) -> None:
        with pytest.raises(TypeError, match=r"^'sdk-types' is no name of a module$"):
            patched.stub_module("sdk-types")

    def test_the_attribute_of_the_package_is_bound_and_put_back(self) -> None:
        real = load("sdk", "sdk.types")
        with Patches() as patch:
            given = patch.stub_module("sdk.types", Tool=Fake)
            import sdk.types  # type: ignore[import-not-found]

            assert sdk.types.Tool is Fake
            assert given.places == ("sys.modules['sdk.types']", "sdk.types")
        assert sys.modules["sdk.types"] is sdk.types is real

    def test_a_package_that_was_not_loaded_is_loaded_for_real(self) -> None:
        with Patches() as patch:
            patch.stub_module("sdk.types", Tool=Fake)
            import sdk.types

            assert (sdk.VERSION, sdk.types.Tool) == ("real", Fake)
        assert not hasattr(sys.modules["sdk"], "types")
        assert load("sdk.types").Tool.__name__ == "Tool"

    def test_packages_that_are_not_installed_become_stubs(self) -> None:
        with Patches() as patch:
            patch.stub_module("gw_never.deep.types", Tool=Fake)
            import gw_never.deep.types  # type: ignore[import-not-found]
            from gw_never.deep.types import Tool  # type: ignore[import-not-found]

            assert gw_never.deep.types.Tool is Tool is Fake
            with pytest.raises(ModuleNotFoundError, match=r"No module named 'gw_never\.other'"):
                load("gw_never.other")
        assert [name for name in sys.modules if name.startswith("gw_never")] == []

    def test_stubs_below_stubs(self) -> None:
        """As the seeds do: mcp, and mcp.types."""
        with Patches() as patch:
            patch.stub_module("sdk", ClientSession=object)
            patch.stub_module("sdk.types", Tool=Fake)
            import sdk.types

            assert (sdk.ClientSession, sdk.types.Tool) == (object, Fake)
        assert [name for name in sys.modules if name.partition(".")[0] == "sdk"] == []

    def test_none_is_a_module_that_cannot_be_imported(self) -> None:
        load("sdk.types")
        with patched.stub_module("sdk.types", None):
            with pytest.raises(ModuleNotFoundError, match=r"import of sdk\.types halted"):
                load("sdk.types")
            with pytest.raises(ImportError, match="halted"):
                from sdk import types  # noqa: F401
        assert sys.modules["sdk"].types is load("sdk.types")

    def test_who_imported_the_real_one_before_is_named(self) -> None:
        load("shop.gateway", "shop.optional")
        with Patches() as patch:
            given = patch.stub_module("sdk.types", Tool=Fake)
            assert given.left_alone == ("shop.optional.t",)
            assert patch.stub_module("sdk", None).left_alone == ("shop.gateway.sdk",)


class TestUnbinding:
    def test_who_got_something_of_the_stub_is_imported_anew(self) -> None:
        with Patches() as patch:
            given = patch.stub_module("sdk.types", Tool=Fake)
            assert load("shop.gateway").Tool is Fake
            given.undo()
            assert given.unbound == ("shop.gateway",)
            assert given.still_bound == ()
        assert not hasattr(sys.modules["shop"], "gateway")
        assert load("shop.gateway").Tool.__name__ == "Tool"

    @pytest.mark.parametrize("name", ["shop.constant", "shop.derived", "shop.optional"])
    def test_by_a_plain_value_by_a_base_class_or_by_the_stub_itself(self, name: str) -> None:
        with patched.stub_module("sdk.types", Tool=Fake, LIMIT=1) as given:
            load(name)
        assert given.unbound == (name,)

    def test_and_who_got_it_from_them(self) -> None:
        with patched.stub_module("sdk.types", Tool=Fake) as given:
            load("shop.top", "shop.plain")
        assert given.unbound == ("shop.gateway", "shop.main", "shop.top")
        assert "shop.plain" in sys.modules

    @pytest.mark.parametrize("name", ["shop.plain", "shop.lazy", "shop.typed"])
    def test_who_has_nothing_of_it_stays(self, name: str) -> None:
        with patched.stub_module("sdk.types", Tool=Fake) as given:
            module = load(name)
        assert given.unbound == ()
        assert sys.modules[name] is module

    def test_who_was_imported_before_stays(self) -> None:
        module = load("shop.gateway")
        with patched.stub_module("sdk.types", Tool=Fake) as given:
            assert load("shop.gateway") is module
        assert given.unbound == ()
        assert sys.modules["shop.gateway"] is module

    def test_with_a_package_its_modules_go(self) -> None:
        with patched.stub_module("sdk.types", Tool=Fake) as given:
            load("whole.part")
        assert given.unbound == ("whole", "whole.part")
        import whole.part  # type: ignore[import-not-found]

        assert whole.part.VALUE == 1

    def test_who_found_nothing_there(self) -> None:
        with patched.stub_module("sdk.types", None) as given:
            assert load("shop.optional").t is None
        assert given.unbound == ("shop.optional",)
        assert load("shop.optional").t is sys.modules["sdk.types"]

    def test_by_what_it_holds_where_there_is_no_source(self) -> None:
        """The class of the stub itself; a function of a module that got something of it; an object, too."""
        folder = Path(load("shop").__path__[0])
        sources = {
            "maker": "from sdk.types import Tool\ndef make(): return Tool()\nmade = make()\n",
            "user": "from shop.maker import make as create\n",
            "owner": "from shop.maker import made as mine\n",
            "loner": "VALUE = 1\n",
        }
        for name, text in sources.items():
            source = folder / f"{name}.py"
            source.write_text(text)
            py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")), doraise=True)
            source.unlink()
        importlib.invalidate_caches()
        with patched.stub_module("sdk.types", Tool=Fake) as given:
            load("shop.user", "shop.owner", "shop.loner")
        assert given.unbound == ("shop.maker", "shop.owner", "shop.user")

    def test_compiled_modules_and_the_library_are_never_taken_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Patches() as patch:
            given = patch.stub_module("sdk", VERSION=Fake)
            compiled = types.ModuleType("shop_native")
            loader: Any = importlib.machinery.ExtensionFileLoader("shop_native", "shop_native.so")
            compiled.__spec__ = importlib.machinery.ModuleSpec("shop_native", loader)
            vars(compiled)["held"] = Fake
            monkeypatch.setitem(sys.modules, "shop_native", compiled)
            given.undo()
            assert (given.unbound, given.still_bound) == ((), ("shop_native",))
            assert sys.modules["shop_native"] is compiled

    def test_what_was_patched_in_them_is_undone_before(self) -> None:
        with Patches() as patch:
            patch.stub_module("sdk.types", Tool=Fake)
            load("shop.gateway")
            patch("shop.gateway.Tool", 1)
        assert load("shop.gateway").Tool.__name__ == "Tool"

    def test_of_two_stubs_each_takes_its_own_along(self) -> None:
        with Patches() as patch:
            first = patch.stub_module("sdk.types", Tool=Fake)
            load("shop.gateway")
            second = patch.stub_module("gw_never", X=1)
            load("shop.plain")
        assert (first.unbound, second.unbound) == (("shop.gateway",), ())

    def test_when_the_block_raises(self) -> None:
        def fail() -> None:
            with patched.stub_module("sdk.types", Tool=Fake):
                load("shop.gateway")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert "shop.gateway" not in sys.modules

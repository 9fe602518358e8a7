"""Patches and patched: every form, undone on any exit, last in first out."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sys
import types
import unittest
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pytest_mcpsmoke.doubles.patching import Patch, Patches, patched
from pytest_mcpsmoke.errors import McpsmokeError, NoSuchModule, NoSuchName, PatchWarning, UsageProblem

pytestmark = pytest.mark.usefixtures("gateway")


@pytest.fixture
def net() -> Any:
    return sys.modules["gw.net"]


@pytest.fixture
def proxy() -> Any:
    return sys.modules["gw.proxy"]


class Fake:
    pass


class TestForms:
    def test_a_dotted_name(self, proxy: Any) -> None:
        real = proxy.send
        with Patches() as patch:
            given = patch("gw.proxy.send", Fake)
            assert proxy.send is Fake
            assert given.places == ("gw.proxy.send",)
        assert proxy.send is real
        assert given.places == ()

    def test_an_object_and_a_name(self, net: Any) -> None:
        with Patches() as patch:
            patch(net, "MODE", "test", everywhere=False)
            assert net.MODE == "test"
        assert net.MODE == "live"

    @pytest.mark.parametrize("target", ["gw.net", "module"])
    def test_names_of_one_module(self, net: Any, target: str) -> None:
        with Patches() as patch:
            given = patch(net if target == "module" else target, MODE="test", Quick=Fake, everywhere=False)
            assert (net.MODE, net.Quick) == ("test", Fake)
            assert given.places == ("gw.net.MODE", "gw.net.Quick")
        assert (net.MODE, net.Quick.__name__) == ("live", "Quick")

    def test_several_as_a_mapping(self, net: Any, proxy: Any) -> None:
        with Patches() as patch:
            patch({"gw.net.Quick": 1, "gw.proxy.run": 2, (net, "LIMITS"): 3}, everywhere=False)
            assert (net.Quick, proxy.run, net.LIMITS) == (1, 2, 3)
        assert (net.Quick.__name__, proxy.run(), net.LIMITS) == ("Quick", "sent x", {"calls": 1})

    def test_several_as_tuples(self, net: Any, proxy: Any) -> None:
        with Patches() as patch:
            patch(("gw.net.Quick", 1), (proxy, "run", 2), everywhere=False)
            assert (net.Quick, proxy.run) == (1, 2)
        assert (net.Quick.__name__, proxy.run()) == ("Quick", "sent x")

    def test_attributes_of_classes_and_instances(self, net: Any) -> None:
        client = net.Client()
        with Patches() as patch:
            patch("gw.net.Client.timeout", 9)
            patch(client, "timeout", 7)
            assert (net.Client.timeout, net.Quick.timeout, client.timeout) == (9, 9, 7)
        assert net.Client.timeout == 5
        assert vars(client) == {}

    def test_a_name_that_is_added(self, net: Any) -> None:
        with Patches() as patch:
            patch("gw.net.NEW", 1, raising=False)
            assert net.NEW == 1
        assert not hasattr(net, "NEW")

    @pytest.mark.parametrize("dotted", [True, False])
    def test_a_name_that_is_removed(self, net: Any, dotted: bool) -> None:
        with Patches() as patch:
            given = patch.delete("gw.net.MODE") if dotted else patch.delete(net, "MODE")
            assert not hasattr(net, "MODE")
            assert given.places == ("gw.net.MODE",)
            patch.delete("gw.net.NEVER", raising=False)
        assert net.MODE == "live"

    def test_items(self, net: Any) -> None:
        names = ["a", "b"]
        with Patches() as patch:
            given = patch.item("gw.net.LIMITS", "calls", 2)
            patch.item(net.LIMITS, "new", 3)
            patch.item(names, 1, "c")
            assert (net.LIMITS, names) == ({"calls": 2, "new": 3}, ["a", "c"])
            assert given.places == ("gw.net.LIMITS['calls']",)
            patch.delete_item("gw.net.LIMITS", "calls")
            patch.delete_item(net.LIMITS, "never", raising=False)
            assert net.LIMITS == {"new": 3}
        assert (net.LIMITS, names) == ({"calls": 1}, ["a", "b"])

    def test_a_key_that_is_not_there(self, net: Any) -> None:
        with Patches() as patch, pytest.raises(KeyError, match="never"):
            patch.delete_item(net.LIMITS, "never")

    def test_a_container_that_is_no_mapping(self) -> None:
        class Registry:
            def __init__(self) -> None:
                self.held = {"a": 1}

            def __contains__(self, key: object) -> bool:
                return key in self.held

            def __getitem__(self, key: str) -> int:
                return self.held[key]

            def __setitem__(self, key: str, value: int) -> None:
                self.held[key] = value

            def __delitem__(self, key: str) -> None:
                del self.held[key]

        registry = Registry()
        with Patches() as patch:
            patch.item(registry, "a", 2)
            patch.item(registry, "b", 3)
            assert registry.held == {"a": 2, "b": 3}
        assert registry.held == {"a": 1}

    def test_an_item_of_a_list_is_not_removed(self) -> None:
        names = [0, 1]
        with (
            Patches() as patch,
            pytest.raises(TypeError, match=r"^an item of a list is replaced, not removed"),
        ):
            patch.delete_item(names, 0)
        assert names == [0, 1]

    def test_a_removed_key_comes_back_where_it_was(self, net: Any) -> None:
        net.LIMITS.update(b=2, c=3)
        with Patches() as patch:
            patch.delete_item(net.LIMITS, "b")
            net.LIMITS["d"] = 4
            patch.delete_item(net.LIMITS, "calls")
        assert list(net.LIMITS) == ["calls", "d", "b", "c"]

    def test_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GW_MODE", "live")
        monkeypatch.setenv("GW_PROXY", "http://x")
        monkeypatch.delenv("GW_NEW", raising=False)
        with Patches() as patch:
            given = patch.env({"GW_MODE": "test"}, GW_PROXY=None, GW_NEW="1", GW_NEVER=None)
            assert os.environ["GW_MODE"] == "test"
            assert "GW_PROXY" not in os.environ
            assert os.environ["GW_NEW"] == "1"
            assert given.places[0] == "os.environ['GW_MODE']"
            patch.env(GW_MODE="first", GW_OTHER="alone", prepend=":")
            assert (os.environ["GW_MODE"], os.environ["GW_OTHER"]) == ("first:test", "alone")
        assert (os.environ["GW_MODE"], os.environ["GW_PROXY"]) == ("live", "http://x")
        assert not {"GW_NEW", "GW_NEVER", "GW_OTHER"} & set(os.environ)

    def test_a_value_that_is_no_text_is_converted_with_a_warning(self) -> None:
        expected = "the value of the environment variable GW_TOKEN is int ***, not a str: it is converted"
        with Patches() as patch:
            with pytest.warns(PatchWarning, match=f"^{re.escape(expected)}$") as caught:
                patch.env(GW_TOKEN=1234567)  # type: ignore[arg-type]
            assert os.environ["GW_TOKEN"] == "1234567"
        assert caught[0].filename == __file__

    @pytest.mark.parametrize(
        "what", [(), ("gw.net.MODE",), (types, 1, 2), (types, "x", 2, 3), (1, 2), ("MODE", 1)]
    )
    def test_what_is_no_form(self, what: tuple[Any, ...]) -> None:
        with Patches() as patch, pytest.raises(TypeError, match=r"package\.module"):
            patch(*what)


class TestNearest:
    def test_a_misspelt_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        monkeypatch.chdir(tmp_path)
        with Patches() as patch, pytest.raises(NoSuchName) as refused:
            patch("gw.net.Cleint", Fake)
        file = os.path.join("gw", "net.py")
        assert (
            str(refused.value)
            == f"gw.net ({file}) has no 'Cleint'; the nearest: 'Client'; raising=False adds it"
        )
        assert isinstance(refused.value, AttributeError)
        assert isinstance(refused.value, McpsmokeError)

    def test_of_a_class_and_of_an_instance(self, net: Any) -> None:
        with Patches() as patch:
            with pytest.raises(
                NoSuchName, match=r"^gw\.net\.Quick has no 'conect'; the nearest: 'connect'; "
            ):
                patch(net.Quick, conect=1)
            with pytest.raises(
                NoSuchName, match=r"^<gw\.net\.Quick object> has no 'timeOut'; the nearest: 'timeout'"
            ):
                patch(net.Quick(), timeOut=1)
            with pytest.raises(
                NoSuchName, match=r"has no 'zzzzzz'; nothing is near; raising=False lets it be$"
            ):
                patch.delete(net, "zzzzzz")
            with pytest.raises(NoSuchName, match=r"^gw\.net\.Quick has no 'timout'; the nearest: 'timeout'$"):
                patch("gw.net.Quick.timout.real", 1)

    def test_an_instance_with_a_dotted_name_goes_by_it(self, net: Any) -> None:
        net.client = net.Client()
        with Patches() as patch:
            assert patch("gw.net.client.timeout", 1).places == ("gw.net.client.timeout",)
            with pytest.raises(
                NoSuchName, match=r"^gw\.net\.client has no 'timout'; the nearest: 'timeout'; rai"
            ):
                patch("gw.net.client.timout", 1)
            with pytest.raises(
                NoSuchName, match=r"^gw\.net\.client has no 'conect'; the nearest: 'connect'$"
            ):
                patch("gw.net.client.conect.x", 1)

    def test_a_misspelt_module(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "gw" / "unloaded.py").touch()
        with Patches() as patch:
            with pytest.raises(NoSuchModule) as refused:
                patch("gw.unlaoded.X", 1)
            file = os.path.join("gw", "__init__.py")
            assert str(refused.value) == f"gw ({file}) has no 'unlaoded'; the nearest: 'unloaded'"
            assert isinstance(refused.value, ImportError)
            with pytest.raises(NoSuchModule, match=r"^there is no module 'jsno'; the nearest: 'json'"):
                patch("jsno.loads", 1)

    def test_what_a_module_lacks_itself_is_not_explained_away(self, tmp_path: Any) -> None:
        (tmp_path / "gw" / "broken.py").write_text("import gw_never_there")
        with Patches() as patch, pytest.raises(ModuleNotFoundError, match="No module named 'gw_never_there'"):
            patch("gw.broken.X", 1)


class TestUndoing:
    def test_last_in_first_out(self, net: Any) -> None:
        log: list[str] = []

        class Target:
            def __setattr__(self, name: str, value: object) -> None:
                log.append(f"{name}={value}")
                super().__setattr__(name, value)

        target = Target()
        target.a = target.b = 0  # type: ignore[attr-defined]
        with Patches() as patch:
            patch(target, "a", 1)
            patch(target, b=2, a=3)
            log.clear()
        assert log == ["a=1", "b=0", "a=0"]

    @pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_on_any_exit(self, net: Any, error: type[BaseException]) -> None:
        def leave() -> None:
            with Patches() as patch:
                patch("gw.net.LIMITS", Fake)
                raise error

        with pytest.raises(error):
            leave()
        assert net.LIMITS == {"calls": 1}

    def test_what_cannot_be_undone_keeps_nothing_from_it(self, net: Any) -> None:
        class Stubborn:
            value = 0
            error: type[BaseException] | None = None

            def __setattr__(self, name: str, value: object) -> None:
                if self.error is not None:
                    raise self.error(name)
                object.__setattr__(self, name, value)

        one, other = Stubborn(), Stubborn()
        one.value = other.value = 0
        patch = Patches()
        patch("gw.net.LIMITS", 1)
        patch(one, "value", 1)
        patch("gw.net.Quick", 1)
        patch(other, "value", 1)
        vars(one)["error"] = OSError
        with pytest.raises(OSError) as failed:
            patch.undo()
        assert failed.value.__notes__ == [
            f"while <{__name__}.{Stubborn.__qualname__} object>.value was put back"
        ]
        assert (net.LIMITS, net.Quick.__name__) == ({"calls": 1}, "Quick")
        vars(one).update(error=None)
        patch = Patches()
        patch(one, "value", 1)
        patch("gw.net.Quick", 1)
        patch(other, "value", 2)
        vars(one)["error"], vars(other)["error"] = OSError, KeyboardInterrupt
        with pytest.raises(BaseExceptionGroup) as several:
            patch.undo()
        assert [type(error) for error in several.value.exceptions] == [KeyboardInterrupt, OSError]
        assert net.Quick.__name__ == "Quick"

    def test_when_the_third_of_five_fails_the_first_two_are_undone(self, net: Any) -> None:
        with Patches() as patch:
            patch("gw.net.Quick", "outer")
            with pytest.raises(NoSuchName):
                patch(net, Quick=1, LIMITS=2, MISSPELT=3, send=4, json=5, everywhere=False)
            assert (net.Quick, net.LIMITS) == ("outer", {"calls": 1})
            assert net.send("x") == "sent x"
        assert net.Quick.__name__ == "Quick"

    def test_when_that_cannot_be_undone_either_a_note_says_so(self, net: Any) -> None:
        class Once:
            value = 0

            def __delattr__(self, name: str) -> None:
                raise OSError("stuck")

        once = Once()
        with Patches() as patch, pytest.raises(NoSuchName) as refused:
            patch((once, "value", 1), (net, "MISSPELT", 2))
        assert refused.value.__notes__ == ["and undoing what was patched before failed: OSError('stuck')"]

    def test_one_before_the_others(self, net: Any) -> None:
        with Patches() as patch:
            first = patch("gw.net.LIMITS", 1)
            second = patch("gw.net.LIMITS", 2)
            first.undo()
            assert net.LIMITS == 2
            second.undo()
            assert net.LIMITS == {"calls": 1}
            first.undo()
        assert net.LIMITS == {"calls": 1}

    def test_what_the_program_wrote_in_between_is_overwritten(self, net: Any) -> None:
        with Patches() as patch:
            patch("gw.net.LIMITS", 1)
            net.LIMITS = 2
            patch("gw.net.Quick", 1)
            del net.Quick
            patch("gw.net.NEW", 1, raising=False)
            del net.NEW
        assert net.LIMITS == {"calls": 1}
        assert net.Quick.__name__ == "Quick"
        assert not hasattr(net, "NEW")

    def test_tasks_that_overlap(self, net: Any) -> None:
        seen: list[Any] = []

        async def hold(value: int, seconds: float) -> None:
            async with patched("gw.net.LIMITS", value):
                await asyncio.sleep(seconds)
                seen.append(net.LIMITS)

        async def both() -> None:
            await asyncio.gather(hold(1, 0.01), hold(2, 0.03))

        asyncio.run(both())
        assert net.LIMITS == {"calls": 1}
        assert seen == [2, 2]


class TestBlocks:
    def test_a_call_of_patches_as_a_block(self, net: Any) -> None:
        with Patches() as patch:
            with patch("gw.net.LIMITS", 1) as given:
                assert net.LIMITS == 1
                assert isinstance(given, Patch)
                assert repr(given) == "<Patch: gw.net.LIMITS>"
            assert net.LIMITS == {"calls": 1}
            assert repr(given) == "<Patch: nothing stands>"

    def test_patched_stands_in_its_block_only_and_can_be_used_again(self, net: Any) -> None:
        block = patched("gw.net.LIMITS", 1)
        for _ in range(2):
            assert net.LIMITS == {"calls": 1}
            with block:
                assert net.LIMITS == 1

    def test_one_object_in_blocks_that_overlap(self, net: Any) -> None:
        block = patched("gw.net.LIMITS", 1)
        block.__enter__()
        with block:
            block.__exit__(None, None, None)
            assert net.LIMITS == 1
        assert net.LIMITS == {"calls": 1}

    def test_every_form_can_be_patched(self, net: Any) -> None:
        with (
            patched(net, MODE="test", everywhere=False),
            patched.item(net.LIMITS, "calls", 2),
            patched.env(GW_X="1"),
            patched.stub_module("gw.sdk", VALUE=1),
            patched.delete("gw.net.send"),
        ):
            import gw.sdk  # type: ignore[import-not-found]

            assert (net.MODE, net.LIMITS["calls"], os.environ["GW_X"], gw.sdk.VALUE) == ("test", 2, "1", 1)
        assert (net.MODE, net.LIMITS["calls"]) == ("live", 1)

    def test_async_with(self, net: Any) -> None:
        async def main() -> None:
            async with Patches() as patch:
                patch("gw.net.LIMITS", 1)
                assert net.LIMITS == 1
                async with patched("gw.net.LIMITS", 2):
                    assert net.LIMITS == 2

        asyncio.run(main())
        assert net.LIMITS == {"calls": 1}

    def test_nothing_is_imported_before_the_block(self, write: Any) -> None:
        write({"gw/late.py": "MODE = 'live'"})
        block = patched("gw.late.MODE", "test")
        assert "gw.late" not in sys.modules
        with block:
            assert sys.modules["gw.late"].MODE == "test"


class TestDecorators:
    def test_a_function_keeps_its_signature_and_result(self, net: Any) -> None:
        @patched("gw.net.LIMITS", 1)
        def test_it(tmp_path: str, *, more: int = 1) -> tuple[Any, str, int]:
            """Says so."""
            return net.LIMITS, tmp_path, more

        assert test_it("x", more=2) == (1, "x", 2)
        assert net.LIMITS == {"calls": 1}
        assert list(inspect.signature(test_it).parameters) == ["tmp_path", "more"]
        assert (test_it.__name__, test_it.__doc__) == ("test_it", "Says so.")

    def test_a_function_that_raises_and_one_that_recurses(self, net: Any) -> None:
        @patched("gw.net.LIMITS", 1)
        def deep(levels: int) -> int:
            return deep(levels - 1) if levels else 1 // levels

        with pytest.raises(ZeroDivisionError):
            deep(3)
        assert net.LIMITS == {"calls": 1}

    def test_a_coroutine_function(self, net: Any) -> None:
        @patched("gw.net.LIMITS", 1)
        async def look() -> Any:
            await asyncio.sleep(0)
            return net.LIMITS

        assert inspect.iscoroutinefunction(look)
        coroutine = look()
        assert net.LIMITS == {"calls": 1}
        assert asyncio.run(coroutine) == 1
        assert net.LIMITS == {"calls": 1}

    def test_a_coroutine_that_is_cancelled(self, net: Any) -> None:
        @patched("gw.net.LIMITS", 1)
        async def wait() -> None:
            await asyncio.Event().wait()

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.01)

        asyncio.run(main())
        assert net.LIMITS == {"calls": 1}

    def test_a_generator(self, net: Any) -> None:
        @patched("gw.net.LIMITS", 1)
        def two() -> Iterator[Any]:
            got = yield net.LIMITS
            yield got

        generator: Any = two()
        assert next(generator) == 1
        assert net.LIMITS == 1
        assert generator.send("sent") == "sent"
        generator.close()
        assert net.LIMITS == {"calls": 1}

    def test_an_async_generator(self, net: Any) -> None:
        log: list[str] = []

        @patched("gw.net.LIMITS", 1)
        async def some() -> AsyncIterator[Any]:
            try:
                got = yield net.LIMITS
                try:
                    yield got
                except KeyError:
                    yield "thrown"
            finally:
                log.append("closed")

        async def main() -> None:
            generator: Any = some()
            assert await anext(generator) == 1
            assert await generator.asend("sent") == "sent"
            assert await generator.athrow(KeyError) == "thrown"
            assert net.LIMITS == 1
            await generator.aclose()
            assert net.LIMITS == {"calls": 1}
            assert [item async for item in some()] == [1, None]
            assert net.LIMITS == {"calls": 1}

        assert inspect.isasyncgenfunction(some)
        asyncio.run(main())
        assert log == ["closed", "closed"]

    def test_the_tests_of_a_class(self, net: Any) -> None:
        class Base:
            def test_inherited(self) -> Any:
                return net.LIMITS

        @patched("gw.net.LIMITS", 1)
        class Tests(Base):
            def test_own(self) -> Any:
                return net.LIMITS

            async def test_async(self) -> Any:
                return net.LIMITS

            def other(self) -> Any:
                return net.LIMITS

        tests = Tests()
        assert (tests.test_own(), tests.test_inherited(), asyncio.run(tests.test_async())) == (1, 1, 1)
        assert tests.other() == {"calls": 1}
        assert Base().test_inherited() == {"calls": 1}

    def test_a_unittest_case(self, net: Any) -> None:
        @patched("gw.net.LIMITS", 1)
        class Case(unittest.IsolatedAsyncioTestCase):
            def test_sync(self) -> None:
                assert net.LIMITS == 1

            async def test_async(self) -> None:
                assert net.LIMITS == 1

        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
        assert (result.testsRun, result.errors, result.failures) == (2, [], [])

    def test_a_patch_that_stands_is_undone_when_it_decorates(self, net: Any) -> None:
        with Patches() as patch:

            @patch("gw.net.LIMITS", 1)
            def look() -> Any:
                return net.LIMITS

            assert net.LIMITS == {"calls": 1}
            assert look() == 1
        assert look() == 1

    @pytest.mark.parametrize("target", [3, staticmethod(len), len])
    def test_nothing_else_is_decorated(self, target: Any) -> None:
        with pytest.raises(TypeError, match="a patch decorates functions and classes, not a "):
            patched("gw.net.LIMITS", 1)(target)


class TestEverywhere:
    def test_all_who_imported_the_name(self, net: Any, proxy: Any) -> None:
        other = sys.modules["gw.other"]
        real = net.Client
        with Patches() as patch:
            given = patch("gw.net.Client", Fake, everywhere=True)
            assert net.Client is proxy.Client is other.Client is proxy.Proxy.client_class is Fake
            assert set(given.places) == {
                "gw.net.Client",
                "gw.other.Client",
                "gw.proxy.Client",
                "gw.proxy.Proxy.client_class",
            }
            assert given.left_alone == ()
        assert net.Client is proxy.Client is other.Client is proxy.Proxy.client_class is real

    def test_from_any_of_them_and_under_any_name(self, net: Any, proxy: Any) -> None:
        with Patches() as patch:
            patch("gw.proxy.deliver", Fake, everywhere=True)
            assert net.send is proxy.send is proxy.deliver is sys.modules["gw.other"].send is Fake
        assert net.send is proxy.send is proxy.deliver

    def test_who_was_left_alone(self, net: Any) -> None:
        with Patches() as patch:
            given = patch("gw.proxy.Client", Fake)
            assert given.left_alone == ("gw.net.Client", "gw.other.Client", "gw.proxy.Proxy.client_class")
            assert repr(given) == f"<Patch: gw.proxy.Client; left alone: {', '.join(given.left_alone)}>"

    def test_who_imported_it_from_there_and_keeps_it_is_warned_of(self) -> None:
        expected = (
            "gw.net.send is patched, but not what was imported from there: gw.other.send, gw.proxy.deliver, "
            "gw.proxy.send; everywhere=True patches that, too, everywhere=False says that it is meant"
        )
        with Patches() as patch:
            with pytest.warns(PatchWarning, match=f"^{re.escape(expected)}$") as caught:
                patch("gw.net.send", Fake)
            assert caught[0].filename == __file__

    def test_the_warning_as_an_error_leaves_nothing(self, net: Any) -> None:
        real = net.send
        with Patches() as patch, pytest.raises(PatchWarning):  # filterwarnings = error
            patch("gw.net.send", Fake)
        assert net.send is real

    def test_the_warning_points_at_the_line_of_the_block_or_of_the_caller(self) -> None:
        @patched("gw.net.send", Fake)
        def look() -> None:
            pass

        def block() -> None:
            with patched("gw.net.send", Fake):
                pass

        for function in (look, block):
            with pytest.warns(PatchWarning) as caught:
                function()
            assert [warning.filename for warning in caught] == [__file__]

    def test_what_is_patched_by_the_same_call_is_not_left_alone(self, net: Any) -> None:
        with Patches() as patch:
            given = patch({"gw.net.send": 1, "gw.proxy.send": 2, "gw.proxy.deliver": 3, "gw.other.send": 4})
            assert given.left_alone == ()

    def test_as_meant_it_is_silent(self) -> None:
        with Patches() as patch:
            assert patch("gw.net.send", Fake, everywhere=False).left_alone == (
                "gw.other.send",
                "gw.proxy.deliver",
                "gw.proxy.send",
            )

    def test_a_plain_value_is_found_where_the_name_was_imported(self, net: Any, proxy: Any) -> None:
        assert sys.modules["gw.apart"].MODE is net.MODE
        with Patches() as patch:
            patch("gw.net.MODE", "test", everywhere=True)
            assert (net.MODE, proxy.MODE) == ("test", "test")
            assert (sys.modules["gw.apart"].MODE, sys.modules["gw.other"].MODE_HERE) == ("live", "live")

    def test_none_is_nobody_s(self) -> None:
        with Patches() as patch:
            given = patch("gw.apart.NONE", 1, everywhere=True)
            assert (given.places, given.left_alone) == (("gw.apart.NONE",), ())

    def test_the_interpreter_and_the_test_runner_keep_what_they_have(self) -> None:
        import time

        import _pytest.timing

        with Patches() as patch:
            given = patch("time.sleep", Fake, everywhere=True)
            assert time.sleep is Fake
            assert "_pytest.timing.sleep" in given.left_alone
            assert _pytest.timing.sleep is not Fake

    def test_looking_for_them_runs_nobody_s_code(self) -> None:
        class Hostile(types.ModuleType):
            def __getattribute__(self, name: str) -> Any:
                raise AssertionError(name)

        class Unequal:
            def __eq__(self, other: object) -> bool:
                raise AssertionError

        module = Hostile("gw_hostile")
        types.ModuleType.__getattribute__(module, "__dict__").update(held=Unequal())
        with Patches() as patch:
            patch.item(sys.modules, "gw_hostile", module)
            patch.item(sys.modules, "gw_other_thing", Unequal())
            assert patch("gw.proxy.Client", Fake, everywhere=True).left_alone == ()


class Application:
    """What Starlette's applications hold, without Starlette."""

    def __init__(self) -> None:
        self.state = types.SimpleNamespace(db="real")
        self.dependency_overrides: dict[Any, Any] = {}


def needed() -> str:
    return "real"


class TestApplications:
    def test_state_and_overrides(self) -> None:
        app = Application()
        with Patches() as patch:
            patch.app_state(app, {"db": "fake"}, new=1)
            given = patch.override(app, needed, lambda: "fake")
            assert (app.state.db, app.state.new) == ("fake", 1)
            assert app.dependency_overrides[needed]() == "fake"
            assert given.places == ("app.dependency_overrides[function needed]",)
        assert vars(app.state) == {"db": "real"}
        assert app.dependency_overrides == {}

    def test_those_of_fastapi(self) -> None:
        fastapi = pytest.importorskip("fastapi")
        app = fastapi.FastAPI()
        app.state.db = "real"
        overrides = app.dependency_overrides
        with Patches() as patch:
            given = patch.app_state(app, db="fake", new=1)
            patch.override(app, needed, lambda: "fake")
            assert (app.state.db, app.state.new) == ("fake", 1)
            assert given.places == ("app.state.db", "app.state.new")
        assert app.state._state == {"db": "real"}
        assert app.dependency_overrides is overrides == {}

    def test_by_dotted_names(self, net: Any) -> None:
        net.app = Application()
        with Patches() as patch:
            patch.app_state("gw.net.app", db="fake")
            patch.override("gw.net.app", "gw.net.send", needed)
            assert (net.app.state.db, net.app.dependency_overrides) == ("fake", {net.send: needed})
        assert (net.app.state.db, net.app.dependency_overrides) == ("real", {})

    @pytest.mark.parametrize("thing", [object(), types, needed, Application, None, {"state": 1}])
    def test_what_is_no_application(self, thing: Any) -> None:
        with Patches() as patch:
            with pytest.raises(
                UsageProblem, match=r"is no application of FastAPI or Starlette: it has no \.state$"
            ):
                patch.app_state(thing, db=1)
            with pytest.raises(
                UsageProblem, match=r"is no application of FastAPI: it has no \.dependency_overrides$"
            ):
                patch.override(thing, needed, needed)

    def test_a_replacement_or_a_dependency_that_cannot_be_called(self) -> None:
        with Patches() as patch:
            with pytest.raises(
                TypeError, match=r"a replacement is called, and 'fake' cannot be: lambda: value"
            ):
                patch.override(Application(), needed, "fake")  # type: ignore[arg-type]
            with pytest.raises(
                UsageProblem, match=r"^3 is no dependency: FastAPI depends on functions and classes$"
            ):
                patch.override(Application(), 3, needed)

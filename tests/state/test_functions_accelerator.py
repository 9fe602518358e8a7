"""The compiled keeper of plain functions, and what tells whether a dict was written to."""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

_parts = pytest.importorskip("pytest_mcpsmoke.state._parts", reason="the compiled part is not installed")

HOLDER = object()
ASKING = "__subclasses__"


def plain(value: int = 1, *more: object) -> object:
    return value, more


def another() -> object:
    return None


def copy_of(function: types.FunctionType, **attributes: Any) -> types.FunctionType:
    made = types.FunctionType(
        function.__code__, {"__name__": "app"}, "made", function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def keep(functions: Any, *values: object) -> list[Any]:
    rest: list[Any] = functions.take(
        {f"f{at}": value for at, value in enumerate(values)}, "app", HOLDER, ASKING
    )
    return rest


@pytest.fixture(params=[False, True], ids=["compared", "told"])
def functions(request: pytest.FixtureRequest) -> Any:
    return _parts.Functions(request.param)


def with_keyword(*, value: object = 1) -> object:
    return value


def with_list(value: list[object] = []) -> object:  # noqa: B006
    return value


def asking(cls: type) -> object:
    return cls.__subclasses__()


def closing() -> Any:
    held = [1]
    return lambda: held


NOT_PLAIN: dict[str, Callable[[], Any]] = {
    "attributes": lambda: copy_of(plain, cache={}),
    "a closure": lambda: copy_of(closing()),
    "a mutable default": lambda: copy_of(with_list),
    "a keyword default": lambda: copy_of(with_keyword),
    "who asks for subclasses": lambda: copy_of(asking),
    "another module's": lambda: copy_of(plain, __module__="other"),
    "no module": lambda: copy_of(plain, __module__=None),
    "a static method": lambda: staticmethod(copy_of(plain)),
    "a list": lambda: [1],
    "a tuple with a list": lambda: (1, [2]),
    "an object": object,
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_is_handed_back(functions: Any, name: str) -> None:
    value = NOT_PLAIN[name]()
    assert keep(functions, value) == [("f0", value)]
    assert len(functions) == 0
    assert value not in functions


def test_what_holds_no_state_is_passed_over(functions: Any) -> None:
    kept = copy_of(plain)
    passed = (None, 1, 1.5, "a", b"a", True, ..., (1, "a"), sys, int, len, vars(types.CodeType)["co_name"])
    assert keep(functions, *passed, kept) == []
    assert len(functions) == 1
    assert kept in functions
    assert keep(functions, kept) == []  # it is kept once
    assert len(functions) == 1
    assert functions.take({1: kept, "f": kept}, "app", HOLDER, ASKING) == []


CHANGES: dict[str, Callable[[Any], object]] = {
    "__code__": lambda function: setattr(function, "__code__", another.__code__),
    "__defaults__": lambda function: setattr(function, "__defaults__", (2,)),
    "no __defaults__": lambda function: delattr(function, "__defaults__"),
    "__kwdefaults__": lambda function: setattr(function, "__kwdefaults__", {"other": 1}),
    "an attribute": lambda function: setattr(function, "calls", 1),
    "__dict__": lambda function: setattr(function, "__dict__", {"calls": 1}),
    "inside __dict__": lambda function: vars(function).update(calls=1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_once_with_what_was_there(functions: Any, name: str) -> None:
    function, other = copy_of(plain), copy_of(plain)
    keep(functions, other, function)
    assert functions.changed() == functions.changed(False) == []
    functions.touch(function)  # audit events come before the act
    CHANGES[name](function)
    assert functions.changed() == [(function, HOLDER, "f1", plain.__code__, (1,), None)]
    assert functions.changed() == []
    assert function not in functions
    assert len(functions) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_without_being_told_all_are_compared(name: str) -> None:
    functions, function = _parts.Functions(), copy_of(plain)
    keep(functions, function)
    CHANGES[name](function)
    assert functions.changed(False) == []
    assert len(functions.changed()) == 1


def test_what_is_back_is_not_told(functions: Any) -> None:
    function = copy_of(plain)
    keep(functions, function)
    for _ in range(3):
        functions.touch(function)
        function.calls = 1  # type: ignore[attr-defined]
        function.__code__ = another.__code__
        del function.calls  # type: ignore[attr-defined]
        function.__code__ = plain.__code__
        function.__dict__ = {}
        assert functions.changed() == []
    function.calls = 1  # type: ignore[attr-defined]
    assert len(functions.changed()) == 1


def test_touching_what_is_not_kept_is_nothing(functions: Any) -> None:
    functions.touch(plain)
    functions.touch(1)
    assert functions.changed() == []


def test_functions_are_forgotten_with_their_holder(functions: Any) -> None:
    mine, theirs = copy_of(plain), copy_of(plain)
    keep(functions, mine)
    functions.take({"f": theirs}, "app", "other", ASKING)
    assert not functions.forget(mine, "other")
    assert not functions.forget(plain, HOLDER)
    functions.forget_all("other")
    assert (mine in functions, theirs in functions) == (True, False)
    assert functions.forget(mine, HOLDER)
    for function in (mine, theirs):
        function.calls = 1  # type: ignore[attr-defined]
    assert functions.changed() == []
    assert len(functions) == 0


def test_rows_are_used_again(functions: Any) -> None:
    for _ in range(5):
        many = [copy_of(plain) for _ in range(2500)]
        keep(functions, *many)
        assert len(functions) == 2500
        for function in many[::2]:
            function.calls = 1  # type: ignore[attr-defined]
        assert {row[0] for row in functions.changed()} == {*many[::2]}
        for function in many[1::2]:
            assert functions.forget(function, HOLDER)
        assert (len(functions), functions.changed()) == (0, [])


def test_references_are_let_go(functions: Any) -> None:
    function, holder = copy_of(plain), object()
    objects = (function, function.__code__, function.__defaults__, holder)
    before = [sys.getrefcount(one) for one in objects]
    for _ in range(10):
        functions.take({"f": function}, "app", holder, ASKING)
        functions.changed()
        functions.forget(function, holder)
        functions.take({"f": function}, "app", holder, ASKING)
        function.calls = 1  # type: ignore[attr-defined]
        functions.changed()
        del function.calls  # type: ignore[attr-defined]
        functions.take({"f": function}, "app", holder, ASKING)
        functions.forget_all(holder)
    assert [sys.getrefcount(one) for one in objects] == before
    functions.take({"f": function}, "app", holder, ASKING)
    functions.forget_all(holder)
    assert [sys.getrefcount(one) for one in objects] == before


def test_the_keeper_lets_go_when_it_dies() -> None:
    for is_told in (False, True):
        functions, function = _parts.Functions(is_told), copy_of(plain)
        before = sys.getrefcount(function)
        keep(functions, function)
        assert sys.getrefcount(function) == before + 1
        del functions
        assert sys.getrefcount(function) == before


def test_what_is_kept_may_form_a_cycle() -> None:
    functions = _parts.Functions(True)
    function = copy_of(plain)
    function.__globals__["functions"] = functions
    keep(functions, function)
    gone = weakref.ref(function)
    del functions, function
    gc.collect()
    assert gone() is None


def test_arguments_are_checked(functions: Any) -> None:
    for arguments in ((), ([], "app", HOLDER, ASKING), ({}, 1, HOLDER, ASKING), ({}, "app", HOLDER)):
        with pytest.raises(TypeError):
            functions.take(*arguments)
    with pytest.raises(TypeError):
        functions.forget(plain)
    with pytest.raises(TypeError):
        type("Derived", (_parts.Functions,), {})


# whether a dict was written to

WRITES: dict[str, Callable[[dict[Any, Any]], object]] = {
    "added": lambda held: held.update(b=1),
    "replaced": lambda held: held.update(a=2),
    "removed": lambda held: held.pop("a"),
    "cleared": lambda held: held.clear(),
    "set by default": lambda held: held.setdefault("c", 1),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_told_once(name: str) -> None:
    held: dict[Any, Any] = {"a": 1}
    first, second = _parts.Written(held), _parts.Written(held)
    assert (first.take(), first.take(), second.take()) == (True, False, True)
    held.get("a")
    assert not first.take()
    WRITES[name](held)
    assert (first.take(), first.take()) == (True, False)
    del first
    assert (second.take(), second.take()) == (True, False)
    held["z"] = 1
    assert second.take()


def test_only_dicts_are_watched() -> None:
    for arguments in ((), ([],), ({}, {})):
        with pytest.raises(TypeError):
            _parts.Written(*arguments)


# names that differ


def test_the_names_that_differ_come_in_order() -> None:
    one, other = object(), object()
    before = {"a": one, "b": one, "c": one, "e": one}
    after = {"d": one, "c": other, "a": one, "f": one}
    assert _parts.differing(before, after) == ["b", "c", "e", "d", "f"]
    assert _parts.differing(before, before) == _parts.differing({}, {}) == []
    with pytest.raises(TypeError, match=r"^names are plain texts$"):
        _parts.differing({1: 1}, {})

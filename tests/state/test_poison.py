"""Caches that are filled honestly, and caches that keep a fake when the patch is gone."""

from __future__ import annotations

import textwrap

import pytest
from stage import Stage
from test_policy_objects import named, observer_of, rules_found

from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.writer import span_of_code

PROGRAM = {
    "shop/__init__.py": "",
    "shop/rates.py": """
        from shop import wire

        def fetch():
            return wire.receive()
        """,
    "shop/wire.py": "def receive():\n    return 2\n",
    "shop/cached.py": """
        import functools
        import os
        from functools import cached_property, lru_cache

        from shop import rates

        def rate():
            return rates.fetch()

        def other():
            return 1

        def logged(function):
            @functools.wraps(function)
            def call():
                return function()
            return call

        @logged
        def logged_rate():
            return rates.fetch()

        @lru_cache
        def kept_rate():
            return rates.fetch()

        @lru_cache
        def price():
            return rate()

        @lru_cache(maxsize=None)
        def sum_of_prices():
            return sum(rate() for _ in range(3))

        @functools.cache
        def logged_price():
            return logged_rate()

        @lru_cache
        def kept_price():
            return kept_rate()

        @lru_cache
        def zone():
            return os.environ.get("SHOP_ZONE", "none")

        @lru_cache
        def region():
            return os.getenv("SHOP_ZONE", "none")

        def read_zone():
            return os.environ.get("SHOP_ZONE", "none")

        @lru_cache
        def zone_behind():
            return read_zone()

        class Base:
            def load(self):
                return rates.fetch()

        class Shop(Base):
            @cached_property
            def total(self):
                return rate()

            @cached_property
            def loaded(self):
                return self.load()

            @cached_property
            def zone(self):
                return os.environ.get("SHOP_ZONE", "none")

        SHOP = Shop()
        """,
}
HEAD = """
    import os
    from unittest import mock
    from unittest.mock import patch

    import pytest
    from shop import cached, rates, wire

    def fake():
        return 3

    def replace_rate(patcher):
        patcher.setattr(cached, "rate", fake)

    monkeypatch = pytest.MonkeyPatch()

    def undo():
        monkeypatch.undo()

    """

PRICE, TOTAL = "shop.cached.price.cache_info()", "shop.cached.SHOP.total"


def found(stage: Stage, engine: str, test: str) -> dict[str, str]:
    """The rules of what the test code leaves: a body of test(), or functions that are called so."""
    body = textwrap.dedent(test).strip()
    if "def test(" not in body:
        body = "def test():\n" + textwrap.indent(body + "\nmonkeypatch.undo()", "    ")
    left = rules_found(stage, engine, textwrap.dedent(HEAD) + body + "\n", PROGRAM)
    return {place: rule for place, rule in left.items() if place.startswith("shop.")}


def place_of(name: str) -> str:
    return f"shop.cached.{name}" if name.startswith("SHOP.") else f"shop.cached.{name}.cache_info()"


def used(name: str) -> str:
    """The expression that fills a cache."""
    return f"cached.{name}" if name.startswith("SHOP.") else f"cached.{name}()"


CACHES = [
    "price",
    "sum_of_prices",
    "logged_price",
    "kept_price",
    "zone",
    "region",
    "SHOP.total",
    "SHOP.loaded",
]


@pytest.mark.parametrize("name", CACHES)
def test_filling_a_cache_is_no_leak(name: str, engine: str, stage: Stage) -> None:
    left = found(stage, engine, used(name))
    assert left[place_of(name)] == "cache"
    assert "leak" not in left.values()


PATCHES = {
    "setattr": "monkeypatch.setattr(cached, 'rate', fake)\n{use}",
    "setattr of a dotted name": "monkeypatch.setattr('shop.cached.rate', fake)\n{use}",
    "patch as context": "with mock.patch('shop.cached.rate', fake):\n    {use}",
    "patch that was imported": "with patch('shop.cached.rate', return_value=3):\n    {use}",
    "patch.object": "with mock.patch.object(cached, 'rate', fake):\n    {use}",
    "patch.multiple": "with mock.patch.multiple(cached, rate=fake):\n    {use}",
    "patch as decorator": "@mock.patch('shop.cached.rate', fake)\ndef test():\n    {use}",
    "patch.object as decorator": "@mock.patch.object(cached, 'rate')\ndef test(rate):\n    {use}",
    "two decorators": (
        "@mock.patch('shop.cached.other', fake)\n"
        "@mock.patch('shop.cached.rate', fake)\n"
        "def test():\n    {use}"
    ),
    "started and stopped": (
        "patcher = mock.patch('shop.cached.rate', fake)\npatcher.start()\n{use}\npatcher.stop()"
    ),
    "assigned": "before = cached.rate\ncached.rate = fake\n{use}\ncached.rate = before",
    "what is called by what it calls": "with mock.patch('shop.rates.fetch', fake):\n    {use}",
    "two modules away": "with mock.patch('shop.wire.receive', fake):\n    {use}",
}


@pytest.mark.parametrize("name", ["price", "SHOP.total"])
@pytest.mark.parametrize("how", PATCHES)
def test_a_cache_filled_while_its_function_s_names_are_patched_is_a_leak(
    how: str, name: str, engine: str, stage: Stage
) -> None:
    left = found(stage, engine, PATCHES[how].format(use=used(name)))
    assert left[place_of(name)] == "leak"


@pytest.mark.parametrize("name", ["sum_of_prices", "logged_price", "kept_price", "SHOP.loaded"])
def test_what_a_function_goes_through_is_looked_through(name: str, engine: str, stage: Stage) -> None:
    """A generator inside it, a wrapper, another cache, a method."""
    left = found(stage, engine, f"with mock.patch('shop.rates.fetch', fake):\n    {used(name)}")
    assert left[place_of(name)] == "leak"


@pytest.mark.parametrize("name", ["price", "SHOP.total"])
def test_a_patch_of_something_else_is_no_excuse_to_complain(name: str, engine: str, stage: Stage) -> None:
    left = found(stage, engine, f"with mock.patch('shop.cached.other', fake):\n    {used(name)}")
    assert left[place_of(name)] == "cache"


def test_a_patch_in_another_test_does_not_matter(engine: str, stage: Stage) -> None:
    test = """
        def test():
            cached.price()

        def test_other(monkeypatch):
            monkeypatch.setattr(cached, "rate", fake)
        """
    assert found(stage, engine, test) == {PRICE: "cache"}


def test_a_patch_in_a_function_that_the_test_calls_counts(engine: str, stage: Stage) -> None:
    assert found(stage, engine, "replace_rate(monkeypatch)\ncached.price()")[PRICE] == "leak"


def test_a_patch_in_a_fixture_of_the_test_counts(engine: str, stage: Stage) -> None:
    text = textwrap.dedent(HEAD) + "def test():\n    replace_rate(monkeypatch)\n    cached.price()\n"
    module = stage.load(text, program=PROGRAM)
    spans = tuple(span_of_code(function.__code__) for function in (module.test, module.replace_rate))
    owner, observer = Owner("checks.py::test", "test", find_spans=lambda: spans), observer_of(stage, engine)
    observer.start()
    try:
        observer.switch(owner)
        module.test()
        module.undo()
        left = named(observer.end(owner))
    finally:
        observer.stop()
    assert left[PRICE] == "leak"


ENVIRONMENTS = {
    "setenv": "monkeypatch.setenv('SHOP_ZONE', 'x')\n{use}",
    "delenv": "monkeypatch.delenv('SHOP_ZONE', raising=False)\n{use}",
    "patch.dict": "with mock.patch.dict(os.environ, {{'SHOP_ZONE': 'x'}}):\n    {use}",
    "patch.dict of a dotted name": "with mock.patch.dict('os.environ', {{'SHOP_ZONE': 'x'}}):\n    {use}",
    "patch.dict with keywords": "with mock.patch.dict(os.environ, SHOP_ZONE='x'):\n    {use}",
    "patch.dict as decorator": "@patch.dict(os.environ, {{'SHOP_ZONE': 'x'}})\ndef test():\n    {use}",
    "patch.dict of a dotted name as decorator": (
        "@patch.dict('os.environ', SHOP_ZONE='x')\ndef test():\n    {use}"
    ),
    "setitem": "monkeypatch.setitem(os.environ, 'SHOP_ZONE', 'x')\n{use}",
    "set and deleted": "os.environ['SHOP_ZONE'] = 'x'\n{use}\ndel os.environ['SHOP_ZONE']",
    "update": "os.environ.update(SHOP_ZONE='x')\n{use}\ndel os.environ['SHOP_ZONE']",
}


@pytest.mark.parametrize("name", ["zone", "region", "zone_behind", "SHOP.zone"])
@pytest.mark.parametrize("how", ENVIRONMENTS)
def test_a_cache_filled_from_a_patched_environment_is_a_leak(
    how: str, name: str, engine: str, stage: Stage
) -> None:
    left = found(stage, engine, ENVIRONMENTS[how].format(use=used(name)))
    assert left[place_of(name)] == "leak"


@pytest.mark.parametrize("how", ENVIRONMENTS)
def test_a_cache_that_does_not_ask_the_environment_does_not_mind(how: str, engine: str, stage: Stage) -> None:
    assert found(stage, engine, ENVIRONMENTS[how].format(use="cached.price()")) == {PRICE: "cache"}


PATCHED = "monkeypatch.setattr(cached, 'rate', fake)\n"


@pytest.mark.parametrize(
    "body",
    [
        "cached.price()\ncached.price.cache_clear()",
        "_ = cached.SHOP.total\ndel cached.SHOP.total",
        "_ = cached.SHOP.total\nvars(cached.SHOP).pop('total')",
    ],
)
def test_a_cache_that_is_cleared_again_keeps_nothing(body: str, engine: str, stage: Stage) -> None:
    assert found(stage, engine, PATCHED + body) == {}


FILLED = """
    def earlier():
        cached.price()
        cached.SHOP.total

    def test():
        monkeypatch.setattr(cached, "rate", fake)
        {acts}
        monkeypatch.undo()
    """


@pytest.mark.parametrize(
    ("acts", "place", "rule"),
    [
        ("cached.price.cache_clear(); cached.price(); cached.price.cache_clear()", PRICE, "cache"),
        ("cached.price.cache_clear()", PRICE, "cache"),
        ("del cached.SHOP.total; cached.SHOP.total", TOTAL, "leak"),
    ],
)
def test_a_cache_that_an_earlier_test_had_filled(
    acts: str, place: str, rule: str, engine: str, stage: Stage
) -> None:
    assert found(stage, engine, FILLED.format(acts=acts)) == {place: rule}


def test_clearing_a_poisoned_cache_is_no_leak(engine: str, stage: Stage) -> None:
    test = """
        def earlier():
            monkeypatch.setattr(cached, "rate", fake)
            cached.price()
            monkeypatch.undo()

        def test():
            cached.price.cache_clear()
        """
    assert found(stage, engine, test) == {PRICE: "cache"}


def test_what_the_test_writes_into_a_cached_property_is_a_leak(engine: str, stage: Stage) -> None:
    assert found(stage, engine, "cached.SHOP.total = 5") == {TOTAL: "leak"}

"""Which place comes first: what a test can meet, and how far that is from its code."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_mcpsmoke.order.distance import distances
from pytest_mcpsmoke.order.reaching import reach_of_test
from pytest_mcpsmoke.order.suspects import Reach, Suspect, rank, reach_of

TEST = """
import app.client as client
from app.tools import TOOLS

def test_call(monkeypatch):
    client.retries = 3
    monkeypatch.setenv("PROXY_URL", "x")
    assert client.call("echo")
"""


def suspect(place: str, is_leak: bool = True, at: int = 1) -> Suspect:
    return Suspect(place, "t.py::t", "t.py::t", False, is_leak, at)


def test_what_code_imports_names_and_sets() -> None:
    reach = reach_of(TEST)
    assert reach.modules >= {"app.client", "app.tools", "app.tools.TOOLS"}
    assert {"retries", "PROXY_URL"} <= reach.written
    assert reach.holds("app.client.retries")
    assert reach.holds("sys.modules['app.client']")
    assert not reach.holds("app.other.x")
    assert reach.is_near("app.other.x")
    assert not reach.is_near("json.x")
    assert reach.sets("os.environ['PROXY_URL']")


@pytest.mark.parametrize("source", ["def (", "\0", "from . import x", "x = " + "(" * 500])
def test_code_that_says_nothing_of_modules(source: str) -> None:
    assert reach_of(source).modules == frozenset()


def test_names_are_as_far_as_the_definitions_between() -> None:
    program = """
        RATE = 1

        def total():
            return taxed(2)

        def taxed(price):
            return price * RATE
        """
    test = """
        import pytest, shop

        @pytest.fixture
        def basket():
            return shop.BASKET

        def test_total(basket):
            assert shop.total() == 2
        """
    found = distances("test_total", [textwrap.dedent(test), textwrap.dedent(program), "def ("])
    assert {name: found.get(name) for name in ("total", "BASKET", "taxed", "RATE", "absent")} == {
        "total": 0,
        "BASKET": 1,
        "taxed": 1,
        "RATE": 2,
        "absent": None,
    }


def test_the_order_of_suspects() -> None:
    reach = reach_of(TEST)._replace(steps={"MODE": 2, "LEVEL": 1})
    places = [
        suspect("app.client.LEVEL", at=1),
        suspect("app.client.MODE", at=2),
        suspect("app.client.far", at=4),
        suspect("app.client.other", at=3),
        suspect("app.client.retries", at=9),
        suspect("app.elsewhere.MODE", at=9),
        suspect("json.decoder.x", at=9),
        suspect("app.client.LEVEL", is_leak=False),
        suspect("sys.modules['app.client']", is_leak=False),
    ]
    assert rank(reversed(places), reach) == places


def test_a_test_meets_what_its_code_comes_to() -> None:
    reach = Reach(modules=frozenset({"app"}), steps={"MODE": 0, "environ": 1})
    assert reach.meets("app.settings.MODE")
    assert not reach.meets("app.settings.LEVEL")
    assert not reach.meets("json.MODE")
    assert reach.meets("os.environ['X']")


def test_files_are_read_from_the_test_on(tmp_path: Path) -> None:
    files = {
        "tests/test_a.py": "import client\n\ndef test_a():\n    client.call()\n",
        "tests/conftest.py": "import fixtures_of_all\n",
        "src/client.py": "import deep.inside\n\ndef call():\n    return deep.inside.STATE\n",
        "src/deep/__init__.py": "",
        "src/deep/inside.py": "STATE = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reach = reach_of_test("tests/test_a.py::test_a[x::y]", tmp_path, "src/other.py")
    assert reach.modules >= {"client", "fixtures_of_all", "src.other", "other"}
    assert "deep.inside" in reach.indirect
    assert reach.meets("deep.inside.STATE")
    assert not reach.meets("deep.inside.ELSE")

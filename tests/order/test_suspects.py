"""Which place comes first: what a test can meet, and how far that is from its code."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.order.distance import definitions, distances, together
from pytest_mcpsmoke.order.reaching import Reader
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
    sources = (textwrap.dedent(test), textwrap.dedent(program), "def (")
    found = distances("test_total", together(map(definitions, sources)))
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
    reach = Reader(tmp_path).reach_of_test("tests/test_a.py::test_a[x::y]", "src/other.py")
    assert reach.modules >= {"client", "fixtures_of_all", "src.other", "other"}
    assert "deep.inside" in reach.indirect
    assert reach.meets("deep.inside.STATE")
    assert not reach.meets("deep.inside.ELSE")


def test_each_file_is_read_once_for_all_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "".join(f"import client_{at}\n" for at in range(5))
    files = {"client.py": program, **{f"client_{at}.py": f"STATE_{at} = 1\n" for at in range(5)}}
    for test in "ab":
        files[f"test_{test}.py"] = (
            f"import client\n\ndef test_1(): client_3.STATE_3\n\ndef test_2(): {test}()\n"
        )
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    read: list[str] = []
    real = Path.read_text

    def counted(path: Path, *args: Any, **named: Any) -> str:
        read.append(path.name)
        return real(path, *args, **named)

    monkeypatch.setattr(Path, "read_text", counted)
    reader = Reader(tmp_path)
    reaches = [
        reader.reach_of_test(f"test_{test}.py::test_{number}", failed_in)
        for test in "ab"
        for number in (1, 2)
        for failed_in in (None, "client.py", f"test_{test}.py")
    ]
    assert sorted(set(read) - {"conftest.py"}) == sorted(files)
    assert len(read) == len(set(read))
    assert [reach.meets("client_3.STATE_3") for reach in reaches] == ([True] * 3 + [False] * 3) * 2


def test_the_tests_own_module_is_met_and_of_equals_the_shallow_place_comes_first(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_it():\n    pass\n")
    reach = Reader(tmp_path).reach_of_test("tests/test_a.py::test_it", None)
    assert reach.holds("tests.test_a.Case.made")
    assert reach.holds("test_a.Case.made")
    places = ["other.registry", "test_a.Case.made['x'].y", "test_a.Case.made"]
    assert [one.place for one in rank(map(suspect, places), reach)] == [*places[:0:-1], places[0]]


def test_all_names_of_a_place_count_and_of_equals_the_last() -> None:
    reach = Reach(frozenset({"app"}), steps={"TOOLS": 1, "queues": 1, "echo": 0, "node": 2, "name": 0})
    deep, keyed, plain = "app.TOOLS[3].node.name", "app.queues['_bind.echo']", "app.TOOLS"
    stranger = "app.other"
    assert [reach.distance(place) for place in (deep, keyed, plain, stranger)] == [2, 2, 1, 99]
    assert [reach.distance_of_last(place) for place in (deep, keyed, plain, stranger)] == [0, 0, 1, 99]
    places = [stranger, "app.queues['_bind.x']", keyed, plain]
    assert [one.place for one in rank(map(suspect, places), reach)] == places[::-1]


def test_a_test_outside_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("import app\n")
    reach = Reader(tmp_path / "root").reach_of_test(f"{tmp_path}/test_a.py::test_it", None)
    assert reach.holds("app.MODE")
    assert reach.holds("test_a.MODE")


def test_no_more_of_a_program_is_read_than_a_summary_can_wait_for(tmp_path: Path) -> None:
    for at in range(250):
        (tmp_path / f"m{at:03}.py").write_text(f"import m{at + 1:03}\n")
    (tmp_path / "test_a.py").write_text("import m000\n")
    reach = Reader(tmp_path).reach_of_test("test_a.py::test_it", None)
    assert {"m000", "m200"} <= reach.indirect
    assert "m201" not in reach.indirect

"""The report as a user reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcpsmoke.report.model import Finding, SiteText
from pytest_mcpsmoke.report.text import few, owner_lines, plural, report_lines, site_line, summary_line

TEST = """def test_errors():
    ap_mod.HttpToolsInvoker = _FakeInvoker
    ap_mod.API_KEY = "hunter2"
    x = "{}"
""".format("y" * 200)

INVOKER = Finding(
    owner="tests/test_a.py::test_errors",
    owner_kind="test",
    scope="function",
    during=None,
    place="app.proxy.HttpToolsInvoker",
    probe="namespaces",
    change="rebound",
    before="class HttpToolsInvoker",
    after="class _FakeInvoker",
    site=SiteText("tests/test_a.py", 2, "test_errors", "observed"),
    verdict="leak",
    remedy='monkeypatch.setattr(ap_mod, "HttpToolsInvoker", _FakeInvoker)',
)
KEY = INVOKER._replace(
    place="app.proxy.API_KEY",
    change="added",
    before="(nothing)",
    after="str ***",
    site=SiteText("tests/test_a.py", 3, "test_errors", "searched"),
    remedy=None,
)
FIXTURE = INVOKER._replace(
    owner="tests/conftest.py::server",
    owner_kind="fixture",
    scope="session",
    during="tests/test_a.py::test_errors",
    site=None,
    remedy=None,
)
MODULE = INVOKER._replace(
    owner="tests/test_b.py", owner_kind="module", scope="module", site=None, remedy=None
)
WARM_UP = INVOKER._replace(verdict="warm-up", reason="the program counts up", site=None, remedy=None)


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(TEST, encoding="utf-8")
    return str(tmp_path)


def test_the_whole_report(root: str) -> None:
    found = [INVOKER, KEY, FIXTURE, MODULE]
    assert report_lines(found, root) == [
        "1 test, 1 fixture, 1 module import left app.proxy.HttpToolsInvoker changed",
        "  tests/test_a.py::test_errors   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        "      tests/test_a.py:2  ap_mod.HttpToolsInvoker = _FakeInvoker",
        '      use: monkeypatch.setattr(ap_mod, "HttpToolsInvoker", _FakeInvoker)',
        "  session fixture tests/conftest.py::server (set up for tests/test_a.py::test_errors)"
        "   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        "  importing tests/test_b.py   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        "tests/test_a.py::test_errors left 1 place changed",
        "  app.proxy.API_KEY   added: (nothing) -> str ***",
        '      tests/test_a.py:3  ap_mod.API_KEY = "***"  (searched)',
    ]
    assert summary_line(found, {"leak": 4, "warm-up": 2, "allowed": 1}) == (
        "4 leaks left by 1 test, 1 fixture, 1 module import; 2 warm-ups, 1 allowed"
    )


def test_places_of_one_owner_stand_together_with_one_command(root: str) -> None:
    command = "pytest tests/test_a.py::test_errors"
    assert report_lines([each._replace(command=command) for each in (INVOKER, KEY)], root) == [
        "tests/test_a.py::test_errors left 2 places changed",
        "  app.proxy.HttpToolsInvoker   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        "      tests/test_a.py:2  ap_mod.HttpToolsInvoker = _FakeInvoker",
        '      use: monkeypatch.setattr(ap_mod, "HttpToolsInvoker", _FakeInvoker)',
        "  app.proxy.API_KEY            added: (nothing) -> str ***",
        '      tests/test_a.py:3  ap_mod.API_KEY = "***"  (searched)',
        "  again: pytest tests/test_a.py::test_errors",
    ]


def test_nothing_is_said_when_nothing_leaked(root: str) -> None:
    assert report_lines([], root) == []


def test_one_leak_is_counted_in_the_singular() -> None:
    assert summary_line([INVOKER], {"leak": 1}) == "1 leak left by 1 test; 0 warm-ups, 0 allowed"
    verdicts = {"leak": 2, "warm-up": 1}
    assert summary_line([INVOKER, KEY], verdicts) == "2 leaks left by 1 test; 1 warm-up, 0 allowed"


def test_a_fixture_set_up_for_no_test_in_particular() -> None:
    first, *_ = owner_lines([FIXTURE._replace(during=None)], ".")
    assert first == "session fixture tests/conftest.py::server left 1 place changed"


def test_a_long_source_line_is_cut(root: str) -> None:
    text = site_line(SiteText("tests/test_a.py", 4, "test_errors", "observed"), "app.x", root)
    assert text == 'tests/test_a.py:4  x = "' + "y" * 94 + "…"


def test_a_site_whose_file_is_gone_shows_its_line_number(root: str) -> None:
    site = SiteText("tests/gone.py", 7, "test", "searched")
    assert site_line(site, "app.x", root) == "tests/gone.py:7    (searched)"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 leaks"), (1, "1 leak"), (2, "2 leaks"), (2000, "2,000 leaks")]
)
def test_plural(number: int, text: str) -> None:
    assert plural(number, "leak") == text


def test_of_many_lines_a_few_are_told_and_the_others_counted() -> None:
    assert few(["a", "b", "c"], 3, "notes") == ["a", "b", "c"]
    assert few(["a", "b", "c", "d"], 3, "notes") == ["a", "b", "and 2 more notes"]


@pytest.mark.parametrize("limit", range(1, 30))
def test_a_report_is_never_longer_than_it_may_be(root: str, limit: int) -> None:
    found = [
        INVOKER._replace(owner=f"{n}.py::test", place=f"app.{n // 2}", command="pytest") for n in range(12)
    ]
    lines = report_lines(found, root, limit, "")
    assert len(lines) <= limit
    told = 2 * sum(line.startswith("2 tests left app.") for line in lines)
    assert lines[-1] == f"and {12 - told} more leaks left by {12 - told} tests"


def test_one_owner_with_too_much_is_cut_where_it_stands(root: str) -> None:
    found = [INVOKER._replace(place=f"app.x{n}", site=None, remedy=None, command="pytest") for n in range(9)]
    assert report_lines(found, root, 6, ": see --leaks-show") == [
        "tests/test_a.py::test_errors left 9 places changed",
        "  app.x0   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        "  app.x1   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        "  and 7 more",
        "  again: pytest",
    ]

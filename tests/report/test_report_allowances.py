"""Allowances by themselves: which findings one covers, how a line is read, what the baseline file holds."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.report.allowances import Allowance, Declared, enclosing, read_lines
from pytest_mcpsmoke.report.baseline import Baseline, read_baseline, render_baseline, since_of
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.state.globs import matches

FINDING = Finding(
    owner="tests/api/test_a.py::TestIt::test_x[a/b::c]",
    owner_kind="test",
    scope="function",
    during=None,
    place="app.registry.HANDLERS['echo']",
    probe="containers",
    change="added",
    before="(nothing)",
    after="function echo",
    site=None,
    verdict="leak",
)
texts = st.text(st.sampled_from("ab.[]*?'\\^-! \n{}()|+$"), max_size=12)


class TestGlobs:
    @pytest.mark.parametrize(
        ("glob", "place", "expected"),
        [
            ("app.registry.HANDLERS['echo']", "app.registry.HANDLERS['echo']", True),
            ("app.registry.HANDLERS[*]", "app.registry.HANDLERS['echo']", True),
            ("app.registry.HANDLERS['?cho']", "app.registry.HANDLERS['echo']", True),
            ("os.environ['X']", "os.environX", False),
            ("os.environ['X']", "os.environ'", False),
            ("app.[ab]", "app.a", False),
            ("app.*", "app.settings.MODE", True),
            ("app", "app.settings", False),
            ("*.mode", "app.MODE", False),
        ],
    )
    def test_by_example(self, glob: str, place: str, expected: bool) -> None:
        assert matches(place, glob) is expected

    @given(texts)
    def test_a_place_matches_itself(self, place: str) -> None:
        assert matches(place, place)

    @given(texts, texts)
    def test_only_stars_and_question_marks_are_wild(self, glob: str, place: str) -> None:
        literal = glob.replace("[", "[[]")  # in the language of fnmatch, where it opens a set
        assert matches(place, glob) is fnmatch.fnmatchcase(place, literal)


class TestCovers:
    @pytest.mark.parametrize(
        "owners",
        [
            "*",
            "tests",
            "tests/api",
            "tests/api/test_a.py",
            "tests/api/test_a.py::TestIt",
            "tests/api/test_a.py::TestIt::test_x",
            "tests/api/test_a.py::TestIt::test_x[a/b::c]",
        ],
    )
    def test_an_owner_and_whatever_lies_around_it(self, owners: str) -> None:
        assert Allowance(("app.*",), "why", "here", owners).covers(FINDING)

    @pytest.mark.parametrize(
        "owners", ["", "test", "tests/ap", "tests/api/", "api", "tests/api/test_a.py::TestI"]
    )
    def test_nobody_else(self, owners: str) -> None:
        assert not Allowance(("app.*",), "why", "here", owners).covers(FINDING)

    @pytest.mark.parametrize(("places", "expected"), [(("os.*", "app.*"), True), (("os.*", "app"), False)])
    def test_by_any_of_its_places(self, places: tuple[str, ...], expected: bool) -> None:
        assert Allowance(places, "why", "here").covers(FINDING) is expected

    @pytest.mark.parametrize(
        ("owner", "expected"),
        [
            ("conftest.py::server", ["*", "conftest.py", "conftest.py::server"]),
            ("a/b/test_c.py", ["*", "a", "a/b", "a/b/test_c.py"]),
            ("test_a.py::t[x/y::z]", ["*", "test_a.py", "test_a.py::t", "test_a.py::t[x/y::z]"]),
            ("a[1]/test_b.py::t", ["*", "a[1]", "a[1]/test_b.py", "a[1]/test_b.py::t"]),
        ],
    )
    def test_what_an_owner_lies_in(self, owner: str, expected: list[str]) -> None:
        assert [*enclosing(owner)] == expected


class TestLines:
    @pytest.mark.parametrize(
        ("line", "place", "reason"),
        [
            ("app.x  # why", "app.x", "why"),
            ("  app.x # see #12  # really ", "app.x", "see #12  # really"),
            ("app.x\t#why", "app.x", "why"),
            ("app.x['a b']  # why", "app.x['a b']", "why"),
            ("app.x['a # b']['c #']  # why", "app.x['a # b']['c #']", "why"),
            ('app.x["it\'s # b"]  # why', 'app.x["it\'s # b"]', "why"),
            ("app.x[*]  # why", "app.x[*]", "why"),
            ("app.x#y  # why", "app.x#y", "why"),
        ],
    )
    def test_place_and_reason(self, line: str, place: str, reason: str) -> None:
        assert read_lines([line], "pytest.ini", "tests") == [
            Allowance((place,), reason, "pytest.ini", "tests")
        ]

    @pytest.mark.parametrize(
        ("lines", "problem"),
        [
            (["app.x"], "'app.x': no reason; write app.x  # why it may stay changed"),
            (["app.x  #"], "'app.x  #': no reason; write app.x  # why it may stay changed"),
            (["a # b", "app.x # "], "'app.x #': no reason; write app.x  # why it may stay changed"),
            (["# why"], "'# why': no place; write place-glob  # reason"),
            ([""], "'': no place; write place-glob  # reason"),
            ("app.x  # why", 'a str; write a list: ["place-glob  # reason"]'),
            ({"app.x": "why"}, 'a dict; write a list: ["place-glob  # reason"]'),
            ([("app.x", "why")], 'holds a tuple; write each as a text: "place-glob  # reason"'),
        ],
    )
    def test_a_problem_names_the_line_its_source_and_the_remedy(self, lines: object, problem: str) -> None:
        with pytest.raises(UsageProblem) as raised:
            read_lines(lines, "conftest.py: mcpsmoke_allow")
        assert str(raised.value) == f"conftest.py: mcpsmoke_allow: {problem}"


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        (
            Declared("app.*", "pytest.ini: mcpsmoke_allow", "*"),
            "stale allowance: app.*  (pytest.ini: mcpsmoke_allow): matched nothing; delete it",
        ),
        (
            Declared("app.*", "tests/conftest.py: mcpsmoke_allow", "tests"),
            "stale allowance: app.*  (tests/conftest.py: mcpsmoke_allow): matched nothing; delete it",
        ),
        (
            Declared("app.x", "baseline.json", "test_a.py::test_x"),
            "stale allowance: app.x of test_a.py::test_x  (baseline.json): matched nothing; delete it",
        ),
    ],
)
def test_what_is_said_of_a_stale_allowance(declared: Declared, line: str) -> None:
    assert declared.line == line


class TestBaseline:
    ENTRIES = {("b.py::test", "app.x['ä']"): "2026-11-21", ("a.py", "app.y"): "2025-01-02"}
    TEXT = """\
{"schema": 1, "allowed": [
  {"owner": "a.py", "place": "app.y", "since": "2025-01-02"},
  {"owner": "b.py::test", "place": "app.x['ä']", "since": "2026-11-21"}
]}
"""

    def test_one_entry_a_line_in_order(self) -> None:
        assert render_baseline(self.ENTRIES) == self.TEXT

    @given(
        st.dictionaries(
            st.tuples(st.text(), st.text()), st.dates().map(lambda day: day.isoformat()), max_size=5
        )
    )
    def test_what_is_written_is_read(self, entries: dict[tuple[str, str], str]) -> None:
        content = json.loads(render_baseline(entries))
        assert {(each["owner"], each["place"]): each["since"] for each in content["allowed"]} == entries

    def test_a_file_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "b.json").write_text(self.TEXT, "utf-8")
        assert read_baseline(tmp_path / "b.json", "b.json") == self.ENTRIES

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (
                "[",
                "not JSON: Expecting value: line 1 column 2 (char 1);"
                " repair it, or delete it and write it anew",
            ),
            ("[]", "not a baseline; write one with: mcpsmoke baseline REPORT"),
            ('{"schema": 1}', "not a baseline; write one with: mcpsmoke baseline REPORT"),
            ('{"schema": 2, "allowed": []}', "schema 2; this mcpsmoke reads schema 1"),
            ('{"allowed": []}', "schema None; this mcpsmoke reads schema 1"),
            (
                '{"schema": 1, "allowed": [{"owner": "a", "place": "b"}]}',
                'entry 1: it needs the texts "owner", "place" and "since", a day like 2026-11-21',
            ),
            (
                '{"schema": 1, "allowed": [{"owner": "a", "place": "b", "since": "soon"}]}',
                'entry 1: it needs the texts "owner", "place" and "since", a day like 2026-11-21',
            ),
        ],
    )
    def test_a_file_that_is_none(self, tmp_path: Path, text: str, problem: str) -> None:
        (tmp_path / "b.json").write_text(text, "utf-8")
        with pytest.raises(UsageProblem) as raised:
            read_baseline(tmp_path / "b.json", "the file")
        assert str(raised.value) == f"the file: {problem}"

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("b.json", "no such file; write it with: mcpsmoke baseline REPORT"),
            (".", "cannot be read: Is a directory"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, tmp_path: Path, name: str, problem: str) -> None:
        with pytest.raises(UsageProblem) as raised:
            read_baseline(tmp_path / name, "the file")
        assert str(raised.value) == f"the file: {problem}"

    def test_covers_exactly_its_owner_and_place(self) -> None:
        baseline = Baseline(self.ENTRIES, "b.json")
        (allowance,) = baseline.covering("a.py", "app.y")
        assert allowance == (("app.y",), "baseline since 2025-01-02", "b.json", "a.py")
        assert since_of(allowance.reason) == "2025-01-02"
        assert [*baseline.covering("a.py::test", "app.y"), *baseline.covering("a.py", "app.*")] == []

    def test_no_other_reason_holds_a_day(self) -> None:
        assert since_of("since 2025-01-02") is since_of(None) is None

"""Allowances of a run: ini file, conftests and baseline; and which of them, and of the markers, are stale."""

from __future__ import annotations

import json
from typing import Any

import pytest

XDIST = ("-p", "xdist", "-n", "2")
IMPORTS = "import pytest\nfrom app import settings\n"
LEAKS = IMPORTS + "def test_it(): settings.MODE = 'x'\n"
SINCE = "2026-11-21"


@pytest.fixture(params=["alone", "workers"])
def spread(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param == "workers":
        pytest.importorskip("xdist")
        return XDIST
    return ()


def ini(*lines: str, **keys: str) -> str:
    return "\n    ".join(["[pytest]\nmcpsmoke_allow =", *lines]) + "".join(
        f"\n{key} = {value}" for key, value in keys.items()
    )


def marker(*places: str) -> str:
    return f"pytest.mark.allow_leak({', '.join(map(repr, places))}, reason='meant')"


def baseline(*entries: tuple[str, str]) -> str:
    allowed = [{"owner": owner, "place": place, "since": SINCE} for owner, place in entries]
    return json.dumps({"schema": 1, "allowed": allowed})


def told(run: Any) -> dict[str, str]:
    """The reason, or else the verdict, by "owner place"."""
    return {
        f"{each['owner']} {each['place'].removeprefix('app.settings.')}": each["reason"] or each["verdict"]
        for each in run.of_type("finding")
        if each["verdict"] != "warm-up"
    }


def stale(run: Any) -> list[str]:
    """The stale allowances as the report has them: "place | source | owner"."""
    return [f"{each['allowance']} | {each['source']} | {each['owner']}" for each in run.of_type("stale")]


OWNERS = {
    "conftest.py": """
        import pytest
        from app import settings

        settings.BY_CONFTEST = 1

        @pytest.fixture(scope="session")
        def wide():
            settings.BY_FIXTURE = 1
        """,
    "test_case.py": IMPORTS
    + "settings.BY_IMPORT = 1\ndef test_it(wide): settings.BY_TEST = 1\ndef test_b(): settings.B = 1\n",
}


class TestIni:
    def test_covers_tests_fixtures_and_imports(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write(OWNERS | {"pytest.ini": ini("app.settings.BY_*  # start-up, see #12")})
        run = suite.run("--leaks=fail", *spread, subprocess=bool(spread))
        assert told(run) == {
            "conftest.py::wide BY_FIXTURE": "start-up, see #12",
            "test_case.py BY_IMPORT": "start-up, see #12",
            "test_case.py::test_it BY_TEST": "start-up, see #12",
            "test_case.py::test_b B": "leak",
        }
        run.result.assert_outcomes(passed=2, errors=1)
        assert run.section[-1] == "1 leak left by 1 test; 0 warm-ups, 3 allowed"

    def test_a_suite_that_leaks_only_what_is_allowed_passes(self, suite: Any) -> None:
        suite.write({"test_case.py": LEAKS, "pytest.ini": ini("app.settings.MODE  # it restarts")})
        run = suite.run("--leaks=fail")
        assert (run.result.ret, run.section, stale(run)) == (pytest.ExitCode.OK, [], [])

    def test_a_place_with_brackets(self, suite: Any) -> None:
        place = "app.settings.KEYS['a']"
        source = IMPORTS + f"def test_it(): setattr(settings, {place.removeprefix('app.settings.')!r}, 1)\n"
        suite.write({"test_case.py": source, "pytest.ini": ini(f"{place}  # why")})
        assert told(suite.run()) == {"test_case.py::test_it KEYS['a']": "why"}

    def test_a_warm_up_stays_one(self, suite: Any) -> None:
        suite.write(
            {
                "app/late.py": "",
                "test_case.py": "def test_it():\n    import app.late\n",
                "pytest.ini": ini("app.*  # why"),
            }
        )
        run = suite.run()
        assert {each["verdict"] for each in run.of_type("finding")} == {"warm-up"}
        assert stale(run) == ["app.* | pytest.ini: mcpsmoke_allow | *"]

    @pytest.mark.parametrize(
        ("arguments", "source"), [((), "pytest.ini"), (("-o", "mcpsmoke_allow=app.x  # why"), "-o")]
    )
    def test_its_source(self, suite: Any, arguments: tuple[str, ...], source: str) -> None:
        suite.write({"test_case.py": "def test_it(): pass\n", "pytest.ini": ini("app.x  # why")})
        assert stale(suite.run(*arguments)) == [f"app.x | {source}: mcpsmoke_allow | *"]


CONFTEST = 'mcpsmoke_allow = ["app.settings.*  # {}"]\n'


class TestConftest:
    def test_covers_what_lies_in_its_folder(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write(
            {
                "api/conftest.py": CONFTEST.format("of api")
                + OWNERS["conftest.py"].replace("\n        ", "\n"),
                "api/test_case.py": OWNERS["test_case.py"],
                "apix/test_other.py": IMPORTS + "def test_it(): settings.OTHER = 1\n",
            }
        )
        run = suite.run("--leaks=fail", *spread, subprocess=bool(spread))
        assert told(run) == {
            "api/conftest.py BY_CONFTEST": "of api",
            "api/conftest.py::wide BY_FIXTURE": "of api",
            "api/test_case.py BY_IMPORT": "of api",
            "api/test_case.py::test_it BY_TEST": "of api",
            "api/test_case.py::test_b B": "of api",
            "apix/test_other.py::test_it OTHER": "leak",
        }
        assert stale(run) == []

    def test_the_closest_tells_the_reason(self, suite: Any) -> None:
        suite.write(
            {
                "pytest.ini": ini("app.settings.*  # ini"),
                "conftest.py": CONFTEST.format("root"),
                "a/conftest.py": CONFTEST.format("a"),
                "a/b/conftest.py": CONFTEST.format("b").replace(".*", ".B*"),
                "a/b/test_case.py": f"{IMPORTS}@{marker('app.settings.BM')}\n"
                "def test_it(): settings.BM = settings.B = settings.A = 1\n",
                "test_root.py": IMPORTS + "def test_it(): settings.ROOT = 1\n",
            }
        )
        assert told(run := suite.run()) == {
            "a/b/test_case.py::test_it BM": "meant",
            "a/b/test_case.py::test_it B": "b",
            "a/b/test_case.py::test_it A": "a",
            "test_root.py::test_it ROOT": "root",
        }
        assert stale(run) == [], "to cover what another covers as well is a use"


BASELINE = {
    "test_case.py": OWNERS["test_case.py"],
    "conftest.py": OWNERS["conftest.py"],
    "mcpsmoke-baseline.json": baseline(
        ("conftest.py::wide", "app.settings.BY_FIXTURE"),
        ("test_case.py", "app.settings.BY_IMPORT"),
        ("test_case.py::test_it", "app.settings.BY_TEST"),
        ("test_case.py::test_it", "app.settings.*"),
        ("test_case.py::test_it", "app.settings.B"),
    ),
}


class TestBaseline:
    def test_covers_exactly_its_entries(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write(BASELINE)
        option = "--leaks-baseline=mcpsmoke-baseline.json"
        run = suite.run("--leaks=fail", option, *spread, subprocess=bool(spread))
        reason = f"baseline since {SINCE}"
        assert told(run) == {
            "conftest.py::wide BY_FIXTURE": reason,
            "test_case.py BY_IMPORT": reason,
            "test_case.py::test_it BY_TEST": reason,
            "test_case.py::test_b B": "leak",
        }
        run.result.assert_outcomes(passed=2, errors=1)

    def test_of_the_ini_file_it_is_relative_to_the_rootdir(
        self, suite: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        suite.write(
            {
                "pytest.ini": ini(mcpsmoke_baseline="ci/b.json"),
                "sub/test_case.py": LEAKS,
                "ci/b.json": baseline(("sub/test_case.py::test_it", "app.settings.MODE")),
                "sub/other.json": baseline(),
            }
        )
        monkeypatch.chdir(suite.path / "sub")
        run = suite.run("--leaks=fail", report=False)
        assert run.result.ret == pytest.ExitCode.OK
        run = suite.run("--leaks=fail", "--leaks-baseline=other.json", report=False)
        assert run.result.ret == pytest.ExitCode.TESTS_FAILED, "the option wins, and is relative to here"


class TestRefused:
    """One line and status 4, with workers too; no test has run."""

    def refused(self, suite: Any, *arguments: str) -> list[str]:
        suite.write({"test_ran.py": "import pathlib\n\ndef test_it(): pathlib.Path('ran').touch()\n"})
        run = suite.run(*arguments, subprocess=True)
        everything = run.result.outlines + run.result.errlines
        assert run.result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(everything)
        assert not (suite.path / "ran").exists()
        assert not [line for line in everything if "Traceback" in line or "INTERNALERROR" in line]
        assert run.of_type("test") == []
        return [line for line in everything if line.startswith("ERROR: ")]

    def test_a_line_of_the_ini_file(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write({"pytest.ini": ini("app.x  # why", "app.y")})
        assert self.refused(suite, *spread) == [
            "ERROR: pytest.ini: mcpsmoke_allow: 'app.y': no reason; write app.y  # why it may stay changed"
        ]

    @pytest.mark.parametrize("folder", ["", "deep/er/"], ids=["rootdir", "folder"])
    def test_a_conftest(self, suite: Any, spread: tuple[str, ...], folder: str) -> None:
        suite.write(
            {
                f"{folder}conftest.py": 'mcpsmoke_allow = "app.x  # why"\n',
                f"{folder}test_case.py": "def test_it(): pass\n",
            }
        )
        assert self.refused(suite, *spread) == [
            f'ERROR: {folder}conftest.py: mcpsmoke_allow: a str; write a list: ["place-glob  # reason"]'
        ]

    def test_a_line_of_a_conftest(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write(
            {"a/conftest.py": 'mcpsmoke_allow = ("# why",)\n', "a/test_case.py": "def test_it(): pass\n"}
        )
        assert self.refused(suite, *spread) == [
            "ERROR: a/conftest.py: mcpsmoke_allow: '# why': no place; write place-glob  # reason"
        ]

    def test_a_baseline_of_the_option(self, suite: Any, spread: tuple[str, ...]) -> None:
        assert self.refused(suite, "--leaks-baseline=absent.json", *spread) == [
            "ERROR: --leaks-baseline=absent.json: no such file; write it with: mcpsmoke baseline REPORT"
        ]

    def test_a_baseline_of_the_ini_file(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write({"pytest.ini": ini(mcpsmoke_baseline="b.json"), "b.json": '{"schema": 7, "allowed": []}'})
        assert self.refused(suite, *spread) == [
            "ERROR: ini mcpsmoke_baseline=b.json: schema 7; this mcpsmoke reads schema 1"
        ]

    def test_off_minds_nothing(self, suite: Any) -> None:
        suite.write({"pytest.ini": ini("app.y", mcpsmoke_baseline="absent.json"), "test_case.py": LEAKS})
        assert suite.run("--leaks=off").result.ret == pytest.ExitCode.OK


STALE = {
    "pytest.ini": ini("app.ini.*  # why", mcpsmoke_baseline="b.json"),
    "b.json": baseline(
        ("a/test_a.py::test_clean", "app.settings.MODE"),
        ("a/test_a.py::test_gone", "app.settings.MODE"),
        ("a/test_gone.py", "app.settings.MODE"),
        ("a/conftest.py::server", "app.settings.MODE"),
    ),
    "a/conftest.py": 'mcpsmoke_allow = ["app.conftest  # why"]\n',
    "a/test_a.py": f"""
        import pytest
        from app import settings

        def test_clean(): pass

        @{marker("app.mark", "app.settings.L*")}
        @pytest.mark.parametrize("level", [1, 2])
        def test_marked(level): settings.LEVEL = level
        """,
    "b/test_b.py": "def test_other(): pass\n",
}
OF_MARK = ["app.mark | marker on a/test_a.py::test_marked | a/test_a.py::test_marked"]
OF_BASELINE = [
    "app.settings.MODE | b.json | a/test_a.py::test_clean",
    "app.settings.MODE | b.json | a/test_a.py::test_gone",
    "app.settings.MODE | b.json | a/test_gone.py",
    "app.settings.MODE | b.json | a/conftest.py::server",
]
OF_CONFTEST = ["app.conftest | a/conftest.py: mcpsmoke_allow | a"]
OF_INI = ["app.ini.* | pytest.ini: mcpsmoke_allow | *"]
EVERYTHING = [*OF_CONFTEST, *OF_INI, *OF_BASELINE, *OF_MARK]


class TestStale:
    def test_a_complete_run_tells_all(self, suite: Any, spread: tuple[str, ...]) -> None:
        suite.write(STALE)
        run = suite.run("--leaks=fail", *spread, subprocess=bool(spread))
        assert stale(run) == EVERYTHING
        assert run.result.ret == pytest.ExitCode.OK
        ends = "matched nothing; delete it"
        assert run.section == [
            f"stale allowance: app.conftest  (a/conftest.py: mcpsmoke_allow): {ends}",
            f"stale allowance: app.ini.*  (pytest.ini: mcpsmoke_allow): {ends}",
            f"stale allowance: app.settings.MODE of a/test_a.py::test_clean  (b.json): {ends}",
            f"stale allowance: app.settings.MODE of a/test_a.py::test_gone  (b.json): {ends}",
            f"stale allowance: app.settings.MODE of a/test_gone.py  (b.json): {ends}",
            f"stale allowance: app.settings.MODE of a/conftest.py::server  (b.json): {ends}",
            f"stale allowance: app.mark  (marker on a/test_a.py::test_marked): {ends}",
        ]

    def test_they_stand_below_the_leaks_and_before_the_end_of_the_report(self, suite: Any) -> None:
        suite.write({"test_case.py": LEAKS, "pytest.ini": ini("app.x  # why")})
        run = suite.run()
        assert run.section[-2:] == [
            "1 leak left by 1 test; 0 warm-ups, 0 allowed",
            "stale allowance: app.x  (pytest.ini: mcpsmoke_allow): matched nothing; delete it",
        ]
        assert [record["type"] for record in run.records] == ["run", "finding", "test", "stale", "end"]

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["."], EVERYTHING),
            (["a", "b"], OF_MARK),
            (["a"], OF_MARK),
            (["b"], []),
            (["-k", "clean"], []),
            (["-k", "marked"], OF_MARK),
            (["-k", "1"], []),
            (["--deselect=b/test_b.py::test_other"], OF_MARK),
            (["--ignore=b"], OF_MARK),
            (["a/test_a.py::test_marked[1]"], []),
            (["--collect-only"], []),
            (["--setup-only"], []),
        ],
        ids=" ".join,
    )
    def test_a_narrower_run_tells_less(self, suite: Any, arguments: list[str], expected: list[str]) -> None:
        suite.write(STALE)
        assert stale(suite.run(*arguments)) == expected

    @pytest.mark.parametrize(
        ("testpaths", "arguments", "expected"),
        [
            ("a", [], EVERYTHING),
            ("a", ["a"], EVERYTHING),
            ("a b", ["a"], OF_MARK),
            ("?", ["a", "b"], EVERYTHING),
            ("b", ["b", "a/test_a.py"], OF_INI + OF_MARK),
        ],
    )
    def test_testpaths_are_everything(
        self, suite: Any, testpaths: str, arguments: list[str], expected: list[str]
    ) -> None:
        suite.write(STALE)
        with (suite.path / "pytest.ini").open("a") as file:
            file.write(f"\ntestpaths = {testpaths}\n")
        found = [
            each for each in stale(suite.run(*arguments)) if "b.json" not in each or expected is EVERYTHING
        ]
        assert found == expected

    @pytest.mark.parametrize(
        ("body", "arguments"),
        [
            ("@pytest.mark.skip\ndef test_b(): pass", []),
            ("def test_b(): pytest.skip('half way')", []),
            ("@pytest.mark.nd_real\ndef test_b(): pass", []),
            ("def test_b(): assert False", []),
            ("def test_b(broken): pass\n@pytest.fixture\ndef broken(): assert False", []),
            ("pytest.skip('all', allow_module_level=True)", []),
            ("raise ValueError", ["--continue-on-collection-errors"]),
        ],
        ids=["skip", "half way", "nd_real", "fails", "set-up", "module", "collection error"],
    )
    def test_what_did_not_run_to_its_end_leaves_it_open(
        self, suite: Any, body: str, arguments: list[str]
    ) -> None:
        suite.write(STALE | {"b/test_b.py": f"import pytest\n{body}\n"})
        found = stale(suite.run(*arguments))
        broken = body.startswith("raise")
        assert found == (OF_MARK if broken else [*OF_CONFTEST, *OF_BASELINE, *OF_MARK])

    def test_an_owner_that_did_not_run_leaves_its_entry_open(self, suite: Any) -> None:
        source = STALE["a/test_a.py"].replace("def test_clean(): pass", "def test_clean(): pytest.skip()")
        suite.write(STALE | {"a/test_a.py": source})
        assert stale(suite.run()) == [OF_BASELINE[2], *OF_MARK]

    @pytest.mark.parametrize("ending", ["assert False", "raise KeyboardInterrupt"])
    def test_a_run_that_stops_early_tells_of_markers_only(self, suite: Any, ending: str) -> None:
        suite.write(STALE | {"b/test_b.py": f"def test_b(): {ending}\n"})
        assert stale(suite.run("-x")) == OF_MARK

    def test_expected_failures_have_run(self, suite: Any) -> None:
        failing = "import pytest\n@pytest.mark.xfail\ndef test_b(): assert False\n"
        suite.write(STALE | {"b/test_b.py": failing})
        assert stale(suite.run()) == EVERYTHING

    def test_last_failed_leaves_files_out(self, suite: Any) -> None:
        suite.write(STALE | {"b/test_b.py": "def test_b(): assert False\n"})
        cache = ("-p", "cacheprovider", "--lf")
        suite.run(*cache)
        suite.write({"b/test_b.py": STALE["b/test_b.py"].replace("other", "b")})
        assert stale(suite.run(*cache)) == []

    def test_who_leaves_the_same_place_changed_hides_others(self, suite: Any) -> None:
        twice = f"{LEAKS}@{marker('app.settings.MODE')}\ndef test_later(): settings.MODE = 'x'\n"
        suite.write({"test_case.py": twice})
        assert stale(suite.run()) == []

    @pytest.mark.parametrize(
        ("shared", "expected"),
        [
            ("class TestA(Base): name = 'LEVEL'\nclass TestB(Base): name = 'NONE'\n", []),
            ("class TestA(Base): name = 'NONE'\nclass TestB(Base): name = 'LEVEL'\n", []),
            ("class TestA(Base): name = 'NONE'\n@pytest.mark.skip\nclass TestB(Base): name = 'NONE'\n", []),
            (
                "class TestA(Base): name = 'NONE'\nclass TestB(Base): name = 'NONE'\n",
                ["TestA::test_it"],
            ),
        ],
    )
    def test_a_marker_that_is_inherited_is_one(self, suite: Any, shared: str, expected: list[str]) -> None:
        base = (
            f"class Base:\n    @{marker('app.settings.LEVEL')}\n    def test_it(self):\n"
            "        if self.name == 'LEVEL': settings.LEVEL = 5\n"
        )
        suite.write({"test_case.py": IMPORTS + base + shared})
        places = [
            each.partition(" | marker on test_case.py::")[2].partition(" | ")[0]
            for each in stale(suite.run())
        ]
        assert places == expected

    @pytest.mark.parametrize(("own", "expected"), [("LEVEL", []), ("OTHER", ["app.settings.LEVEL"])])
    def test_a_marker_on_a_module_is_used_by_any_of_its_tests_or_its_import(
        self, suite: Any, own: str, expected: list[str]
    ) -> None:
        source = f"{IMPORTS}pytestmark = {marker('app.settings.LEVEL')}\n"
        suite.write(
            {
                "test_a.py": f"{source}settings.{own} = 7\ndef test_it(): pass\n",
                "test_b.py": f"{source}def test_it(): pass\ndef test_two(): settings.{own} = 8\n",
            }
        )
        assert [each["allowance"] for each in suite.run().of_type("stale")] == expected * 2

    @pytest.mark.parametrize("name", ["test_one", "test_two"])
    def test_a_single_test_tells_of_its_own_marker(self, suite: Any, name: str) -> None:
        source = f"{IMPORTS}@{marker('app.own')}\ndef test_one(): pass\ndef test_two(): pass\n"
        suite.write({"test_case.py": source.replace("def test_one", f"@{marker('app.more')}\ndef test_one")})
        expected = ["app.more", "app.own"] if name == "test_one" else []
        run = suite.run(f"test_case.py::{name}")
        assert [each["allowance"] for each in run.of_type("stale")] == expected

    def test_a_worker_that_died_leaves_everything_open(self, suite: Any) -> None:
        pytest.importorskip("xdist")
        crash = "import os\ndef test_b(): os._exit(1)\n"
        suite.write(STALE | {"b/test_b.py": crash})
        assert stale(suite.run(*XDIST, subprocess=True)) == []

"""The report file: every field of every line, and what remains of it after a crash, Ctrl-C or a full disk."""

from __future__ import annotations

import json
import platform
import resource
import sys
from typing import Any

import pytest

XDIST = ("-p", "xdist", "-n", "2")
CASE = """
import pytest
from app import settings

@pytest.fixture(scope="module")
def wide():
    settings.LEVEL = 2
    yield

def test_leaks(wide):
    settings.MODE = "x"

def test_fails(): assert False

def test_skipped(): pytest.skip("no")

@pytest.mark.xfail
def test_xfails(): assert False

@pytest.mark.xfail
def test_xpasses(): pass

@pytest.fixture
def broken(): raise ValueError

def test_error(broken): pass

@pytest.fixture
def breaks_late():
    yield
    raise ValueError

def test_breaks_late(breaks_late): pass
"""


def shape(records: list[dict[str, Any]]) -> list[str]:
    """The lines in their order, in short."""
    return [f"{record['type']} {record.get('nodeid', record.get('place', ''))}".strip() for record in records]


def test_every_line_field_by_field(suite: Any, engine: str) -> None:
    suite.write({"test_case.py": CASE})
    run = suite.run(f"--leaks-engine={engine}")
    first, last = run.records[0], run.records[-1]
    assert first == {
        "type": "run",
        "schema": 1,
        "python": platform.python_version(),
        "pytest": pytest.__version__,
        "engine": engine,
        "seed": None,
        "worker": None,
    }
    assert last == {"type": "end", "findings": 2, "leaks": 2, "tests": 7}
    certainty = "observed" if engine == "watch" else "searched"
    command = f"pytest -p mcpsmoke --leaks-engine={engine} test_case.py::test_leaks"
    assert run.of_type("finding") == [
        {
            "type": "finding",
            "owner": "test_case.py::test_leaks",
            "owner_kind": "test",
            "scope": "function",
            "during": None,
            "place": "app.settings.MODE",
            "probe": "namespaces",
            "change": "rebound",
            "before": "'live'",
            "after": "'x'",
            "site": {"path": "test_case.py", "line": 10, "function": "test_leaks", "certainty": certainty},
            "verdict": "leak",
            "reason": None,
            "restored": None,
            "remedy": 'monkeypatch.setattr(settings, "MODE", "x")',
            "command": command,
        },
        {
            "type": "finding",
            "owner": "test_case.py::wide",
            "owner_kind": "fixture",
            "scope": "module",
            "during": "test_case.py::test_leaks",
            "place": "app.settings.LEVEL",
            "probe": "namespaces",
            "change": "rebound",
            "before": "1",
            "after": "2",
            "site": {"path": "test_case.py", "line": 6, "function": "wide", "certainty": certainty},
            "verdict": "leak",
            "reason": None,
            "restored": None,
            "remedy": "with pytest.MonkeyPatch.context() as monkeypatch: "
            'monkeypatch.setattr(settings, "LEVEL", 2), and yield inside',
            "command": command,
        },
    ]


def test_tests_and_their_outcomes_in_the_order_they_ran(suite: Any) -> None:
    suite.write({"test_case.py": CASE})
    tests = suite.run().of_type("test")
    common = ("type", "nodeid", "outcome", "order", "duration")
    red = {test["nodeid"] for test in tests if test["outcome"] in ("failed", "error")}
    assert {tuple(test) for test in tests if test["nodeid"] not in red} == {common}
    assert {tuple(test) for test in tests if test["nodeid"] in red} == {(*common, "failure")}
    assert [(test["nodeid"], test["outcome"], test["order"]) for test in tests] == [
        ("test_case.py::test_leaks", "passed", 1),
        ("test_case.py::test_fails", "failed", 2),
        ("test_case.py::test_skipped", "skipped", 3),
        ("test_case.py::test_xfails", "xfailed", 4),
        ("test_case.py::test_xpasses", "xpassed", 5),
        ("test_case.py::test_error", "error", 6),
        ("test_case.py::test_breaks_late", "error", 7),
    ]
    assert all(0 <= test["duration"] < 60 for test in tests)


def test_findings_stand_before_the_line_of_their_test(suite: Any) -> None:
    suite.write({"test_case.py": CASE})
    run = suite.run("test_case.py::test_leaks", "test_case.py::test_fails")
    assert shape(run.records) == [
        "run",
        "finding app.settings.MODE",
        "test test_case.py::test_leaks",
        "finding app.settings.LEVEL",
        "test test_case.py::test_fails",
        "end",
    ]


def test_reruns_are_lines_of_their_own(suite: Any) -> None:
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        {
            "test_case.py": """
                from app import settings
                RUNS = []

                def test_flaky():
                    RUNS.append(1)
                    settings.MODE = "x"
                    assert len(RUNS) == 2
                """
        }
    )
    run = suite.run("-p", "rerunfailures", "--reruns=2")
    outcomes = [(test["outcome"], test["order"]) for test in run.of_type("test")]
    assert outcomes == [("rerun", 1), ("passed", 2)]
    assert run.told == [
        "test/function test_case.py::test_flaky rebound app.settings.MODE",
        "test/function test_case.py::test_flaky mutated test_case.RUNS",  # by both attempts: told once
    ]


def test_warm_ups_and_allowed_findings_are_kept(suite: Any) -> None:
    suite.write(
        {
            "app/lazy.py": """
                _client = None

                def client():
                    global _client
                    if _client is None:
                        _client = object()
                    return _client
                """,
            "test_case.py": """
                import pytest
                from app import lazy, settings

                @pytest.mark.allow_leak("app.settings.MODE", reason="the next test needs it")
                def test_it():
                    lazy.client()
                    settings.MODE = "x"
                """,
        }
    )
    run = suite.run()
    told = {(each["place"], each["verdict"], each["reason"]) for each in run.of_type("finding")}
    assert told == {
        ("app.lazy._client", "warm-up", "the program found it empty and filled it on first use"),
        ("app.settings.MODE", "allowed", "the next test needs it"),
    }
    assert run.records[-1] == {"type": "end", "findings": 2, "leaks": 0, "tests": 1}
    assert run.section == []


def test_the_path_is_resolved_when_the_run_starts(suite: Any) -> None:
    suite.write(
        {
            "deep/a/test_case.py": """
                import os
                from app import settings

                def test_it(tmp_path):
                    settings.MODE = "x"
                    os.chdir(tmp_path)
                """
        }
    )
    run = suite.run("deep/a", "--rootdir=.", subprocess=True)
    assert run.told == [
        "test/function deep/a/test_case.py::test_it rebound app.settings.MODE",
        "test/function deep/a/test_case.py::test_it rebound os.getcwd()",
    ]
    assert run.leaks[0]["site"]["path"] == "deep/a/test_case.py"
    assert run.records[-1]["type"] == "end"


def test_an_older_report_is_replaced(suite: Any) -> None:
    suite.write({"test_case.py": CASE})
    (suite.path / "leaks.jsonl").write_text("left over\n" * 1000)
    assert suite.run("-k", "leaks").records[0]["type"] == "run"


DYING = """
import os
from app import settings

def test_one(): settings.MODE = "x"
def test_two():
    settings.LEVEL = 2
    {}
def test_three(): settings.NAMES = ()
"""


def test_a_process_that_dies_loses_nothing_found_before(suite: Any) -> None:
    suite.write({"test_case.py": DYING.format("os._exit(3)")})
    run = suite.run(subprocess=True)
    assert run.result.ret == 3
    assert shape(run.records) == ["run", "finding app.settings.MODE", "test test_case.py::test_one"]


def test_ctrl_c(suite: Any) -> None:
    suite.write({"test_case.py": DYING.format("raise KeyboardInterrupt")})
    run = suite.run(subprocess=True)
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert shape(run.records) == [
        "run",
        "finding app.settings.MODE",
        "test test_case.py::test_one",
        "finding app.settings.LEVEL",
        "end",
    ]
    assert run.records[-1] == {"type": "end", "findings": 2, "leaks": 2, "tests": 1}


MANY = "from app import settings\n" + "".join(
    f"def test_{number}(): settings.MODE = 'value {number}'\n" for number in range(40)
)


def limited(kind: str) -> tuple[dict[str, str], str]:
    """A conftest under which the report cannot grow, and the reason the system gives."""
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (14000, 14000))\n"
    return ({"conftest.py": limit}, "File too large") if kind == "limit" else ({}, "No space left on device")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_file_that_cannot_grow_keeps_whole_lines(suite: Any) -> None:
    files, _ = limited("limit")
    suite.write({"test_case.py": MANY, **files})
    run = suite.run(subprocess=True)  # every line is read back as JSON
    assert run.result.ret == pytest.ExitCode.OK
    run.result.assert_outcomes(passed=40)
    assert 2 < len(run.records) < 80
    assert run.records[-1]["type"] != "end"
    assert run.section[-2] == "40 leaks left by 40 tests; 0 warm-ups, 0 allowed"
    pytest.LineMatcher([run.section[-1]]).fnmatch_lines([f"{suite.path}/leaks.jsonl: incomplete, *"])


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("mode", ["report", "fail"])
def test_a_full_disk_changes_nothing_but_the_summary(suite: Any, mode: str) -> None:
    suite.write({"test_case.py": MANY})
    full = suite.run("--leaks-report=/dev/full", f"--leaks={mode}", subprocess=True, report=False)
    plain = suite.run(f"--leaks={mode}", subprocess=True)
    assert full.result.ret == plain.result.ret
    assert full.result.parseoutcomes() == plain.result.parseoutcomes()
    assert full.section == [*plain.section, "/dev/full: incomplete, No space left on device"]


def test_a_full_disk_is_told_without_any_leak(suite: Any) -> None:
    if sys.platform != "linux":
        pytest.skip("/dev/full is Linux's")
    suite.write({"test_case.py": "def test_it(): pass\n"})
    run = suite.run("--leaks-report=/dev/full", report=False)
    assert run.section == ["/dev/full: incomplete, No space left on device"]
    assert run.result.ret == pytest.ExitCode.OK


def test_a_test_that_closes_and_patches_everything(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import json, os
                from app import settings

                def test_it(monkeypatch):
                    settings.MODE = "x"
                    os.closerange(10, 100)
                    json.dumps = os.write = os.open = None
                """
        }
    )
    run = suite.run(subprocess=True)
    places = {leak["place"] for leak in run.leaks}
    assert {"app.settings.MODE", "json.dumps", "os.open", "os.write"} <= places
    assert run.records[-1]["type"] == "end"


SPREAD = {
    "test_imports.py": """
        from app import settings
        settings.NAMES = ()

        def test_one(): pass
        """,
    "test_many.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="session")
        def wide():
            settings.LEVEL = 2
            yield

        @pytest.mark.parametrize("number", range(8))
        def test_leaks(wide, number): settings.MODE = number

        @pytest.fixture(scope="class")
        def setting(): settings.CLASS = 1

        @pytest.mark.usefixtures("setting")
        class TestClass:
            def test_one(self): pass
            def test_two(self): pass
        """,
}


def keys(run: Any) -> set[tuple[str, str, str, str]]:
    """What identifies findings, whoever was set up first in which worker."""
    fields = ("owner", "place", "change", "verdict")
    return {tuple(finding[field] for field in fields) for finding in run.of_type("finding")}


def test_two_workers_find_what_one_process_finds(suite: Any) -> None:
    suite.write(SPREAD)
    alone = suite.run(subprocess=True)
    spread = suite.run(*XDIST, subprocess=True)
    assert keys(spread) == keys(alone)
    assert len(keys(alone)) == len(alone.of_type("finding")) == 11
    assert len(spread.of_type("finding")) == 11  # an import, a session fixture: once, not once per worker
    assert spread.of_type("run") == [alone.records[0]]
    assert (
        spread.records[-1] == alone.records[-1] == {"type": "end", "findings": 11, "leaks": 11, "tests": 11}
    )
    assert sorted(test["nodeid"] for test in spread.of_type("test")) == sorted(
        test["nodeid"] for test in alone.of_type("test")
    )
    assert [test["order"] for test in spread.of_type("test")] == list(range(1, 12))
    assert spread.section[-1] == alone.section[-1]
    assert spread.section[-1].startswith("11 leaks left by ")


def test_only_the_controller_writes(suite: Any) -> None:
    suite.write(SPREAD)
    suite.run(*XDIST, subprocess=True)
    assert [path.name for path in suite.path.rglob("*.jsonl")] == ["leaks.jsonl"]


def test_a_killed_worker_loses_nothing_found_before(suite: Any) -> None:
    suite.write({"test_case.py": DYING.format("os._exit(3)")})
    run = suite.run("-p", "xdist", "-n", "1", subprocess=True)
    run.result.assert_outcomes(passed=2, failed=1)
    assert run.told == [
        "test/function test_case.py::test_one rebound app.settings.MODE",
        "test/function test_case.py::test_three rebound app.settings.NAMES",
    ]
    assert [(test["nodeid"], test["outcome"]) for test in run.of_type("test")] == [
        ("test_case.py::test_one", "passed"),
        ("test_case.py::test_two", "failed"),
        ("test_case.py::test_three", "passed"),
    ]
    assert run.records[-1]["type"] == "end"


def test_every_line_is_utf8_json(suite: Any) -> None:
    source = 'from app import settings\ndef test_ü(): settings.MODE = "snow \\u2603 \\ud800"\n'
    suite.write({"test_case.py": source})
    run = suite.run()
    text = (suite.path / "leaks.jsonl").read_bytes().decode("utf-8")
    assert [json.loads(line) for line in text.splitlines()] == run.records
    assert run.leaks[0]["owner"] == "test_case.py::test_ü"
    assert "☃" in text

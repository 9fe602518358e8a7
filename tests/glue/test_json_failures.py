"""What the report says of a test that failed: where, what, in which worker; and where node ids begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WAYS = {
    "test_ways.py": """
        import json
        import unittest
        import pytest

        def test_asserts():
            assert "live" == "test", "no tools"  # call

        @pytest.fixture
        def broken():
            raise ValueError("no upstream")  # setup

        def test_set_up(broken): pass

        @pytest.fixture
        def breaks_late():
            yield
            raise KeyError("late")  # teardown

        def test_torn_down(breaks_late): pass

        def test_fails_twice(breaks_late):
            assert 0  # first

        class Case(unittest.TestCase):
            def test_unit(self):
                self.assertEqual(1, 2)  # unit

        def deep():
            return json.loads("{")  # library

        def test_in_a_library():
            deep()

        def test_in_words():
            pytest.fail("in words", pytrace=False)  # words

        @pytest.mark.xfail(strict=True)  # strict
        def test_passes(): pass

        @pytest.mark.xfail
        def test_as_expected(): assert 0

        def test_skips(): pytest.skip("no")

        def test_is_well(): pass
        """,
    "doc.py": '''
        def one():
            """One.

            >>> one()  # doctest
            2
            """
            return 1

        def raises():
            """
            >>> 1 / 0  # raises
            """
        ''',
}
SAYS = {
    "test_ways.py::test_asserts": ("call", "AssertionError: no tools"),
    "test_ways.py::test_set_up": ("setup", "ValueError: no upstream"),
    "test_ways.py::test_torn_down": ("teardown", "KeyError: 'late'"),
    "test_ways.py::test_fails_twice": ("first", "assert 0"),
    "test_ways.py::Case::test_unit": ("unit", "AssertionError: 1 != 2"),
    "test_ways.py::test_in_a_library": ("library", "json.decoder.JSONDecodeError: "),
    "test_ways.py::test_in_words": ("words", "Failed: in words"),
    "test_ways.py::test_passes": ("strict", "[XPASS(strict)]"),
    "doc.py::doc.one": ("doctest", "Expected: 2 Got: 1"),
    "doc.py::doc.raises": ("raises", "UNEXPECTED EXCEPTION: ZeroDivisionError("),
}
SPREADS = [(), ("-p", "xdist", "-n", "2")]


@pytest.mark.parametrize("spread", SPREADS, ids=["alone", "workers"])
def test_where_and_how_each_kind_of_test_failed(suite: Any, spread: tuple[str, ...]) -> None:
    suite.write(WAYS)
    tests = suite.run("--doctest-modules", *spread, subprocess=True).of_type("test")
    failures = {test["nodeid"]: test["failure"] for test in tests if "failure" in test}
    assert set(failures) == set(SAYS)
    for nodeid, (mark, text) in SAYS.items():
        found = failures[nodeid]
        assert list(found) == ["path", "line", "text"]
        assert suite.marked(f"# {mark}") == [f"{found['path']}:{found['line']}"], nodeid
        assert found["text"].startswith(text), nodeid


@pytest.mark.parametrize("style", ["no", "line", "native", "short", "long"])
def test_however_tracebacks_are_printed(suite: Any, style: str) -> None:
    suite.write(WAYS)
    (test,) = suite.run(f"--tb={style}", "test_ways.py::test_asserts").of_type("test")
    assert (test["failure"]["path"], test["failure"]["line"]) == ("test_ways.py", 6)


def test_it_is_short_and_holds_no_secret(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                def test_secret(): assert {"api_key": "sk-live-0123456789abcdef"} == 1
                def test_long(): raise ValueError("x" * 5000)
                def test_lines(): raise ValueError("\\n".join("abcdef"))
                """
        }
    )
    secret, long, lines = (test["failure"]["text"] for test in suite.run().of_type("test"))
    assert secret == "AssertionError: assert {'api_key': '***'} == 1"
    assert len(long) == 300
    assert long.endswith("…")
    assert lines == "ValueError: a\nb\nc"
    assert "sk-live" not in (suite.path / "leaks.jsonl").read_text("utf-8")


def test_the_worker_is_named_and_a_crash_is_a_failure(suite: Any) -> None:
    suite.write({"test_case.py": "import os\n\ndef test_dies(): os._exit(3)\n\ndef test_lives(): pass\n"})
    dies, lives = suite.run("-p", "xdist", "-n", "1", subprocess=True).of_type("test")
    assert (dies["worker"], lives["worker"]) == ("gw0", "gw1")
    assert dies["failure"] == {
        "path": "test_case.py",
        "line": 1,  # xdist tells the file only
        "text": "worker 'gw0' crashed while running 'test_case.py::test_dies'",
    }
    assert "failure" not in lives
    assert ["worker" in test for test in suite.run("-k", "lives").of_type("test")] == [False]


def test_a_leak_that_fails_its_test_is_its_failure(suite: Any) -> None:
    suite.write({"test_case.py": "from app import settings\n\ndef test_it(): settings.MODE = 1\n"})
    (test,) = suite.run("--leaks=fail").of_type("test")
    assert test["outcome"] == "error"
    assert test["failure"]["text"].startswith("test_case.py::test_it left 1 place changed\n")


def test_a_rerun_tells_of_its_own_failure(suite: Any) -> None:
    pytest.importorskip("pytest_rerunfailures")
    source = "RUNS = []\n\ndef test_it():\n    RUNS.append(1)\n    assert len(RUNS) == {}\n"
    suite.write({"test_case.py": source.format(2)})
    tests = suite.run("-p", "rerunfailures", "--reruns=1").of_type("test")
    assert [(test["outcome"], "failure" in test) for test in tests] == [("rerun", False), ("passed", False)]
    suite.write({"test_case.py": source.format(9)})
    tests = suite.run("-p", "rerunfailures", "--reruns=1").of_type("test")
    assert [(test["outcome"], "failure" in test) for test in tests] == [("rerun", False), ("failed", True)]
    assert tests[1]["failure"]["text"].startswith("assert 2 == 9")


@pytest.mark.parametrize(("here", "rootdir"), [(".", None), ("deep", ".."), ("other", "..")])
def test_node_ids_begin_at_the_rootdir(
    suite: Any, monkeypatch: pytest.MonkeyPatch, here: str, rootdir: str | None
) -> None:
    suite.write({"pytest.ini": "[pytest]\n", "deep/test_case.py": "def test_it(): assert 0\n", "other/x": ""})
    monkeypatch.chdir(suite.path / here)
    report: Path = suite.path / "leaks.jsonl"
    run = suite.run(f"--leaks-report={report}", str(suite.path / "deep"), report=False, subprocess=True)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    first, test, _ = suite.read(report)
    assert first.get("rootdir") == rootdir
    assert (suite.path / here / (rootdir or ".") / test["nodeid"].partition("::")[0]).is_file()
    assert test["failure"]["path"] == "deep/test_case.py"

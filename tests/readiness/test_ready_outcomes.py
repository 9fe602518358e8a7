"""What the reports of a check tell, whole, cut off or missing."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.readiness.gate.outcomes import (
    Told,
    junit_name,
    junit_of,
    last_line,
    read_junit,
    telling_line,
    told,
)
from pytest_mcpsmoke.report.readiness_model import Case

RUN = {"type": "run", "schema": 1}
LEAK = {
    **{"type": "finding", "owner": "t.py::a", "owner_kind": "test", "scope": "function", "during": None},
    **{"place": "app.MODE", "probe": "namespaces", "change": "rebound", "before": "'live'", "after": "'x'"},
    **{"site": None, "verdict": "leak", "reason": None, "restored": None, "remedy": None},
}
JUNIT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="t" name="a" time="0.5"><failure message="assert 1 == 2&#10;more"/></testcase>
<testcase classname="t" name="b" time="0.25" />
<testcase classname="t" name="c" time="x"><skipped type="pytest.skip" message="not here" /></testcase>
<testcase classname="t" name="d"><skipped type="pytest.xfail" message="" /></testcase>
<testcase classname="" name="broken"><error message="collection failure">E  no</error></testcase>
<testcase time="0.0" />
</testsuite></testsuites>"""


def ran(nodeid: str, outcome: str = "passed") -> dict[str, Any]:
    return {"type": "test", "nodeid": nodeid, "outcome": outcome, "order": 1, "duration": 0.5}


class Folder:
    def __init__(self, path: Path) -> None:
        self.lines = path / "lines.jsonl"
        self.junit = path / "junit.xml"

    def write(self, *records: dict[str, Any], junit: str | None = None, tail: str = "") -> None:
        self.lines.write_text("".join(json.dumps(record) + "\n" for record in records) + tail, "utf-8")
        if junit is not None:
            self.junit.write_text(junit, "utf-8")

    def told(self) -> Told:
        return told(self.lines, self.junit, lambda value: value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_both_files_together(folder: Folder) -> None:
    warm_up = {**LEAK, "verdict": "warm-up"}
    folder.write(RUN, LEAK, warm_up, ran("t.py::a", "failed"), ran("t.py::b"), {"type": "end"}, junit=JUNIT)
    found = folder.told()
    assert found.tests == (
        Case("t.py::a", "failed", 0.5, "assert 1 == 2"),
        Case("t.py::b", "passed", 0.5),
        Case("t::c", "skipped", 0.0, "not here"),
        Case("t::d", "xfailed", 0.0),
        Case("broken", "error", 0.0, "collection failure"),
    )
    assert [(leak.owner, leak.place) for leak in found.leaks] == [("t.py::a", "app.MODE")]
    assert found.notes == ()
    assert found.is_whole


def test_the_last_attempt_of_a_test_counts(folder: Folder) -> None:
    folder.write(RUN, ran("t.py::a", "rerun"), ran("t.py::a"))
    assert folder.told().tests == (Case("t.py::a", "passed", 0.5),)


ND = {
    **{"type": "nd", "nodeid": "t.py::a", "verdict": "PASS", "passes": 30, "samples": 30, "planned": 30},
    **{"replaced": 0, "rate": 1.0, "lower": 0.905, "upper": 1.0, "confidence": 0.95, "min_pass_rate": 0.9},
    **{"method": "exact", "reason": None, "decides_at": None, "latency_p50_s": 0.1, "latency_p95_s": 0.2},
    **{"calls": 30, "tokens": 150, "cost": None, "model": "m", "clusters": [], "change": None},
    **{"wall_s": 1.0, "notes": [], "is_real": True},
}


def test_results_of_samples_are_kept_and_fields_that_come_later_do_not_matter(folder: Folder) -> None:
    folder.write(RUN, {**ND, "new_field": [1]})
    (sampled,) = folder.told().nd
    assert sampled.record() == ND


def test_a_result_of_samples_that_cannot_be_read_is_noted(folder: Folder) -> None:
    folder.write(RUN, ran("t.py::a"), {"type": "nd", "nodeid": "t.py::a"})
    found = folder.told()
    assert [case.nodeid for case in found.tests] == ["t.py::a"]
    assert found.notes == ("cut off: lines.jsonl:3: not a result of nd_real of this mcpsmoke",)


def test_a_child_that_was_killed_leaves_what_it_had_written(folder: Folder) -> None:
    folder.write(RUN, LEAK, ran("t.py::a"), junit=JUNIT[:150], tail='{"type": "test", "node')
    found = folder.told()
    assert [case.nodeid for case in found.tests] == ["t.py::a"]
    assert len(found.leaks) == 1
    assert not found.is_whole
    assert found.notes == ("cut off: lines.jsonl:4: not a line of a report: no JSON",)


def test_nothing_there_is_nothing_told(folder: Folder) -> None:
    assert folder.told() == Told((), (), (), (), is_whole=False)


def test_without_the_detector_junit_tells(folder: Folder) -> None:
    folder.junit.write_text(JUNIT, "utf-8")
    found = folder.told()
    assert [case.nodeid for case in found.tests] == ["t::a", "t::b", "t::c", "t::d", "broken"]
    assert found.is_whole


def test_secrets_are_taken_out_of_all(folder: Folder) -> None:
    folder.write(RUN, {**LEAK, "after": "'hunter22'"}, junit=JUNIT.replace("not here", "hunter22"))

    def scrub(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("hunter22", "***"))

    text = str(told(folder.lines, folder.junit, scrub))
    assert "hunter22" not in text
    assert text.count("***") == 2


def test_names_are_those_of_pytest(pytester: pytest.Pytester) -> None:
    pytester.mkdir("sub")
    (pytester.path / "sub" / "test_a.py").write_text(
        textwrap.dedent(
            """
            import pytest

            def test_x(): pass

            class TestY:
                @pytest.mark.parametrize("value", ["a::b", "c/d.py", "[e]"])
                def test_z(self, value): pass
            """
        )
    )
    pytester.runpytest_inprocess("-p", "mcpsmoke", "--junitxml=j.xml", "--leaks-report=l.jsonl")
    records = [json.loads(line) for line in (pytester.path / "l.jsonl").read_text("utf-8").splitlines()]
    nodeids = [record["nodeid"] for record in records if record["type"] == "test"]
    assert len(nodeids) == 4
    junit = pytester.path / "j.xml"
    assert [case.nodeid for case in read_junit(junit)] == [*map(junit_name, nodeids)]


@pytest.mark.parametrize("outcome", ["passed", "failed", "error", "skipped"])
def test_the_file_of_other_checks_can_be_read_again(tmp_path: Path, outcome: str) -> None:
    (tmp_path / "j.xml").write_bytes(junit_of("gate", 1.5, outcome, 'say "<why>"'))
    message = None if outcome == "passed" else 'say "<why>"'
    assert read_junit(tmp_path / "j.xml") == [Case("ready::gate", outcome, 1.5, message)]


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("ERROR: usage: python -m pytest [options]\npython -m pytest: error: unrecognized arguments: --x\n",
         "unrecognized arguments: --x"),
        ("collected 0 items\nERROR: file or directory not found: tests/nope\n",
         "file or directory not found: tests/nope"),
        ("ERROR: --leaks=maybe: choose from off, report, fail\n",
         "--leaks=maybe: choose from off, report, fail"),
        ("___ ERROR collecting t.py ___\nt.py:1: in <module>\nE   ImportError: no x\nERROR t.py\n",
         "ImportError: no x"),
        ("INTERNALERROR> Traceback\nINTERNALERROR> ValueError: 1\n", "ValueError: 1"),
        ("one\n\ntwo  \n\n", "two"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_line_that_tells(log: str, line: str) -> None:
    assert telling_line(log) == line


def test_the_last_line_is_bounded() -> None:
    assert last_line("a\n" + "b" * 1000) == "b" * 200

"""What changed from one run to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gate_project import Project, command

LEAK = {"owner": "t.py::a", "place": "app.MODE", "change": "rebound"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, monkeypatch, capsys)


def check(name: str, status: str, **more: Any) -> dict[str, Any]:
    told = {"name": name, "status": status, "red": status == "FAILED", "reason": "why"}
    return told | {"tests": [], "leaks": [], "nd": []} | more


def test(nodeid: str, outcome: str) -> dict[str, Any]:
    return {"nodeid": nodeid, "outcome": outcome}


test.__test__ = False  # type: ignore[attr-defined]


def nd(passes: int, verdict: str, samples: int = 30) -> dict[str, Any]:
    return {"nodeid": "t.py::nd", "passes": passes, "samples": samples, "verdict": verdict}


def write(folder: Path, verdict: str | None, *checks: dict[str, Any], **more: Any) -> None:
    folder.mkdir(parents=True)
    record = {"type": "readiness", "schema": 1, "verdict": verdict, "began": "2026-11-21T10:15:00Z"}
    (folder / "report.json").write_text(json.dumps({**record, "checks": checks, **more}), "utf-8")


BEFORE = (
    check("core", "FAILED", tests=[test("t.py::a", "failed"), test("t.py::b", "passed")], leaks=[LEAK]),
    check("real", "PASSED", nd=[nd(30, "PASS")]),
    check("gone", "PASSED"),
    check("same", "PASSED", tests=[test("t.py::c", "passed")]),
    check("left_out", "PASSED", tests=[test("t.py::d", "passed")]),
)
AFTER = (
    check("core", "PASSED", tests=[test("t.py::a", "passed"), test("t.py::e", "skipped")]),
    check("real", "FAILED", nd=[nd(18, "FAIL")]),
    check("same", "PASSED", tests=[test("t.py::c", "passed")], leaks=[{**LEAK, "place": "app.LEVEL"}]),
    check("left_out", "SKIPPED"),
    check("new", "PASSED"),
)


def test_all_that_changed(project: Project) -> None:
    write(project.path / "a", "RED", *BEFORE, commit={"id": "0123456789abcdef", "dirty": True})
    write(project.path / "b", "GREEN", *AFTER, commit=None)
    assert project.call("--compare", "a", "b/report.json") == (
        0,
        [
            "before: <time>  RED  commit 0123456789ab and changes",
            "after:  <time>  GREEN  no commit",
            "checks",
            "  core: FAILED -> PASSED",
            "  real: PASSED -> FAILED  (why)",
            "  gone: PASSED -> (none)",
            "  left_out: PASSED -> SKIPPED",
            "  new: (none) -> PASSED",
            "tests",
            "  t.py::a: failed -> passed",
            "  t.py::b: passed -> (none)",
            "  t.py::e: (none) -> skipped",
            "leaks",
            "  t.py::a  app.MODE: rebound -> (none)",
            "  t.py::a  app.LEVEL: (none) -> rebound",
            "rates",
            "  t.py::nd: 30/30 PASS -> 18/30 FAIL  (p = 0.00011, more than chance)",
        ],
        "",
    )


@pytest.mark.parametrize(
    ("passes", "samples", "verdict", "line"),
    [
        (28, 30, "PASS", "  t.py::nd: 30/30 PASS -> 28/30 PASS  (p = 0.15, may be chance)"),
        (0, 0, "INCONCLUSIVE", "  t.py::nd: 30/30 PASS -> 0/0 INCONCLUSIVE"),
        (30, 30, "PASS", "nothing changed"),
    ],
)
def test_a_rate(project: Project, passes: int, samples: int, verdict: str, line: str) -> None:
    write(project.path / "a", "GREEN", check("real", "PASSED", nd=[nd(30, "PASS")]))
    write(project.path / "b", "GREEN", check("real", "PASSED", nd=[nd(passes, verdict, samples)]))
    assert project.call("--compare", "a", "b")[1][-1] == line


def test_as_json(project: Project) -> None:
    write(project.path / "a", None, check("core", "NOT RUN"))
    write(project.path / "b", "GREEN", check("core", "PASSED"))
    _, out, _ = project.call("--compare", "a", "b", "--json")
    assert json.loads("\n".join(out)) == {
        "before": "<time>  cut off  no commit",
        "after": "<time>  GREEN  no commit",
        "changes": [{"what": "checks", "name": "core", "before": "NOT RUN", "after": "PASSED", "remark": ""}],
    }


def test_runs_are_found_by_their_names_below_a_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.declare()
    write(project.evidence / "2026-11-20T10-00-00Z", "GREEN", check("core", "PASSED"))
    write(project.evidence / "2026-11-21T10-00-00Z", "GREEN", check("core", "PASSED"))
    (project.evidence / "latest").symlink_to("2026-11-21T10-00-00Z")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    assert project.call("--compare", "2026-11-20T10-00-00Z", "latest")[1][-1] == "nothing changed"
    assert project.call("--compare", "previous", "latest")[1][-1] == "nothing changed"


def test_previous_is_the_last_but_one(project: Project) -> None:
    project.declare(core=command("print('fine')"))
    project.call("--no-random")
    assert project.refused_later("--compare", "previous", "latest") == (
        f"mcpsmoke: previous: {project.evidence} holds no two runs"
    )
    project.declare(core=command("raise SystemExit(1)"))
    project.call("--no-random")
    project.call("--no-random")
    assert project.call("--compare", "previous", "latest")[1][-1] == "nothing changed"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "a/report.json: not JSON: is this the report.json of mcpsmoke ready?"),
        ("[]", "a/report.json: not a report of mcpsmoke ready: no type readiness"),
        ('{"type": "readiness", "schema": 2}', "a/report.json: schema 2; this mcpsmoke reads schema 1"),
        ('{"type": "readiness", "schema": 1}',
         "not a whole report of mcpsmoke ready: KeyError('checks'); run it again"),
    ],
)  # fmt: skip
def test_what_is_no_report(project: Project, text: str, problem: str) -> None:
    write(project.path / "b", "GREEN")
    write(project.path / "a", "GREEN")
    (project.path / "a" / "report.json").write_text(text)
    assert project.refused("--compare", "a", "b") == f"mcpsmoke: {problem}"


def test_what_is_not_there(project: Project) -> None:
    project.declare()
    assert project.refused("--compare", "a", "b") == (
        f"mcpsmoke: a: no evidence there, nor in {project.evidence}; name a folder with a report.json"
    )

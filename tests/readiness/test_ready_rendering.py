"""The gate's words: lines while it runs, tables of samples, what a probe says, Markdown."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pytest_mcpsmoke.cli.ready import Progress
from pytest_mcpsmoke.report.readiness import (
    detail_lines,
    output_lines,
    output_rows,
    progress_line,
)
from pytest_mcpsmoke.report.readiness_markdown import markdown
from pytest_mcpsmoke.report.readiness_model import Case, Result, Run, Status, Verdict


def result(status: str = "PASSED", **more: Any) -> Result:
    first: Any = ("smoke", "pytest", None, False, False, 1.0, ("tests",), "pytest tests")
    return Result(*first, status=Status(status), reason="1 passed")._replace(**more)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    def told(self, stream: io.StringIO) -> str:
        progress = Progress(stream, 7, "/p")
        progress.began("smoke")
        for seconds in (0.1, 0.2, 1.1, 1.2, 61.9):
            progress.goes_on("smoke", seconds)
        progress.ended(result(seconds=62.0))
        return stream.getvalue()

    def test_on_a_terminal_one_line_is_updated_once_a_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        *running, end = self.told(Terminal()).split("\r\x1b[K")[1:]
        assert running == [
            "smoke    running",
            "smoke    running       0 s",
            "smoke    running       1 s",
            "smoke    running       62 s",
        ]
        assert end == "smoke    PASSED        1 passed in 62.00s\n"

    def test_plain_lines_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = "smoke    running\nsmoke    PASSED        1 passed in 62.00s\n"
        assert self.told(io.StringIO()) == told
        monkeypatch.setenv("TERM", "dumb")
        assert self.told(Terminal()) == told

    def test_a_name_wider_than_expected(self) -> None:
        assert progress_line("smoke", 3.4, 1) == "smoke  running       3 s"


def test_many_failures_are_counted() -> None:
    cases = tuple(Case(f"t.py::n{number}", "failed", 0.1, "no") for number in range(12))
    told = detail_lines(result("FAILED", tests=cases, files=("logs/smoke.log",)), "/p")
    assert told[:2] == ["  failed: t.py::n0: no", "  failed: t.py::n1: no"]
    assert told[9:] == [
        "  failed: t.py::n9: no",
        "  and 2 more",
        "  run it again: pytest tests",
        "  its log: logs/smoke.log",
    ]


PROBED = {
    **{"type": "probe", "schema": 1, "verdict": "PINGS_ONLY", "url": "http://127.0.0.1:1/", "tools": []},
    **{"detail": "3 pings in 10 s", "remedy": "look at the upstream", "events": [{"what": "ping"}]},
    "routes": [
        {"path": "/ui", "wanted": "public", "is_fine": True, "detail": "200"},
        {"path": "/mcp", "wanted": "protected", "is_fine": False, "detail": "answers 200"},
    ],
}
ROW = {"client": "codex", "server": "db", "url": None, "verdict": "CATALOG", "detail": "2 tools", "line": 3}
MATRIX = {
    **{"type": "clients", "schema": 1, "is_green": False, "rows": [ROW, {**ROW, "client": "vscode"}]},
    "problems": [{"file": "config.toml", "line": 3, "key": "comand", "text": "did you mean command?"}],
}


def test_what_a_probe_says() -> None:
    assert detail_lines(result(output=PROBED), "/p") == [
        "  url                  verdict     detail           remedy",
        "  http://127.0.0.1:1/  PINGS_ONLY  3 pings in 10 s  look at the upstream",
        "  protected /mcp: answers 200",
    ]


def test_what_a_matrix_of_clients_says() -> None:
    run = Run(Verdict.GREEN, (), "", 2.0, None, (result(output=MATRIX),), {})
    assert markdown(run, "/p").splitlines()[6:14] == [
        "## smoke: PASSED",
        "",
        "| client | server | url | verdict | detail | remedy |",
        "|---|---|---|---|---|---|",
        "| codex | db |  | CATALOG | 2 tools |  |",
        "| vscode | db |  | CATALOG | 2 tools |  |",
        "",
        "- config.toml: 3: comand: did you mean command?",
    ]


@pytest.mark.parametrize("said", [None, "text", [1], {}, {"type": "probes"}, {"type": "clients"}])
def test_what_nobody_knows_is_left_to_the_log(said: Any) -> None:
    assert output_rows(said) == output_lines(said) == []


def test_markdown_of_a_green_run_is_short() -> None:
    about = {
        "argv": ["mcpsmoke", "ready", "a b"],
        "commit": {"id": "0123", "dirty": False},
        "versions": {"python": "CPython 3.12.1", "pytest": "9.2.0"},
    }
    results = (
        result(seconds=1.5, is_expected=True),
        result("SKIPPED", name="gate", is_optional=True, reason="a | b\nc"),
    )
    run = Run(Verdict.GREEN, (), "2026-11-21T10:15:00Z", 2.0, None, results, about)
    assert markdown(run, "/p").splitlines() == [
        "# Readiness: GREEN",
        "",
        "| check | kind | tier | expected | status | what it says | seconds |",
        "|---|---|---|---|---|---|---|",
        "| smoke | pytest |  | yes | PASSED | 1 passed | 1.50 |",
        "| gate | pytest |  | optional | SKIPPED | a \\| b c |  |",
        "",
        "## How",
        "",
        "|  |  |",
        "|---|---|",
        "| called | `mcpsmoke ready 'a b'` |",
        "| began | 2026-11-21T10:15:00Z, took 2.00 s |",
        "| seed | none: no random order |",
        "| commit | 0123 |",
        "| versions | python CPython 3.12.1, pytest 9.2.0 |",
    ]

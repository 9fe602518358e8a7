"""mcpsmoke baseline: a file that is written from reports, and then only shrinks."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.cli.main import main

RUN = {"type": "run", "schema": 1}
END = {"type": "end"}
NEW = date.today().isoformat()
OLD = "2025-01-02"
NAME = "mcpsmoke-baseline.json"


def leak(
    owner: str, place: str = "app.x", verdict: str = "leak", reason: str | None = None
) -> dict[str, Any]:
    return {"type": "finding", "owner": owner, "place": place, "verdict": verdict, "reason": reason}


def ran(nodeid: str, outcome: str = "passed") -> dict[str, Any]:
    return {"type": "test", "nodeid": nodeid, "outcome": outcome}


def stale(owner: str, place: str = "app.x") -> dict[str, Any]:
    return {"type": "stale", "owner": owner, "allowance": place, "source": NAME}


class Folder:
    """The folder where the command is called."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def report(self, *records: dict[str, Any], name: str = "leaks.jsonl") -> None:
        lines = [json.dumps(record) for record in (RUN, *records, END)]
        (self.path / name).write_text("\n".join(lines) + "\n", "utf-8")

    def had(self, **since: str) -> None:
        allowed = [{"owner": owner, "place": "app.x", "since": day} for owner, day in since.items()]
        (self.path / NAME).write_text(json.dumps({"schema": 1, "allowed": allowed}), "utf-8")

    def call(self, *arguments: str) -> list[str]:
        """Run the command in this process; return what it says."""
        assert main(["baseline", *arguments]) == 0
        out, err = self._capsys.readouterr()
        assert err == ""
        return out.splitlines()

    def refused(self, *arguments: str) -> str:
        """Run the command; return the one line that it complains with."""
        before = self.files()
        try:
            status = main(["baseline", *arguments])
        except SystemExit as end:
            status = end.code  # type: ignore[assignment]
        out, err = self._capsys.readouterr()
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert self.files() == before, "nothing is written, nothing is lost"
        return err.rstrip("\n")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir() if path.is_file()}

    def entries(self, name: str = NAME) -> dict[str, str]:
        """The days by "owner", or "owner place" where the place is not app.x."""
        content = json.loads((self.path / name).read_text("utf-8"))
        return {
            f"{each['owner']} {each['place']}".removesuffix(" app.x"): each["since"]
            for each in content["allowed"]
        }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capsys)


class TestTheFirst:
    def test_holds_the_leaks_and_nothing_else(self, folder: Folder) -> None:
        folder.report(
            leak("b.py::test"),
            leak("a.py::test", "app.R['ä']"),
            leak("a.py::test", "app.warm", "warm-up", "first use"),
            leak("a.py::test", "app.meant", "allowed", "meant"),
            ran("a.py::test"),
        )
        assert folder.call("leaks.jsonl") == [f"{NAME}: 2 allowed leaks (2 new, 0 kept, 0 dropped)"]
        assert (folder.path / NAME).read_text("utf-8") == (
            '{"schema": 1, "allowed": [\n'
            f'  {{"owner": "a.py::test", "place": "app.R[\'ä\']", "since": "{NEW}"}},\n'
            f'  {{"owner": "b.py::test", "place": "app.x", "since": "{NEW}"}}\n'
            "]}\n"
        )
        assert sorted(folder.files()) == ["leaks.jsonl", NAME], "no temporary file stays behind"

    def test_of_a_clean_run_is_empty(self, folder: Folder) -> None:
        folder.report()
        assert folder.call("leaks.jsonl") == [f"{NAME}: 0 allowed leaks (0 new, 0 kept, 0 dropped)"]
        assert (folder.path / NAME).read_text("utf-8") == '{"schema": 1, "allowed": []}\n'

    def test_of_several_reports_elsewhere(self, folder: Folder) -> None:
        folder.report(leak("a"), leak("b"), name="1.jsonl")
        folder.report(leak("b"), leak("c"), name="2.jsonl")
        assert folder.call("1.jsonl", "2.jsonl", "-o", "other.json") == [
            "other.json: 3 allowed leaks (3 new, 0 kept, 0 dropped)"
        ]
        assert folder.entries("other.json") == {"a": NEW, "b": NEW, "c": NEW}

    def test_keeps_the_day_of_a_baseline_that_allowed_the_leak(self, folder: Folder) -> None:
        folder.report(leak("a", verdict="allowed", reason=f"baseline since {OLD}"), name="with.jsonl")
        folder.report(leak("a"), name="without.jsonl")
        folder.call("with.jsonl", "without.jsonl")
        assert folder.entries() == {"a": OLD}


class TestTheNext:
    def test_keeps_what_still_leaks_with_its_day(self, folder: Folder) -> None:
        folder.had(a=OLD, b=OLD)
        folder.report(leak("a", verdict="allowed", reason=f"baseline since {OLD}"), leak("b"))
        assert folder.call("leaks.jsonl") == [f"{NAME}: 2 allowed leaks (0 new, 2 kept, 0 dropped)"]
        assert folder.entries() == {"a": OLD, "b": OLD}

    def test_drops_what_ran_and_leaks_no_more_and_what_is_stale(self, folder: Folder) -> None:
        folder.had(a=OLD, b=OLD, gone=OLD)
        folder.report(leak("a", "app.y", "warm-up"), ran("a"), ran("b", "xfailed"), stale("gone"))
        assert folder.call("leaks.jsonl") == [f"{NAME}: 0 allowed leaks (0 new, 0 kept, 3 dropped)"]
        assert folder.entries() == {}

    def test_keeps_what_the_reports_do_not_tell_about(self, folder: Folder) -> None:
        folder.had(absent=OLD, skipped=OLD, failed=OLD)
        folder.report(ran("skipped", "skipped"), ran("failed", "failed"), stale("absent", "app.*"))
        assert folder.call("leaks.jsonl") == [
            f"{NAME}: 3 allowed leaks (0 new, 3 kept, 0 dropped)",
            "kept 3 of which the reports do not tell whether they still leak",
        ]

    def test_keeps_who_came_after_somebody_else_with_the_same_place(self, folder: Folder) -> None:
        folder.had(a=OLD, b=OLD)
        folder.report(leak("a"), ran("a"), ran("b"))
        folder.call("leaks.jsonl")
        assert folder.entries() == {"a": OLD, "b": OLD}

    def test_a_leak_in_one_report_outweighs_another_report(self, folder: Folder) -> None:
        folder.had(a=OLD)
        folder.report(stale("a"), ran("a"), name="1.jsonl")
        folder.report(leak("a"), name="2.jsonl")
        folder.call("2.jsonl", "1.jsonl")
        assert folder.entries() == {"a": OLD}

    def test_does_not_grow_by_itself(self, folder: Folder) -> None:
        folder.had(a=OLD)
        folder.report(leak("a"), leak("b"), leak("c", "app.y"))
        assert folder.call("leaks.jsonl") == [
            f"{NAME}: 1 allowed leak (0 new, 1 kept, 0 dropped)",
            "not added: 2 new leaks; mend, or add with --grow",
            "  b  app.x",
            "  c  app.y",
        ]
        assert folder.entries() == {"a": OLD}
        assert folder.call("leaks.jsonl", "--grow") == [f"{NAME}: 3 allowed leaks (2 new, 1 kept, 0 dropped)"]
        assert folder.entries() == {"a": OLD, "b": NEW, "c app.y": NEW}

    def test_through_a_symbolic_link(self, folder: Folder) -> None:
        folder.had(a=OLD)
        (folder.path / "link.json").symlink_to(NAME)
        folder.report(ran("a"))
        folder.call("leaks.jsonl", "-o", "link.json")
        assert (folder.path / "link.json").is_symlink()
        assert folder.entries() == {}


class TestRefused:
    def lines(self, folder: Folder, *lines: str) -> str:
        (folder.path / "leaks.jsonl").write_text("\n".join(lines), "utf-8")
        return folder.refused("leaks.jsonl")

    def test_a_run_that_was_cut_off(self, folder: Folder) -> None:
        run, a = json.dumps(RUN), json.dumps(leak("a"))
        assert self.lines(folder, run, a) == (
            "mcpsmoke: leaks.jsonl: no line of type end: the run was cut off;"
            " run it again, or use --incomplete"
        )
        assert folder.call("leaks.jsonl", "--incomplete") == [
            f"{NAME}: 1 allowed leak (1 new, 0 kept, 0 dropped)"
        ]

    @pytest.mark.parametrize(
        ("lines", "problem"),
        [
            ((), "1: empty; write a report with pytest --leaks-report=PATH"),
            (("hello",), "1: not a line of a report: no JSON"),
            ((json.dumps(RUN), "[]"), "2: not a line of a report: no type"),
            ((json.dumps(RUN), "[" * 100_000), "2: not a line of a report: no JSON"),
            ((json.dumps(END),), "1: not a report: it begins with a line of type run"),
            (('{"type": "run", "schema": 2}',), "1: schema 2; this mcpsmoke reads schema 1"),
            (
                (json.dumps(RUN), '{"type": "finding", "verdict": "leak", "place": 1}'),
                '2: a finding without a text "place"; is this a report?',
            ),
        ],
    )
    def test_what_is_no_report(self, folder: Folder, lines: tuple[str, ...], problem: str) -> None:
        assert self.lines(folder, *lines) == f"mcpsmoke: leaks.jsonl:{problem}"

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (
                (),
                "mcpsmoke baseline: the following arguments are required: REPORT;"
                " see mcpsmoke baseline --help",
            ),
            (("absent.jsonl",), "mcpsmoke: absent.jsonl: cannot be read: No such file or directory"),
            (
                ("leaks.jsonl", "-o", "no/b.json"),
                "mcpsmoke: no/b.json: cannot be written: No such file or directory",
            ),
            (("leaks.jsonl", "-o", "."), "mcpsmoke: .: cannot be read: Is a directory"),
            (
                ("leaks.jsonl", "-o", "leaks.jsonl"),
                "mcpsmoke: leaks.jsonl: not JSON: Extra data: line 2 column 1 (char 29);"
                " repair it, or delete it and write it anew",
            ),
        ],
    )
    def test_arguments(self, folder: Folder, arguments: tuple[str, ...], problem: str) -> None:
        folder.report(leak("a"))
        assert folder.refused(*arguments) == problem

    def test_a_file_that_is_no_baseline_stays_as_it_is(self, folder: Folder) -> None:
        (folder.path / NAME).write_text("{}")
        folder.report(leak("a"))
        assert folder.refused("leaks.jsonl") == (
            f"mcpsmoke: {NAME}: not a baseline; write one with: mcpsmoke baseline REPORT"
        )


def mcpsmoke(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mcpsmoke"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_help_shows_the_command() -> None:
    done = mcpsmoke("--help")
    assert done.returncode == 0
    assert "baseline  write the leaks of reports to a baseline file" in done.stdout
    assert mcpsmoke().stdout == done.stdout


def test_an_unknown_command_is_one_line() -> None:
    done = mcpsmoke("basel")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("mcpsmoke: argument COMMAND: invalid choice: 'basel'")


def test_from_a_suite_full_of_leaks_to_none(suite: Any) -> None:
    """The whole way: report, baseline, fail only on what is new, mend, shrink."""

    def write_baseline() -> list[str]:
        return mcpsmoke("baseline", "leaks.jsonl", folder=suite.path).stdout.splitlines()

    two = "from app import settings\ndef test_a(): settings.MODE = 1\ndef test_b(): settings.LEVEL = 7\n"
    suite.write({"test_case.py": two, "pytest.ini": f"[pytest]\nmcpsmoke_baseline = {NAME}\n"})
    suite.run("-o", "mcpsmoke_baseline=")
    assert write_baseline() == [f"{NAME}: 2 allowed leaks (2 new, 0 kept, 0 dropped)"]
    assert suite.run("--leaks=fail").result.ret == 0
    suite.write({"test_case.py": two.replace("settings.MODE = 1", "pass")})
    run = suite.run("--leaks=fail")
    assert (run.result.ret, run.section) == (
        0,
        [f"stale allowance: app.settings.MODE of test_case.py::test_a  ({NAME}): matched nothing; delete it"],
    )
    assert write_baseline() == [f"{NAME}: 1 allowed leak (0 new, 1 kept, 1 dropped)"]
    assert suite.run("--leaks=fail").section == []
    suite.write({"test_case.py": two})
    assert suite.run("--leaks=fail").result.ret == 1

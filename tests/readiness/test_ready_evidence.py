"""The evidence folder: what is in it, what never is, and what happens when it cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gate_project import Project, command, stable

from pytest_mcpsmoke.readiness.gate.evidence import Evidence
from pytest_mcpsmoke.readiness.gate.scrubbing import Scrubber

BEGAN = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
SECRET = "hunter-22-&-co"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, monkeypatch, capsys)


def open_evidence(base: Path) -> Evidence:
    return Evidence(base, BEGAN, Scrubber({"A_TOKEN": SECRET}))


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_run_leaves_all_of_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a check prints, asserts, leaks, writes or is called with: nothing holds the secret."""
    monkeypatch.setenv("GATEWAY_TOKEN", SECRET)
    project.write(
        settings_py="KEY = None\n",
        test_leaky_py="""
            import os, sys
            import settings

            def test_key():
                print("key", os.environ["GATEWAY_TOKEN"])
                settings.KEY = os.environ["GATEWAY_TOKEN"]
                open("made.txt", "w").write(settings.KEY)
                assert settings.KEY == "Bearer 0123456789abcdef"
            """,
    )
    project.declare(
        smoke='kind = "pytest"\nargs = ["test_leaky.py"]\nartifacts = ["*.txt", "none/*"]',
        tell=command(f"import os; print(os.environ['GATEWAY_TOKEN'], {SECRET!r})"),
    )
    (project.path / "old.txt").write_text("before")
    status, out, _ = project.call("--seed=1")
    folder = project.evidence / "latest"
    assert status == 1
    assert files_in(folder.resolve()) == [
        *("artifacts/smoke/made.txt", "artifacts/smoke/old.txt", "junit/smoke.xml", "junit/tell.xml"),
        *("leaks/smoke.jsonl", "logs/smoke.log", "logs/tell.log", "report.json", "report.md"),
    ]
    for name in files_in(folder.resolve()):
        content = (folder / name).read_bytes()
        assert b"hunter-22" not in content, name
        assert name.startswith("artifacts") or b"0123456789abcdef" not in content, name
    assert "hunter-22" not in "\n".join(out)
    assert (folder / "logs" / "tell.log").read_text() == "*** ***\n"
    report = project.report
    assert report["environment"]["GATEWAY_TOKEN"] == "***"
    assert report["environment"]["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] == "1"
    smoke, tell = report["checks"]
    assert tell["reason"] == "*** ***"
    assert ("settings.KEY", "'***'") in [(leak["place"], leak["after"]) for leak in smoke["leaks"]]
    assert smoke["notes"] == ["artifacts none/*: there is no such file"]
    assert smoke["files"][-1] == "artifacts/smoke/old.txt"


def test_report_json_has_the_fields_of_its_schema(project: Project) -> None:
    project.declare(core=command("print('fine')"))
    project.call("--no-random", "--strict")
    report = project.report
    assert [*report] == [
        *("type", "schema", "verdict", "reasons", "began", "seconds", "seed", "argv", "wanted", "commit"),
        *("versions", "environment", "checks", "problems"),
    ]
    assert report["wanted"] == {
        **{"live": False, "strict": True, "nd_real": False, "fail_on_skip": False, "expect": []},
        **{"checks": [], "leaks": "fail"},
    }
    assert {"python", "pytest", "pytest-mcpsmoke"} <= report["versions"].keys()
    (check,) = report["checks"]
    del check["argv"], check["again"], check["seconds"]
    assert check == {
        **{"name": "core", "kind": "command", "tier": None, "optional": False, "expected": True},
        **{"status": "PASSED", "red": False, "reason": "fine", "timeout": 600.0, "exit_status": 0},
        **{"tests": [], "leaks": [], "nd": [], "output": None, "notes": []},
        "files": ["logs/core.log", "junit/core.xml"],
    }


def test_the_commit_and_whether_the_tree_differs(project: Project) -> None:
    def git(*words: str) -> str:
        told = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *who, *words], env=os.environ | told, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    project.declare(core=command("print('fine')"))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    project.call()
    assert project.report["commit"] == {"id": head, "dirty": False}
    project.call()
    assert project.report["commit"] == {"id": head, "dirty": False}, "evidence is no change"
    project.write(new_py="")
    project.call()
    assert project.report["commit"] == {"id": head, "dirty": True}
    assert f"| commit | {head} and changes |" in project.markdown


def test_evidence_goes_where_one_wants_it(project: Project) -> None:
    project.declare(core=command("print('fine')"))
    _, out, _ = project.call("--evidence=kept/here")
    assert out[-1] == "evidence: kept/here/<time>"
    assert files_in(project.path / "kept" / "here" / "latest")[-1] == "report.md"
    assert not project.evidence.exists()


def test_two_runs_of_one_second_and_the_newest_is_the_latest(tmp_path: Path) -> None:
    first, second = open_evidence(tmp_path), open_evidence(tmp_path)
    assert [first.folder.name, second.folder.name] == ["2026-11-21T10-15-00Z", "2026-11-21T10-15-00Z.2"]
    assert os.readlink(tmp_path / "latest") == second.folder.name


def test_where_no_link_can_be_made_a_text_file_names_the_latest(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a privilege is not held")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    project.declare(core=command("print('fine')"))
    project.call()
    latest = project.evidence / "latest"
    assert stable(latest.read_text("utf-8")) == "<time>\n"
    assert project.call("--compare", "latest", "latest")[1][-1] == "nothing changed"


def test_the_default_folder_keeps_out_of_git(tmp_path: Path) -> None:
    open_evidence(tmp_path / ".mcpsmoke" / "evaluation")
    assert (tmp_path / ".mcpsmoke" / ".gitignore").read_text() == "*\n"
    open_evidence(tmp_path / "mine" / "evaluation")
    assert not (tmp_path / "mine" / ".gitignore").exists()


class TestTail:
    def test_lines_are_copied_when_they_are_complete_and_the_rest_at_the_end(self, tmp_path: Path) -> None:
        evidence, source = open_evidence(tmp_path / "e"), tmp_path / "raw"
        tail = evidence.tail(source, "logs/a.log", is_log=True)
        target = evidence.folder / "logs" / "a.log"
        tail.follow()
        assert not target.exists()
        said = f"one {SECRET}\r\ntwo Bearer 0123456789\nthree {SECRET}"
        for end in range(0, len(said) + 1, 5):
            source.write_text(said[:end], newline="")
            tail.follow()
            assert "hunter" not in (target.read_text() if target.exists() else "")
        source.write_text(said, newline="")
        tail.follow()
        assert target.read_bytes() == b"one ***\r\ntwo ***\n"
        tail.follow(is_end=True)
        assert target.read_bytes() == b"one ***\r\ntwo ***\nthree ***"

    def test_a_full_disk_is_told_once(self, tmp_path: Path) -> None:
        evidence, source = open_evidence(tmp_path / "e"), tmp_path / "raw"
        (evidence.folder / "logs" / "a.log").mkdir()  # as good as a full disk, and the same for root
        tail = evidence.tail(source, "logs/a.log", is_log=True)
        for text in ("one\n", "one\ntwo\n"):
            source.write_text(text)
            tail.follow()
        assert evidence.problems == ["the evidence is incomplete: logs/a.log: Is a directory"]


def test_artifacts_outside_of_the_project_stay_there(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "out").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "out" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "out" / "real.txt").write_text("real")
    os.utime(root / "out" / "real.txt", (1, 1))
    evidence = open_evidence(root / "e")
    kept = evidence.keep(root, ["**/*.txt", "out"], "check", since=1_000_000.0)
    assert kept == (
        ["artifacts/check/out/real.txt"],
        ["artifacts **/*.txt: written before this check began", "artifacts out: there is no such file"],
    )
    assert evidence.keep(root, ["**/*.txt"], "again", since=0.0)[0] == ["artifacts/again/out/real.txt"]
    assert evidence.problems == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_full_disk(project: Project) -> None:
    """No file may be longer than a kilobyte: as on a full disk, what was found is told all the same."""
    code = """if True:
        import resource, sys
        from pytest_mcpsmoke.cli.main import main
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        sys.exit(main(["ready", "--no-random"]))
        """
    project.declare(core=command("print('fine')"))
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert stable(done.stdout).splitlines() == [
        "core  running",
        "core  PASSED        fine in <s>",
        "RED",
        "  the evidence is incomplete: report.json: File too large",
        "evidence: .mcpsmoke/evaluation/<time>",
    ]


def test_report_json_is_there_while_the_run_goes_on(project: Project) -> None:
    code = "import json; run = json.load(open('.mcpsmoke/evaluation/latest/report.json'));"
    code += " print(run['verdict'], [check['status'] for check in run['checks']])"
    project.declare(first=command("print('fine')"), second=command(code))
    project.call("--no-random")
    assert project.check("second")["reason"] == "None ['PASSED', 'NOT RUN']"


def test_report_json_is_one_object_of_text(project: Project) -> None:
    project.declare(core=command("print('ü \\udc80 \\x00'.encode('utf-8', 'surrogateescape'))"))
    project.call("--no-random")
    assert json.loads((project.evidence / "latest" / "report.json").read_text("utf-8"))["verdict"] == "GREEN"

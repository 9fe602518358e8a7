"""mcpsmoke culprit on a small suite: what it asks for, what it says, how it ends and goes on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.cli.main import main

SUITE = {
    "settings.py": 'MODE = "live"\nSEEN = []\n',
    "test_a.py": """
        import settings

        def test_noted():
            settings.SEEN.append(1)

        def test_mode():
            settings.MODE = "test"
        """,
    "test_b.py": """
        import settings

        def test_plain():
            pass

        def test_victim():
            assert settings.MODE == "live"
        """,
}
VICTIM = "test_b.py::test_victim"
POLLUTER = "test_a.py::test_mode"
WATCHED = sys.version_info < (3, 12)  # no line is observed there: a process more tells it
PUT_BACK = "--leaks-restore-only=settings.MODE"
CHAIN = f"""\
{VICTIM}: a victim: it passes alone, and fails after its polluter
  polluter   {POLLUTER}
  place      settings.MODE   rebound: 'live' -> 'test'
  written    test_a.py:7  settings.MODE = "test"
  victim     {VICTIM}
  fails      test_b.py:7  AssertionError: assert 'test' == 'live' - live + test
  use        monkeypatch.setattr(settings, "MODE", "test")
  premises   alone it passes; in the recorded order it failed
  reproduce  pytest -p mcpsmoke --leaks=report --in-given-order {POLLUTER} {VICTIM}
  heal       pytest -p mcpsmoke --leaks=report --in-given-order {PUT_BACK} {POLLUTER} {VICTIM}
{3 + WATCHED} pytest runs, N s
"""
PROGRESS = f"""\
  1  alone: passed (N s)
  2  after {POLLUTER}: failed (N s)
  3  after {POLLUTER}, settings.MODE put back: passed (N s)
"""
LINE = 'watched settings.MODE: test_a.py:7  settings.MODE = "test"\n'
if WATCHED:
    PROGRESS += f"  4  {LINE}"


class Folder:
    """A suite, and commands that are called in its folder."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")

    def pytest(self, *arguments: str) -> int:
        words = [sys.executable, "-P", "-m", "pytest", "-p", "mcpsmoke", *arguments]
        return subprocess.run(words, cwd=self.path, capture_output=True).returncode

    def record(self, *arguments: str) -> None:
        assert self.pytest("--leaks-report=r.jsonl", *arguments) == 1

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command in this process: its status and what it says, with N for numbers of seconds."""
        status = main(["culprit", *arguments])
        out, err = self._capsys.readouterr()
        return status, re.sub(r"\d+\.\d+ s", "N s", out), re.sub(r"\d+\.\d+ s", "N s", err)

    def told(self, *arguments: str) -> dict[str, Any]:
        main(["culprit", "--json", *arguments])
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return found

    def refused(self, *arguments: str) -> str:
        status, out, err = self.call(*arguments)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        return err.rstrip("\n")

    @property
    def kept(self) -> list[Path]:
        """The notebooks of unfinished investigations."""
        return sorted((self.path / ".mcpsmoke" / "culprit").glob("*/known.jsonl"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("TOX_ENV_DIR", raising=False)  # pytest would keep its cache there
    made = Folder(tmp_path, capsys)
    made.write({**SUITE, "pytest.ini": "[pytest]\n"})
    return made


def test_with_a_report_three_processes_prove_test_place_and_line(folder: Folder) -> None:
    folder.record()
    assert folder.call(VICTIM, "--from", "r.jsonl") == (0, CHAIN, PROGRESS)
    assert folder.kept == []


def test_the_commands_it_prints_are_pytest_commands_that_do_as_they_say(folder: Folder) -> None:
    folder.record()
    told = folder.told(VICTIM, "--from", "r.jsonl")
    for command, status in ((told["reproduce"], 1), (told["heal"], 0)):
        program, *words = shlex.split(command)
        assert program == "pytest"
        assert folder.pytest(*words) == status


REGISTRY = {
    "registry.py": """
        TOOLS = {}

        def register(name):
            TOOLS[name] = name
            TOOLS["_"] = name
            del TOOLS["_"]
        """,
    "test_c.py": """
        import registry

        def test_register():
            registry.register("echo")
        """,
    "test_d.py": """
        import registry

        def test_empty():
            assert not registry.TOOLS
        """,
}


def test_a_line_that_the_report_only_searched_for_is_watched_once(folder: Folder) -> None:
    folder.write(REGISTRY)
    folder.record("test_c.py", "test_d.py")
    status, out, err = folder.call("test_d.py::test_empty", "--from", "r.jsonl")
    assert status == 0
    assert out.splitlines()[2:5] == [
        "  place      registry.TOOLS['echo']   added: (nothing) -> 'echo'",
        "  written    registry.py:4  TOOLS[name] = name",
        '  called     test_c.py:4  registry.register("echo")',
    ]
    assert out.endswith("\n4 pytest runs, N s\n")
    assert err.endswith("  4  watched registry.TOOLS['echo']: registry.py:4  TOOLS[name] = name\n")


def test_json_has_the_way_to_the_line(folder: Folder) -> None:
    folder.write(REGISTRY)
    folder.record("test_c.py", "test_d.py")
    told = folder.told("test_d.py::test_empty", "--from", "r.jsonl")
    way = [
        {"path": "test_c.py", "line": 4, "function": "test_register", "certainty": "observed"},
        {"path": "registry.py", "line": 4, "function": "register", "certainty": "observed"},
    ]
    assert told["ways"] == [way]
    assert told["places"][0]["site"] == way[-1]


def test_where_no_process_is_left_the_searched_line_stays(folder: Folder) -> None:
    folder.write(REGISTRY)
    folder.record("test_c.py", "test_d.py")
    status, out, err = folder.call("test_d.py::test_empty", "--from", "r.jsonl", "--budget", "3")
    assert status == 0
    assert re.search(r"^  written .*\(searched\)$", out, re.MULTILINE)
    assert "called" not in out
    assert err.endswith("     registry.TOOLS['echo']: no time to watch each line; `mcpsmoke where` does\n")


def test_without_a_report_the_suite_is_observed_first(folder: Folder) -> None:
    told = folder.told(VICTIM, "--", "test_a.py", "test_b.py")
    assert (told["polluters"], told["runs"]) == ([POLLUTER], 4 + WATCHED)
    assert [place["place"] for place in told["places"]] == ["settings.MODE"]
    assert {name for name in os.listdir(folder.path) if not name.startswith((".", "__"))} == {
        *SUITE,
        "pytest.ini",
    }


def test_the_users_own_cache_stays_as_it_is(folder: Folder) -> None:
    folder.record()
    cache = folder.path / ".pytest_cache" / "v" / "cache" / "lastfailed"
    before = cache.read_text()
    assert folder.told("--last-failed", "--from", "r.jsonl")["victim"] == VICTIM
    assert cache.read_text() == before


def test_under_tox_the_last_failed_are_where_pytest_keeps_them(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOX_ENV_DIR", str(folder.path / "env"))
    folder.record()
    assert not (folder.path / ".pytest_cache").exists()
    assert folder.told("--last-failed", "--from", "r.jsonl")["victim"] == VICTIM


def test_an_order_of_ones_own(folder: Folder) -> None:
    assert folder.pytest("--leaks-report=r.jsonl", VICTIM, POLLUTER) == 0
    (folder.path / "order.txt").write_text(f"{POLLUTER}\n{VICTIM}\n")
    told = folder.told(VICTIM, "--from", "r.jsonl", "--order", "order.txt")
    assert (told["verdict"], told["polluters"]) == ("victim", [POLLUTER])
    observed = folder.told(VICTIM, "--order", "order.txt")
    assert observed["polluters"] == [POLLUTER]


def test_a_seed_brings_the_order_of_pytest_randomly(folder: Folder) -> None:
    pytest.importorskip("pytest_randomly")
    seed = next(
        str(seed) for seed in range(40) if folder.pytest("-p", "randomly", f"--randomly-seed={seed}") == 1
    )
    told = folder.told(VICTIM, "--seed", seed)
    assert (told["verdict"], told["polluters"]) == ("victim", [POLLUTER])
    assert f"--randomly-seed={seed}" in told["reproduce"]


def test_node_ids_are_taken_as_the_terminal_has_them(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    below = folder.path / "below"
    below.mkdir()
    folder.write({f"below/{name}": text for name, text in SUITE.items()})
    monkeypatch.chdir(below)
    words = [sys.executable, "-P", "-m", "pytest", "-p", "mcpsmoke", "--leaks-report=r.jsonl"]
    assert subprocess.run(words, cwd=below, capture_output=True).returncode == 1
    told = folder.told(VICTIM, "--from", "r.jsonl")
    assert (told["victim"], told["polluters"]) == (f"below/{VICTIM}", [f"below/{POLLUTER}"])
    assert told["reproduce"].endswith(f"{POLLUTER} {VICTIM}")
    assert "below" not in told["reproduce"]


def test_the_budget_ends_it_and_the_same_command_goes_on(folder: Folder) -> None:
    folder.record()
    asked = (VICTIM, "--from", "r.jsonl")
    status, out, err = folder.call(*asked, "--budget", "2")
    assert (status, out) == (3, "")
    assert err.endswith(f"{VICTIM}: used up: 2 pytest processes; the same command goes on from here\n")
    status, out, err = folder.call(*asked)
    assert status == 0
    assert out == CHAIN.replace("pytest runs", "pytest runs, 2 of them earlier")
    assert err == "going on from 2 known experiments (--fresh begins anew)\n" + (
        f"  1  after {POLLUTER}, settings.MODE put back: passed (N s)\n" + (f"  2  {LINE}" if WATCHED else "")
    )


def test_what_is_known_is_dropped_when_the_code_has_changed_or_fresh_is_asked_for(folder: Folder) -> None:
    folder.record()
    asked = (VICTIM, "--from", "r.jsonl")
    folder.call(*asked, "--budget", "2")
    assert folder.call(*asked, "--budget", "1", "--fresh")[2].startswith("  1  alone")
    os.utime(folder.path / "settings.py", (2e9, 2e9))
    assert folder.call(*asked)[2] == PROGRESS


def hear_interrupts() -> None:
    """What a job in the background has inherited from its shell: that it ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# The first experiment is of one test; the second stays until it is interrupted.
HOLDS_THE_SECOND = """
import pathlib
import time

def pytest_collection_modifyitems(items):
    if len(items) > 1 and not pathlib.Path("may end").exists():
        pathlib.Path("waits").touch()
        time.sleep(60)
"""


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    """Wait until a file is there, for a minute at most."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_leaves_a_state_that_can_be_resumed(folder: Folder) -> None:
    folder.record()
    folder.write({"conftest.py": HOLDS_THE_SECOND})
    words = [sys.executable, "-m", "pytest_mcpsmoke.cli", "culprit", VICTIM, "--from", "r.jsonl"]
    with subprocess.Popen(
        words,
        cwd=folder.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as child:
        try:
            wait_for(folder.path / "waits", child)
        finally:
            child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err.startswith("  1  alone: passed ")
    assert err.endswith("interrupted; the same command goes on from here\n")
    assert len(folder.kept) == 1
    (folder.path / "may end").touch()
    status, _, err = folder.call(VICTIM, "--from", "r.jsonl")
    assert status == 0
    assert err.startswith("going on from 1 known experiment ")


RUN = '{"type": "run", "schema": 1}\n'


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "give either the node id of a test, or --last-failed"),
        ((VICTIM, "--last-failed"), "give either the node id of a test, or --last-failed"),
        (("--last-failed",), "--last-failed: pytest's cache tells of no failed test; give its node id"),
        ((VICTIM, "--from", "no.jsonl"), "no.jsonl: cannot be read: No such file or directory"),
        (
            (VICTIM, "--budget", "soon"),
            "--budget soon: give a number of pytest processes, or a time such as 90s or 10m",
        ),
        (
            (VICTIM, "--budget", "0"),
            "--budget 0: give a number of pytest processes, or a time such as 90s or 10m",
        ),
        ((VICTIM, "--confirm", "x"), "--confirm x: not a whole number from 0 on"),
        ((VICTIM, "--seed", "x"), "--seed x: not a whole number from 0 on"),
        ((VICTIM, "--order", "no.txt"), "--order no.txt: cannot be read: No such file or directory"),
        (
            (VICTIM, "--", "no_such.py"),
            "no_such.py: no such file or folder; write options with a value as --name=value",
        ),
    ],
)
def test_bad_usage_is_one_line(folder: Folder, arguments: tuple[str, ...], line: str) -> None:
    assert folder.refused(*arguments) == f"mcpsmoke: {line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "r.jsonl:1: empty; write a report with pytest --leaks-report=PATH"),
        ("x", "r.jsonl:1: not a line of a report: no JSON"),
        ('{"type": "test"}', "r.jsonl:1: not a report: it begins with a line of type run"),
        ('{"type": "run", "schema": 7}', "r.jsonl:1: schema 7; this mcpsmoke reads schema 1"),
        (RUN + '{"type": "test", "nod', "r.jsonl:2: not a line of a report: no JSON"),
        (RUN, f"{VICTIM}: no such test in the recorded run"),
        (RUN + '{"type": "finding", "site": null}', "r.jsonl:2: a finding without"),
    ],
)
def test_a_report_that_is_none_is_one_line(folder: Folder, text: str, line: str) -> None:
    (folder.path / "r.jsonl").write_text(text)
    assert folder.refused(VICTIM, "--from", "r.jsonl").startswith(f"mcpsmoke: {line}")


def test_a_wrong_node_id_brings_the_nearest_ones(folder: Folder) -> None:
    folder.record()
    line = folder.refused("test_b.py::test_victims", "--from", "r.jsonl")
    assert line.startswith(
        f"mcpsmoke: test_b.py::test_victims: no such test in the recorded run; nearest: {VICTIM}, "
    )


def test_a_suite_that_does_not_start_or_collect_is_one_line(folder: Folder) -> None:
    folder.record()
    folder.write({"test_b.py": "import no_such_module\n"})
    line = folder.refused(VICTIM, "--from", "r.jsonl")
    assert line.startswith(f"mcpsmoke: {VICTIM}: pytest did not run it: ERROR")
    folder.write({"conftest.py": "raise RuntimeError('no')\n"})
    assert "pytest did not start: E RuntimeError: no" in folder.refused(VICTIM, "--from", "r.jsonl")


def test_a_test_that_is_skipped_is_nothing_to_explain(folder: Folder) -> None:
    folder.write({"test_b.py": "import pytest\n\n@pytest.mark.skip\ndef test_victim(): pass\n"})
    folder.pytest("--leaks-report=r.jsonl")
    assert folder.refused(VICTIM, "--from", "r.jsonl") == (
        f"mcpsmoke: {VICTIM}: skipped in the recorded run; there is nothing to explain"
    )


def test_many_names_stand_in_a_file_and_options_stay_whole(folder: Folder) -> None:
    folder.write(
        {
            "test_a.py": "import pathlib, pytest\n\n"
            "@pytest.mark.parametrize('n', range(60))\n"
            "def test_many(n):\n    if n == 31: pathlib.Path('state').write_text('x')\n",
            "test_b.py": "import pathlib\n\n"
            "def test_victim():\n    path = pathlib.Path('state')\n"
            "    was_there = path.exists()\n    path.unlink(missing_ok=True)\n    assert not was_there\n",
        }
    )
    folder.record()
    told = folder.told(VICTIM, "--from", "r.jsonl", "--", "-p", "no:cacheprovider", "-W", "default")
    assert (told["verdict"], told["polluters"]) == ("victim", ["test_a.py::test_many[31]"])
    assert [place["place"] for place in told["places"]] == ["<rootdir>/state"]
    assert " -p no:cacheprovider -W default " in told["reproduce"]


def test_what_pytest_does_not_know_is_one_line(folder: Folder) -> None:
    folder.record()
    line = folder.refused(VICTIM, "--from", "r.jsonl", "--", "--no-such-option")
    assert "pytest did not start: " in line
    assert "--no-such-option" in line


def test_a_word_too_many_is_refused(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["culprit", VICTIM, "test_a.py"])
    assert ended.value.code == 2
    assert "unrecognized arguments: test_a.py" in capsys.readouterr().err

"""mcpsmoke ready on a made-up project: each way to be green with nothing measured, and how it is red."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gate_project import Project, command, stable

from pytest_mcpsmoke.readiness.gate import running

PASS = command("print('fine')")
FAIL = command("import sys; print('not so'); sys.exit(3)")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, monkeypatch, capsys)


def run_of(path: str, *args: str, **keys: Any) -> str:
    """The lines of a check of kind pytest."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(['kind = "pytest"', f"args = {json.dumps([path, *args])}", *lines])


class TestTheTraps:
    def test_a_misspelt_expectation(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        """The seeds' gate was green with this: nothing was selected, so nothing failed."""
        project.declare(all_smokes_core=PASS, nd_real=PASS)
        monkeypatch.setenv("READINESS_EXPECT", "all_smoke_core")
        assert project.refused() == (
            "mcpsmoke: READINESS_EXPECT: no check is called all_smoke_core;"
            " there are: all_smokes_core, nd_real"
        )

    def test_no_test_nothing_but_skips_and_no_such_file(self, project: Project) -> None:
        skips = "import pytest\n\n@pytest.mark.skip(reason='not today')\ndef test_a(): pass\n"
        project.write(test_fine_py="def test_a(): pass\n", test_skips_py=skips)
        project.declare(
            fine=run_of("test_fine.py"),
            empty=run_of("test_fine.py", "-k", "nothing"),
            skips=run_of("test_skips.py"),
            typo=run_of("test_fin.py"),
        )
        status, _, _ = project.call("--seed=1")
        assert status == 1
        assert project.report["reasons"] == [
            "empty: EMPTY: no test was selected",
            "skips: EMPTY: no test ran: all 1 skipped",
            "typo: ERROR: pytest ended with status 4: file or directory not found: test_fin.py",
        ]
        assert project.check("fine")["status"] == "PASSED"

    def test_an_expected_check_that_is_skipped(self, project: Project) -> None:
        project.declare(core=PASS, gateway='kind = "probe"\nargs = ["http://127.0.0.1:1/"]')
        assert project.call()[0] == 0
        assert project.call("--expect", "core,gateway")[0] == 1
        assert project.report["reasons"] == [
            "gateway: SKIPPED: it needs live endpoints: --live or READINESS_LIVE=1 runs it"
            " (it was expected to run)"
        ]

    def test_an_expected_check_that_was_not_asked_for(self, project: Project) -> None:
        project.declare(core=PASS, other=PASS)
        assert project.call("other", "--expect=core")[0] == 1
        assert project.report["reasons"] == ["core: NOT RUN: not asked for (it was expected to run)"]

    def test_an_absent_tier_under_strict(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        project.declare(core=PASS, real=f'{PASS}\ntier = "nd_real"', extra=f"{FAIL}\noptional = true")
        assert project.call()[0] == 0
        monkeypatch.setenv("STRICT_READY", "1")
        assert project.call()[0] == 1
        assert project.report["reasons"] == [
            "real: SKIPPED: it is of tier nd_real: --nd-real or ND_REAL=1 runs it (it was expected to run)"
        ]
        monkeypatch.setenv("ND_REAL", "1")
        assert project.call()[0] == 0
        assert project.statuses == {"core": "PASSED", "real": "PASSED", "extra": "FAILED"}

    def test_nothing_ran_at_all(self, project: Project) -> None:
        project.declare(real=f'{PASS}\ntier = "nd_real"')
        assert project.call()[0] == 1
        assert project.report["reasons"] == ["nothing was measured: no check passed"]

    def test_an_optional_check_counts_when_it_is_expected(self, project: Project) -> None:
        project.declare(core=PASS, extra=f"{FAIL}\noptional = true")
        status, out, _ = project.call()
        assert (status, out) == (
            0,
            [
                "core   running",
                "core   PASSED        fine in <s>",
                "extra  running",
                "extra  FAILED        exit status 3: not so in <s> (optional)",
                f"  run it again: {project.check('extra')['again']}",
                "  its log: logs/extra.log",
                "GREEN",
                "evidence: .mcpsmoke/evaluation/<time>",
            ],
        )
        assert project.call("--expect=core,extra")[0] == 1
        assert project.report["reasons"] == ["extra: FAILED: exit status 3: not so"]

    def test_a_silent_hang(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        """What hangs is ended by the clock, and the report names the test."""
        hangs = "import time\n\ndef test_a(): pass\n\ndef test_b(): open('hangs', 'w'); time.sleep(600)\n"
        project.write(test_hangs_py=hangs)
        project.declare(hang=run_of("test_hangs.py", "-p", "no:randomly", timeout=1800))
        is_hanging = (project.path / "hangs").exists
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600 * is_hanging())
        monkeypatch.setattr(running, "time", clock)
        assert project.call()[0] == 1
        (reason,) = project.report["reasons"]
        assert reason == "hang: TIMEOUT: ended by the clock: test_hangs.py::test_b; until then 1 passed"
        hung = project.check("hang")
        assert hung["seconds"] > 3600
        assert [test["nodeid"] for test in hung["tests"]] == ["test_hangs.py::test_a"]
        log = (project.evidence / "latest" / "logs" / "hang.log").read_text("utf-8")
        assert "test_hangs.py::test_b" in log

    def test_a_test_that_ends_the_process_as_if_all_were_well(self, project: Project) -> None:
        ends = "import os\n\ndef test_a(): pass\n\ndef test_b(): os._exit(0)\n\ndef test_c(): assert False\n"
        project.write(test_ends_py=ends)
        project.declare(core=run_of("test_ends.py", "-p", "no:randomly"))
        assert project.call()[0] == 1
        reason = "pytest ended with status 0, but its reports are cut off; until then 1 passed"
        assert project.report["reasons"] == [f"core: ERROR: {reason}"]

    def test_a_skip_where_that_is_red(self, project: Project) -> None:
        skips = "import pytest\n\ndef test_a(): pass\n\ndef test_b(): pytest.skip('no key')\n"
        project.write(test_case_py=skips)
        project.declare(core=run_of("test_case.py"), own=command("import sys; sys.exit(77)"))
        status, out, _ = project.call("--fail-on-skip", "--seed=2")
        assert status == 1
        assert out[1:5] == [
            "core  FAILED        1 test skipped, and a skip is red here in <s>",
            "  skipped: test_case.py::test_b: no key",
            "  run it again: pytest -p mcpsmoke --leaks=fail -p randomly --randomly-seed=2 test_case.py",
            "  its log: logs/core.log",
        ]
        assert project.report["reasons"] == [
            "core: FAILED: 1 test skipped, and a skip is red here",
            "own: FAILED: it skipped itself, exit status 77",
        ]


LEAKY = {
    "settings_py": 'MODE = "live"\n',
    "test_leaky_py": 'import settings\n\n\ndef test_mode():\n    settings.MODE = "test"\n',
}
LEAK_LINES = [
    "test_leaky.py::test_mode left 1 place changed",
    "  settings.MODE   rebound: 'live' -> 'test'",
    '      test_leaky.py:5  settings.MODE = "test"',
    '      use: monkeypatch.setattr(settings, "MODE", "test")',
    "  again: pytest -p mcpsmoke -p randomly test_leaky.py::test_mode",
]


class TestLeaks:
    def test_fail_is_red_and_names_test_place_line_and_remedy(self, project: Project) -> None:
        project.write(**LEAKY)
        project.declare(smoke=run_of("test_leaky.py"))
        status, out, _ = project.call("--seed=1")
        again = "pytest -p mcpsmoke --leaks=fail -p randomly --randomly-seed=1 test_leaky.py"
        assert (status, out) == (
            1,
            [
                "smoke  running",
                "smoke  FAILED        1 leak, 1 error in <s>",
                *(f"  {line}" for line in LEAK_LINES),
                f"  run it again: {again}",
                "  its log: logs/smoke.log",
                "RED",
                "  smoke: FAILED: 1 leak, 1 error",
                "evidence: .mcpsmoke/evaluation/<time>",
            ],
        )
        assert project.markdown.splitlines() == [
            "# Readiness: RED",
            "",
            "- smoke: FAILED: 1 leak, 1 error",
            "",
            "| check | kind | tier | expected | status | what it says | seconds |",
            "|---|---|---|---|---|---|---|",
            "| smoke | pytest |  |  | **FAILED** | 1 leak, 1 error | <s> |",
            "",
            "## smoke: FAILED",
            "",
            "```text",
            *LEAK_LINES,
            "```",
            "",
            "Again:",
            "",
            "```text",
            again,
            "```",
            "",
            "## How",
            "",
            "|  |  |",
            "|---|---|",
            "| called | `mcpsmoke ready --seed=1` |",
            "| began | <time>, took <s> |",
            "| seed | 1 |",
            "| commit | unknown |",
            "| versions | <versions> |",
        ]

    def test_report_is_shown_and_not_red(self, project: Project) -> None:
        project.write(**LEAKY)
        project.declare(smoke=run_of("test_leaky.py"))
        status, out, _ = project.call("--seed=1", "--leaks=report")
        assert status == 0
        assert out[1:] == [
            "smoke  PASSED        1 leak, 1 passed in <s>",
            *(f"  {line}" for line in LEAK_LINES),
            "GREEN",
            "evidence: .mcpsmoke/evaluation/<time>",
        ]

    def test_off_does_not_look(self, project: Project) -> None:
        project.write(**LEAKY)
        project.declare(smoke=run_of("test_leaky.py"))
        assert project.call("--no-random", "--leaks=off")[0] == 0
        found = project.check("smoke")
        assert (found["leaks"], found["reason"]) == ([], "1 passed")
        assert found["again"] == "pytest -p mcpsmoke --leaks=off test_leaky.py"
        assert [test["outcome"] for test in found["tests"]] == ["passed"]


ND = {
    **{"type": "nd", "nodeid": "test_nd.py::test_sampled", "verdict": "INCONCLUSIVE", "passes": 27},
    **{"samples": 30, "planned": 30, "replaced": 1, "rate": 0.9, "lower": 0.761, "upper": 0.972},
    **{"confidence": 0.95, "min_pass_rate": 0.9, "method": "exact", "decides_at": 89, "latency_p50_s": 0.5},
    **{"reason": "30 samples do not decide", "latency_p95_s": 1.25, "calls": 61, "tokens": 12345},
    **{"cost": 0.0625, "model": "m", "wall_s": 9.0, "notes": ["one sample was replaced"], "is_real": True},
    "clusters": [{"message": "assert 'no' == 'yes'", "tools": ["weather", "book"], "samples": [3, 9, 14]}],
    "change": {"passes": 30, "samples": 30, "p_value": 0.0764, "when": "yesterday", "model": "m"},
}
ND_LINES = [
    "verdict       passed  rate   bounds        needs  replaced  p50      p95      calls  tokens  cost  "
    "  test",
    "INCONCLUSIVE  27/30   0.900  0.761..0.972  0.900  1         0.500 s  1.250 s  61     12,345  0.0625"
    "  test_nd.py::test_sampled",
    "    30 samples do not decide",
    "    3 x assert 'no' == 'yes'  [weather > book]  (samples 3, 9, 14)",
    "    last run (yesterday): 30/30, p = 0.076 (two-proportion test)",
    "    one sample was replaced",
]
CONFTEST = f"""
    import json
    import pytest

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(session):
        file = session.config.pluginmanager.get_plugin("mcpsmoke-report-file")
        file.write(json.loads({json.dumps(ND)!r}))
"""


class TestSamples:
    """The tier writes a line of type nd; here a conftest does, for the gate only reads it."""

    @pytest.fixture
    def sampled(self, project: Project) -> Project:
        project.write(conftest_py=CONFTEST, test_nd_py="def test_sampled(): pass\n")
        project.declare(real=run_of("test_nd.py"), core=PASS)
        return project

    def test_undecided_is_neither_green_nor_red(self, sampled: Project) -> None:
        status, out, _ = sampled.call("--seed=1")
        assert (status, out[1:8]) == (
            0,
            ["real  INCONCLUSIVE  1 of 1 undecided in <s>", *(f"  {line}" for line in ND_LINES)],
        )
        assert out[-3:] == [
            "INCONCLUSIVE",
            "  real: INCONCLUSIVE: 1 of 1 undecided",
            "evidence: .mcpsmoke/evaluation/<time>",
        ]
        lines = sampled.markdown.splitlines()
        assert lines[:3] == ["# Readiness: INCONCLUSIVE", "", "- real: INCONCLUSIVE: 1 of 1 undecided"]
        assert lines[9:18] == ["## real: INCONCLUSIVE", "", "```text", *ND_LINES]
        assert sampled.check("real")["nd"] == [ND]

    def test_undecided_is_red_under_strict(self, sampled: Project) -> None:
        assert sampled.call("--strict")[0] == 1
        assert sampled.report["verdict"] == "RED"
        assert sampled.report["reasons"] == ["real: INCONCLUSIVE: 1 of 1 undecided"]


class TestWhatIsRun:
    def test_wishes_are_handed_on_to_children(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ["ND_REAL", "READINESS_EXPECT", "READINESS_FAIL_ON_SKIP", "READINESS_LIVE", "STRICT_READY"]
        project.declare(tell=command(f"import os; print([os.environ.get(name) for name in {names}])"))
        project.call()
        assert project.check("tell")["reason"] == "[None, None, None, None, None]"
        monkeypatch.setenv("STRICT_READY", "1")
        monkeypatch.setenv("READINESS_LIVE", "0")
        project.call("--nd-real", "--fail-on-skip", "--expect=tell")
        assert project.check("tell")["reason"] == "['1', 'tell', '1', None, '1']"

    def test_the_order_is_random_and_can_be_had_again(self, project: Project) -> None:
        many = "import pytest\n\n@pytest.mark.parametrize('n', range(9))\ndef test_a(n): pass\n"
        project.write(test_case_py=many)
        project.declare(core=run_of("test_case.py"))

        def order() -> list[str]:
            return [test["nodeid"] for test in project.check("core")["tests"]]

        project.call()
        first, seed = order(), project.report["seed"]
        assert f"-p randomly --randomly-seed={seed} test_case.py" in project.check("core")["again"]
        project.call(f"--seed={seed}")
        assert order() == first
        assert order() != sorted(first), "one seed in 362,880 is unlucky"

    def test_a_project_that_turns_randomly_off_has_a_random_order_here(self, project: Project) -> None:
        project.write(pytest_ini="[pytest]\naddopts = -p no:randomly\n", test_case_py="def test_a(): pass\n")
        project.declare(core=run_of("test_case.py"))
        assert project.call("--seed=7")[0] == 0
        assert "Using --randomly-seed=7" in (project.evidence / "latest" / "logs" / "core.log").read_text()

    def test_without_pytest_randomly(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pytest_randomly", None)  # as good as not installed
        project.declare(lint=PASS, core=run_of("test_case.py"))
        assert project.refused() == (
            "mcpsmoke: check core runs its tests in random order, which needs pytest-randomly:"
            " pip install 'pytest-mcpsmoke[random]', or give --no-random"
        )
        project.declare(lint=PASS, core=run_of("test_case.py", "-p", "no:randomly"))
        assert project.call("lint")[0] == 0

    def test_from_a_folder_below_the_root(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        project.declare(where=command("import os; print(os.path.basename(os.getcwd()))"))
        (project.path / "below").mkdir()
        monkeypatch.chdir(project.path / "below")
        assert project.call()[1][-1] == "evidence: ../.mcpsmoke/evaluation/<time>"
        assert project.check("where")["reason"] == project.path.name

    def test_live_checks_are_commands_of_ours_that_answer_in_json(self, project: Project) -> None:
        """Bad usage of theirs is an error of the check, not of the gate."""
        project.declare(gateway='kind = "probe"\nargs = ["--no-such-option"]')
        assert project.call("--live")[0] == 1
        found = project.check("gateway")
        assert (found["status"], found["exit_status"]) == ("ERROR", 2)
        assert found["argv"][1:] == ["-P", "-m", "pytest_mcpsmoke.cli", "probe", "--no-such-option", "--json"]
        assert found["again"] == "mcpsmoke probe --no-such-option"

    def test_list_runs_nothing(self, project: Project) -> None:
        project.declare(
            core=run_of("tests", tier="smoke"), extra=f"{PASS}\noptional = true", gate='kind = "clients"'
        )
        status, out, _ = project.call("--list", "--strict")
        assert (status, out) == (
            0,
            [
                "check  kind     tier   expected",
                "core   pytest   smoke  yes       to be run",
                "extra  command         optional  to be run",
                "gate   clients         yes       "
                "it needs live endpoints: --live or READINESS_LIVE=1 runs it",
            ],
        )
        assert not project.evidence.exists()

    def test_json(self, project: Project) -> None:
        project.declare(core=PASS)
        status, out, err = project.call("--json")
        printed, written = json.loads("\n".join(out)), json.loads(stable(json.dumps(project.report)))
        assert status == 0
        assert printed.pop("seconds") >= 0
        del written["seconds"]
        assert printed == written
        assert stable(err).splitlines() == [
            *("core  running", "core  PASSED        fine in <s>"),
            *("GREEN", "evidence: .mcpsmoke/evaluation/<time>"),
        ]


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (("smok",), "mcpsmoke: CHECK: no check is called smok; there are: smoke"),
            (("--expect=smok",), "mcpsmoke: READINESS_EXPECT: no check is called smok; there are: smoke"),
            (("--leaks=some",), "mcpsmoke: --leaks=some: choose from off, report, fail"),
            (("--seed=x",), "mcpsmoke: --seed=x: a number from 0 to 4294967295 is wanted"),
            (("--seed=1", "--no-random"),
             "mcpsmoke: --seed and --no-random: there is no order to have again; give one of them"),
            (("--config=no.toml",), "mcpsmoke: no.toml: cannot be read: No such file or directory"),
            (("--fast",), "mcpsmoke: unrecognized arguments: --fast; see mcpsmoke --help"),
            (("--evidence=pyproject.toml",),
             "mcpsmoke: {}/pyproject.toml: no evidence can be written there: Not a directory"),
        ],
    )  # fmt: skip
    def test_one_line_and_nothing_was_run(
        self, project: Project, arguments: tuple[str, ...], problem: str
    ) -> None:
        project.declare(smoke=command("open('ran', 'w')"))
        assert project.refused(*arguments) == problem.format(project.path)
        assert not (project.path / "ran").exists()

    def test_a_variable_that_is_neither(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        project.declare(smoke=PASS)
        monkeypatch.setenv("ND_REAL", "yes")
        assert project.refused() == "mcpsmoke: ND_REAL=yes: 1 or 0 is wanted"

    def test_a_project_without_checks(self, project: Project) -> None:
        project.declare()
        assert project.refused() == (
            "mcpsmoke: pyproject.toml: no check is declared:"
            " add a table [tool.mcpsmoke.readiness.checks.NAME]"
        )


def test_help_shows_examples(project: Project) -> None:
    status, out, _ = project.call("--help")
    assert status == 0
    assert "  mcpsmoke ready --strict --live --nd-real" in out


class TestInterrupted:
    @pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_evidence_of_what_ran_is_left(
        self, project: Project, number: signal.Signals, status: int
    ) -> None:
        hang = "import time; print('up'); time.sleep(600)"
        project.declare(first=PASS, second=command(hang), third=PASS)
        code = """if True:
            import signal, sys
            from pytest_mcpsmoke.cli.main import main
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
            sys.exit(main(["ready", "--no-random"]))
            """
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        log = project.evidence / "latest" / "logs" / "second.log"
        end = time.monotonic() + 60
        while not (log.exists() and log.read_text("utf-8")) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (status, "")
        assert project.statuses == {"first": "PASSED", "second": "INTERRUPTED", "third": "NOT RUN"}
        assert stable(out).splitlines()[-5:] == [
            "not run: third",
            "RED",
            "  second: INTERRUPTED: interrupted: up",
            f"  interrupted by {number.name}",
            "evidence: .mcpsmoke/evaluation/<time>",
        ]
        assert "# Readiness: RED" in project.markdown

"""The three hooks: bring a probe, say what a change is, hear of each finding."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_mcpsmoke.glue import start  # noqa: F401  # kept loaded: all runs in this process share its Probe

XDIST = ("-p", "xdist", "-n", "2")
T = "test_case.py"
UNDO = "      use: undo it in a fixture's teardown, or patch it for the time of the test"
TENANTS = {
    "app/tenants.py": """
        _current = ['none']

        def use(name): _current[0] = name

        def now(): return _current[0]
        """
}
PROBE = """
import pytest
from app import tenants
from pytest_mcpsmoke.state.probes.base import Probe

class Tenant(Probe):
    name = "tenant"
    words = ("use",)
    blind = "nothing"

    def read(self):
        return {"": tenants.now()}

    def place(self, key):
        return "tenants.now()"

    def restore(self, key, before, after):
        tenants.use(before)

def pytest_mcpsmoke_probes(config):
    assert config.rootpath
    return [Tenant()]
"""
USES = (
    "from app import settings, tenants\n\ndef test_it():\n    tenants.use('acme')\n\ndef test_later(): pass\n"
)
UNREAD = ("--leaks-unread=app.tenants",)  # the list that the probe reads would be found on its own


def write(suite: Any, conftest: str, source: str = USES, **files: str) -> None:
    suite.write({**TENANTS, "conftest.py": conftest, T: source, **files})


# pytest_mcpsmoke_probes


def test_a_probe_of_ones_own(suite: Any) -> None:
    write(suite, PROBE)
    run = suite.run(*UNREAD, "--leaks-restore")
    assert run.section == [
        f"{T}::test_it left 1 place changed",
        "  tenants.now()   mutated: 'none' -> 'acme', put back",
        f"      {T}:4  tenants.use('acme')  (searched)",
        UNDO,
        f"  again: pytest -p mcpsmoke {UNREAD[0]} {T}::test_it",
        "1 leak left by 1 test; 0 warm-ups, 0 allowed",
    ]
    (leak,) = run.leaks
    assert (leak["probe"], leak["restored"]) == ("tenant", True)


def test_a_probe_of_ones_own_in_each_worker(suite: Any) -> None:
    pytest.importorskip("xdist")
    write(suite, PROBE, **{"test_other.py": USES.replace("acme", "globex")})
    run = suite.run(*UNREAD, *XDIST, "--dist=loadfile", subprocess=True)
    assert sorted((leak["owner"], leak["probe"], leak["after"]) for leak in run.leaks) == [
        (f"{T}::test_it", "tenant", "'acme'"),
        ("test_other.py::test_it", "tenant", "'globex'"),
    ]


def test_nothing_is_a_fine_answer(suite: Any) -> None:
    write(suite, "def pytest_mcpsmoke_probes(config): return None\n", "def test_it(): pass\n")
    run = suite.run()
    assert run.of_type("finding") == []
    run.result.assert_outcomes(passed=1)


RAISES = PROBE.replace(
    '        return {"": tenants.now()}',
    """        self.count = getattr(self, "count", 0) + 1
        if self.count == AT:
            raise RuntimeError("no tenants here")
        return {"": tenants.now()}""",
)
BROKEN = "probe tenant: raised RuntimeError: no tenants here; it is off for the rest of the run"


@pytest.mark.parametrize("at", [1, 2], ids=["when the run begins", "at the second reading"])
def test_a_probe_that_raises_is_one_warm_up_and_off(suite: Any, at: int) -> None:
    write(suite, RAISES.replace("AT", str(at)))
    run = suite.run(*UNREAD, "--leaks=fail")
    assert run.section == [BROKEN]
    (finding,) = run.of_type("finding")
    owner = finding.pop("owner")
    assert owner.startswith(T), owner
    assert finding == {
        "type": "finding",
        "owner_kind": finding["owner_kind"],
        "scope": finding["scope"],
        "during": None,
        "place": "probe tenant",
        "probe": "tenant",
        "change": "removed",
        "before": "read at every boundary",
        "after": "raised RuntimeError: no tenants here",
        "site": None,
        "verdict": "warm-up",
        "reason": "it is off for the rest of the run",
        "restored": None,
        "remedy": None,
    }
    assert [note["text"] for note in run.of_type("note")] == [BROKEN]
    run.result.assert_outcomes(passed=2)


def test_a_probe_that_raises_is_told_once_beside_leaks_of_others(suite: Any) -> None:
    write(suite, RAISES.replace("AT", "2"), USES + "\ndef test_leak():\n    settings.MODE = 'x'\n")
    run = suite.run(*UNREAD)
    assert run.section[-2:] == ["1 leak left by 1 test; 1 warm-up, 0 allowed", BROKEN]
    assert run.result.stdout.str().count("no tenants here") == 1


def test_a_probe_that_raises_in_both_workers_is_noted_once(suite: Any) -> None:
    pytest.importorskip("xdist")
    write(suite, RAISES.replace("AT", "2"), **{"test_other.py": USES})
    run = suite.run(*UNREAD, *XDIST, subprocess=True)
    assert run.section == [BROKEN]
    assert [note["text"] for note in run.of_type("note")] == [BROKEN]


@pytest.mark.parametrize("spread", [(), XDIST], ids=["alone", "workers"])
def test_what_is_no_probe_is_refused(suite: Any, spread: tuple[str, ...]) -> None:
    if spread:
        pytest.importorskip("xdist")
    write(suite, "def pytest_mcpsmoke_probes(config): return [dict()]\n", "def test_it(): pass\n")
    run = suite.run(*spread, subprocess=True)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    every = run.result.outlines + run.result.errlines
    assert [line for line in every if line.startswith("ERROR: ")] == [
        "ERROR: pytest_mcpsmoke_probes: dict is no probe;"
        " return instances of subclasses of pytest_mcpsmoke.state.probes.base.Probe"
    ]
    assert not [line for line in every if "Traceback" in line or "INTERNALERROR" in line]
    assert run.of_type("test") == []


# pytest_mcpsmoke_classify

CHANGES = """
from app import settings

def test_it():
    settings.MODE = "x"
    settings.LEVEL = 2
    settings.NAMES = ()
"""
CLASSIFY = """
def pytest_mcpsmoke_classify(change):
    if change.owner.kind != "test":
        return None
    assert change.owner.id == "test_case.py::test_it"
    assert (change.kind, change.writer.by) == ("rebound", "test")
    if change.place == "app.settings.MODE":
        assert (change.before, change.after) == ("live", "x")
        return "VERDICT", "because"
"""


@pytest.mark.parametrize("verdict", ["leak", "warm-up", "allowed", "ignored"])
def test_the_verdict_of_a_conftest(suite: Any, verdict: str) -> None:
    write(suite, CLASSIFY.replace("VERDICT", verdict), CHANGES)
    run = suite.run("--leaks=fail", "--leaks-engine=scan")
    found = {each["place"]: (each["verdict"], each["reason"]) for each in run.of_type("finding")}
    others = {"app.settings.LEVEL": ("leak", None), "app.settings.NAMES": ("leak", None)}
    own = {} if verdict == "ignored" else {"app.settings.MODE": (verdict, "because")}
    assert found == {**others, **own}
    leaks = 2 + (verdict == "leak")
    warm_ups = "1 warm-up" if verdict == "warm-up" else "0 warm-ups"
    summary = f"{leaks} leaks left by 1 test; {warm_ups}, {int(verdict == 'allowed')} allowed"
    assert run.section[-1] == summary


LAZY = """
    _pool = None

    def pool():
        global _pool
        if _pool is None:
            _pool = []
        return _pool
    """


def test_what_is_exempt_can_be_called_a_leak(suite: Any) -> None:
    source = "from app import lazy\n\ndef test_it(): lazy.pool()\n"
    hook = """
def pytest_mcpsmoke_classify(change):
    return ("leak", "no pools") if "_pool" in change.place else None
"""
    write(suite, "", source, **{"app/lazy.py": LAZY})
    assert suite.run().leaks == []
    write(suite, hook, source)
    run = suite.run()
    assert [(leak["place"], leak["reason"]) for leak in run.leaks] == [("app.lazy._pool", "no pools")]
    assert run.section[-1] == "1 leak left by 1 test; 0 warm-ups, 0 allowed"


def test_the_first_result_wins(suite: Any) -> None:
    """As everywhere in pytest: the conftest's, which was registered last, is asked first."""
    answer = 'def pytest_mcpsmoke_classify(change): return "{}", "{}"\n'
    suite.write({"plugged.py": answer.format("allowed", "the plugin")})
    write(suite, answer.format("warm-up", "the conftest"), CHANGES)
    run = suite.run("-p", "plugged")
    assert {(each["verdict"], each["reason"]) for each in run.of_type("finding")} == {
        ("warm-up", "the conftest")
    }
    write(suite, "def pytest_mcpsmoke_classify(change): return None\n", CHANGES)
    run = suite.run("-p", "plugged")
    assert {(each["verdict"], each["reason"]) for each in run.of_type("finding")} == {
        ("allowed", "the plugin")
    }


def test_a_change_inside_an_object_and_of_a_probe_are_asked_for_too(suite: Any) -> None:
    hook = """
def pytest_mcpsmoke_classify(change):
    return ("allowed", change.place) if change.kind != "added" or "ACME" in change.place else None
"""
    source = """
import os
from app import tenants

def test_it():
    tenants.use("x")
    os.environ["ACME"] = "y"
"""
    write(suite, hook, source)
    found = [(each["verdict"], each["reason"]) for each in suite.run(subprocess=True).of_type("finding")]
    assert sorted(found) == [("allowed", "app.tenants._current"), ("allowed", "os.environ['ACME']")]


@pytest.mark.parametrize("answer", ["'warm-up'", "('loud', 'because')", "('leak',)", "7"])
def test_a_wrong_answer_ends_the_run(suite: Any, answer: str) -> None:
    write(
        suite,
        f"def pytest_mcpsmoke_classify(change): return {answer}\n",
        CHANGES + "\ndef test_two(): pass\n",
    )
    run = suite.run(subprocess=True)
    assert run.result.ret == 4
    every = run.result.outlines + run.result.errlines
    lines = {line.partition("Exit: ")[2].strip("! ") for line in every if "pytest_mcpsmoke_classify" in line}
    message = (
        f"pytest_mcpsmoke_classify returned {eval(answer)!r}:"
        " return None or (verdict, reason), with a verdict of leak, warm-up, allowed, ignored"
    )
    assert lines == {message}
    assert not [line for line in every if "INTERNALERROR" in line or "Traceback" in line]


def test_a_wrong_answer_in_a_worker_ends_the_run(suite: Any) -> None:
    pytest.importorskip("xdist")
    write(suite, "def pytest_mcpsmoke_classify(change): return 7\n", CHANGES + "\ndef test_two(): pass\n")
    run = suite.run(*XDIST, subprocess=True)
    every = run.result.outlines + run.result.errlines
    assert run.result.ret == 4, "\n".join(every)
    assert len([line for line in every if "pytest_mcpsmoke_classify returned 7" in line]) == 1


# pytest_mcpsmoke_finding

HEARS = """
import json, os

def pytest_mcpsmoke_finding(finding):
    line = [finding.owner, finding.place, finding.verdict, os.getpid() == MAIN]
    with open(FILE, "a") as file:
        file.write(json.dumps(line) + chr(10))

FILE = os.path.join(os.path.dirname(__file__), "heard.jsonl")
MAIN = int(os.environ.setdefault("MAIN_PID", str(os.getpid())))
"""
LEAKING = """
import pytest
from app import lazy, settings

@pytest.fixture(scope="session", autouse=True)
def wide():
    settings.NAMES = ()

@pytest.mark.allow_leak("app.settings.LEVEL", reason="grows")
@pytest.mark.parametrize("level", [2, 3])
def test_it(level):
    settings.LEVEL = level
    lazy.pool()

def test_mode(): settings.MODE = "x"
"""


@pytest.mark.parametrize("spread", [(), XDIST], ids=["alone", "workers"])
def test_each_finding_is_heard_once(
    suite: Any, spread: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if spread:
        pytest.importorskip("xdist")
    monkeypatch.delenv("MAIN_PID", raising=False)
    write(suite, HEARS, LEAKING, **{"app/lazy.py": LAZY})
    run = suite.run(*spread, subprocess=True)
    heard = [json.loads(line) for line in (suite.path / "heard.jsonl").read_text().splitlines()]
    assert heard == [[each["owner"], each["place"], each["verdict"], True] for each in run.of_type("finding")]
    assert {verdict for _, _, verdict, _ in heard} == {"leak", "allowed", "warm-up"}
    assert len([each for each in heard if each[0].endswith("::wide")]) == 1


def test_a_finding_says_what_the_report_says(suite: Any) -> None:
    hears = """
import json, os

def pytest_mcpsmoke_finding(finding):
    with open(os.path.join(os.path.dirname(__file__), "heard.jsonl"), "a") as file:
        file.write(json.dumps(finding.record()) + chr(10))
"""
    write(suite, hears, CHANGES)
    run = suite.run("--leaks-restore")
    heard = [json.loads(line) for line in (suite.path / "heard.jsonl").read_text().splitlines()]
    assert heard == run.of_type("finding")
    assert [finding["restored"] for finding in heard] == [True, True, True]

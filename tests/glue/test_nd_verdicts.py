"""The verdict on an nd_real test is its outcome; and what is refused before the first sample."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from nd_runs import results, told


@pytest.fixture(autouse=True)
def tier_is_open(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ND_REAL", "1")
    for name in ("STRICT_READY", "ND_REAL_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# the verdict is the outcome

VERDICTS = """
import pytest
from itertools import count

def every(number):
    calls = count(1)
    return lambda: next(calls) % number != 0

GOOD, SO_SO, BAD = every(1000), every(15), every(2)

@pytest.mark.nd_real(samples=29)
def test_ok(): assert GOOD()

@pytest.mark.nd_real(samples=30)
def test_odd():
    assert SO_SO(), "every 15th is wrong"

@pytest.mark.nd_real(samples=30)
def test_bad():
    print("this is seen")
    assert BAD(), "every other is wrong"
"""


TABLE = """
verdict       passed  rate   bounds        needs  replaced  p50  p95  calls  tokens  cost  test
FAIL          7/14    0.500  0.264..0.736  0.900  0         -    -    -      -       -     test_a.py::test_bad
    the pass rate is below 0.9, at 95 % confidence
    7 x AssertionError: every other is wrong  (samples 2, 4, 6, 8, 10, 12, 14)
    stopped after 14 of 30 samples: no further one could change the verdict
INCONCLUSIVE  24/25   0.960  0.824..0.998  0.900  0         -    -    -      -       -     test_a.py::test_odd
    30 samples do not decide; 61 samples would, at this rate
    1 x AssertionError: every 15th is wrong  (sample 15)
    stopped after 25 of 30 samples: no further one could change the verdict
PASS          29/29   1.000  0.902..1.000  0.900  0         -    -    -      -       -     test_a.py::test_ok
3 of 3 asked no model: nothing shows that they met anything real
"""
FAILURE = """
FAIL: 7 of 14 samples passed (0.500); the 95 % bounds are 0.264 and 0.736, 0.900 is required
the pass rate is below 0.9, at 95 % confidence
7 x AssertionError: every other is wrong  (samples 2, 4, 6, 8, 10, 12, 14)
stopped after 14 of 30 samples: no further one could change the verdict

sample 2 failed so:
@pytest.mark.nd_real(samples=30)
    def test_bad():
        print("this is seen")
>       assert BAD(), "every other is wrong"
E       AssertionError: every other is wrong
E       assert False
E        +  where False = BAD()

test_a.py:20: AssertionError
----------------------------- Captured stdout call -----------------------------
this is seen
"""


def section(lines: list[str], title: str) -> str:
    """What stands below a title, up to the next one of the same rank."""
    start = next(at for at, line in enumerate(lines) if line.strip("=_ ") == title) + 1
    end = next(at for at in range(start, len(lines)) if lines[at].startswith("="))
    return "\n".join(["", *lines[start:end], ""])


def test_the_table_and_the_failure_of_a_run(suite: Any) -> None:
    suite.write({"test_a.py": VERDICTS})
    run = suite.run("--leaks=off", "-v")
    lines = run.result.outlines
    assert section(lines, "nd_real") == TABLE
    assert section(lines, "test_bad") == FAILURE
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    run.result.stdout.fnmatch_lines(
        ["test_a.py::test_odd INCONCLUSIVE (*)*", "*= 1 failed, 1 passed, 1 inconclusive in *"]
    )
    assert [(test["nodeid"], test["outcome"]) for test in run.of_type("test")] == [
        ("test_a.py::test_ok", "passed"),
        ("test_a.py::test_odd", "skipped"),
        ("test_a.py::test_bad", "failed"),
    ]


def test_inconclusive_alone_is_neither_green_nor_red(suite: Any) -> None:
    suite.write({"test_a.py": VERDICTS})
    run = suite.run("--leaks=off", "-k", "odd", "--color=yes")
    assert run.result.ret == pytest.ExitCode.OK
    last = run.result.outlines[-1]
    assert "1 inconclusive" in last
    assert "passed" not in last
    assert "\x1b[32m" not in last  # green


def test_inconclusive_fails_when_strict(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRICT_READY", "1")
    suite.write({"test_a.py": VERDICTS})
    run = suite.run("--leaks=off", "-k", "odd")
    run.result.assert_outcomes(failed=1)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    run.result.stdout.fnmatch_lines(["INCONCLUSIVE: 24 of 25 samples passed (0.960);*"])


@pytest.mark.parametrize(
    ("marker", "outcomes"),
    [("samples=29", {"failed": 1}), ('samples=29, real="the staging gateway"', {"passed": 1})],
)
def test_what_met_nothing_real_does_not_pass_when_strict(
    suite: Any, monkeypatch: pytest.MonkeyPatch, marker: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("STRICT_READY", "1")
    suite.write({"test_a.py": f"import pytest\n@pytest.mark.nd_real({marker})\ndef test_a(): pass\n"})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(**outcomes)
    told = (
        "it talks to the staging gateway, says its marker"
        if "passed" in outcomes
        else "nothing shows that it met anything real: let it ask nd_model, or say what it talks to,"
        ' nd_real(real="the staging gateway")'
    )
    run.result.stdout.fnmatch_lines([f"    {told}"])


def test_the_record_of_a_result(suite: Any) -> None:
    suite.write({"test_a.py": VERDICTS})
    run = suite.run("--leaks=off", "-k", "odd", "-p", "no:cacheprovider")
    (record,) = run.of_type("nd")
    assert record.pop("wall_s") > 0
    assert [record.pop(bound) for bound in ("lower", "upper")] == pytest.approx([0.82378, 0.99795], abs=1e-4)
    assert record == {
        "type": "nd",
        "nodeid": "test_a.py::test_odd",
        "verdict": "INCONCLUSIVE",
        "passes": 24,
        "samples": 25,
        "planned": 30,
        "replaced": 0,
        "rate": 0.96,
        "confidence": 0.95,
        "min_pass_rate": 0.9,
        "method": "exact",
        "reason": "30 samples do not decide; 61 samples would, at this rate",
        "decides_at": 61,
        "latency_p50_s": None,
        "latency_p95_s": None,
        "calls": None,
        "tokens": None,
        "cost": None,
        "model": None,
        "clusters": [
            {"message": "AssertionError: every 15th is wrong", "tools": [], "samples": [15]},
        ],
        "change": None,
        "notes": ["stopped after 25 of 30 samples: no further one could change the verdict"],
        "is_real": False,
    }


def test_junit_has_one_test_case_with_the_numbers(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            @pytest.mark.nd_real(samples=29)
            def test_ok(request):
                request.node.user_properties.append(("own", "once"))
            """
        }
    )
    suite.run("--leaks=off", "--junitxml=junit.xml")
    (case,) = ElementTree.parse(suite.path / "junit.xml").getroot().iter("testcase")
    properties = [(each.get("name"), each.get("value")) for each in case.iter("property")]
    assert properties == [
        ("own", "once"),
        ("nd_verdict", "PASS"),
        ("nd_passes", "29"),
        ("nd_samples", "29"),
        ("nd_planned", "29"),
        ("nd_replaced", "0"),
        ("nd_rate", "1"),
        ("nd_lower", "0.901855"),
        ("nd_upper", "1"),
        ("nd_confidence", "0.95"),
        ("nd_min_pass_rate", "0.9"),
        ("nd_method", "exact"),
    ]


def test_last_failed_runs_all_samples_of_what_failed(suite: Any) -> None:
    suite.write({"test_a.py": VERDICTS})
    cached = ("-p", "cacheprovider", "--leaks=off")
    suite.run(*cached)
    suite.write({"test_a.py": VERDICTS.replace("every(2)", "every(1000)")})
    run = suite.run(*cached, "--lf")
    run.result.assert_outcomes(passed=1)
    assert told(run, "test_bad") == "PASS 30/30"
    assert {key: results(run)["test_bad"]["change"][key] for key in ("passes", "samples", "model")} == {
        "passes": 7,
        "samples": 14,
        "model": None,
    }
    run.result.stdout.fnmatch_lines(["    last run (*UTC): 7/14, p < 0.001 (two-proportion test)"])


def test_setup_only_samples_nothing(suite: Any) -> None:
    suite.write({"test_a.py": VERDICTS})
    run = suite.run("--leaks=off", "--setup-only")
    assert results(run) == {}


# at collection


@pytest.mark.parametrize(
    ("marker", "problem"),
    [
        (
            "nd_real(samples=20)",
            "samples=20 cannot prove a pass rate of 0.9 at 95 % confidence even if all pass (exact bound);"
            " the smallest number that can is 29",
        ),
        (
            "nd_real(sample=30)",
            "nd_real() got an unexpected keyword argument 'sample'*; write"
            " @pytest.mark.nd_real(samples=30, min_pass_rate=0.9, confidence=0.95)",
        ),
        ("nd_real(min_pass_rate=1.0)", "min_pass_rate=1.0 can never be proven by sampling; *"),
        (
            "nd_real(max_calls=10)",
            "max_calls is measured on the way to the model, and the test does not ask for the fixture"
            " nd_model; let it, or leave the limit out",
        ),
    ],
)
def test_a_plan_that_cannot_be_obeyed_ends_the_run(suite: Any, marker: str, problem: str) -> None:
    suite.write({"test_a.py": f"import pytest\n@pytest.mark.{marker}\ndef test_a(): pass\n"})
    run = suite.run("--leaks=off")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    run.result.stderr.fnmatch_lines([f"ERROR: test_a.py::test_a: nd_real: {problem}"])
    assert len([line for line in run.result.errlines if line]) == 1


def test_such_a_plan_ends_the_run_where_the_tier_is_closed_and_in_workers_too(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ND_REAL")
    suite.write({"test_a.py": "import pytest\n@pytest.mark.nd_real(samples=20)\ndef test_a(): pass\n"})
    for arguments in ((), ("-p", "xdist", "-n", "2")):
        run = suite.run(*arguments, subprocess=bool(arguments))
        assert run.result.ret == pytest.ExitCode.USAGE_ERROR
        told = [line for line in [*run.result.outlines, *run.result.errlines] if "samples=20" in line]
        assert len(told) == 1
        assert told[0].endswith("the smallest number that can is 29")


def test_what_is_not_selected_is_not_judged(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest

            @pytest.mark.nd_real(samples=1)
            def test_wrong(): pass

            def test_right(): pass
            """
        }
    )
    suite.run("--leaks=off", "-k", "right").result.assert_outcomes(passed=1, deselected=1)


def test_a_closed_tier_is_an_error_when_strict(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRICT_READY", "1")
    monkeypatch.delenv("ND_REAL")
    suite.write({"test_a.py": VERDICTS})
    run = suite.run("--leaks=off")
    run.result.assert_outcomes(errors=3)
    run.result.stdout.fnmatch_lines(
        ["nd_real: STRICT_READY=1, and the tier is closed; set ND_REAL=1 to run it, or STRICT_READY=0"] * 3
    )

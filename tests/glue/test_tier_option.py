"""--tier selects by the markers of the tiers, beside -m and -k."""

from __future__ import annotations

from typing import Any

import pytest

XDIST = ("-p", "xdist", "-n", "2")
SUITE = """
import pytest

@pytest.mark.smoke
def test_smoke(): pass

@pytest.mark.smoke
@pytest.mark.slow
def test_slow_smoke(): pass

@pytest.mark.nd_real
class TestReal:
    def test_real(self): pass

@pytest.mark.slow
def test_slow(): pass

def test_plain(): pass
"""
SMOKE = ["test_slow_smoke", "test_smoke"]
REAL = ["TestReal::test_real"]


def selected(suite: Any, *arguments: str, subprocess: bool = False) -> tuple[list[str], int]:
    """What a run of SUITE ran, and how much of it was deselected."""
    suite.write({"test_case.py": SUITE, "pytest.ini": "[pytest]\nmarkers = slow\n"})
    observed = suite.run(*arguments, subprocess=subprocess)
    ran = sorted(test["nodeid"].partition("::")[2] for test in observed.of_type("test"))
    return ran, observed.result.parseoutcomes().get("deselected", 0)


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        (["--tier=smoke"], SMOKE),
        (["--tier", "smoke"], SMOKE),
        (["--tier=nd_real"], REAL),
        (["--tier=smoke,nd_real"], REAL + SMOKE),
        (["--tier=nd_real, smoke"], REAL + SMOKE),
        (["--tier=smoke", "--tier=nd_real"], REAL + SMOKE),
        (["--tier=smoke", "-m", "slow"], ["test_slow_smoke"]),
        (["--tier=smoke", "-m", "not slow"], ["test_smoke"]),
        (["--tier=smoke", "-k", "slow"], ["test_slow_smoke"]),
        ([], [*REAL, "test_plain", "test_slow", *SMOKE]),
    ],
)
def test_what_is_selected(
    suite: Any, monkeypatch: pytest.MonkeyPatch, options: list[str], ran: list[str]
) -> None:
    monkeypatch.setenv("ND_REAL", "1")
    assert selected(suite, *options) == (ran, 5 - len(ran))


def test_in_workers(suite: Any) -> None:
    ran, _ = selected(suite, "--tier=smoke", *XDIST, subprocess=True)
    assert ran == SMOKE


def test_without_the_detector(suite: Any) -> None:
    suite.write({"test_case.py": SUITE, "pytest.ini": "[pytest]\nmarkers = slow\n"})
    result = suite.run("--tier=smoke", "--leaks=off", "-v", report=False).result
    result.assert_outcomes(passed=2, deselected=3)


@pytest.mark.parametrize("spread", [(), XDIST])
def test_an_empty_selection_is_pytests_own_exit_status(suite: Any, spread: tuple[str, ...]) -> None:
    suite.write({"test_case.py": "def test_plain(): pass\n"})
    result = suite.run("--tier=smoke", *spread, subprocess=True).result
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("spread", [(), XDIST])
@pytest.mark.parametrize(
    ("option", "name"), [("--tier=smokes", "smokes"), ("--tier=smoke,real", "real"), ("--tier=", "")]
)
def test_an_unknown_tier_is_one_line(suite: Any, spread: tuple[str, ...], option: str, name: str) -> None:
    suite.write({"test_case.py": SUITE})
    result = suite.run(option, *spread, subprocess=True, report=False).result
    everything = result.outlines + result.errlines
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in everything if line] == [f"ERROR: --tier={name}: choose from smoke, nd_real"]

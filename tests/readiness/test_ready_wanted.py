"""What is wanted of a run: the environment, the flags, and what is expected of whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.gate.checks import Check, Declared
from pytest_mcpsmoke.readiness.gate.wanted import VARIABLES, Wanted, expected, why_left_out

DECLARED = Declared(
    Path("/p"),
    (
        Check("all_smokes_core", "pytest"),
        Check("nd_real", "pytest", tier="nd_real"),
        Check("gateway", "probe"),
        Check("lint", "command", ("lint",), is_optional=True),
    ),
)


def test_nothing_is_wanted_by_default() -> None:
    assert Wanted.of({}, {}) == Wanted()
    assert Wanted.of(dict.fromkeys((*VARIABLES, "READINESS_EXPECT"), ""), {}) == Wanted()
    assert Wanted.of(dict.fromkeys(VARIABLES, "0"), {}) == Wanted()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_and_its_flag_say_the_same(name: str) -> None:
    wanted = Wanted.of({name: "1"}, {})
    assert wanted == Wanted.of({}, {name: True}) == Wanted.of({name: "0"}, {name: True})
    assert wanted.environment() == {**dict.fromkeys((*VARIABLES, "READINESS_EXPECT")), name: "1"}


@pytest.mark.parametrize("value", ["yes", "true", "2", " 1", "01"])
@pytest.mark.parametrize("name", VARIABLES)
def test_other_values_are_refused(name: str, value: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        Wanted.of({name: value}, {})
    assert str(caught.value) == f"{name}={value}: 1 or 0 is wanted"


def test_expectations_are_a_list_and_handed_on() -> None:
    wanted = Wanted.of({"READINESS_EXPECT": " nd_real,,gateway ,nd_real"}, {})
    assert wanted.expect == ("nd_real", "gateway")
    assert wanted.environment()["READINESS_EXPECT"] == "nd_real,gateway"
    assert Wanted.of({"READINESS_EXPECT": "nd_real"}, {}, "gateway").expect == ("gateway",)


@pytest.mark.parametrize(
    ("environ", "option", "problem"),
    [
        ({"READINESS_EXPECT": " , "}, None, "READINESS_EXPECT=' , ': it names no check"),
        ({}, "", "--expect='': it names no check"),
    ],
)
def test_an_expectation_of_nothing_is_refused(
    environ: dict[str, str], option: str | None, problem: str
) -> None:
    with pytest.raises(UsageProblem) as caught:
        Wanted.of(environ, {}, option)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), set()),
        (Wanted(is_strict=True), {"all_smokes_core", "nd_real", "gateway"}),
        (Wanted(expect=("lint",)), {"lint"}),
        (Wanted(expect=("lint",), is_strict=True), {"lint"}),
        (Wanted(asked=("gateway",)), {"gateway"}),
        (Wanted(asked=("gateway",), expect=("nd_real",)), {"nd_real"}),
    ],
)
def test_who_is_expected(wanted: Wanted, names: set[str]) -> None:
    assert expected(DECLARED, wanted) == names


def test_a_name_that_no_check_bears_lists_those_there_are_the_nearest_first() -> None:
    with pytest.raises(UsageProblem) as caught:
        expected(DECLARED, Wanted(expect=("nd_real", "all_smoke_core")))
    assert str(caught.value) == (
        "READINESS_EXPECT: no check is called all_smoke_core;"
        " there are: all_smokes_core, nd_real, gateway, lint"
    )


def test_who_is_left_out() -> None:
    live = "it needs live endpoints: --live or READINESS_LIVE=1 runs it"
    real = "it is of tier nd_real: --nd-real or ND_REAL=1 runs it"
    told = [why_left_out(check, Wanted()) for check in DECLARED.checks]
    assert told == [None, real, live, None]
    everything = Wanted(is_live=True, is_nd_real=True)
    assert not any(why_left_out(check, everything) for check in DECLARED.checks)

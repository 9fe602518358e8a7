"""What is wanted of a run: from the environment and the flags to what is expected, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.gate.checks import LIVE_KINDS, Check, Declared, nearest

LEAKS: Final = ("off", "report", "fail")


class Wanted(NamedTuple):
    """What was asked for; see Wanted.of. seed: None where no order is random."""

    is_live: bool = False
    is_strict: bool = False
    is_nd_real: bool = False
    is_skip_red: bool = False  # READINESS_FAIL_ON_SKIP
    expect: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()  # checks named on the command line
    leaks: str = "fail"
    seed: int | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], flags: Mapping[str, bool], expect: str | None = None) -> Wanted:
        """Read the environment; a flag (by the name of its variable) or an expectation given wins over it.

        Raises UsageProblem for a value that is none.
        """
        live, strict, nd_real, skip = (flags.get(name) or _is_on(environ, name) for name in VARIABLES)
        source = "READINESS_EXPECT" if expect is None else "--expect"
        names = environ.get("READINESS_EXPECT", "") if expect is None else expect
        listed = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
        if not listed and (names or expect is not None):
            raise UsageProblem(f"{source}={names!r}: it names no check")
        return cls(live, strict, nd_real, skip, expect=listed)

    def environment(self) -> dict[str, str | None]:
        """Return the variables that hand this on to children; None: to be taken away."""
        told = (self.is_live, self.is_strict, self.is_nd_real, self.is_skip_red)
        result: dict[str, str | None] = {
            name: "1" if is_on else None for name, is_on in zip(VARIABLES, told, strict=True)
        }
        return result | {"READINESS_EXPECT": ",".join(self.expect) or None}

    def record(self) -> dict[str, object]:
        """Return the JSON object of report.json."""
        return {
            "live": self.is_live,
            "strict": self.is_strict,
            "nd_real": self.is_nd_real,
            "fail_on_skip": self.is_skip_red,
            "expect": list(self.expect),
            "checks": list(self.asked),
            "leaks": self.leaks,
        }


# In the order of the fields of Wanted.
VARIABLES: Final = ("READINESS_LIVE", "STRICT_READY", "ND_REAL", "READINESS_FAIL_ON_SKIP")


def expected(declared: Declared, wanted: Wanted) -> frozenset[str]:
    """Return the names of the checks that must have run.

    Those of READINESS_EXPECT; without it those named on the command line; without these, when it is strict,
    all that are not optional. Raises UsageProblem for a name that no check bears.
    """
    _refuse_unknown("READINESS_EXPECT", wanted.expect, declared)
    _refuse_unknown("CHECK", wanted.asked, declared)
    named = wanted.expect or wanted.asked
    if named or not wanted.is_strict:
        return frozenset(named)
    return frozenset(check.name for check in declared.checks if not check.is_optional)


def why_left_out(check: Check, wanted: Wanted) -> str | None:
    """Say why a check is skipped; None when it is to run."""
    if check.kind in LIVE_KINDS and not wanted.is_live:
        return "it needs live endpoints: --live or READINESS_LIVE=1 runs it"
    if check.tier == "nd_real" and not wanted.is_nd_real:
        return "it is of tier nd_real: --nd-real or ND_REAL=1 runs it"
    return None


def _refuse_unknown(source: str, names: tuple[str, ...], declared: Declared) -> None:
    known = [check.name for check in declared.checks]
    for name in names:
        if name not in known:
            raise UsageProblem(
                f"{source}: no check is called {name}; there are: {', '.join(nearest(name, known))}"
            )


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "")
    if value not in ("", "0", "1"):
        raise UsageProblem(f"{name}={value}: 1 or 0 is wanted")
    return value == "1"

"""What changed from one run of the gate to another: checks, tests, leaks and pass rates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.report.readiness_model import SCHEMA, Change, Comparison

Record = Mapping[str, Any]


def read_run(path: Path) -> Record:
    """Read a report.json. Raises UsageProblem for what is none."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path}: not JSON: is this the report.json of mcpsmoke ready?") from error
    if not isinstance(record, dict) or record.get("type") != "readiness":
        raise UsageProblem(f"{path}: not a report of mcpsmoke ready: no type readiness")
    if record.get("schema") != SCHEMA:
        raise UsageProblem(f"{path}: schema {record.get('schema')!r}; this mcpsmoke reads schema {SCHEMA}")
    return record


def compare(before: Record, after: Record) -> Comparison:
    """Return what changed. Raises UsageProblem where a record of that schema lacks what it must have."""
    try:
        changes = (*_checks(before, after), *_tests(before, after), *_leaks(before, after))
        return Comparison(_line(before), _line(after), (*changes, *_rates(before, after)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageProblem(f"not a whole report of mcpsmoke ready: {error!r}; run it again") from error


def _line(run: Record) -> str:
    commit = run.get("commit")
    told = f"commit {commit['id'][:12]}{' and changes' if commit['dirty'] else ''}" if commit else "no commit"
    return f"{run['began']}  {run['verdict'] or 'cut off'}  {told}"


def _by_check(run: Record) -> dict[str, Record]:
    return {check["name"]: check for check in run["checks"]}


def _checks(before: Record, after: Record) -> Iterator[Change]:
    old, new = _by_check(before), _by_check(after)
    for name in dict.fromkeys([*old, *new]):
        statuses = [side[name]["status"] if name in side else "(none)" for side in (old, new)]
        if statuses[0] != statuses[1]:
            reason = new[name]["reason"] if name in new and new[name]["red"] else ""
            yield Change("checks", name, statuses[0], statuses[1], reason)


def _tests(before: Record, after: Record) -> Iterator[Change]:
    """Tests of checks that ran any tests both times: of others, the check's own line tells."""
    old, new = _by_check(before), _by_check(after)
    for name in old.keys() & new.keys():
        sides = [{test["nodeid"]: test["outcome"] for test in side[name]["tests"]} for side in (old, new)]
        if not all(sides):
            continue
        for nodeid in dict.fromkeys([*sides[0], *sides[1]]):
            outcomes = [side.get(nodeid, "(none)") for side in sides]
            if outcomes[0] != outcomes[1]:
                yield Change("tests", nodeid, outcomes[0], outcomes[1])


def _leaks(before: Record, after: Record) -> Iterator[Change]:
    sides = [
        {
            f"{leak['owner']}  {leak['place']}": leak["change"]
            for check in run["checks"]
            for leak in check["leaks"]
        }
        for run in (before, after)
    ]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        if name not in sides[0] or name not in sides[1]:
            yield Change("leaks", name, sides[0].get(name, "(none)"), sides[1].get(name, "(none)"))


def _rates(before: Record, after: Record) -> Iterator[Change]:
    """Sampled tests of both runs whose verdict or rate differs, with the two-proportion test."""
    from pytest_mcpsmoke.order.rates import two_proportions

    sides = [
        {one["nodeid"]: one for check in run["checks"] for one in check["nd"]} for run in (before, after)
    ]
    for nodeid in sides[0]:
        if nodeid not in sides[1]:
            continue
        old, new = sides[0][nodeid], sides[1][nodeid]
        told = [f"{one['passes']}/{one['samples']} {one['verdict']}" for one in (old, new)]
        if told[0] == told[1]:
            continue
        remark = ""
        if old["samples"] and new["samples"]:
            p_value = two_proportions(old["passes"], old["samples"], new["passes"], new["samples"])
            remark = f"p = {p_value:.2g}, {'more than' if p_value < 0.05 else 'may be'} chance"
        yield Change("rates", nodeid, told[0], told[1], remark)

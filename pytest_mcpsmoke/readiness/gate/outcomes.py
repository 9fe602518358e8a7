"""What a check's reports tell: tests, leaks, samples; from JSON Lines and JUnit XML, whole or cut off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.report.model import Finding
from pytest_mcpsmoke.report.nd import NdResult
from pytest_mcpsmoke.report.readiness_model import Case
from pytest_mcpsmoke.report.reading import Record, read_report

_MOST: Final = 200  # characters of a test's message
_OUTCOMES: Final = {"failure": "failed", "error": "error", "skipped": "skipped"}  # by JUnit's elements


class Told(NamedTuple):
    """What the reports of one run of pytest tell. notes: what could not be read.

    is_whole: whether they were written to their end, which os._exit(0) in a test, for one, prevents.
    """

    tests: tuple[Case, ...]
    leaks: tuple[Finding, ...]
    nd: tuple[NdResult, ...]
    notes: tuple[str, ...]
    is_whole: bool


def told(lines: Path, junit: Path, scrub: Callable[[Any], Any]) -> Told:
    """Read both files of a run. What is missing or cut off leaves what was written until then.

    The JSON Lines know each test the moment it ends, JUnit XML, which is written at the end, why it failed.
    Without the first a test is called what it is called in the other. scrub takes the secrets
    out of a JSON value.
    """
    tests: list[Case] = []
    leaks: list[Finding] = []
    samples: list[NdResult] = []
    notes: list[str] = []
    is_whole = junit.exists() and not lines.exists()
    cases = [Case(*scrub([*case])) for case in read_junit(junit)]
    messages = {case.nodeid: case.message for case in cases}
    try:
        for raw in read_report(str(lines), is_incomplete_fine=True) if lines.exists() else ():
            record = raw._replace(fields=scrub(raw.fields))
            if record.type == "test":
                tests.append(_test(record, messages))
            elif record.type == "finding" and record.text("verdict") == "leak":
                leaks.append(_leak(record))
            elif record.type == "nd":
                samples.append(_sampled(record))
            is_whole = record.type == "end"
    except UsageProblem as problem:
        notes.append(f"cut off: {str(problem).replace(str(lines), lines.name)}")
    known = {junit_name(case.nodeid) for case in tests}
    # without JSON Lines all, else what never became a test: modules that could not be imported
    tests += [case for case in cases if case.nodeid not in known]
    return Told(tuple(_last(tests)), tuple(leaks), tuple(samples), tuple(notes), is_whole)


def _last(tests: Iterable[Case]) -> Iterable[Case]:
    """The outcome of each test's last attempt: earlier ones were run again."""
    return {case.nodeid: case for case in tests}.values()


def _test(record: Record, messages: dict[str, str | None]) -> Case:
    nodeid = record.text("nodeid")
    seconds = record.fields.get("duration")
    message = messages.get(junit_name(nodeid))
    return Case(nodeid, record.text("outcome"), seconds if isinstance(seconds, int | float) else 0.0, message)


def _leak(record: Record) -> Finding:
    try:
        return Finding.of_record(record.fields)
    except (KeyError, TypeError) as error:
        raise UsageProblem(f"{record.where}: not a finding of this mcpsmoke") from error


def _sampled(record: Record) -> NdResult:
    try:
        return NdResult.of_record(record.fields)
    except (KeyError, TypeError) as error:
        raise UsageProblem(f"{record.where}: not a result of nd_real of this mcpsmoke") from error


def junit_name(nodeid: str) -> str:
    """Return "tests.test_a.TestX::test_b[1]" for tests/test_a.py::TestX::test_b[1], as JUnit XML has it."""
    address, bracket, parameters = nodeid.partition("[")
    path, *names = address.split("::")
    parts = [re.sub(r"\.py$", "", path.replace("/", ".")), *names]
    parts[-1] += bracket + parameters
    return "::".join(filter(None, (".".join(parts[:-1]), parts[-1])))


def read_junit(path: Path) -> list[Case]:
    """Return the tests of a JUnit file, called classname::name; none where it is missing or cut off."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return []
    # without a name: a test that was interrupted
    return [_case(element) for element in root.iter("testcase") if element.get("name")]


def _case(element: ElementTree.Element) -> Case:
    name = "::".join(filter(None, (element.get("classname"), element.get("name"))))
    outcome, message = "passed", None
    for child in element:
        if child.tag not in _OUTCOMES or outcome in ("failed", "error"):
            continue
        is_expected = child.get("type") == "pytest.xfail"
        outcome = "xfailed" if is_expected else _OUTCOMES[child.tag]
        lines = [line for line in (child.get("message") or child.text or "").splitlines() if line.strip()]
        message = _message(lines[0].strip()) if lines else None
    return Case(name, outcome, _seconds(element.get("time")), message)


def _message(line: str) -> str:
    """The first line of a reason, without what JUnit wraps around that of a set-up or teardown."""
    wrapped = re.fullmatch(r'failed on (setup|teardown) with "(.+?)"?', line)
    return (f"at {wrapped[1]}: {wrapped[2]}" if wrapped else line)[:_MOST]


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def junit_of(name: str, seconds: float, outcome: str, message: str) -> bytes:
    """Return the JUnit file of a check that is no run of pytest: one test, called like the check."""
    counts = {kind: str(int(_OUTCOMES.get(tag) == outcome)) for kind, tag in _COUNTERS.items()}
    suite = ElementTree.Element("testsuite", {"name": "mcpsmoke ready", "tests": "1", **counts})
    time = f"{seconds:.3f}"
    case = ElementTree.SubElement(suite, "testcase", {"classname": "ready", "name": name, "time": time})
    for tag, meant in _OUTCOMES.items():
        if meant == outcome:
            ElementTree.SubElement(case, tag, {"message": message})
    content: bytes = ElementTree.tostring(suite, "utf-8", xml_declaration=True)
    return content


_COUNTERS: Final = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def telling_line(log: str) -> str:
    """Return the line of pytest's output that says best why it did not come to testing; may be empty."""
    lines = [line.strip() for line in log.splitlines()]
    for pattern in (r".*: error: (.+)", r"ERROR: (?!usage: )(.+)", r"E   +(.+)", r"ERROR (.+)"):
        found = next((match[1] for line in lines if (match := re.match(pattern, line))), None)
        if found is not None:
            return found[:_MOST]
    inside = [line.removeprefix("INTERNALERROR> ") for line in lines if line.startswith("INTERNALERROR> ")]
    return (inside[-1] if inside else last_line(log))[:_MOST]


def last_line(log: str) -> str:
    """Return the last line with anything in it; may be empty."""
    return next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")[:_MOST]

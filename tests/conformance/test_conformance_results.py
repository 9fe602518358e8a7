"""What the suite wrote down is read whole, and nothing that is missing counts as passed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.results import (
    BEYOND,
    EXTENSION,
    FAILED,
    PASSED,
    REQUIRED,
    Check,
    NoResults,
    Run,
    read,
    requirements,
)

GROUPS = {"ping": REQUIRED, "server-sse-polling": BEYOND, "tasks": EXTENSION}


def write(folder: Path, scenario: str, text: str, when: str = "2026-11-29T12-33-55-810Z") -> None:
    path = folder / f"server-{scenario}-{when}"
    path.mkdir()
    (path / "checks.json").write_text(text)


def test_checks_are_read_by_scenario_in_the_order_of_the_requirements(tmp_path: Path) -> None:
    write(tmp_path, "tasks", '[{"id": "t", "status": "SKIPPED", "errorMessage": null}]')
    write(tmp_path, "server-sse-polling", '[{"id": "s", "status": "WARNING", "errorMessage": "no\\n retry"}]')
    write(
        tmp_path,
        "ping",
        '[{"id": "a", "status": "SUCCESS"}, {"id": "a", "status": "FAILURE", "errorMessage": "x"}]',
    )
    assert read(tmp_path, GROUPS) == (
        Check("ping", "a", "SUCCESS", REQUIRED, ""),
        Check("ping", "a", "FAILURE", REQUIRED, "x"),
        Check("server-sse-polling", "s", "WARNING", BEYOND, "no retry"),
        Check("tasks", "t", "SKIPPED", EXTENSION, ""),
    )


@pytest.mark.parametrize("content", [None, "[]"])
def test_a_scenario_without_results_has_failed(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        write(tmp_path, "ping", content)
    [check] = read(tmp_path, {"ping": REQUIRED})
    assert check == Check("ping", "ping", FAILED, REQUIRED, "the suite left no result of this scenario")


def test_a_scenario_that_nobody_asked_for_counts(tmp_path: Path) -> None:
    write(tmp_path, "new-one", '[{"id": "n", "status": "FAILURE"}]')
    [check] = read(tmp_path, {})
    assert check.scenario == "new-one"
    assert check.counts


@pytest.mark.parametrize("text", ["{", "7", '[{"id": "a"}]', "[7]", '{"id": "a", "status": "SUCCESS"}'])
def test_results_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, "ping", text)
    with pytest.raises(NoResults, match=r"^server-ping-2026-11-29T12-33-55-810Z/checks\.json: no checks can"):
        read(tmp_path, GROUPS)


def test_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "ping", "[]", when="yesterday")
    with pytest.raises(NoResults, match=r"^server-ping-yesterday: no scenario's name can be told"):
        read(tmp_path, GROUPS)


def test_requirements_say_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "2026-07-28.yaml"
    path.write_text(
        "server: [ping]\nclient: [initialize]\nnot_scored:\n"
        "- {scenario: a, leg: server, reason: pending}\n- {scenario: b, leg: client, reason: pending}\n"
        "- {scenario: c, leg: server, reason: extension}\n"
        "- {scenario: d, leg: server, reason: added-after-release}\n"
    )
    assert requirements(path) == {"ping": REQUIRED, "a": BEYOND, "c": EXTENSION, "d": BEYOND}


@pytest.mark.parametrize("text", [None, "", "server: [", "server: [ping]", "server: 7\nnot_scored: []"])
def test_requirements_of_another_form_are_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "2026-07-28.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NoResults, match=r"^2026-07-28\.yaml: no requirements of the suite can be read"):
        requirements(path)


def test_a_scenario_has_passed_when_no_check_failed() -> None:
    checks = (
        Check("a", "1", PASSED),
        Check("a", "2", FAILED),
        Check("b", "1", "WARNING"),
        Check("c", "1", FAILED, EXTENSION),
    )
    run = Run("2026-07-28", "direct", checks)
    assert run.scenarios(REQUIRED) == (1, 2)
    assert run.scenarios(EXTENSION) == (0, 1)
    assert run.of(FAILED) == [checks[1], checks[3]]
    assert run.of(FAILED, REQUIRED) == [checks[1]]
    assert json.dumps([check.counts for check in checks]) == "[true, true, true, false]"

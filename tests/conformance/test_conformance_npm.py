"""The suite itself, where it is installed: MCPSMOKE_CONFORMANCE names the folder of its node_modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import paired, suite
from conformance.results import FAILED, PASSED, VERSIONS
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.errors import UsageProblem

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300.0


@pytest.fixture
def installed() -> suite.Suite:
    try:
        return suite.find()
    except UsageProblem as problem:
        pytest.skip(str(problem))


def test_the_upstream_itself_is_as_expected(installed: suite.Suite, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    root = installed.package.parents[2].resolve()
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "--suite", str(root)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "as expected"), done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pair_fails_where_the_suites_own_scenarios_pass(installed: suite.Suite, version: str) -> None:
    names = ("tools-call-simple-text", "tools-call-error")
    with McpUpstream() as up:
        url = up.http()
        theirs = installed.run(url, version, at_most=SECONDS)
        ours = paired.checks(url, version)
    assert {check.status for check in theirs if check.scenario in names} == {PASSED}
    assert {check.status for check in ours if check.scenario in names} == {FAILED}

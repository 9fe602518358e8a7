"""Two hundred runs at once: none sees anything of another, and nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import crowd
import pytest

from reference_app import mini_agent

pytestmark = pytest.mark.smoke

SIZE = int(os.environ.get("CROWD_SIZE", "200"))


@dataclass(frozen=True)
class Crowd:
    """What two hundred runs came to, and their traces."""

    outcome: crowd.Outcome
    traces: list[str]


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    traces = tmp_path_factory.mktemp("crowd") / "traces.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mini_agent, "arouter_call", crowd.model)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", json.dumps(crowd.ENVIRONMENT_HEADERS))
        patch.setenv("MINI_AGENT_STORE_TRACES", "1")
        patch.setenv("MINI_AGENT_STORE_PATH", str(traces))
        patch.delenv("MINI_AGENT_DEFECTS", raising=False)
        return Crowd(asyncio.run(crowd.gather(SIZE)), traces.read_text().splitlines())


def test_two_hundred_runs_at_once_keep_to_themselves(two_hundred: Crowd) -> None:
    outcome, traces = two_hundred.outcome, two_hundred.traces
    expected = []
    for run in range(SIZE):
        head = [[("Authorization", f"Bearer key-{run:03}")], [(crowd.CASINGS[run % 3], str(run))]]
        posts = 3 if run % 5 == 0 else 2
        expected += [("GET /tools", *head, None), *[("POST /invoke", *head, run)] * posts]
    seen = [
        (r.asked, r.sent("authorization"), r.sent("x-run"), r.arguments.get("run")) for r in outcome.arrived
    ]
    assert sorted(map(str, seen)) == sorted(map(str, expected))
    assert {tuple(r.sent("x-shared")) for r in outcome.arrived} == {(("X-Shared", "for all"),)}

    for run, response in enumerate(outcome.answers):
        assert response.status_code == 200, response.text
        assert f"run {run} is done" in response.text
        assert set(re.findall(r"key-\d+", response.text)) == {f"key-{run:03}"}

    answers = Counter(json.loads(trace)["final_answer"] for trace in traces)
    assert answers == Counter(f"run {run} is done" for run in range(SIZE))
    assert "key-" not in "".join(traces)


def test_a_crowd_leaves_no_task_and_no_connection(two_hundred: Crowd) -> None:
    outcome = two_hundred.outcome
    assert (outcome.tasks_after, outcome.open_after) == (0, 0)
    assert 1 < outcome.most_open <= 2 * SIZE  # of each run two calls at once, and no connection beside them


# --- and nothing in the process: the detector says so, and would say otherwise

LEAVES_CLIENTS_OPEN = f"""\
import sys

sys.path.append({str(Path(__file__).resolve().parents[2])!r})

from reference_app.http_tools_invoker import HttpToolsInvoker

LEFT = []

async def leave_open(self, *error):
    LEFT.append(self._shared)

HttpToolsInvoker.__aexit__ = leave_open
"""


def watched(folder: Path, *options: str, size: int = 200) -> subprocess.CompletedProcess[str]:
    """Runs the crowd's first test in a process of its own, with leaks as failures."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(folder)]))
    test = f"{__file__}::{test_two_hundred_runs_at_once_keep_to_themselves.__name__}"
    # -P: the working directory must not come before what is installed.
    command = [sys.executable, "-P", "-m", "pytest", "-p", "mcpsmoke", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--leaks=fail", *options, test],
        cwd=folder,
        env={**kept, "CROWD_SIZE": str(size), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_detector_finds_nothing_left(tmp_path: Path) -> None:
    done = watched(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "state leaks" not in done.stdout


def test_the_detector_would_find_clients_left_open(tmp_path: Path) -> None:
    (tmp_path / "leaves_clients_open.py").write_text(LEAVES_CLIENTS_OPEN)
    done = watched(tmp_path, "-p", "leaves_clients_open", size=5)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "10 leaks left by 1 fixture" in done.stdout  # of five runs, each with two tool calls at once
    assert "(socket)   added: (nothing) ->" in done.stdout

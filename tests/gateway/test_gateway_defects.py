"""`examples/gateway_smoke` catches each defect of the gateway, in the test that is about it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reference_app.defects import Defect

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/gateway_smoke"
OF_THE_AGENT_PROXY = {Defect.DOUBLE_POST, Defect.MASKED_500, Defect.BARE_RETRY, Defect.TRACE_LEAK}
HEADER = f"{EXAMPLE}/test_headers.py::test_a_header_in_two_casings_is_sent_once"
HOOK_HEADER = f"{EXAMPLE}/test_hooks.py::test_a_hook_s_header_wins_over_the_configured_one"
HOOK_ARGUMENTS = f"{EXAMPLE}/test_hooks.py::test_a_hook_s_arguments_arrive"
SCOPE = f"{EXAMPLE}/test_probe.py::test_a_server_that_the_key_is_not_for_never_sees_the_token"
SELECTED = f"{EXAMPLE}/test_probe.py::test_a_server_that_was_not_selected_never_sees_the_token"
EXPIRED = f"{EXAMPLE}/test_probe.py::test_an_expired_token_is_401_with_the_server_s_challenge"
FORBIDDEN = f"{EXAMPLE}/test_probe.py::test_a_token_without_the_right_is_403_without_a_challenge"
TOGETHER = f"{EXAMPLE}/test_probe.py::test_all_are_asked_at_the_same_time"
STREAM = f"{EXAMPLE}/test_catalogue.py::test_the_event_stream_has_the_catalogue"
UNKNOWN = f"{EXAMPLE}/test_selection.py::test_a_name_that_no_server_has_selects_nothing"

CAUGHT: dict[Defect, dict[str, str]] = {
    Defect.TWO_CASINGS: {
        HEADER: "POST /mcp arrived with x-tenant: of-the-client, X-Tenant: of-the-file; "
        "X-Tenant: of-the-file once expected:"
    },
    Defect.HOOK_UNDER_STATIC: {
        HOOK_HEADER: "tools/call request arrived with X-Tenant: of-the-file; "
        "X-Tenant: of-the-hook once expected:"
    },
    Defect.HOOK_ARGUMENTS_LOST: {
        HOOK_ARGUMENTS: '1 call of read({"path": "/data/a", "lines": 3}) expected, 0 arrived; all that did:'
    },
    Defect.PROBE_UNAUTHORISED: {
        SCOPE: "files: no request expected, 1 arrived:",
        SELECTED: "files: no request expected, 1 arrived:",
    },
    Defect.PROBE_IGNORES_401: {EXPIRED: "docs answered the token with 401, the client got 200"},
    Defect.PROBE_403_AS_401: {FORBIDDEN: "docs answered the token with 403, the client got 401"},
    Defect.SERIAL_PROBES: {
        TOGETHER: "not at the same time: when mail was asked, docs, files had been answered"
    },
    Defect.PINGS_ONLY: {
        STREAM: "GET /mcp/tools is PINGS_ONLY: GET was answered 200 OK text/event-stream: N pings, no event"
    },
    Defect.UNKNOWN_WIDENS: {
        UNKNOWN: "x-mcp-servers: dosc names no server, and the client sees docs-read, files-read"
    },
}

# One process for all runs: to load the SDK takes longer than a run.
RUNS = """
import json, os, sys
import pytest

for name, defects, arguments in json.loads(sys.argv[1]):
    os.environ["MINI_AGENT_DEFECTS"] = defects
    print("run:", name, flush=True)
    print("status:", int(pytest.main([*sys.argv[2:], *arguments])), flush=True)
"""
ONE = "import sys, pytest; sys.exit(pytest.main())"
QUIET = ("-p", "mcpsmoke", "-p", "no:cacheprovider", "-rfE", "--tb=no", "--leaks=off", "-q")
ALL_PASSED = "{} passed".format(
    sum(
        len(re.findall("^def test_", path.read_text("utf-8"), re.MULTILINE))
        for path in (ROOT / EXAMPLE).glob("test_*.py")
    )
)
NONE, SHUFFLED, ALL = "no defect", "shuffled", "all defects"


def run(*arguments: str) -> str:
    """Runs Python code in a process of its own, with this plugin alone; returns what it prints."""
    dropped = ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS")  # on CI pytest's last lines hold whole failures
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    done = subprocess.run(
        [sys.executable, "-P", "-c", *arguments],
        cwd=ROOT,
        env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "500"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What each run prints: without a defect, with all, and with each, of the files that are to catch it."""
    runs = [
        (NONE, "", ["--leaks=fail", EXAMPLE]),
        (ALL, ",".join(defect.value for defect in CAUGHT), [EXAMPLE]),
    ]
    for defect, caught in CAUGHT.items():
        files = sorted({node.partition("::")[0] for node in caught})
        runs.append((defect.value, defect.value, files))
    if importlib.util.find_spec("pytest_randomly"):
        runs.append((SHUFFLED, "", ["-p", "pytest_randomly", "--randomly-seed=7", EXAMPLE]))
    told = re.split(r"^run: (.*)\n", run(RUNS, json.dumps(runs), *QUIET), flags=re.MULTILINE)
    return dict(zip(told[1::2], told[2::2], strict=True))


def failed(output: str) -> dict[str, str]:
    """The failed tests of a run, each with what its line says."""
    lines = re.findall(r"^(?:FAILED|ERROR) (\S+) - (?:AssertionError: )?(.*?)\s*$", output, re.MULTILINE)
    return {node: without_counts(says) for node, says in lines}


def without_counts(says: str) -> str:
    """What a failure says, without what depends on how fast the machine is."""
    return re.sub(r"\d+ pings", "N pings", says)


def test_without_a_defect_the_suite_is_green_and_leaves_nothing(printed: dict[str, str]) -> None:
    assert "status: 0" in printed[NONE], printed[NONE]
    assert ALL_PASSED in printed[NONE]
    assert "leaks" not in printed[NONE]


@pytest.mark.parametrize("defect", CAUGHT, ids=lambda defect: defect.value)
def test_with_a_defect_exactly_its_tests_are_red_and_say_it(printed: dict[str, str], defect: Defect) -> None:
    assert failed(printed[defect.value]) == CAUGHT[defect], printed[defect.value]


def test_no_defect_reddens_what_is_not_about_it(printed: dict[str, str]) -> None:
    named = {node for caught in CAUGHT.values() for node in caught}
    assert failed(printed[ALL]).keys() == named, printed[ALL]


def test_the_page_shows_what_is_said() -> None:
    page = (ROOT / "docs" / "how-to" / "test-an-mcp-gateway.md").read_text("utf-8")
    shown = re.findall(r"^\| `(\S+)` \| `(.*)` \|$", page, re.MULTILINE)
    said = [(defect.value, says) for defect, caught in CAUGHT.items() for says in set(caught.values())]
    assert [(name, without_counts(says)) for name, says in shown] == said


def test_every_defect_has_its_tests() -> None:
    assert set(CAUGHT) == set(Defect) - OF_THE_AGENT_PROXY


def test_in_a_random_order_the_suite_is_green(printed: dict[str, str]) -> None:
    pytest.importorskip("pytest_randomly")
    assert ALL_PASSED in printed[SHUFFLED], printed[SHUFFLED]


def test_on_two_workers_the_suite_is_green() -> None:
    pytest.importorskip("xdist")
    assert ALL_PASSED in run(ONE, *QUIET, "-p", "xdist", "-n", "2", EXAMPLE)

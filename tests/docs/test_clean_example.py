"""The example that does not leak: green in every order, red in the right place when the program is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "clean_smoke"
ORDERS = 50
QUIET = ("-p", "mcpsmoke", "-p", "no:cacheprovider", "--leaks=fail", "-q")
PYTEST = "import sys, pytest; sys.exit(pytest.main())"
IN_RANDOM_ORDERS = """
import sys, pytest

for seed in range(int(sys.argv[1])):
    status = pytest.main(["-p", "pytest_randomly", f"--randomly-seed={seed}", *sys.argv[2:]])
    if status:
        sys.exit(f"seed {seed}: exit status {status}")
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own; only the plugins that are named are loaded."""
    return subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            *arguments,
        ],  # not -m: the checkout must not come before what is installed
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
    )


def names_in(folder: Path) -> list[str]:
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("test_*.py"))]
    return [name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)]


def failed(result: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", result.stdout, re.MULTILINE))


def test_together_it_is_green_and_leaves_nothing() -> None:
    result = run(PYTEST, *QUIET, str(EXAMPLE))
    assert result.returncode == 0, result.stdout
    assert f"{len(names_in(EXAMPLE))} passed" in result.stdout
    assert "leaks" not in result.stdout


@pytest.mark.parametrize("name", names_in(EXAMPLE))
def test_alone_each_is_green(name: str) -> None:
    result = run(PYTEST, *QUIET, str(EXAMPLE), "-k", name)
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout


def test_on_two_workers_it_is_green() -> None:
    pytest.importorskip("xdist")
    result = run(PYTEST, *QUIET, "-p", "xdist", "-n", "2", str(EXAMPLE))
    assert result.returncode == 0, result.stdout


def test_in_random_orders_it_is_green() -> None:
    pytest.importorskip("pytest_randomly")
    result = run(IN_RANDOM_ORDERS, str(ORDERS), *QUIET, str(EXAMPLE))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    assert result.stdout.count(f"{len(names_in(EXAMPLE))} passed") == ORDERS


@pytest.mark.parametrize(
    ("defect", "red"),
    [
        ("double-post", "test_a_tool_call_is_posted_once"),
        ("masked-500", "test_an_error_is_not_retried_and_reaches_the_model"),
        ("bare-retry", "test_a_retry_carries_the_headers"),
        ("two-casings", "test_agent_proxy_headers_precedence"),
        ("trace-leak", "test_a_trace_keeps_no_secret"),
    ],
)
def test_under_a_defect_the_right_test_is_red(defect: str, red: str) -> None:
    result = run(PYTEST, *QUIET, "-rfE", "--tb=line", str(EXAMPLE), MINI_AGENT_DEFECTS=defect)
    assert result.returncode == 1, result.stdout
    assert red in failed(result)
    if defect != "double-post":  # that one meets every test that calls a tool
        assert failed(result) == {red}


@pytest.mark.parametrize("name", ["headers_and_errors", "validation_errors"])
def test_each_is_shorter_than_the_one_that_leaks(name: str) -> None:
    paths = EXAMPLE / f"test_{name}.py", ROOT / "examples" / "leaky_smoke" / f"test_agent_proxy_{name}.py"
    clean, leaky = (path.read_text("utf-8") for path in paths)
    assert len(clean.splitlines()) < len(leaky.splitlines()) / 1.5
    assert not re.search(r"^\s*\w+\.\w+ = ", clean, re.MULTILINE)  # no assignment to a module's name

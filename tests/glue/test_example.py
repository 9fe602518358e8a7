"""examples/leaky_smoke: green test by test, red together, and the plugin names all three leaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/leaky_smoke"
FIRST = f"{EXAMPLE}/test_agent_proxy_headers_and_errors.py"
SECOND = f"{EXAMPLE}/test_agent_proxy_validation_errors.py"

Run = Callable[..., tuple[int, list[str], list[dict[str, Any]]]]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_report: Any) -> Run:
    """Runs pytest over the example in a process of its own; returns exit status, output and report."""
    pytest.importorskip("fastapi")
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def run(*arguments: str) -> tuple[int, list[str], list[dict[str, Any]]]:
        # Not `python -m pytest`: it would put the checkout before what is installed.
        code = "import sys, pytest; sys.exit(pytest.main())"
        command = [sys.executable, "-P", "-c", code, "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), load_report(tmp_path / "leaks.jsonl")

    return run


def short_summary(output: list[str]) -> list[str]:
    return [line for line in output if line.startswith(("FAILED ", "ERROR ", "PASSED "))]


def test_without_the_plugin_the_second_test_fails(example: Run) -> None:
    status, output, _ = example("-p", "no:mcpsmoke", "-rA", EXAMPLE)
    assert status == pytest.ExitCode.TESTS_FAILED
    first, second = short_summary(output)
    assert first == f"PASSED {FIRST}::test_agent_proxy_errors_and_headers"
    assert second.startswith(f"FAILED {SECOND}::test_agent_proxy_headers_precedence")


@pytest.mark.parametrize("test", [FIRST, SECOND], ids=["first", "second"])
def test_each_test_passes_alone(example: Run, test: str) -> None:
    status, output, _ = example("-p", "no:mcpsmoke", test)
    assert status == pytest.ExitCode.OK, "\n".join(output)


LEAKS = [
    (
        f"{FIRST}::test_agent_proxy_errors_and_headers",
        "reference_app.agent_proxy.HttpToolsInvoker",
        "class HttpToolsInvoker -> class _FakeInvoker",
        f"{FIRST}:52",
    ),
    (
        f"{FIRST}::test_agent_proxy_errors_and_headers",
        "reference_app.mini_agent.arouter_call",
        "function arouter_call -> function fake_arouter_call",
        f"{FIRST}:34",
    ),
    (
        f"{SECOND}::test_agent_proxy_headers_precedence",
        "reference_app.http_tools_invoker.httpx",
        "module httpx -> SimpleNamespace object",
        f"{SECOND}:32",
    ),
]


def test_the_plugin_names_the_three_places(example: Run, engine: str, tmp_path: Path) -> None:
    options = ("-p", "mcpsmoke", f"--leaks-engine={engine}", f"--leaks-report={tmp_path / 'leaks.jsonl'}")
    status, output, records = example(*options, EXAMPLE)
    assert status == pytest.ExitCode.TESTS_FAILED
    leaks = [record for record in records if record.get("verdict") == "leak"]
    assert sorted(
        (
            leak["owner"],
            leak["place"],
            f"{leak['before']} -> {leak['after']}",
            f"{leak['site']['path']}:{leak['site']['line']}",
        )
        for leak in leaks
    ) == sorted(LEAKS)
    certainty = "observed" if engine == "watch" else "searched"
    assert {leak["site"]["certainty"] for leak in leaks} == {certainty}
    for owner, place, change, site in LEAKS:
        assert any(line.startswith(f"{owner} left ") for line in output)
        assert any(line.split() == f"{place} rebound: {change}".split() for line in output)
        assert any(line.startswith(f"      {site}  ") for line in output)


def test_the_example_leaves_the_outcomes_as_they_are(example: Run) -> None:
    plain = example("-p", "no:mcpsmoke", "-rA", EXAMPLE)
    watched = example("-p", "mcpsmoke", "-rA", EXAMPLE)
    assert watched[0] == plain[0]
    assert short_summary(watched[1]) == short_summary(plain[1])

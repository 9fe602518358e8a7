"""The story that the product comes from, examples/leaky_smoke: proven in three processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "examples/leaky_smoke"
POLLUTER = f"{FOLDER}/test_agent_proxy_headers_and_errors.py::test_agent_proxy_errors_and_headers"
VICTIM = f"{FOLDER}/test_agent_proxy_validation_errors.py::test_agent_proxy_headers_precedence"
WATCHED = sys.version_info < (3, 12)  # no line is observed there: a process more tells it


def test_three_processes_prove_who_where_and_which_line(tmp_path: Path) -> None:
    report = tmp_path / "leaks.jsonl"
    python = [sys.executable, "-P", "-m"]
    recorded = [*python, "pytest", "-p", "mcpsmoke", f"--leaks-report={report}", FOLDER]
    assert subprocess.run(recorded, cwd=ROOT, capture_output=True).returncode == 1
    asked = [*python, "pytest_mcpsmoke.cli", "culprit", VICTIM, "--from", str(report), "--json"]
    ended = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    (place,) = told["places"]
    site = place["site"]
    line = (ROOT / site["path"]).read_text("utf-8").splitlines()[site["line"] - 1].strip()
    assert (told["verdict"], told["polluters"], told["runs"]) == ("victim", [POLLUTER], 3 + WATCHED)
    assert place["place"] == "reference_app.agent_proxy.HttpToolsInvoker"
    assert line == "ap_mod.HttpToolsInvoker = _FakeInvoker"

"""The gate on the reference app: red with the leaky example planted, green with the clean one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from gate_project import Project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    for needed in ("fastapi", "httpx"):
        pytest.importorskip(needed)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    monkeypatch.setenv("PYTHONPATH", path)  # the reference app is not installed
    return Project(tmp_path, monkeypatch, capsys)


def declare(project: Project, **examples: str) -> None:
    paths = {name: json.dumps(str(ROOT / "examples" / folder)) for name, folder in examples.items()}
    tables = {
        name: f'kind = "pytest"\nargs = ["-p", "no:cacheprovider", {path}]' for name, path in paths.items()
    }
    project.declare(**tables)


def test_the_leaky_one_is_red_and_the_leak_is_named(project: Project) -> None:
    declare(project, all_smokes_core="leaky_smoke")
    status, out, _ = project.call("--strict", "--seed=1")
    assert status == 1
    assert project.statuses == {"all_smokes_core": "FAILED"}
    leaks = project.check("all_smokes_core")["leaks"]
    place = "reference_app.agent_proxy.HttpToolsInvoker"
    (leak,) = (leak for leak in leaks if leak["place"] == place)
    owner = leak["owner"]
    for text in ("\n".join(out), project.markdown):
        assert f"{owner} left" in text
        assert place in text
        assert f"{leak['site']['path']}:{leak['site']['line']}" in text
        assert f"use: {leak['remedy']}" in text
    files = {path.name for path in (project.evidence / "latest").rglob("*") if path.is_file()}
    names = {f"all_smokes_core.{kind}" for kind in ("xml", "log", "jsonl")}
    assert files == {"report.json", "report.md", *names}


def test_the_clean_one_is_green(project: Project) -> None:
    declare(project, all_smokes_core="clean_smoke")
    assert project.call("--strict", "--seed=1")[0] == 0
    assert project.report["verdict"] == "GREEN"

"""A made-up project that mcpsmoke ready is called in."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.cli.main import main

VARIABLES = ("READINESS_LIVE", "STRICT_READY", "READINESS_EXPECT", "ND_REAL", "READINESS_FAIL_ON_SKIP")
PYTHON = json.dumps(sys.executable)  # as TOML has it


class Project:
    """Writes files, calls the command in this process (its checks have processes of their own)."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.path = path
        self.evidence = path / ".mcpsmoke" / "evaluation"
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        monkeypatch.chdir(path)
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        for name in (*VARIABLES, "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
            monkeypatch.delenv(name, raising=False)

    def write(self, **files: str) -> None:
        """Write files; `_` before the suffix stands for the dot."""
        for name, text in files.items():
            path = self.path / re.sub(r"_(py|toml|ini)$", r".\1", name)
            path.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")

    def declare(self, **checks: str) -> None:
        """Declare checks, each by the lines of its table."""
        tables = (
            f"[tool.mcpsmoke.readiness.checks.{name}]\n{textwrap.dedent(text).strip()}\n"
            for name, text in checks.items()
        )
        (self.path / "pyproject.toml").write_text("\n".join(tables), "utf-8")

    def call(self, *arguments: str) -> tuple[int, list[str], str]:
        """Call the command: its status, the lines it prints, what stands on stderr."""
        self._monkeypatch.setattr(sys, "argv", ["mcpsmoke", "ready", *arguments])
        try:
            status = main(["ready", *arguments])
        except SystemExit as end:
            status = end.code  # type: ignore[assignment]
        out, err = self._capsys.readouterr()
        return status, stable(out).splitlines(), err

    def refused(self, *arguments: str) -> str:
        """Call the command; return its one line of complaint: nothing was run, nothing is written."""
        said = self.refused_later(*arguments)
        assert not self.evidence.exists()
        return said

    def refused_later(self, *arguments: str) -> str:
        """Call the command where there is evidence; return its one line of complaint."""
        status, out, err = self.call(*arguments)
        assert (status, out, err.count("\n")) == (2, [], 1)
        return err.rstrip("\n")

    @property
    def report(self) -> dict[str, Any]:
        """The newest report.json."""
        content: dict[str, Any] = json.loads((self.evidence / "latest" / "report.json").read_text("utf-8"))
        return content

    @property
    def statuses(self) -> dict[str, str]:
        return {check["name"]: check["status"] for check in self.report["checks"]}

    def check(self, name: str) -> dict[str, Any]:
        (found,) = (check for check in self.report["checks"] if check["name"] == name)
        return found  # type: ignore[no-any-return]

    @property
    def markdown(self) -> str:
        return stable((self.evidence / "latest" / "report.md").read_text("utf-8"))


def stable(text: str) -> str:
    """Mask what differs from run to run and between engines: times, versions, how sites were found."""
    text = re.sub(r"  \(searched\)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\dZ(\.\d+)?", "<time>", text)
    text = re.sub(r"\d+\.\d\d ?s\b", "<s>", text)
    text = re.sub(r"(?<=\| )\d+\.\d\d(?= \|)", "<s>", text)
    return re.sub(r"(\| versions \| ).*( \|)", r"\1<versions>\2", text)


def command(code: str) -> str:
    """The lines of a check of kind command that runs a piece of Python."""
    return f'kind = "command"\nargs = [{PYTHON}, "-c", {json.dumps(code)}]'

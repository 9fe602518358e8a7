"""refuse(): a run ends before any test with one line and exit status 4, whoever asks for it and wherever."""

from __future__ import annotations

from typing import Any

import pytest

CONFTEST = """
from pytest_mcpsmoke.glue.refusing import refuse

def pytest_collection_modifyitems(config):
    refuse(config, "test_case.py: the first; do this")
    refuse(config, "test_case.py: the second")
"""
RAN = 'import pathlib\n\ndef test_it(): pathlib.Path("ran").touch()\n'


@pytest.mark.parametrize("leaks", ["off", "report"])
@pytest.mark.parametrize(
    "spread", [(), ("-p", "xdist", "-n", "2"), ("-p", "xdist", "-n", "2", "--dist=each")]
)
def test_the_first_message_ends_the_run(suite: Any, spread: tuple[str, ...], leaks: str) -> None:
    suite.write({"conftest.py": CONFTEST, "test_case.py": RAN})
    result = suite.run(f"--leaks={leaks}", *spread, subprocess=True, report=False).result
    everything = result.outlines + result.errlines
    assert result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(everything)
    told = [line for line in everything if "ERROR" in line or "Traceback" in line or "second" in line]
    assert told == ["ERROR: test_case.py: the first; do this"]
    assert not (suite.path / "ran").exists()

"""The tests of the compiled part once more, in an interpreter that checks its own memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_mcpsmoke.state._watch", reason="the compiled part is not installed")

WRITES = "test_watch_accelerator.py" if sys.version_info >= (3, 12) else "test_versions_accelerator.py"


@pytest.mark.parametrize("file", [WRITES, "test_parts_accelerator.py", "test_functions_accelerator.py"])
def test_the_compiled_part_passes_its_tests_under_the_checking_allocator(file: str) -> None:
    environment = os.environ | {"PYTHONDEVMODE": "1", "PYTHONMALLOC": "debug"}
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    # -P: the checkout must not stand before the installed package
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:mcpsmoke"]
    done = subprocess.run(
        [*command, str(Path(__file__).with_name(file))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout

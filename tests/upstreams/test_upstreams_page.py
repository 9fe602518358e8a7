"""The page's client, run as a reader runs it, prints what the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_process import PAGE, PATIENCE, GatewayProcess, environment, of_the_page

pytestmark = pytest.mark.smoke


def test_the_client_of_the_page(gateway: GatewayProcess, tmp_path: Path) -> None:
    (gateway.shared / "todo.txt").write_text(of_the_page("shared/todo.txt"), "utf-8")
    (tmp_path / "client.py").write_text(of_the_page("client.py"), "utf-8")
    done = subprocess.run(
        [sys.executable, "client.py", f"{gateway.url}/mcp"],
        cwd=tmp_path,
        env=environment(TEAM_KEY=gateway.keys["TEAM_KEY"]),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    shown = re.search(r"^\$ python client\.py [^\n]*\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown[1].replace("/srv/", f"{gateway.shared.parent}/")

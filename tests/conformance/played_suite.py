"""A suite that does as it is told: a script in the place of Node."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

REQUIREMENTS = """
server: [ping, tools-call-simple-text]
client: [initialize]
not_scored:
  - {scenario: added, leg: server, reason: added-after-release}
  - {scenario: held, leg: client, reason: pending}
  - {scenario: tasks, leg: server, reason: extension}
"""
NODE = """\
    #!{python} -I
    import json, os, sys, time
    from pathlib import Path
    said = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    written = Path({told!r}, said["--requirements"] + ".json")
    told = json.loads((written if written.exists() else Path({told!r}, "all.json")).read_text())
    for scenario, checks in told["scenarios"].items():
        folder = Path(said["--output-dir"], f"server-{{scenario}}-2026-01-02T03-04-05-678Z")
        folder.mkdir()
        (folder / "checks.json").write_text(json.dumps(checks))
    Path({told!r}, "pid-" + said["--requirements"]).write_text(str(os.getpid()))
    print(told.get("prints", ""))
    time.sleep(told.get("seconds", 0))
    sys.exit(told.get("status", 0))
"""
PASSING = {
    name: [{"id": name, "status": "SUCCESS"}] for name in ("ping", "tools-call-simple-text", "added", "tasks")
}


class PlayedSuite:
    """A folder with node_modules in which a script stands for Node and the suite: it writes what it is told.

    Attributes:
        folder: What `--suite` takes.
        told: Where it reads what to do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "told"
        package = folder / "node_modules" / "@modelcontextprotocol" / "conformance"
        for made in (self.told, package / "requirements", folder / "node_modules" / ".bin"):
            made.mkdir(parents=True)
        (package / "package.json").write_text('{"version": "0.2.0-played"}')
        for version in ("2025-11-25", "2026-07-28"):
            (package / "requirements" / f"{version}.yaml").write_text(REQUIREMENTS)
        node = folder / "node_modules" / ".bin" / "node"
        node.write_text(textwrap.dedent(NODE).format(python=sys.executable, told=str(self.told)))
        node.chmod(0o755)
        self.tell()

    def tell(self, version: str = "all", *, scenarios: dict[str, Any] | None = None, **more: Any) -> None:
        """Say what it does: the scenarios' checks beside those that pass; `seconds`, `status`, `prints`."""
        told = {"scenarios": {**PASSING, **(scenarios or {})}, **more}
        (self.told / f"{version}.json").write_text(json.dumps(told))

    def pid(self, version: str) -> int | None:
        """Its process of a version, once it has written its results; else None."""
        path = self.told / f"pid-{version}"
        return int(path.read_text() or 0) or None if path.exists() else None

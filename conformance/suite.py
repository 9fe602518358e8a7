"""The suite: where it is installed, and running it against a URL."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conformance import results
from conformance.install import SUITE
from conformance.processes import output_of
from conformance.results import Check
from pytest_mcpsmoke.errors import UsageProblem

VARIABLE: Final = "MCPSMOKE_CONFORMANCE"
HERE: Final = Path(__file__).parent
_INSTALL: Final = "python -m conformance --install"


class Broken(Exception):
    """The suite did not run to its end; the text says what it printed last."""


@dataclass(frozen=True)
class Suite:
    """An installed suite: the package's folder, the Node that runs it, its version."""

    package: Path
    node: str
    version: str

    def run(self, url: str, version: str, *, at_most: float) -> tuple[Check, ...]:
        """Run what a version of the protocol requires, and what it does not, against a server.

        Raises:
            Broken: It did not end within `at_most` seconds, or otherwise than with results.
            NoResults: What it wrote down cannot be read.
        """
        groups = results.requirements(self.package / "requirements" / f"{version}.yaml")
        with tempfile.TemporaryDirectory(prefix="mcpsmoke-conformance-") as folder:
            command = [self.node, str(self.package / "dist" / "index.js"), "server"]
            command += ["--url", url, "--requirements", version, "--output-dir", folder]
            status, printed = output_of(command, at_most=at_most)
            if status is None:
                raise Broken(f"the suite was still running after {at_most:g} s:\n{printed[-2000:]}")
            if status not in (0, 1) or not os.listdir(folder):
                raise Broken(f"the suite ended with status {status}:\n{printed[-2000:]}")
            return results.read(Path(folder), groups)


def folder(given: Path | None = None) -> Path:
    """The folder with node_modules: the given one, else MCPSMOKE_CONFORMANCE's, else this package's own."""
    return given or Path(os.environ.get(VARIABLE) or HERE)


def find(given: Path | None = None) -> Suite:
    """Find the suite in a folder; raise UsageProblem, which says what installs it, when it is not there."""
    root = folder(given)
    package = root / "node_modules" / SUITE
    try:
        told: Any = json.loads((package / "package.json").read_text("utf-8"))
    except OSError:
        raise UsageProblem(
            f"no conformance suite in {root}: install it with `{_INSTALL}`, which needs npm, "
            f"or name the folder of its node_modules with --suite or {VARIABLE}"
        ) from None
    own = root / "node_modules" / ".bin" / "node"
    node = str(own) if own.exists() else shutil.which("node")
    if node is None:
        raise UsageProblem(f"the conformance suite in {root} has no Node to run on: `{_INSTALL}`")
    return Suite(package, node, str(told["version"]))

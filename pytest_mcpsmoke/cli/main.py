"""The mcpsmoke command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from pytest_mcpsmoke import __version__
from pytest_mcpsmoke.cli import baseline, clients, culprit, probe, ready, where
from pytest_mcpsmoke.errors import UsageProblem


class Parser(argparse.ArgumentParser):
    """Says in one line what it cannot parse."""

    def error(self, message: str) -> NoReturn:
        """End with status 2; the subcommands' parsers are of this class too."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, or exits with it: see cli/exits.py."""
    parser = Parser(
        prog="mcpsmoke",
        description="Companion of the pytest plugin mcpsmoke. The detector itself runs inside pytest:"
        " pytest -p mcpsmoke (see pytest --help, section mcpsmoke).",
    )
    parser.add_argument("--version", action="version", version=f"mcpsmoke {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    baseline.add_to(commands)
    probe.add_to(commands)
    clients.add_to(commands)
    ready.add_to(commands)
    culprit.add_to(commands)
    where.add_to(commands)
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    try:
        return int(options.run(options) or 0)
    except UsageProblem as problem:
        print(f"mcpsmoke: {problem}", file=sys.stderr)
        return 2

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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its subcommands."""
    made = Parser(
        prog="mcpsmoke",
        description="Companion of the pytest plugin mcpsmoke. The detector itself runs inside pytest:"
        " pytest -p mcpsmoke (see pytest --help, section mcpsmoke).",
    )
    made.add_argument("--version", action="version", version=f"mcpsmoke {__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND")
    for command in (baseline, probe, clients, ready, culprit, where):
        command.add_to(commands)
    return made


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command's arguments; what stands behind -- goes to pytest, untouched: options.pytest."""
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    made = parser()
    options = made.parse_args(words[:at])
    options.pytest = words[at + 1 :]
    if options.pytest and not getattr(options, "takes_pytest", False):
        made.error("nothing may stand behind --")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, or exits with it: see cli/exits.py."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if not hasattr(options, "run"):
        parser().print_help()
        return 0
    try:
        return int(options.run(options) or 0)
    except UsageProblem as problem:
        print(f"mcpsmoke: {problem}", file=sys.stderr)
        return 2
